"""PURE. Changes of an inputSchema that break callers: arguments that were valid and are now rejected.

The question is whether the new schema accepts every value that the old one accepts. It is answered keyword by keyword:
a schema is a conjunction of its keywords, so each keyword of the new schema is compared with all keywords of the old
one that apply to the same value, one JSON type at a time. References are followed, alternatives of the old schema are
compared one by one, and values that a schema lists are validated.

A change is reported unless it is proved harmless, so none is missed; what cannot be proved, such as a change of one
regular expression into another, is reported although it may be harmless. tests/laws/test_changes.py measures both.

Members that the old schema does not declare were never promised to callers: a new schema may declare them.
"""

from __future__ import annotations

import contextlib
import json
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeGuard

import orjson

from crd.schema.arguments import Arguments, type_of
from crd.schema.subschemas import SHAPES
from crd.schema.validation import compile_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from crd.schema.subschemas import Path
    from crd.schema.validation import Draft202012Validator

__all__ = ["MAX_STEPS", "breaking"]

Break = tuple["Path", str]

# How many steps a comparison takes at most, of a few microseconds each. One that takes more counts as broken.
MAX_STEPS = 12_000
# A verdict has no more findings.
MAX_BREAKS = 100
# How many combinations of alternatives of the old schema are compared one by one, at one place.
MAX_BRANCHES = 32
# How many integers between two bounds are compared one by one.
MAX_LISTED = 64
# How many parts, and levels of them, a schema may have whose references are replaced.
MAX_INLINED, MAX_INLINED_DEPTH = 2000, 64
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_ANYTHING: Mapping[str, Any] = {}
_ABOUT_ITEMS = frozenset({"items", "allOf", "anyOf", "oneOf", "$ref", "then", "else"})
_ALTERNATIVES = ("anyOf", "oneOf")
# The keywords that apply to values of one type only.
_BY_TYPE = {
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("minItems", "maxItems", "uniqueItems", "prefixItems", "items", "contains", "unevaluatedItems"),
    "object": (
        "required", "properties", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
        "maxProperties", "dependentRequired", "dependentSchemas", "unevaluatedProperties",
    ),
    "integer": ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf"),
}  # fmt: skip
# Keywords that apply to values of every type.
_WITHOUT_EFFECT = frozenset(
    {"title", "description", "examples", "deprecated", "readOnly", "writeOnly", "format", "$comment", "$schema"}
)
_LATE = ("allOf", "anyOf", "oneOf", "not", "if", "$dynamicRef")


class _ExhaustedError(Exception):
    """The schemas are too complex to compare."""


@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """The values of one JSON type that all ``parts`` accept; ``without`` are schemas that accept none of them.

    ``number`` stands for numbers that are not integers. ``known`` are results about these values.
    """

    type: str
    parts: tuple[Mapping[str, Any], ...]
    without: tuple[Any, ...] = ()
    known: dict[str, Any] = field(default_factory=dict)

    def of(self, keyword: str) -> Iterator[Any]:
        return (part[keyword] for part in self.parts if keyword in part)

    def numbers(self, keyword: str) -> Iterator[float]:
        return (value for value in self.of(keyword) if _is_number(value))

    def least(self, keyword: str) -> float:
        return max(self.numbers(keyword), default=0)

    def most(self, keyword: str) -> float:
        return min(self.numbers(keyword), default=math.inf)


def breaking(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Break]:
    """The places of breaking changes, each with the beginning of a message. Each is given once.

    Both schemas have no errors by `crd.rules.schemas`; otherwise the result is without meaning, but there is one.
    """
    steps = _Steps()
    seen: set[Break] = set()
    try:
        if _is_equal(old, new):
            return
        comparison = _Comparison(_Document(old, steps.spend), _Document(new, steps.spend), steps)
        for found in comparison.compare((comparison.old.root,), comparison.new.root, ()):
            if found not in seen:
                seen.add(found)
                yield found
                if len(seen) == MAX_BREAKS:
                    return
    except (_ExhaustedError, RecursionError, orjson.JSONEncodeError):  # the last one for schemas too deep to write
        if not seen:
            yield (), "the schema changed, and it is too complex to be compared"


class _Steps:
    """How much a comparison may still do."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def spend(self, count: int = 1) -> None:
        self._left -= count
        if self._left < 0:
            raise _ExhaustedError


class _Document:
    """A schema whose references are replaced by their targets, unless it contains itself or becomes too large by it."""

    def __init__(self, root: Mapping[str, Any], spend: Callable[[int], None]) -> None:
        text = orjson.dumps(root, option=orjson.OPT_NON_STR_KEYS)
        self.has_references = b'"$ref"' in text or b'"$dynamicRef"' in text
        self._spend = spend
        self._relative = b'"$id"' in text or b'"$anchor"' in text or b'"$dynamicRef"' in text
        self._found: dict[str, Any] = {}
        self._kept: dict[bytes, Draft202012Validator | None] = {}
        self._written: dict[int, tuple[bytes, Any]] = {}
        self.root: Mapping[str, Any] = root
        if not self._relative:
            with contextlib.suppress(_ExhaustedError):
                self.root, _ = self._inline(root, (), {})
                self.has_references = False

    def target(self, text: object) -> Any:
        """The schema that a reference leads to; None if it is not a JSON Pointer in this document."""
        if not isinstance(text, str) or self._relative or not text.startswith("#"):
            return None
        if text not in self._found:
            self._found[text] = _follow(self.root, text[1:])
        return self._found[text]

    def accepts(self, part: Any, value: Any) -> bool | None:
        """Whether a part of the schema accepts a value; None if it cannot be asked by itself."""
        if isinstance(part, bool):
            return part
        written = self._written.get(id(part))
        if written is None:
            text = orjson.dumps(part, option=orjson.OPT_NON_STR_KEYS)
            self._spend(10 + len(text) // 100)
            written = self._written[id(part)] = (text, part)
        text = written[0]
        if text not in self._kept:
            self._kept[text] = None
            if b'"$ref"' not in text and b'"$dynamicRef"' not in text:
                self._spend(20 + len(text) // 20)
                with contextlib.suppress(ValueError):
                    self._kept[text] = compile_schema(part)
        validator = self._kept[text]
        return validator.is_valid(value) if validator is not None else None

    def _inline(  # noqa: C901 -- the three shapes of subschemas, and references
        self, node: Any, above: tuple[str, ...], known: dict[str, tuple[Any, int]], depth: int = 0
    ) -> tuple[Any, int]:
        """A part with all targets in place and without what validates nothing, and how many parts it has then."""
        if not isinstance(node, dict):
            return node, 0
        if depth > MAX_INLINED_DEPTH:
            raise _ExhaustedError
        self._spend(1)
        size, inlined = 1, dict[str, Any]()
        for keyword, value in node.items():
            shape = SHAPES.get(keyword)
            if keyword in _WITHOUT_EFFECT or (keyword in ("$defs", "definitions") and not depth):
                continue
            if shape == "one":
                inlined[keyword], count = self._inline(value, above, known, depth + 1)
                size += count
            elif shape == "list" and isinstance(value, list):
                parts = [self._inline(each, above, known, depth + 1) for each in value]
                inlined[keyword] = [each for each, _ in parts]
                size += sum(count for _, count in parts)
            elif shape == "map" and isinstance(value, dict):
                members = {name: self._inline(each, above, known, depth + 1) for name, each in value.items()}
                inlined[keyword] = {name: each for name, (each, _) in members.items()}
                size += sum(count for _, count in members.values())
            else:
                inlined[keyword] = value
        text = node.get("$ref")
        if isinstance(text, str):
            if text in above or self.target(text) is None:
                raise _ExhaustedError
            if text not in known:
                known[text] = self._inline(self.target(text), (*above, text), known, depth + 1)
            target, count = known[text]
            size += count
            del inlined["$ref"]
            if inlined:
                inlined["allOf"] = [*_list(inlined.get("allOf")), target]
            else:
                inlined = target
        if size > MAX_INLINED:
            raise _ExhaustedError
        return inlined, size


class _Comparison:
    def __init__(self, old: _Document, new: _Document, steps: _Steps, *, strict: bool = False) -> None:
        """With ``strict``, members that the old schema does not declare count, too."""
        self.old, self.new = old, new
        self._strict = strict
        self._steps = steps
        self._step = steps.spend
        self._open: set[tuple[frozenset[int], int]] = set()
        self._patterns_read: dict[str, Mapping[str, Any]] = {}
        self._kept: list[Any] = []  # parts that were made here: their identity must stay theirs
        self._same_definitions = all(
            old.root.get(keyword) == new.root.get(keyword) for keyword in ("$defs", "definitions")
        )

    def compare(self, parts: Sequence[Any], new: Any, at: Path) -> Iterator[Break]:
        """What ``new`` rejects of the values that all ``parts`` accept, and the members that it does not declare."""
        self._step()
        if any(self._same(part, new) for part in parts):
            return
        if new is True:
            new = _ANYTHING
        key = frozenset(map(id, parts)), id(new)
        if key in self._open:
            return  # a schema that contains itself: what differs is found where it was first compared
        self._open.add(key)
        try:
            branches = [*self._expand(parts)]
            removed = yield from self._removed(branches, new, at)
            yield from self._free_items(branches, new, at)
            lost = sorted({each.type for each in branches} - _stated(new)) if isinstance(new, dict) else []
            if lost:
                yield (*at, "type"), _no_longer_accepted(lost, "type")
                return
            gone = yield from self._choices(branches, new, at)
            if gone:
                return
            for values in branches:
                yield from self._rejected(values, new, at, removed)
        finally:
            self._open.discard(key)

    # The values of the old schema.

    def _expand(self, parts: Sequence[Any]) -> Iterator[_Values]:
        """The values that all parts accept, as a union: for each type, and each combination of alternatives."""
        for flat, without in self._combine(parts):
            self._step(1 + 2 * len(flat))
            types = set(_TYPES)
            for part in flat:
                types &= _stated(part)
            for name in sorted(types):
                values = _Values(name, flat, without)
                if not self._is_empty(values):
                    yield values

    def _combine(self, parts: Sequence[Any]) -> list[tuple[tuple[Mapping[str, Any], ...], tuple[Any, ...]]]:
        """Combinations of parts without allOf, references and alternatives, as far as these can be resolved."""
        flat: list[Mapping[str, Any]] = []
        without: list[Any] = []
        # Of each choice: the parts that apply, and those that accept none of the values.
        choices: list[list[tuple[list[Any], list[Any]]]] = []
        waiting, met = [*parts], set[int]()
        for part in waiting:
            if part is False:
                return []
            if not isinstance(part, dict) or id(part) in met:
                continue
            met.add(id(part))
            flat.append(part)
            waiting += _list(part.get("allOf"))
            waiting.append(self.old.target(part.get("$ref")))
            without += [part["not"]] if "not" in part else []
            if isinstance(part.get("anyOf"), list):
                choices.append([([each], []) for each in part["anyOf"]])
            if isinstance(part.get("oneOf"), list):
                all_ = part["oneOf"]
                choices.append([([each], [other for other in all_ if other is not each]) for each in all_])
            if "if" in part and ("then" in part or "else" in part):
                choices.append([([part["if"], part.get("then")], []), ([part.get("else")], [part["if"]])])
        made = [(tuple(flat), tuple(without))]
        for choice in choices:
            if len(made) * len(choice) > MAX_BRANCHES:
                continue  # without it there are more values, so nothing is missed
            made = [
                ((*some, *each), (*excluded, *others, *further))
                for some, excluded in made
                for alternative, others in choice
                for each, further in self._combine(alternative)
            ]
            self._step(len(made))
        return made

    def _is_empty(self, values: _Values) -> bool:
        listed = self._listed(values)
        if listed is not None:
            return not listed
        if values.type == "string":
            return values.least("minLength") > values.most("maxLength")
        if values.type == "array":
            return values.least("minItems") > self._most_items(values) or self._lacks_contained(values)
        if values.type == "object":
            required = self._required(values)
            most = min(values.most("maxProperties"), self._most_members(values))
            return max(values.least("minProperties"), len(required)) > most or any(
                self._is_never(self._member(values, name)[0]) for name in required
            )
        return _is_without_numbers(values)

    def _is_never(self, parts: Sequence[Any]) -> bool:
        """Whether no value satisfies all parts, as far as it can be seen; a schema in itself counts as satisfiable."""
        self._step()
        key = frozenset(map(id, parts)), -1
        if key in self._open:
            return False
        self._open.add(key)
        try:
            return next(self._expand(parts), None) is None
        finally:
            self._open.discard(key)

    def _listed(self, values: _Values) -> list[Any] | None:
        """All values, if they are known one by one."""
        if "listed" not in values.known:
            values.known["listed"] = self._list_values(values)
        listed: list[Any] | None = values.known["listed"]
        return listed

    def _list_values(self, values: _Values) -> list[Any] | None:
        found: list[Any] | None = None
        for part in values.parts:
            listed = _listed_values(part)
            if listed is not None and (found is None or len(listed) < len(found)):
                found = listed
        if found is None:
            found = self._countable(values)
        if found is None:
            return None
        self._step(1 + len(found) // 10)
        kept = [value for value in found if type_of(value) == values.type]
        for part in values.parts:
            listed = _listed_values(part)
            if listed is not None and listed is not found:
                self._step(1 + len(listed) // 10)
                known = set(map(_canonical, listed))
                kept = [value for value in kept if _canonical(value) in known]
        plain = [
            {key: value for key, value in part.items() if key in _BY_TYPE.get(values.type, ())} for part in values.parts
        ]
        for part in filter(None, plain):
            kept = [value for value in kept if self._accepts(part, value, unsure=True)]
        for excluded in values.without:
            kept = [value for value in kept if not self._accepts(excluded, value, unsure=False)]
        return kept

    def _countable(self, values: _Values) -> list[Any] | None:
        """The values of a type that are few: two booleans, null, an empty text, integers between close bounds."""
        match values.type:
            case "boolean":
                return [False, True]
            case "null":
                return [None]
            case "string":
                return [""] if values.most("maxLength") == 0 else None
            case "array":
                return [[]] if self._most_items(values) == 0 else None
            case "object":
                return [{}] if values.most("maxProperties") == 0 else None
            case "integer":
                low, high = _lowest(values)[0], _highest(values)[0]
                if high - low < MAX_LISTED:
                    return [*range(int(low), int(high) + 1)]
        return None

    def _most_items(self, values: _Values) -> float:
        """The maximum number of items; less than maxItems where no value is valid as an item."""
        most = values.most("maxItems")
        for part in values.parts:
            prefix = _list(part.get("prefixItems"))
            places = [*prefix, *([part["items"]] if "items" in part else [])]
            for index, schema in enumerate(places):
                if index < most and self._is_never([schema]):
                    most = index
        return most

    def _lacks_contained(self, values: _Values) -> bool:
        """Whether no item can be the one that contains asks for."""
        items = [*values.of("items")]
        if any("prefixItems" in part for part in values.parts):
            return False
        return any(
            part.get("minContains") != 0 and self._is_never([*items, part["contains"]])
            for part in values.parts
            if "contains" in part
        )

    def _required(self, values: _Values) -> frozenset[str]:
        """The names that every caller had to set: without those that a default sets."""
        if "required" not in values.known:
            values.known["required"] = self._list_required(values)
        required: frozenset[str] = values.known["required"]
        return required

    def _list_required(self, values: _Values) -> frozenset[str]:
        names = {name for required in values.of("required") for name in _list(required) if isinstance(name, str)}
        for rules in values.of("dependentRequired"):
            for name, wanted in _mapping(rules).items():
                names |= {each for each in _list(wanted) if isinstance(each, str)} if name in names else set()
        if not names:
            return frozenset()
        self._step(len(names))
        return frozenset(
            name
            for name in names
            if not any(
                self._is_filled(self.old, _mapping(properties)[name], unsure=True)
                for properties in values.of("properties")
                if name in _mapping(properties)
            )
        )

    def _is_filled(self, document: _Document, schema: Any, *, unsure: bool) -> bool:
        """Whether the runtime sets a member by the default of its schema. A default that is not valid is left out."""
        if not isinstance(schema, dict):
            return False
        given: Mapping[str, Any] | None
        if "default" in schema:
            given = schema
        elif schema.keys().isdisjoint(("$ref", "allOf", "anyOf", "oneOf")):
            return False
        else:
            self._step(10)
            given = next((part for part in Arguments(document.root).behind(schema) if "default" in part), None)
        if given is None:
            return False
        accepted = document.accepts(schema, given["default"])
        return unsure if accepted is None else accepted

    def _member(self, values: _Values, name: str) -> tuple[list[Any], bool]:
        """The schemas of a member of an object, and whether one of them was promised to callers."""
        found: list[Any] = []
        declared = False
        for part in values.parts:
            own = _mapping(part.get("properties"))
            patterns = _mapping(part.get("patternProperties"))
            matching = [schema for pattern, schema in patterns.items() if self._matches(pattern, name)]
            if name in own:
                found.append(own[name])
            found += matching
            rest = part.get("additionalProperties")
            if name not in own and not matching and rest is not None:
                found.append(rest)
                declared = declared or (isinstance(rest, dict) and bool(rest))
            declared = declared or name in own or bool(matching)
        return found, self._strict or declared or name in self._required(values)

    def _item(self, values: _Values, index: int) -> list[Any]:
        found = []
        for part in values.parts:
            prefix = _list(part.get("prefixItems"))
            if index < len(prefix):
                found.append(prefix[index])
            elif "items" in part:
                found.append(part["items"])
        return found

    # What the new schema rejects of them.

    def _removed(self, branches: Sequence[_Values], new: Any, at: Path) -> Generator[Break, None, frozenset[str]]:
        """Members that were declared and are not any more. Callers still send them, but without an effect."""
        if self._strict or not isinstance(new, dict) or not any(each.type == "object" for each in branches):
            return frozenset()
        declared, patterns = self._declared(new)
        removed = set()
        for values in branches:
            for name in _properties(values) if values.type == "object" else ():
                if name in declared or name in removed or any(self._matches(each, name) for each in patterns):
                    continue
                if not self._is_never(self._member(values, name)[0]):
                    removed.add(name)
                    yield (*at, "properties"), f'"{name}" was removed'
        return frozenset(removed)

    def _free_items(self, branches: Sequence[_Values], new: Any, at: Path) -> Iterator[Break]:
        """Members that were declared in the items of a list, of which the new schema says nothing."""
        if self._strict or not isinstance(new, dict) or not _ABOUT_ITEMS.isdisjoint(new):
            return
        first = len(_list(new.get("prefixItems")))
        for values in branches:
            longest = max((len(_list(part.get("prefixItems"))) for part in values.parts), default=0)
            for index in range(first, max(longest, first) + 1) if values.type == "array" else ():
                if index < self._most_items(values):
                    yield from self.compare(self._item(values, index), _ANYTHING, (*at, "items"))

    def _declared(self, new: Mapping[str, Any]) -> tuple[set[str], list[str]]:
        """The names that a schema and its parts declare, and the patterns of others."""
        names: set[str] = set()
        patterns: list[str] = []
        waiting, met = [new], set[int]()
        for part in waiting:
            if not isinstance(part, dict) or id(part) in met:
                continue
            met.add(id(part))
            self._step()
            names |= _mapping(part.get("properties")).keys()
            patterns += _mapping(part.get("patternProperties"))
            rest = part.get("additionalProperties")
            if isinstance(rest, dict) and rest:
                patterns.append("")  # matches every name
            for keyword in ("allOf", *_ALTERNATIVES):
                waiting += _list(part.get(keyword))
            waiting += (part[keyword] for keyword in ("then", "else") if keyword in part)
            waiting += _mapping(part.get("dependentSchemas")).values()
            waiting.append(self.new.target(part.get("$ref")))
        return names, patterns

    def _choices(self, branches: Sequence[_Values], new: Any, at: Path) -> Generator[Break, None, bool]:
        """What const or enum of the new schema rejects; whether it is something."""
        after = _listed_values(new) if isinstance(new, dict) else None
        if after is None:
            return False
        keyword = "const" if "const" in new else "enum"
        self._step(1 + len(after) // 10)
        left = set(map(_canonical, after))
        gone: dict[bytes, Any] = {}
        for values in branches:
            listed = self._listed(values)
            if listed is None:
                yield (*at, keyword), "only listed values are now accepted"
                return True
            self._step(1 + len(listed) // 10)
            gone |= {_canonical(value): value for value in listed if _canonical(value) not in left}
        if gone:
            yield (*at, keyword), _no_longer_accepted([_to_json(value) for value in gone.values()])
        return bool(gone)

    def _rejected(  # noqa: C901 -- a case for each keyword
        self, values: _Values, new: Any, at: Path, removed: frozenset[str] = frozenset()
    ) -> Iterator[Break]:
        """What a new schema rejects of some values. `compare` has looked at its type, its enum and its const."""
        self._step()
        if not isinstance(new, dict):
            if new is False:
                yield at, "the property is now forbidden" if at[-2:-1] == ("properties",) else "no value is accepted"
            return
        if any(self._same(part, new) for part in values.parts):
            return
        listed = self._listed(values)
        if "$ref" in new:
            target = self.new.target(new["$ref"])
            if target is not None:
                yield from self._anew(values, target, at)
            elif not self._unchanged(values, new, ("$ref",)):
                yield (*at, "$ref"), "the reference changed"
        for keyword in (*_BY_TYPE.get(values.type, ()), *_LATE):
            if keyword not in new or (listed is not None and self._accepts_all(keyword, new, listed)):
                continue
            match keyword:
                case "properties" | "patternProperties" | "additionalProperties":
                    yield from self._members(values, new, keyword, at, removed)
                case "required":
                    yield from self._now_required(values, new, at)
                case "dependentRequired":
                    yield from self._now_dependent(values, new, at)
                case "dependentSchemas":
                    for name, schema in _mapping(new[keyword]).items():
                        if not self._is_never(self._member(values, name)[0]):
                            present = self._with(values, {"required": [name]})
                            yield from self._anew(present, schema, (*at, keyword, name))
                case "propertyNames":
                    yield from self._names(values, new[keyword], at)
                case "prefixItems" | "items":
                    yield from self._items(values, new, keyword, at)
                case "allOf":
                    for index, part in enumerate(_list(new[keyword])):
                        yield from self._anew(values, part, (*at, keyword, index))
                case "anyOf" | "oneOf":
                    yield from self._alternatives(values, new, keyword, at)
                case "not":
                    if not self._unchanged(values, new, ("not",)) and not self._disjoint(values, new["not"]):
                        yield (*at, "not"), "not rejects values that were accepted"
                case "if":
                    yield from self._conditional(values, new, at)
                case "$dynamicRef" | "unevaluatedItems" | "unevaluatedProperties" | "contains":
                    keywords = (keyword, "minContains", "maxContains") if keyword == "contains" else (keyword,)
                    if new[keyword] is not True and not self._unchanged(values, new, keywords):
                        yield (*at, keyword), f"{keyword} is stricter than before"
                case _:
                    yield from self._bound(values, new, keyword, at)

    def _anew(self, values: _Values, new: Any, at: Path) -> Iterator[Break]:
        """What a part of the new schema rejects, including its type and its enum, but not what it does not declare."""
        self._step()
        key = frozenset((*map(id, values.parts), _TYPES.index(values.type))), id(new)
        if new is True or new == {} or key in self._open:
            return
        self._open.add(key)
        try:
            if isinstance(new, dict):
                if values.type not in _stated(new):
                    yield (*at, "type"), _no_longer_accepted([values.type], "type")
                    return
                if (yield from self._choices([values], new, at)):
                    return
            yield from self._rejected(values, new, at)
        finally:
            self._open.discard(key)

    def _bound(self, values: _Values, new: Mapping[str, Any], keyword: str, at: Path) -> Iterator[Break]:
        limit = new[keyword]
        match keyword:
            case "pattern":
                held = limit in values.of(keyword)
                what = f"pattern {_to_json(limit)} is new"
            case "multipleOf":
                held = not _is_number(limit) or _is_multiple(values, limit)
                what = f"multipleOf {_to_json(limit)} is new"
            case "uniqueItems":
                held = limit is not True or True in values.of(keyword) or self._most_items(values) <= 1
                what = "duplicate items are now rejected"
            case _:
                held = not _is_number(limit) or self._is_within(values, keyword, limit)
                what = f"{keyword} {limit:g} is stricter than before" if _is_number(limit) else ""
        if not held:
            yield (*at, keyword), what

    def _is_within(self, values: _Values, keyword: str, limit: float) -> bool:
        """Whether a bound of the new schema holds for all values."""
        match keyword:
            case "minimum":
                return _lowest(values)[0] >= limit
            case "exclusiveMinimum":
                return _lowest(values) > (limit, False)
            case "maximum":
                return _highest(values)[0] <= limit
            case "exclusiveMaximum":
                return _highest(values) < (limit, True)
            case "maxItems":
                return self._most_items(values) <= limit
            case "minProperties":
                return max(values.least(keyword), len(self._required(values))) >= limit
            case "maxProperties":
                return min(values.most(keyword), self._most_members(values)) <= limit
        return values.least(keyword) >= limit if keyword.startswith("min") else values.most(keyword) <= limit

    def _most_members(self, values: _Values) -> float:
        most = math.inf
        for part in values.parts:
            if part.get("additionalProperties") is False and not part.get("patternProperties"):
                most = min(most, len(_mapping(part.get("properties"))))
        return most

    def _now_required(self, values: _Values, new: Mapping[str, Any], at: Path) -> Iterator[Break]:
        known = self._required(values)
        properties = _mapping(new.get("properties"))
        for name in _list(new["required"]):
            # Defaults are set before arguments are validated.
            if (
                isinstance(name, str)
                and name not in known
                and not self._is_filled(self.new, properties.get(name), unsure=False)
            ):
                yield (*at, "required"), f'"{name}" is now required'

    def _now_dependent(self, values: _Values, new: Mapping[str, Any], at: Path) -> Iterator[Break]:
        known = self._required(values)
        for name, wanted in _mapping(new["dependentRequired"]).items():
            if self._is_never(self._member(values, name)[0]) or not self._member(values, name)[1]:
                continue
            held = {each for old in values.of("dependentRequired") for each in _list(_mapping(old).get(name))}
            for each in _list(wanted):
                if each not in known | held and each != name:
                    yield (*at, "dependentRequired", name), f'"{each}" is now required beside "{name}"'

    def _members(  # noqa: C901 -- three keywords that depend on one another
        self, values: _Values, new: Mapping[str, Any], keyword: str, at: Path, removed: frozenset[str]
    ) -> Iterator[Break]:
        """What one of the three keywords about members rejects."""
        properties, patterns = _mapping(new.get("properties")), _mapping(new.get("patternProperties"))
        if values.most("maxProperties") < 1:
            return
        if keyword == "properties":
            for name, schema in properties.items():
                yield from self._one_member(values, name, schema, (*at, keyword, name))
            return
        names = [
            name for name in {**_properties(values), **dict.fromkeys(self._required(values))} if name not in removed
        ]
        if keyword == "patternProperties":
            for pattern, schema in patterns.items():
                place = (*at, keyword, pattern)
                for name in names:
                    if self._matches(pattern, name):
                        yield from self._one_member(values, name, schema, place)
                yield from self._unnamed(values, schema, place, pattern)
            return
        rest = new["additionalProperties"]
        if rest is True or rest == {}:
            return
        place = (*at, keyword)
        for name in names:
            if name not in properties and not any(self._matches(pattern, name) for pattern in patterns):
                if rest is False:
                    parts, declared = self._member(values, name)
                    if declared and not self._is_never(parts):
                        yield place, f'"{name}" is now rejected'
                else:
                    yield from self._one_member(values, name, rest, place)
        if rest is False:
            for pattern, schemas in self._patterns(values).items():
                if pattern not in patterns and not self._is_never(schemas):
                    yield place, f"members that match {_to_json(pattern)} are now rejected"
            if not self._is_never(self._rest(values)):
                yield place, "undeclared properties are now rejected"
        else:
            yield from self._unnamed(values, rest, place, None, known=frozenset(patterns))

    def _one_member(self, values: _Values, name: str, new: Any, at: Path) -> Iterator[Break]:
        parts, declared = self._member(values, name)
        if declared and not any(self._same(part, new) for part in parts) and not self._is_never(parts):
            yield from self.compare(parts, new, at)

    def _unnamed(
        self, values: _Values, new: Any, at: Path, pattern: str | None, known: frozenset[str] = frozenset()
    ) -> Iterator[Break]:
        """What a schema of members without a name rejects: of those of patterns, and of all others.

        A pattern of the new schema may match what any pattern of the old one matches. What both name by the same
        pattern is compared there.
        """
        patterns = self._patterns(values)
        if pattern is not None and pattern in patterns:
            # Every name that it matches, the old schema restricts by the same pattern, and perhaps by others.
            yield from self.compare(patterns[pattern], new, at)
            return
        for each, schemas in patterns.items():
            if each not in known and not self._is_never(schemas):
                yield from self.compare(schemas, new, at)
        rest = self._rest(values)
        promised = any(isinstance(part, dict) and part for part in rest)
        if (promised or pattern is None or self._strict) and not self._is_never(rest):
            yield from self.compare(rest, new, at)

    def _patterns(self, values: _Values) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for patterns in values.of("patternProperties"):
            for pattern, schema in _mapping(patterns).items():
                found.setdefault(pattern, []).append(schema)
        return found

    def _rest(self, values: _Values) -> list[Any]:
        """The schemas of members that no keyword names."""
        return [*values.of("additionalProperties")]

    def _names(self, values: _Values, new: Any, at: Path) -> Iterator[Break]:
        place = (*at, "propertyNames")
        known = [*values.of("propertyNames")]
        for name in {**_properties(values), **dict.fromkeys(self._required(values))}:
            if not self._is_never(self._member(values, name)[0]) and not self._accepts(new, name, unsure=False):
                yield place, f'"{name}" is now rejected'
        if self._patterns(values) or not self._is_never(self._rest(values)):
            yield from self.compare(
                [*known, {"type": "string"}] if known else [self._keep({"type": "string"})], new, place
            )

    def _items(self, values: _Values, new: Mapping[str, Any], keyword: str, at: Path) -> Iterator[Break]:
        prefix, most = _list(new.get("prefixItems")), self._most_items(values)
        if keyword == "prefixItems":
            for index, schema in enumerate(prefix):
                if index < most:
                    yield from self.compare(self._item(values, index), schema, (*at, keyword, index))
            return
        longest = max((len(_list(part.get("prefixItems"))) for part in values.parts), default=0)
        for index in range(len(prefix), max(longest, len(prefix)) + 1):
            if index < most:
                if new["items"] is False:
                    yield (*at, "items"), f"only {len(prefix)} items are now accepted"
                    return
                yield from self.compare(self._item(values, index), new["items"], (*at, "items"))

    def _alternatives(self, values: _Values, new: Mapping[str, Any], keyword: str, at: Path) -> Iterator[Break]:
        """What is rejected because no alternative, or in oneOf more than one, accepts all of the values."""
        if self._unchanged(values, new, (keyword,)):
            return
        listed = self._listed(values)
        self._step(len(listed or ()))
        accepted = [self.new.accepts({keyword: new[keyword]}, each) for each in listed or ()]
        if listed is not None and None not in accepted:
            rejected = [each for each, valid in zip(listed, accepted, strict=True) if not valid]
            if rejected:
                yield (*at, keyword), _no_longer_accepted([_to_json(value) for value in rejected])
            return
        possible = [
            (index, part)
            for index, part in enumerate(_list(new[keyword]))
            if not self._disjoint(values, part)
        ]  # fmt: skip
        if len(possible) == 1:
            index, part = possible[0]
            yield from self._anew(values, part, (*at, keyword, index))
            return
        fitting = [
            index
            for index, part in possible
            if next(iter(self._anew(values, part, (*at, keyword, index))), None) is None
        ]
        if keyword == "oneOf" and fitting and len(possible) > 1:
            yield (*at, keyword), "two alternatives of oneOf may accept the same value, which is then rejected"
        elif not fitting:
            yield (*at, keyword), f"no alternative of {keyword} accepts all values that were valid"

    def _conditional(self, values: _Values, new: Mapping[str, Any], at: Path) -> Iterator[Break]:
        keywords = ("if", "then", "else")
        if self._unchanged(values, new, keywords):
            return
        if "then" in new and not self._disjoint(values, new["if"]):
            met = (
                self._with(values, new["if"]) if isinstance(new["if"], dict) and not self.new.has_references else values
            )
            for each in self._expand(met.parts):
                if each.type == values.type:
                    yield from self._anew(each, new["then"], (*at, "then"))
        if "else" in new and next(iter(self._anew(values, new["if"], ())), None) is not None:
            yield from self._anew(values, new["else"], (*at, "else"))

    # Relations between the two.

    def _disjoint(self, values: _Values, new: Any) -> bool:
        """Whether a part of the new schema accepts none of the values, as far as it can be proved."""
        self._step()
        if not isinstance(new, dict):
            return new is False
        if values.type not in _stated(self.new.target(new.get("$ref"))):
            return True
        listed = self._listed(values)
        if listed is not None:
            return not any(self._accepts(new, value, unsure=True) for value in listed)
        for excluded in values.without:
            if self._same(excluded, new) or self._implies(new, excluded):
                return True
        if not self.new.has_references:
            return self._is_never([*values.parts, new, self._keep({"type": values.type})]) or self._discriminated(
                values, new
            )
        return values.type not in _stated(new) or self._discriminated(values, new)

    def _discriminated(self, values: _Values, new: Mapping[str, Any]) -> bool:
        """Whether a member that both need has different values in each."""
        target = self.new.target(new.get("$ref"))
        if isinstance(target, dict):
            new = target
        if values.type != "object":
            return False
        needed = {name for name in _list(new.get("required")) if isinstance(name, str)} | self._required(values)
        for name in needed:
            schema = _mapping(new.get("properties")).get(name)
            if isinstance(schema, dict) and schema:
                parts = self._member(values, name)[0]
                if parts and all(self._disjoint(each, schema) for each in self._expand(parts)):
                    return True
        return False

    def _implies(self, new: Any, old: Any) -> bool:
        """Whether every value of a part of the new schema is one of a part of the old one. The reverse comparison."""
        reverse = _Comparison(self.new, self.old, self._steps, strict=True)
        return all(next(reverse._anew(values, old, ()), None) is None for values in reverse._expand([new]))

    def _unchanged(self, values: _Values, new: Mapping[str, Any], keywords: tuple[str, ...]) -> bool:
        """Whether the old schema has the same values of these keywords side by side."""
        wanted = {keyword: new[keyword] for keyword in keywords if keyword in new}
        if keywords[0].startswith("unevaluated"):
            return False  # it depends on the other keywords; the whole schema is not the same
        return any(
            self._same({keyword: part[keyword] for keyword in keywords if keyword in part}, wanted)
            for part in values.parts
        ) or (keywords == ("not",) and any(self._implies(new["not"], each) for each in values.without))

    def _same(self, old: Any, new: Any) -> bool:
        """Whether two parts are equal, and mean the same."""
        if not _is_equal(old, new):
            return False
        if not self.old.has_references and not self.new.has_references:
            return True
        text = orjson.dumps(old, option=orjson.OPT_NON_STR_KEYS)
        references = text.count(b'"$ref"') + text.count(b'"$dynamicRef"')
        to_definitions = text.count(b'"$ref":"#/$defs/') + text.count(b'"$ref":"#/definitions/')
        return not references or (self._same_definitions and references == to_definitions)

    def _accepts_all(self, keyword: str, new: Mapping[str, Any], values: Sequence[Any]) -> bool:
        part = {keyword: new[keyword]}
        if keyword in ("items", "additionalProperties", "if", "contains", "patternProperties"):
            part = {**new}
            part.pop("required", None)
        return all(self._accepts(part, value, unsure=False) for value in values)

    def _accepts(self, part: Any, value: Any, *, unsure: bool) -> bool:
        """Whether a part of a schema accepts a value; ``unsure`` if it cannot be asked by itself."""
        self._step()
        accepted = self.new.accepts(part, value)
        return unsure if accepted is None else accepted

    def _matches(self, pattern: str, name: str) -> bool:
        """Whether a pattern matches a name; one that cannot be used matches everything."""
        self._step()
        if pattern not in self._patterns_read:
            self._patterns_read[pattern] = self._keep({"pattern": pattern})
        matches = self.new.accepts(self._patterns_read[pattern], name)
        return matches is not False

    def _with(self, values: _Values, part: Mapping[str, Any]) -> _Values:
        return _Values(values.type, (*values.parts, self._keep(part)), values.without)

    def _keep(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        self._kept.append(part)
        return part


def _stated(part: Any) -> frozenset[str]:
    """The types that the keyword type allows. An integer is a number."""
    if part is False:
        return frozenset()
    stated = part.get("type") if isinstance(part, dict) else None
    if isinstance(stated, str):
        return frozenset({stated, "integer"}) if stated == "number" else frozenset({stated})
    if isinstance(stated, list):
        names = frozenset(name for name in stated if isinstance(name, str))
        return names | {"integer"} if "number" in names else names
    return frozenset(_TYPES)


def _lowest(values: _Values) -> tuple[Fraction | float, bool]:
    """The lower bound of numbers, and whether it is exclusive. That of integers is an integer, and inclusive."""
    low: tuple[Fraction | float, bool] = (-math.inf, False)
    for value in values.numbers("minimum"):
        low = max(low, (math.ceil(value) if values.type == "integer" else Fraction(value), False))
    for value in values.numbers("exclusiveMinimum"):
        low = max(low, (math.floor(value) + 1, False) if values.type == "integer" else (Fraction(value), True))
    return low


def _highest(values: _Values) -> tuple[Fraction | float, bool]:
    """The upper bound of numbers, and whether it is inclusive. That of integers is an integer, and inclusive."""
    high: tuple[Fraction | float, bool] = (math.inf, True)
    for value in values.numbers("maximum"):
        high = min(high, (math.floor(value) if values.type == "integer" else Fraction(value), True))
    for value in values.numbers("exclusiveMaximum"):
        high = min(high, (math.ceil(value) - 1, True) if values.type == "integer" else (Fraction(value), False))
    return high


def _is_without_numbers(values: _Values) -> bool:
    """Whether no integer, or no number that is not an integer, is between the bounds."""
    (low, excluded), (high, included) = _lowest(values), _highest(values)
    if values.type == "integer":
        return low > high
    whole = any(Fraction(str(value)).denominator == 1 for value in values.numbers("multipleOf"))
    return whole or low > high or (low == high and (excluded or not included or low == math.floor(low)))


def _is_multiple(values: _Values, limit: float) -> bool:
    """Whether all numbers are multiples of ``limit``."""
    wanted = Fraction(str(limit))
    if not wanted:
        return False
    known = [Fraction(str(value)) for value in values.numbers("multipleOf") if value]
    if values.type == "integer":
        known.append(Fraction(1))
    whole = [each.numerator for each in known if each.denominator == 1]
    if whole:
        known.append(Fraction(math.lcm(*whole)))
    return any((each / wanted).denominator == 1 for each in known)


def _properties(values: _Values) -> dict[str, None]:
    """The names that the parts declare, in order."""
    if "properties" not in values.known:
        values.known["properties"] = {
            name: None for properties in values.of("properties") for name in _mapping(properties)
        }
    names: dict[str, None] = values.known["properties"]
    return names


def _follow(root: Any, pointer: str) -> Any:
    node = root
    for step in (each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:]):
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and step.isdecimal() and len(step) < 6 and int(step) < len(node):
            node = node[int(step)]
        else:
            return None
    return node if not pointer or pointer.startswith("/") else None


def _no_longer_accepted(values: Sequence[str], noun: str = "") -> str:
    """The first three values by name, and the number of the others."""
    more = [f"{len(values) - 3} more"] if len(values) > 3 else []
    *first, last = [*values[:3], *more]
    if not first:
        return f"{noun} {last} is no longer accepted".lstrip()
    return f"{noun and noun + 's'} {', '.join(first)} and {last} are no longer accepted".lstrip()


def _listed_values(node: Any) -> list[Any] | None:
    """The values in const or enum; None if the schema has neither."""
    if not isinstance(node, dict):
        return None
    if "const" in node:
        return [node["const"]]
    values = node.get("enum")
    return values if isinstance(values, list) else None


def _canonical(value: object) -> bytes:
    """Equal for values that are equal in JSON Schema: members in any order, and 1.0 and 1 (at the top level only)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).encode()
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def _is_equal(one: Any, other: Any) -> bool:
    """Whether two parts are equal in JSON. In Python, true is equal to 1."""
    if one != other:
        return False
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(one, option=options) == orjson.dumps(other, option=options)


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
