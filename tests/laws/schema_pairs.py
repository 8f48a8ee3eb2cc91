"""Pairs of schemas, old and new, and an oracle for what a change takes from callers: calls that are tried with both.

The oracle shares nothing with `crd.schema.changes`. It makes calls by the bounds, lists and patterns of both schemas,
and asks the runtime whether each accepts them.
"""

from __future__ import annotations

import copy
import itertools
import random  # noqa: TID251 -- seeded by the test
import re
from typing import TYPE_CHECKING, Any

from runtime.mcp import json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("a", "b", "c", "x1")
WORDS = ("", "a", "b", "ab", "abc", "x1", "open", "zzzzzz", "1")
PATTERNS = ("^a", "^[a-z]+$", "b", "^x[0-9]$")
CHOICES: tuple[Any, ...] = ("open", "a", "b", 0, 1, 2, True, None)
Schema = dict[str, Any]


class Maker:
    """Makes schemas of tools, and edits them as authors do."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pair(self) -> tuple[Schema, Schema]:
        """An old schema and a new one: mostly the old one with one to three edits, and sometimes another schema."""
        old = self.tool()
        if self.random.random() < 0.1:
            return old, self.tool()
        new = copy.deepcopy(old)
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            self.edit(new)
        new["type"] = "object"
        return old, new

    def tool(self) -> Schema:
        """An inputSchema, in every fourth case with definitions that it refers to."""
        made = self.object(3)
        if self.random.random() < 0.25:
            made["$defs"] = {name: self.value(2) for name in ("d", "e")}
            for node in list(_nodes(made)):
                if node is not made and self.random.random() < 0.3 and node not in made["$defs"].values():
                    node.clear()
                    node["$ref"] = f"#/$defs/{self.random.choice('de')}"
            for name in ("d", "e"):  # no reference below a definition: a cycle would not be admitted
                for node in list(_nodes(made["$defs"][name])):
                    if node.pop("$ref", None):
                        node["type"] = "string"
        return made

    def value(self, depth: int) -> Schema:
        kinds = ["string"] * 4 + ["integer"] * 3 + ["number", "boolean", "enum", "enum", "const", "any", "types"]
        kinds += ["object", "object", "array", "array", "anyOf", "oneOf", "allOf", "not", "if"] if depth > 0 else []
        made: Schema
        match self.random.choice(kinds):
            case "string":
                made = {"type": "string", **self.some(("minLength", 0, 4), ("maxLength", 1, 5))}
                if self.random.random() < 0.15:
                    made["pattern"] = self.random.choice(PATTERNS)
            case "integer" | "number" as kind:
                made = {"type": kind, **self.some(("minimum", -2, 3), ("maximum", 2, 8), ("exclusiveMinimum", -2, 2))}
                made |= self.some(("exclusiveMaximum", 4, 9)) if self.random.random() < 0.4 else {}
                if self.random.random() < 0.1:
                    made["multipleOf"] = self.random.choice((1, 2, 3, 0.5))
            case "boolean":
                made = {"type": "boolean"}
            case "enum":
                made = {"enum": self.random.sample(CHOICES, self.random.randint(1, 4))}
            case "const":
                made = {"const": self.random.choice(CHOICES)}
            case "any":
                made = {}
            case "types":
                made = {"type": self.random.sample(["string", "integer", "null", "boolean", "number"], 2)}
            case "object":
                made = self.object(depth - 1)
            case "array":
                made = {
                    "type": "array",
                    "items": self.value(depth - 1),
                    **self.some(("minItems", 0, 2), ("maxItems", 1, 4)),
                }
                if self.random.random() < 0.2:
                    made["uniqueItems"] = True
                if self.random.random() < 0.15:
                    made["prefixItems"] = [self.value(depth - 1) for _ in range(self.random.randint(1, 2))]
                if self.random.random() < 0.1:
                    made["contains"] = self.value(0)
            case "not":
                made = {"type": ["string", "integer"], "not": self.value(0)}
            case "if":
                made = {"type": "object", "properties": {"a": {"enum": ["open", "b"]}, "b": self.value(0)},
                        "if": {"properties": {"a": {"const": "open"}}, "required": ["a"]},
                        "then": {"required": ["b"]}}  # fmt: skip
            case keyword:
                made = {keyword: [self.value(depth - 1) for _ in range(2)]}
        if self.random.random() < 0.1:
            made["default"] = self.random.choice(CHOICES)
        return made

    def object(self, depth: int) -> Schema:
        names = self.random.sample(NAMES, self.random.randint(1, 3))
        made: Schema = {"type": "object", "properties": {name: self.value(depth - 1) for name in names}}
        if self.random.random() < 0.6:
            made["required"] = self.random.sample(names, self.random.randint(1, len(names)))
        rest = self.random.random()
        if rest < 0.4:
            made["additionalProperties"] = False
        elif rest < 0.5:
            made["additionalProperties"] = self.value(0)
        if self.random.random() < 0.05:
            made["patternProperties"] = {"^x": self.value(0)}
        if self.random.random() < 0.05:
            made["minProperties"] = self.random.randint(0, 2)
        if self.random.random() < 0.05:
            made["maxProperties"] = self.random.randint(1, 3)
        if self.random.random() < 0.05 and len(names) > 1:
            made["dependentRequired"] = {names[0]: [names[1]]}
        return made

    def some(self, *bounds: tuple[str, int, int]) -> Schema:
        return {name: self.random.randint(low, high) for name, low, high in bounds if self.random.random() < 0.35}

    def edit(self, root: Schema) -> None:
        """Change one place."""
        node = self.random.choice([*_nodes(root)])
        choices = [
            "replace",
            "bound",
            "text",
            "drop",
            "type",
            "enum",
            "required",
            "property",
            "close",
            "wrap",
            "branch",
        ]
        match self.random.choice(choices):
            case "replace" if node is not root:
                node.clear()
                node.update(self.value(1))
            case "bound":
                key = self.random.choice(
                    [k for k, v in node.items() if isinstance(v, int) and k[:2] in ("mi", "ma", "ex")] or [""]
                )
                if key:
                    node[key] = max(
                        0 if "mum" not in key.lower() else -9, node[key] + self.random.choice((-1, 1, 2, -2))
                    )
            case "text":
                node["description"] = "another text"
            case "drop" if node:
                key = self.random.choice([*node])
                if key != "$defs" and not (node is root and key == "type"):
                    node.pop(key)
            case "type" if node is not root and isinstance(node.get("type"), str):
                node["type"] = self.random.choice([[node["type"], "null"], "number", "string", "integer"])
            case "enum" if isinstance(node.get("enum"), list):
                node["enum"] = self.random.sample(CHOICES, self.random.randint(1, 4))
            case "required" if isinstance(node.get("properties"), dict) and node["properties"]:
                names = [*node["properties"]]
                node["required"] = self.random.sample(names, self.random.randint(0, len(names)))
            case "property" if isinstance(node.get("properties"), dict):
                name = self.random.choice(NAMES)
                if name in node["properties"] and self.random.random() < 0.5:
                    del node["properties"][name]
                else:
                    node["properties"][name] = self.value(1)
            case "close" if node.get("type") == "object":
                node["additionalProperties"] = self.random.choice((True, False, self.value(0)))
            case "wrap" if node is not root:
                inner = copy.deepcopy(node)
                node.clear()
                node[self.random.choice(("anyOf", "oneOf", "allOf"))] = self.random.choice(
                    ([inner], [inner, self.value(1)], [inner, {"type": "null"}])
                )
            case "branch":
                for keyword in ("anyOf", "oneOf", "allOf"):
                    if keyword in node:
                        kept = node[keyword]
                        node[keyword] = [*kept, self.value(1)] if self.random.random() < 0.5 else kept[:1]


def _nodes(schema: Any) -> Iterator[Schema]:
    """A schema and its subschemas that are objects."""
    if not isinstance(schema, dict):
        return
    yield schema
    for keyword in ("properties", "patternProperties", "$defs"):
        for child in schema.get(keyword, {}).values():
            yield from _nodes(child)
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for child in schema.get(keyword, ()):
            yield from _nodes(child)
    for keyword in ("items", "additionalProperties", "not", "if", "then", "else", "contains"):
        yield from _nodes(schema.get(keyword))


class Oracle:
    """What the runtime answers to calls, by the old schema and by the new one."""

    def __init__(self, old: Schema, new: Schema, seed: int) -> None:
        self._random = random.Random(seed)
        self._old, self._new = old, new
        self._before, self._after = (json_schema.compile_schema(each) for each in (old, new))
        self._filled = json_schema.Completion(old), json_schema.Completion(new)
        self._numbers, self._texts, self._others = _constants(old, new)

    def broken(self, tries: int, *, promised: bool) -> Any:
        """A call that worked and does not any more; None if there is none among so many tries.

        It sends a member that the new schema lost, or is rejected. With ``promised``, it has declared members only.
        """
        seen: set[str] = set()
        for number in range(tries):
            call = self._value(self._old, self._new, 6, mutate=0.0 if number % 2 else 0.15)
            text = repr(call)
            if text in seen or not isinstance(call, dict):
                continue
            seen.add(text)
            if self._filled[0].complete(self._before, call)[1] is not None:
                continue
            if promised and not self._is_promised(self._old, call):
                continue
            if self._filled[1].complete(self._after, call)[1] is not None or self._loses(self._old, self._new, call):
                return call
        return None

    # Calls.

    def _value(self, old: Any, new: Any, depth: int, mutate: float) -> Any:
        """A value that is likely valid by ``old``, at the bounds of ``old`` or ``new``."""
        old, new = _resolve(self._old, old), _resolve(self._new, new)
        pick = self._random
        if depth <= 0 or pick.random() < mutate:
            return pick.choice([*self._numbers, *self._texts, *self._others, {}, [], [""], [0]])
        if not isinstance(old, dict):
            old = {}
        for keyword in ("anyOf", "oneOf"):
            if keyword in old:
                merged = {**{k: v for k, v in old.items() if k != keyword}}
                return self._value(_merge(merged, pick.choice(old[keyword]), self._old), new, depth - 1, mutate)
        for keyword in ("allOf",):
            if keyword in old:
                merged = {**{k: v for k, v in old.items() if k != keyword}}
                for part in old[keyword]:
                    merged = _merge(merged, part, self._old)
                return self._value(merged, new, depth - 1, mutate)
        new = new if isinstance(new, dict) else {}
        if "const" in old:
            return old["const"]
        if "enum" in old:
            return pick.choice(old["enum"])
        types = old.get("type", ["string", "integer", "number", "boolean", "null", "object", "array"])
        kind = types if isinstance(types, str) else pick.choice(types)
        match kind:
            case "string":
                return self._text(old, new)
            case "integer":
                return pick.choice([n for n in self._numbers if float(n).is_integer() and _fits(old, n)] or [0])
            case "number":
                return pick.choice([n for n in self._numbers if _fits(old, n)] or [0.5])
            case "boolean":
                return pick.random() < 0.5
            case "null":
                return None
            case "array":
                return self._array(old, new, depth, mutate)
        return self._object(old, new, depth, mutate)

    def _text(self, old: Schema, new: Schema) -> str:
        low, high = old.get("minLength", 0), old.get("maxLength", 8)
        fitting = [t for t in self._texts if low <= len(t) <= high and re.search(old.get("pattern", ""), t)]
        rejected = [t for t in fitting if "pattern" in new and not re.search(new["pattern"], t)]
        return self._random.choice(rejected or fitting or [""])

    def _array(self, old: Schema, new: Schema, depth: int, mutate: float) -> list[Any]:
        low, high = old.get("minItems", 0), old.get("maxItems", 5)
        bounds = [low, high, *(new.get(k, low) + d for k in ("minItems", "maxItems") for d in (-1, 0, 1))]
        size = self._random.choice([b for b in (*bounds, 1) if low <= b <= high] or [low])
        found = []
        for index in range(min(size, 6)):
            parts = [
                each["prefixItems"][index] if index < len(each.get("prefixItems", ())) else each.get("items", {})
                for each in (old, new)
            ]
            found.append(self._value(parts[0], parts[1], depth - 1, mutate))
        if found and self._random.random() < 0.3 and not old.get("uniqueItems"):
            found = [found[0]] * len(found)
        if "contains" in old and found:
            found[-1] = self._value(old["contains"], {}, depth - 1, mutate)
        return found

    def _object(self, old: Schema, new: Schema, depth: int, mutate: float) -> dict[str, Any]:
        declared = [*old.get("properties", {})]
        required = [*old.get("required", ())]
        share = self._random.choice((0.0, 0.3, 0.5, 1.0))
        names = [*required, *(name for name in declared if name not in required and self._random.random() < share)]
        if old.get("additionalProperties", True) is not False and self._random.random() < 0.5:
            names += [name for name in self._random.sample((*NAMES, "u", "x2"), 2) if name not in names]
        names += [name for name in ("x2", "x1") if "patternProperties" in old and self._random.random() < 0.5]
        made = {}
        for name in dict.fromkeys(names):
            declaration = old.get("properties", {}).get(name)
            if isinstance(declaration, dict) and "default" in declaration and self._random.random() < 0.4:
                continue
            made[name] = self._value(_member(old, name), _member(new, name), depth - 1, mutate)
        return made

    # What was promised.

    def _is_promised(self, node: Any, value: Any) -> bool:
        if isinstance(value, list):
            parts = [*_behind(self._old, node)]
            return all(
                any(self._is_promised(_own_item(part, index), item) for part in parts)
                for index, item in enumerate(value)
            )
        if not isinstance(value, dict):
            return True
        for name, child in value.items():
            found = [*_declarations(self._old, node, name)]
            if not found or not any(self._is_promised(each, child) for each in found):
                return False
        return True

    def _loses(self, old: Any, new: Any, value: Any) -> bool:
        """Whether a call sends a member that the old schema declares and the new one does not."""
        if isinstance(value, list):
            return any(
                self._loses(_item_of(self._old, old, i), _item_of(self._new, new, i), item)
                for i, item in enumerate(value)
            )
        if not isinstance(value, dict):
            return False
        for name, child in value.items():
            before = [
                each
                for part in _behind(self._old, old)
                if name in part.get("properties", {})
                for each in [part["properties"][name]]
            ]
            after = [*_declarations(self._new, new, name)]
            if before and not after:
                return True
            if len(before) == 1 and len(after) == 1 and self._loses(before[0], after[0], child):
                return True
        return False


def _resolve(root: Schema, node: Any) -> Any:
    if isinstance(node, dict) and "$ref" in node:
        target = root.get("$defs", {}).get(node["$ref"].rpartition("/")[2], {})
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _merge(rest, target, root) if rest else target
    return node


def _merge(one: Schema, other: Any, root: Schema) -> Schema:
    """Roughly the conjunction: good enough to guess values that are then tried."""
    other = _resolve(root, other)
    if not isinstance(other, dict):
        return one
    made = {**one}
    for key, value in other.items():
        if key == "properties":
            made[key] = {**one.get(key, {}), **value}
        elif key == "required":
            made[key] = [*dict.fromkeys((*one.get(key, ()), *value))]
        elif key in ("anyOf", "oneOf", "allOf") and key in made:
            made.setdefault("allOf", [])
            made["allOf"] = [*made["allOf"], {key: value}]
        elif key == "type" and key in made:
            both = [
                t
                for t in _as_list(made[key])
                if t in _as_list(value) or (t == "integer" and "number" in _as_list(value))
            ]
            made[key] = both or made[key]
        elif key.startswith(("min", "exclusiveMin")) and key in made:
            made[key] = max(made[key], value)
        elif key.startswith(("max", "exclusiveMax")) and key in made:
            made[key] = min(made[key], value)
        elif key == "enum" and key in made:
            made[key] = [each for each in made[key] if each in value] or made[key]
        else:
            made[key] = value
    return made


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _member(node: Schema, name: str) -> Any:
    if name in node.get("properties", {}):
        return node["properties"][name]
    for pattern, schema in node.get("patternProperties", {}).items():
        if re.search(pattern, name):
            return schema
    return node.get("additionalProperties", {})


def _behind(root: Schema, node: Any, depth: int = 8) -> Iterator[Schema]:
    """A schema and those that apply to the same value, in any alternative."""
    if not isinstance(node, dict) or not depth:
        return
    yield node
    if "$ref" in node:
        yield from _behind(root, root.get("$defs", {}).get(node["$ref"].rpartition("/")[2]), depth - 1)
    for keyword in ("anyOf", "oneOf", "allOf"):
        for part in node.get(keyword, ()):
            yield from _behind(root, part, depth - 1)
    for keyword in ("then", "else"):
        yield from _behind(root, node.get(keyword), depth - 1)


def _declarations(root: Schema, node: Any, name: str) -> Iterator[Any]:
    for part in _behind(root, node):
        properties = part.get("properties", {})
        if name in properties:
            yield properties[name]
        for pattern, schema in part.get("patternProperties", {}).items():
            if re.search(pattern, name):
                yield schema
        rest = part.get("additionalProperties")
        if name not in properties and isinstance(rest, dict) and rest:
            yield rest


def _own_item(part: Schema, index: int) -> Any:
    prefix = part.get("prefixItems", ())
    return prefix[index] if index < len(prefix) else part.get("items", {})


def _item_of(root: Schema, node: Any, index: int) -> Any:
    for part in _behind(root, node):
        prefix = part.get("prefixItems", ())
        if index < len(prefix):
            return prefix[index]
        if "items" in part:
            return part["items"]
    return {}


def _fits(node: Schema, number: float) -> bool:
    return (
        node.get("minimum", number) <= number <= node.get("maximum", number)
        and ("exclusiveMinimum" not in node or number > node["exclusiveMinimum"])
        and ("exclusiveMaximum" not in node or number < node["exclusiveMaximum"])
        and ("multipleOf" not in node or (number / node["multipleOf"]).is_integer())
    )


def _constants(*schemas: Schema) -> tuple[list[Any], list[str], list[Any]]:
    """Numbers, texts and other values at the bounds of the schemas."""
    numbers: set[Any] = {-100, -3, 0, 1, 2, 3, 4, 5, 6, 0.5, 1.5, 2.5, 6.5, 100, 101}
    texts = {*WORDS, "c", "bb", "x2", "-", "ABC", "aaaaaaaaa", "bzzz"}
    for node in itertools.chain.from_iterable(map(_nodes, schemas)):
        for key, value in node.items():
            if key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
                numbers |= {value - 1, value - 0.5, value, value + 0.5, value + 1}
            elif key in ("minLength", "maxLength"):
                for size in (value - 1, value, value + 1):
                    texts |= {("a" * max(size, 0)), ("-" * max(size, 0)), ("ab" * 8)[: max(size, 0)]}
    return sorted(numbers), sorted(texts), [True, False, None]
