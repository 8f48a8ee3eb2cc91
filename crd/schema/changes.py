"""PURE. Changes of an inputSchema that break callers: arguments that were valid and are now rejected.

Only keywords that apply directly to the same argument in both schemas are compared; for references and alternatives,
only lost types are reported.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeGuard

import orjson

from crd.schema.arguments import Arguments
from crd.schema.bounds import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from crd.schema.subschemas import Path

__all__ = ["breaking"]

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
Roots = tuple[Arguments, Arguments]
_EXACT = ("pattern", "multipleOf")


def breaking(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The places of breaking changes, each with the beginning of a message."""
    yield from _objects(old, new, (Arguments(old), Arguments(new)), (), MAX_DEPTH)


def _objects(
    old: Mapping[str, Any], new: Mapping[str, Any], roots: Roots, path: Path, depth: int
) -> Iterator[tuple[Path, str]]:
    before, after = _mapping(old.get("properties")), _mapping(new.get("properties"))
    required = {name for name in _list(old.get("required")) if isinstance(name, str)}
    for name in _list(new.get("required")):
        # Defaults are set before arguments are validated.
        filled = isinstance(after.get(name), dict) and "default" in after[name]
        if isinstance(name, str) and name not in required and not filled:
            yield (*path, "required"), f'"{name}" is now required'
    open_before, open_after = old.get("additionalProperties") is not False, new.get("additionalProperties") is not False
    for name, schema in before.items():
        at = (*path, "properties", name)
        if name not in after:
            # Existing callers still send the argument, but it no longer has an effect.
            yield (*path, "properties"), f'"{name}" was removed'
        elif isinstance(schema, dict) and isinstance(after[name], dict):
            yield from _values(schema, after[name], roots, at, depth - 1)
        elif after[name] is False and schema is not False:
            yield at, "the property is now forbidden"
    if open_before and not open_after:
        yield (*path, "additionalProperties"), "undeclared properties are now rejected"


def _values(
    old: Mapping[str, Any], new: Mapping[str, Any], roots: Roots, at: Path, depth: int
) -> Iterator[tuple[Path, str]]:
    """Restrictions of a value that the new schema adds."""
    if depth < 0 or old == new:
        return
    lost = sorted(_types(old, roots[0]) - _types(new, roots[1]))
    if lost:
        yield (*at, "type"), _no_longer_accepted(lost, "type")
        return
    yield from _choices(old, new, at)
    yield from _stricter_bounds(old, new, at)
    if "properties" in old or "properties" in new or old.get("required") != new.get("required"):
        yield from _objects(old, new, roots, at, depth)
    if isinstance(old.get("items"), dict) and isinstance(new.get("items"), dict):
        yield from _values(old["items"], new["items"], roots, (*at, "items"), depth - 1)


def _choices(old: Mapping[str, Any], new: Mapping[str, Any], at: Path) -> Iterator[tuple[Path, str]]:
    before, after = _listed_values(old), _listed_values(new)
    keyword = "const" if "const" in new else "enum"
    if before is None and after is not None:
        yield (*at, keyword), "only listed values are now accepted"
    elif before is not None and after is not None:
        left = set(map(_canonical, after))
        gone = [value for value in before if _canonical(value) not in left]
        if gone:
            yield (*at, keyword), _no_longer_accepted([_to_json(value) for value in gone])


def _no_longer_accepted(values: Sequence[str], noun: str = "") -> str:
    """The first three values by name, and the number of the others."""
    more = [f"{len(values) - 3} more"] if len(values) > 3 else []
    *first, last = [*values[:3], *more]
    if not first:
        return f"{noun} {last} is no longer accepted".lstrip()
    return f"{noun and noun + 's'} {', '.join(first)} and {last} are no longer accepted".lstrip()


def _stricter_bounds(old: Mapping[str, Any], new: Mapping[str, Any], at: Path) -> Iterator[tuple[Path, str]]:
    for keywords, tighter in ((_LOWER, 1), (_UPPER, -1)):
        for keyword in keywords:
            limit, former = new.get(keyword), old.get(keyword)
            if _is_number(limit) and (not _is_number(former) or (limit - former) * tighter > 0):
                yield (*at, keyword), f"{keyword} {limit:g} is stricter than before"
    for keyword in _EXACT:
        if keyword in new and new[keyword] != old.get(keyword):
            yield (*at, keyword), f"{keyword} {_to_json(new[keyword])} is new"
    if new.get("uniqueItems") is True and old.get("uniqueItems") is not True:
        yield (*at, "uniqueItems"), "duplicate items are now rejected"


def _types(node: Mapping[str, Any], root: Arguments) -> frozenset[str]:
    types = root.types(node) - {"null"}
    null = {"null"} if "null" in _list(node.get("type")) or node.get("type") == "null" else set()
    return types | {"integer"} | null if "number" in types else types | null


def _listed_values(node: Mapping[str, Any]) -> list[Any] | None:
    """The values in const or enum; None if the schema has neither."""
    if "const" in node:
        return [node["const"]]
    values = node.get("enum")
    return values if isinstance(values, list) else None


def _canonical(value: object) -> bytes:
    """Equal for values that are equal in JSON Schema: members in any order, and 1.0 and 1 (at the top level only)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if not isinstance(value, int) else str(value).encode()


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
