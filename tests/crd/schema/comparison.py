"""Changes of a schema and what they take from callers: asked of `crd.schema.changes`, and tried with a validator."""

from __future__ import annotations

import itertools
from typing import Any

import jsonschema_rs

from crd.schema import changes

__all__ = ["INTEGER", "LIST", "NUMBER", "OBJECT", "TEXT", "assert_breaks", "assert_harmless", "findings_of", "of"]

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
LIST: Schema = {"type": "array"}
OBJECT: Schema = {"type": "object"}

_SCALARS: tuple[Any, ...] = (
    None, True, False, *range(-3, 8), 10, 12, 64, 65, -0.5, 0.25, 0.5, 1.25, 1.5, 1.75, 2.5, 3.5,
    "", "a", "b", "ab", "ba", "abc", "abcd", "c", "x1", "open",
)  # fmt: skip
_NAMES = ("a", "b", "c", "x1")
# Values of every type, small and at the bounds that the examples use.
_VALUES: tuple[Any, ...] = (
    *_SCALARS,
    [],
    *([one] for one in _SCALARS),
    *([one, other] for one in (1, 2, "a", "b") for other in (1, 2, "a", "b")),
    *(["a", "b", "c", 1][:size] for size in (3, 4)),
    [1, 2, 3],
    [[]],
    [{}],
    {},
    *({name: one} for name in _NAMES for one in (*_SCALARS, [], {})),
    *({name: one, other: one} for name, other in itertools.combinations(_NAMES, 2) for one in (1, "a", None, "open")),
    {"a": "open", "b": 1},
    {"a": "open", "b": "b"},
    {"a": 1, "b": "b", "c": True},
)


def of(**properties: Any) -> Schema:
    """An inputSchema with these arguments."""
    return {**OBJECT, "properties": properties}


def findings_of(old: Schema, new: Schema) -> list[tuple[str, str]]:
    """The breaking changes: the place of each, and what it is."""
    return [("/".join(map(str, path)), what) for path, what in changes.breaking(old, new)]


def assert_breaks(old: Schema, new: Schema, found: list[tuple[str, str]], call: Any) -> None:
    """The change is reported so, and takes away at least this call."""
    assert findings_of(old, new) == found
    before, after = (jsonschema_rs.Draft202012Validator(schema) for schema in (old, new))
    assert before.is_valid(call)
    assert not after.is_valid(call)


def assert_harmless(old: Schema, new: Schema, argument: str = "a") -> None:
    """Nothing is reported, and of many values of the argument, none that was accepted is now rejected."""
    assert findings_of(old, new) == []
    schema = old["properties"][argument]
    if isinstance(schema, dict) and schema.keys().isdisjoint(("not", "$ref")):
        # The same of a schema that accepts one value less, so that the two are never equal.
        narrower = {**schema, "not": {"const": "another value"}}
        assert findings_of({**old, "properties": {**old["properties"], argument: narrower}}, new) == []
    before, after = (jsonschema_rs.Draft202012Validator(schema) for schema in (old, new))
    calls = [{argument: value} for value in _VALUES]
    assert [call for call in calls if before.is_valid(call) and not after.is_valid(call)] == []
