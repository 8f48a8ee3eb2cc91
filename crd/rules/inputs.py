"""PURE. The arguments that a mapping may use. An inputSchema or a URI template declares them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crd.schema.arguments import Argument, argument, declared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.published.uri import UriTemplate

__all__ = ["SCALARS", "Inputs", "of_schema", "of_template"]

SCALARS = frozenset({"string", "integer", "number", "boolean"})
_TEXT = frozenset({"string"})


@dataclass(frozen=True, slots=True)
class Inputs:
    """``names`` are the top-level arguments; ``where`` is the field that declares them, for messages."""

    where: str
    names: tuple[str, ...]
    schema: Mapping[str, Any] | None = field(default=None, repr=False)
    variables: UriTemplate | None = None

    def find(self, name: str) -> Argument | None:
        """The argument with a name, or at a JSON Pointer; None if it is not declared."""
        if self.schema is not None:
            return argument(self.schema, name)
        if name in self.names and self.variables is not None:
            return Argument(name, name in self.variables.path, _TEXT, has_default=False)
        return None

    def top(self, source: str) -> str:
        """The top-level argument of a name or JSON Pointer."""
        if not source.startswith("/"):
            return source
        return source.split("/")[1].replace("~1", "/").replace("~0", "~")

    def repair(self, source: str) -> str:
        """The repair for a name that is not declared."""
        near = difflib.get_close_matches(self.top(source), self.names, n=1)
        return f'did you mean "{near[0]}"?' if near else "declare it there or remove it"


def of_schema(schema: Mapping[str, Any]) -> Inputs:
    """The arguments of a tool."""
    return Inputs("spec.inputSchema", declared(schema), schema)


def of_template(variables: UriTemplate | None) -> Inputs:
    """The arguments of a resource; none if it has a URI instead of a template."""
    return Inputs("spec.uriTemplate", variables.variables if variables else (), variables=variables)
