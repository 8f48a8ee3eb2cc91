"""PURE. The arguments that an inputSchema declares: whether they are required, and their types."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["ANY", "Argument", "Arguments", "Nested", "type_of"]

# A single object, because parts of a schema are identified by object identity.
_EMPTY: Mapping[str, Any] = MappingProxyType({})
ANY = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
# Most arguments state their type and nothing that narrows it further.
_FURTHER = frozenset({"$ref", "anyOf", "oneOf", "allOf", "enum", "const"})
_CONTAINERS = frozenset({"array", "object"})
_ONLY = {name: frozenset({name}) for name in ANY - {"null"}}
# The maximum length of a chain of references or nested alternatives that is followed. `crd.schema.references` refuses
# schemas with longer chains.
MAX_STEPS = 64


class Argument(NamedTuple):
    """``types`` are JSON types without null, which stands for an absent argument; all types if unrestricted.

    ``nullable`` says whether null is allowed. ``texts`` are the strings that the schema names: the default, and the
    values of enum and const; ``item_texts`` are those of the items of a list.
    """

    name: str
    required: bool
    types: frozenset[str]
    has_default: bool
    nullable: bool = False
    texts: tuple[str, ...] = ()
    item_texts: tuple[str, ...] = ()


class Nested(NamedTuple):
    """Items of a list that can be lists or objects themselves: where the list is, below the argument, and which."""

    members: tuple[str, ...]
    types: frozenset[str]


class Arguments:
    """The arguments of a schema. Results about parts of the schema are cached, so that each part is read once."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """``schema`` must not change as long as this object is used: its parts are identified by object identity."""
        self._root = schema
        self._behind: dict[int, tuple[Mapping[str, Any], ...]] = {}
        self._types: dict[int, frozenset[str]] = {}
        self._found: dict[str, Argument | None] = {}
        self._top, self._required = self._members(schema)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the top-level properties, in order."""
        return tuple(map(str, _mapping(self._root.get("properties"))))

    def find(self, name: str) -> Argument | None:
        """The argument with a name, or at a JSON Pointer that starts with ``/``; None if it is not declared.

        It is required only if every property on the path to it is.
        """
        found = self._found.get(name)
        if found is None:
            found = self._found[name] = self._find(name)
        return found

    def _find(self, name: str) -> Argument | None:
        steps = [_unescape(step) for step in name.split("/")[1:]] if name.startswith("/") else [name]
        properties, wanted = self._top, self._required
        node, required = self._root, True
        for number, step in enumerate(steps):
            if number:
                properties, wanted = self._members(node)
            if step not in properties:
                return None
            required = required and step in wanted
            node = _mapping(properties[step])
        stated = node.get("type")
        if isinstance(stated, str) and _FURTHER.isdisjoint(node):
            only, default = _ONLY.get(stated) or frozenset({stated}) - {"null"}, node.get("default")
            named = (default,) if isinstance(default, str) else ()
            of_items = self._item_texts((node,)) if stated == "array" else ()
            return Argument(name, required, only, "default" in node, stated == "null", named, of_items)
        behind = self.behind(node)
        types = self.types(node)
        has_default = any("default" in each for each in behind)
        texts = tuple(dict.fromkeys(text for each in behind for text in _texts(each)))
        return Argument(name, required, types - {"null"}, has_default, "null" in types, texts, self._item_texts(behind))

    def _item_texts(self, behind: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """The strings that schemas name for the items of a list: in their default, and in the schema of the items."""
        found = [text for each in behind for text in _list(each.get("default")) if isinstance(text, str)]
        for each in behind:
            item = _mapping(each.get("items"))
            found += (text for part in self.behind(item) for text in _texts(part)) if item else ()
        return tuple(dict.fromkeys(found))

    def find_nested(self, name: str, *, deep: bool) -> Nested | None:
        """Items of an argument that are declared as lists or objects; with ``deep`` also those of its members.

        Items without a declared type are not reported.
        """
        node: Mapping[str, Any] = self._root
        for step in [_unescape(step) for step in name.split("/")[1:]] if name.startswith("/") else [name]:
            node = _mapping(self.properties(node).get(step))
        waiting: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [((), node)]
        seen: set[int] = set()
        for members, part in waiting:
            for each in self.behind(part):
                if id(each) in seen:
                    continue
                seen.add(id(each))
                for item in (each.get("items"), *_list(each.get("prefixItems"))):
                    types = self.types(_mapping(item)) if item else ANY
                    if types & _CONTAINERS and not types >= ANY - {"integer", "null"}:
                        return Nested(members, types & _CONTAINERS)
                for keyword in ("anyOf", "oneOf", "allOf"):
                    waiting += ((members, _mapping(branch)) for branch in _list(each.get(keyword)))
                if deep:
                    declared = _mapping(each.get("properties"))
                    waiting += (((*members, str(key)), _mapping(child)) for key, child in declared.items())
                    waiting.append(((*members, "*"), _mapping(each.get("additionalProperties"))))
        return None

    def behind(self, node: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
        """A schema of this document, followed by the schemas that its chain of local references leads to."""
        found = self._behind.get(id(node))
        if found is None:
            found = self._behind[id(node)] = tuple(self._chain(node))
        return found

    def properties(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """The properties that a schema of this document declares, itself or by its chain of references."""
        return self._members(node)[0]

    def types(self, node: Mapping[str, Any]) -> frozenset[str]:
        """The types that a schema of this document allows, after all keywords that restrict them.

        ``number`` includes integers.
        """
        return self._narrow(node, MAX_STEPS)

    def _members(self, node: Mapping[str, Any]) -> tuple[Mapping[str, Any], frozenset[str]]:
        """The properties of an object by its schema, and the names of the required ones."""
        behind = self.behind(node)
        properties = next((_mapping(each["properties"]) for each in behind if "properties" in each), _EMPTY)
        required = next((each["required"] for each in behind if "required" in each), None)
        names = required if isinstance(required, list) else ()
        return properties, frozenset(name for name in names if isinstance(name, str))

    def _chain(self, node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        for _ in range(MAX_STEPS):
            yield node
            target = node.get("$ref")
            if not isinstance(target, str) or not target.startswith("#"):
                return
            found: Any = self._root
            for step in target[1:].split("/", MAX_STEPS)[1:]:
                found = _mapping(found).get(_unescape(step))
            node = _mapping(found)

    def _narrow(self, node: Mapping[str, Any], depth: int) -> frozenset[str]:
        known = self._types.get(id(node))
        if known is not None:
            return known
        # A schema that refers to itself adds no restriction to itself.
        self._types[id(node)] = ANY - {"integer"}
        found = ANY
        for each in self.behind(node):
            found &= _read_types(each)
            for keyword in ("anyOf", "oneOf"):
                choices = each.get(keyword)
                if isinstance(choices, list) and choices and depth:
                    left = frozenset().union(*(self._narrow(_mapping(choice), depth - 1) for choice in choices))
                    found &= _with_integer(left)
            every = each.get("allOf")
            for part in every if isinstance(every, list) and depth else ():
                found &= _with_integer(self._narrow(_mapping(part), depth - 1))
        self._types[id(node)] = found = found - {"integer"} if "number" in found else found
        return found


def _read_types(node: Mapping[str, Any]) -> frozenset[str]:
    """The types that a schema allows by its own keywords; integers and numbers are separate types."""
    found = ANY
    stated = node.get("type")
    if isinstance(stated, str):
        found = _with_integer(frozenset({stated}))
    elif isinstance(stated, list):
        found = _with_integer(frozenset(each for each in stated if isinstance(each, str)))
    values = node["enum"] if isinstance(node.get("enum"), list) else [node["const"]] if "const" in node else None
    return found if values is None else found & frozenset(map(type_of, values))


def _texts(node: Mapping[str, Any]) -> Iterator[str]:
    """The strings that a schema names by its own keywords."""
    for value in (node.get("default"), node.get("const"), *_list(node.get("enum"))):
        if isinstance(value, str):
            yield value


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _with_integer(types: frozenset[str]) -> frozenset[str]:
    return types | {"integer"} if "number" in types else types


def _unescape(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def type_of(value: object) -> str:
    """The JSON type of a value; integer for a number without a fraction."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _EMPTY
