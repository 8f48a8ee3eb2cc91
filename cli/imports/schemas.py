"""PURE. Schemas of a description (OpenAPI 3.0, or JSON Schema 2020-12 in 3.1) as self-contained JSON Schemas.

A schema is converted once, with its references as they are written; `Schemas.assemble` then collects what they lead to,
into ``$defs`` or in place. What would be too large for a tool is cut: an object whose members are not described accepts
every member, so nothing that the API accepts is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from cli.imports import texts
from cli.imports.description import UnusableError
from crd.clients import ecma
from crd.schema import bounds, patterns
from crd.schema.arguments import ANY, type_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cli.imports.description import Description

__all__ = ["SCALARS", "Schemas"]

SCALARS = frozenset({"string", "integer", "number", "boolean"})
# In bytes of JSON: a tool whose schemas are larger costs a model thousands of tokens in every conversation.
INPUT_BYTES = 16 * 1024
OUTPUT_BYTES = 6 * 1024
MAX_NODES = 1500
MAX_DEPTH = 24
# Nodes of one schema of the description, before references are followed.
_MAX_CONVERTED = 20_000
_SMALL = 160
# In bytes: a root that is hardly more than a reference is the same in many operations.
_SHORT = 400
_LEVELS = (None, 3, 2, 1, 0)
_TYPES = ANY
_TYPE_NAMES = {"any": "", "int": "integer", "long": "integer", "float": "number", "double": "number", "bool": "boolean",
               "date": "string", "datetime": "string", "file": "string", "binary": "string", "map": "object",
               "hash": "object", "list": "array"}  # fmt: skip
_COUNTS = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems"),
           "object": ("minProperties", "maxProperties")}  # fmt: skip
# Keywords of OpenAPI 3.1 (JSON Schema 2020-12) whose value is a schema.
_OF_3_1 = ("contains", "if", "then", "else", "propertyNames", "unevaluatedProperties", "unevaluatedItems")


@dataclass(slots=True)
class _Converted:
    """A converted schema: references as in the description, where each leads, and what was left out."""

    schema: dict[str, Any]
    references: list[str] = field(default_factory=list)
    nodes: int = 0
    notes: list[str] = field(default_factory=list)


class Schemas:
    """The schemas of a description, converted for requests (``output`` false) or for replies.

    In replies, only what says which members and types there are is kept: a limit that the API itself does not keep
    would make a call fail that succeeded. Members that are ``readOnly`` are left out of requests, and ``writeOnly``
    ones out of replies.
    """

    def __init__(self, description: Description, *, output: bool) -> None:
        self._description = description
        self._output = output
        self._known: dict[str, _Converted] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._stubs: dict[str, dict[str, Any]] = {}
        self._assembled: dict[bytes, tuple[dict[str, Any], list[str]]] = {}

    def convert(self, node: Any) -> _Converted:
        """Convert one schema of the description, without following its references."""
        made = _Converted({})
        made.schema = _Conversion(self._description, made, output=self._output).convert(node, 0)
        return made

    def behind(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """A converted schema without references at its root."""
        for _ in range(MAX_DEPTH):
            target = schema.get("$ref")
            if not isinstance(target, str):
                return schema
            schema = self._definition(target).schema
        return {}

    def types(self, schema: Mapping[str, Any], depth: int = 6) -> frozenset[str]:
        """The types that a converted schema allows, without null."""
        node = self.behind(schema)
        found = ANY
        stated = node.get("type")
        if isinstance(stated, str):
            found = frozenset({stated})
        elif isinstance(stated, list):
            found = frozenset(stated)
        elif isinstance(node.get("enum"), list):
            found = frozenset(map(type_of, node["enum"]))
        for keyword in ("anyOf", "oneOf"):
            if depth and isinstance(node.get(keyword), list):
                found &= frozenset().union(*(self.types(each, depth - 1) | {"null"} for each in node[keyword]))
        for each in node.get("allOf", ()) if depth else ():
            found &= self.types(each, depth - 1) | {"null"}
        return found - {"null"}

    def _definition(self, target: str) -> _Converted:
        known = self._known.get(target)
        if known is None:
            # Set first: a schema may refer to itself.
            known = self._known[target] = _Converted({})
            try:
                made = self.convert(self._description.find(target))
                known.schema, known.references, known.nodes = made.schema, made.references, made.nodes
                known.notes = [f"{_name_of(target)}: {note}" for note in made.notes]
            except UnusableError as error:
                known.notes = [f"{_name_of(target)}: any value is accepted: {error}"]
        return known

    def assemble(self, root: _Converted) -> tuple[dict[str, Any], list[str]]:
        """The schema with all that its references lead to, within the limits, and the notes on what is left out."""
        key = orjson.dumps(root.schema)
        if len(key) > _SHORT:
            return self._assemble(root)
        known = self._assembled.get(key)
        if known is None:
            known = self._assembled[key] = self._assemble(root)
        return known[0], [*known[1]]

    def _assemble(self, root: _Converted) -> tuple[dict[str, Any], list[str]]:
        most = OUTPUT_BYTES if self._output else INPUT_BYTES
        for level in _LEVELS:
            found = self._collect(root, level)
            if found is None:
                continue
            # The least that it can have: what is used twice may be written twice.
            whole, without = (sum(self._size(target)[index] for target in found) for index in (0, 1))
            for bare in (False, True):
                if (without if bare else whole) > most * 2:
                    continue
                schema, notes = self._join(root, found)
                schema = _strip_descriptions(schema, 0) if bare else schema
                if _fits(schema, most):
                    return schema, [*notes, *_tell_cuts(level, bare)]
        schema, notes = self._join(root, self._collect(root, 1) or self._collect(root, 0) or {})
        for depth in range(6, 0, -1):
            cut = _cut_below(_strip_descriptions(schema, 0), depth)
            if _fits(cut, most):
                return cut, [*notes, f"too large: members below level {depth} are not described, any are accepted"]
        names: dict[str, Any] = {name: {} for name in list(schema.get("properties", {}))[:200]}
        bare_root = {key: value for key, value in schema.items() if key in ("type", "additionalProperties")}
        made = {**bare_root, "properties": names, "required": schema.get("required", [])}
        return made, [*notes, "too large: the members are named but not described, any values are accepted"]

    def _collect(self, root: _Converted, level: int | None) -> dict[str, int] | None:
        """How often each reachable definition is used, down to a level of references; None if they are too many."""
        reached: set[str] = set()
        nodes = root.nodes
        waiting = [(target, 1) for target in root.references]
        for target, at in waiting:
            if target in reached or (level is not None and at > level):
                continue
            reached.add(target)
            definition = self._definition(target)
            nodes += definition.nodes
            if nodes > MAX_NODES:
                return None
            waiting += [(each, at + 1) for each in definition.references]
        # All references to what is reached are counted, those beyond the level as well: only a definition with a single
        # one is written in place, so the result has no part twice, and a recursive one is never written in place.
        uses = dict.fromkeys((target for target, _ in waiting if target in reached), 0)
        for target in (*root.references, *(each for name in uses for each in self._definition(name).references)):
            if target in uses:
                uses[target] += 1
        return uses

    def _join(self, root: _Converted, uses: Mapping[str, int]) -> tuple[dict[str, Any], list[str]]:
        names: dict[str, str] = {}
        taken: set[str] = set()
        for target in uses:
            names[target] = texts.argument_name(_name_of(target), taken)
            taken.add(names[target])
        inline = {
            target
            for target, count in uses.items()
            if count == 1 or (not self._definition(target).references and self._size(target)[0] <= _SMALL)
        }
        defs: dict[str, Any] = {}

        def place(node: Any, depth: int) -> Any:
            if isinstance(node, list):
                return [place(each, depth) for each in node]
            if not isinstance(node, dict):
                return node
            target = node.get("$ref")
            if not isinstance(target, str):
                return {key: place(value, depth + 1) for key, value in node.items()}
            rest = {key: value for key, value in node.items() if key != "$ref"}
            if target not in uses:
                return {**self._stub(target), **rest}
            if target in inline and depth < 60:
                return {**place(self._definition(target).schema, depth + 1), **rest}
            if names[target] not in defs:
                defs[names[target]] = {}
                defs[names[target]] = place(self._definition(target).schema, 1)
            return {"$ref": f"#/$defs/{names[target]}", **rest}

        schema: dict[str, Any] = place(root.schema, 0)
        notes = [*root.notes, *(note for target in uses for note in self._definition(target).notes)]
        return ({**schema, "$defs": defs} if defs else schema), list(dict.fromkeys(notes))

    def _size(self, target: str) -> tuple[int, int]:
        """The bytes of a definition, and without its descriptions."""
        known = self._sizes.get(target)
        if known is None:
            schema = self._definition(target).schema
            known = len(orjson.dumps(schema)), len(orjson.dumps(_strip_descriptions(schema, 2)))
            self._sizes[target] = known
        return known

    def _stub(self, target: str) -> dict[str, Any]:
        """What takes the place of a definition that is not described: its types."""
        known = self._stubs.get(target)
        if known is None:
            types = sorted(self.types({"$ref": target}))
            known = self._stubs[target] = {"type": types[0]} if len(types) == 1 else {}
        return known


class _Conversion:
    """Converts one schema; what it refers to, and what it leaves out, is added to ``made``."""

    def __init__(self, description: Description, made: _Converted, *, output: bool) -> None:
        self._is_3_0 = description.is_3_0
        self._made = made
        self._output = output

    def convert(self, node: Any, depth: int) -> dict[str, Any]:
        self._made.nodes += 1
        if isinstance(node, bool):
            return {} if node else {"not": {}}
        if not isinstance(node, dict):
            self._note("a schema that is not an object accepts any value")
            return {}
        if depth > MAX_DEPTH or self._made.nodes > _MAX_CONVERTED:
            self._note(f"nested deeper than {MAX_DEPTH} levels, or too large: any value is accepted there")
            return {}
        if isinstance(node.get("$ref"), str):
            return self._refer(node)
        made: dict[str, Any] = {}
        types = self._types(node)
        if types:
            made["type"] = types[0] if len(types) == 1 else types
        self._describe(node, made)
        self._values(node, made, types)
        if not self._output:
            self._limits(node, made, types)
        self._array(node, made, types, depth)
        self._object(node, made, types, depth)
        self._compose(node, made, depth)
        return self._allow_null(node, made)

    def _refer(self, node: Mapping[str, Any]) -> dict[str, Any]:
        target = node["$ref"]
        self._made.references.append(target)
        made = {"$ref": target}
        if not self._is_3_0:
            self._describe(node, made)
        return made

    def _types(self, node: Mapping[str, Any]) -> list[str]:
        stated = node.get("type")
        given = stated if isinstance(stated, list) else [stated] if stated is not None else []
        types: list[str] = []
        for each in given:
            name = _TYPE_NAMES.get(each, each) if isinstance(each, str) else each
            if isinstance(name, str) and name in _TYPES:
                types += [name] if name not in types else []
            elif name != "":
                self._note(f"{str(each)[:40]!r} is not a type; any type is accepted")
        if not given and "properties" in node:
            types = ["object"]
        elif not given and "items" in node:
            types = ["array"]
        composed = any(keyword in node for keyword in ("allOf", "anyOf", "oneOf"))
        if self._is_3_0 and node.get("nullable") is True and types and "null" not in types and not composed:
            types.append("null")
        if "integer" in types and "number" in types:
            types.remove("integer")
        return types

    def _describe(self, node: Mapping[str, Any], made: dict[str, Any]) -> None:
        text = texts.shorten(texts.clean(node.get("description")))
        default = node.get("default")
        if not self._output and default is not None and default != "" and not isinstance(default, dict | list):
            written = texts.clean(str(default).lower() if isinstance(default, bool) else str(default))
            if len(written) <= 60 and "default" not in text.lower():
                text = f"{text} Default: {written}.".strip()
        if text:
            made["description"] = text

    def _values(self, node: Mapping[str, Any], made: dict[str, Any], types: list[str]) -> None:
        given = node.get("enum")
        if isinstance(given, list) and given:
            values = [*_distinct(_cast(value, types) for value in given)]
            fitting = [value for value in values if not types or _is_of(value, types)]
            if len(fitting) < len(values):
                self._note(f"{len(values) - len(fitting)} values of an enum do not have its type; they are left out")
            if "null" in types and None not in fitting:
                fitting.append(None)
            if fitting:
                made["enum"] = fitting
        if "const" in node and not self._is_3_0:
            made["const"] = node["const"]
        if isinstance(node.get("format"), str) and not self._output and set(types) & SCALARS:
            made["format"] = node["format"][:64]

    def _limits(self, node: Mapping[str, Any], made: dict[str, Any], types: list[str]) -> None:
        if not types or {"integer", "number"} & set(types):
            self._numbers(node, made)
        for kind, keywords in _COUNTS.items():
            if types and kind not in types:
                continue
            for keyword in keywords:
                value = _number(node.get(keyword))
                if value is not None and value >= 0 and value == int(value):
                    made[keyword] = int(value)
        if isinstance(node.get("pattern"), str) and (not types or "string" in types):
            self._pattern(node["pattern"], made)
        if node.get("uniqueItems") is True and (not types or "array" in types):
            made["uniqueItems"] = True

    def _numbers(self, node: Mapping[str, Any], made: dict[str, Any]) -> None:
        for keyword, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            limit, other = _number(node.get(keyword)), node.get(exclusive)
            if limit is not None:
                made[exclusive if other is True else keyword] = limit
            if _number(other) is not None:
                made[exclusive] = other
        step = _number(node.get("multipleOf"))
        if step is not None and step > 0:
            made["multipleOf"] = step

    def _pattern(self, text: str, made: dict[str, Any]) -> None:
        dialects = ecma.read(text) if len(text) <= patterns.MAX_LENGTH else None
        if dialects is None or dialects.ecma or dialects.python or not patterns.is_faultless(text):
            self._note(f"the pattern {text[:80]!r} is left out: not all clients and servers can match it")
        else:
            made["pattern"] = text

    def _array(self, node: Mapping[str, Any], made: dict[str, Any], types: list[str], depth: int) -> None:
        if types and "array" not in types:
            return
        items = node.get("items")
        if isinstance(items, dict):
            made["items"] = self.convert(items, depth + 1)
        elif items is not None and not isinstance(items, bool):
            self._note("items is not a schema; any items are accepted")
        if not self._is_3_0 and isinstance(node.get("prefixItems"), list) and node["prefixItems"]:
            made["prefixItems"] = [self.convert(each, depth + 1) for each in node["prefixItems"]]

    def _object(self, node: Mapping[str, Any], made: dict[str, Any], types: list[str], depth: int) -> None:
        if types and "object" not in types:
            return
        hidden, members = "writeOnly" if self._output else "readOnly", node.get("properties")
        left_out: set[str] = set()
        if isinstance(members, dict):
            properties: dict[str, Any] = {}
            for name, child in members.items():
                if isinstance(child, dict) and child.get(hidden) is True:
                    left_out.add(name)
                else:
                    properties[name] = self.convert(child, depth + 1)
            if properties or "type" not in made:
                made["properties"] = properties
        elif members is not None:
            self._note("properties is not an object; any members are accepted")
        required = node.get("required")
        if isinstance(required, list):
            names = [*dict.fromkeys(name for name in required if isinstance(name, str) and name not in left_out)]
            if names:
                made["required"] = names
        self._other_members(node, made, depth, is_whole=not left_out)

    def _other_members(self, node: Mapping[str, Any], made: dict[str, Any], depth: int, *, is_whole: bool) -> None:
        more = node.get("additionalProperties")
        if isinstance(more, dict) and more:
            made["additionalProperties"] = self.convert(more, depth + 1)
        elif more is False and not self._output and is_whole:
            made["additionalProperties"] = False
        named = node.get("patternProperties")
        if not self._is_3_0 and isinstance(named, dict):
            kept = {text: child for text, child in named.items() if patterns.is_faultless(text)}
            if kept:
                made["patternProperties"] = {text: self.convert(child, depth + 1) for text, child in kept.items()}
            if len(kept) < len(named):
                self._note("patternProperties with unsupported patterns are left out")

    def _compose(self, node: Mapping[str, Any], made: dict[str, Any], depth: int) -> None:
        for keyword in ("allOf", "anyOf", "oneOf"):
            parts = node.get(keyword)
            if not isinstance(parts, list) or not parts:
                continue
            converted = [self.convert(part, depth + 1) for part in parts]
            # Replies of an API often match several alternatives.
            name = "anyOf" if self._output and keyword == "oneOf" and "anyOf" not in node else keyword
            if len(converted) == 1 and _absorb(made, converted[0]):
                continue
            made[name] = [*_distinct(converted)]
        if isinstance(node.get("not"), dict) and not self._output:
            made["not"] = self.convert(node["not"], depth + 1)
        if not self._is_3_0 and not self._output:
            for keyword in _OF_3_1:
                if isinstance(node.get(keyword), dict | bool):
                    value = node[keyword]
                    made[keyword] = value if isinstance(value, bool) else self.convert(value, depth + 1)
            for keyword in ("dependentRequired", "$dynamicRef"):
                if keyword in node:
                    self._note(f"{keyword} is left out")

    def _allow_null(self, node: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
        if not (self._is_3_0 and node.get("nullable") is True) or "null" in _as_list(made.get("type")) or not made:
            return made
        about = {"description": made.pop("description")} if "description" in made else {}
        return {**about, "anyOf": [made, {"type": "null"}]} if made else about

    def _note(self, text: str) -> None:
        if text not in self._made.notes and len(self._made.notes) < 50:
            self._made.notes.append(text)


def _absorb(made: dict[str, Any], only: dict[str, Any]) -> bool:
    """Write the only part of a composition into the schema itself, where that means the same."""
    if "$ref" in only:
        if made.keys() - {"description", "type"} or isinstance(made.get("type"), list):
            return False
        made.pop("type", None)
    elif only.keys() & made.keys() - {"description", "type"} or made.get("type") not in (None, only.get("type")):
        return False
    made.update({key: value for key, value in only.items() if key != "description" or key not in made})
    return True


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 2**63 else None


def _cast(value: Any, types: list[str]) -> Any:
    """A value of an enum with the type that its schema states: YAML reads on, 1 and 1.0 as what they look like."""
    if len(set(types) - {"null"}) != 1 or value is None:
        return value
    if "string" in types and isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if "integer" in types and isinstance(value, str) and value.lstrip("-").isdecimal() and len(value) < 16:
        return int(value)
    if "boolean" in types and value in ("true", "false"):
        return value == "true"
    return value


def _is_of(value: Any, types: list[str]) -> bool:
    kind = type_of(value)
    return kind in types or (kind == "integer" and "number" in types)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _distinct(values: Any) -> Iterator[Any]:
    seen: set[bytes] = set()
    for value in values:
        key = orjson.dumps(value)
        if key not in seen:
            seen.add(key)
            yield value


def _name_of(target: str) -> str:
    return target.rpartition("/")[2] or "schema"


def _fits(schema: Mapping[str, Any], most: int) -> bool:
    return bounds.depth_of(schema) <= 30 and len(orjson.dumps(schema)) <= most


def _tell_cuts(level: int | None, bare: bool) -> list[str]:
    told = [] if level is None else [f"large: references below level {level} are not described, any value is accepted"]
    return [*told, "large: the descriptions of nested fields are left out"] if bare else told


def _map_schemas(node: Any, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """A schema whose direct members that are schemas are changed."""
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("properties", "patternProperties", "$defs") and isinstance(value, dict):
            made[key] = {name: change(child) if isinstance(child, dict) else child for name, child in value.items()}
        elif isinstance(value, dict) and key not in ("const", "enum"):
            made[key] = change(value)
        elif key in ("allOf", "anyOf", "oneOf", "prefixItems"):
            made[key] = [change(child) if isinstance(child, dict) else child for child in value]
        else:
            made[key] = value
    return made


def _strip_descriptions(node: dict[str, Any], depth: int) -> dict[str, Any]:
    """A schema without the descriptions below its arguments."""
    kept = node if depth <= 1 else {key: value for key, value in node.items() if key != "description"}
    return _map_schemas(kept, lambda child: _strip_descriptions(child, depth + 1))


def _cut_below(node: dict[str, Any], depth: int) -> dict[str, Any]:
    """A schema without what is nested deeper."""
    if depth:
        return _map_schemas(node, lambda child: _cut_below(child, depth - 1))
    return {key: value for key, value in node.items() if key in ("type", "description", "$ref")}
