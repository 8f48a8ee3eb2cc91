"""PURE. The arguments that a mapping may use. An inputSchema or a URI template declares them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crd.schema.arguments import Argument, Arguments, Nested
from crd.suggestions import Suggestions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.published.uri import UriTemplate

__all__ = ["SCALARS", "Inputs", "of_schema", "of_template"]

SCALARS = frozenset({"string", "integer", "number", "boolean"})
_TEXT = frozenset({"string"})
_YAML_BOOLEANS = {**dict.fromkeys(("y", "yes", "on"), "true"), **dict.fromkeys(("n", "no", "off"), "false")}


@dataclass(frozen=True, slots=True)
class Inputs:
    """``names`` are the top-level arguments; ``where`` is the field that declares them, for messages."""

    where: str
    names: tuple[str, ...]
    schema: Arguments | None = field(default=None, repr=False, compare=False)
    variables: UriTemplate | None = None
    suggestions: Suggestions = field(default_factory=lambda: Suggestions(()), repr=False, compare=False)

    def find(self, name: str) -> Argument | None:
        """The argument with a name, or at a JSON Pointer; None if it is not declared."""
        if self.schema is not None:
            return self.schema.find(name)
        if name in self.names and self.variables is not None:
            return Argument(name, name in self.variables.path, _TEXT, has_default=False)
        return None

    def find_nested(self, name: str, *, deep: bool) -> Nested | None:
        """Items of an argument that are declared as lists or objects; with ``deep`` also those of its members."""
        return self.schema.find_nested(name, deep=deep) if self.schema is not None else None

    def top(self, source: str) -> str:
        """The top-level argument of a name or JSON Pointer."""
        if not source.startswith("/"):
            return source
        return source.split("/", 2)[1].replace("~1", "/").replace("~0", "~")

    def repair(self, source: str) -> str:
        """The repair for a name that is not declared."""
        read_as = _YAML_BOOLEANS.get(self.top(source).lower())
        if read_as in self.names:
            return f'it has "{read_as}", as which YAML 1.1 reads this word; put the word in quotes there'
        near = self.suggestions.nearest(self.top(source))
        return f'did you mean "{near}"?' if near else "declare it there or remove it"


def of_schema(schema: Mapping[str, Any]) -> Inputs:
    """The arguments of a tool."""
    arguments = Arguments(schema)
    names = arguments.names
    return Inputs("spec.inputSchema", names, arguments, suggestions=Suggestions(names))


def of_template(variables: UriTemplate | None) -> Inputs:
    """The arguments of a resource; none if it has a URI instead of a template."""
    names = variables.variables if variables else ()
    return Inputs("spec.uriTemplate", names, variables=variables, suggestions=Suggestions(names))
