"""Schemas of tools for hypothesis: valid JSON Schema 2020-12, with what clients trip over."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["outputs", "patterns", "tools", "values"]

NAMES = st.sampled_from(["a", "b", "id", "größe", "filter[status]", "$top", "a" * 70, "__proto__"])
_PIECES = [
    "a", "b", ".", "^", "$", "|", "*", "+", "?", "{2}", "{,2}", "{2,1}", "{0,3}", "(", ")", "(?:", "(?<x>", "(?P<x>",
    "(?i)", "(?i:", "[", "]", "[^", "[]", "[^]", "-", "\\-", "\\d", "\\w", "\\S", "\\b", "\\B", "\\/", "\\:", "\\_",
    "\\.", "\\p{L}", "\\P{Lu}", "\\p{Greek}", "\\p{Script=Greek}", "\\p{Alphabetic}", "\\pL", "\\u0041", "\\u{1F600}",
    "\\uD83D\\uDE00", "\\x41", "\\cA", "\\0", "\\n", "\\t", "\\z", "\\A", "\\Z", "\\-", "{", "}", ",", "&&", "é", "😀",
    "/", "#", "\\1", "\\k<x>", "(?=", "(?<=a)", "(?!", "\\$", "[a-z]", "[\\w-.]", "[z-a]", "[a-\\d]", "1", "\\",
]  # fmt: skip
patterns = st.lists(st.sampled_from(_PIECES), max_size=8).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "ab", "2020-01-01"]) | st.just(1.5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
_TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array"])


def _nodes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members: dict[str, st.SearchStrategy[Any]] = {
        "type": _TYPES | st.lists(_TYPES, min_size=1, max_size=2, unique=True),
        "properties": st.dictionaries(NAMES, inner, max_size=2),
        "required": st.lists(NAMES, max_size=1),
        "additionalProperties": st.booleans() | inner,
        "unevaluatedProperties": st.booleans(),
        "unevaluatedItems": st.booleans(),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "\\p{L}", "(?<x>a)", "\\_"]), inner, max_size=1),
        "items": inner,
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "contains": inner,
        "maxItems": st.integers(0, 3),
        "enum": st.lists(values, max_size=3),
        "const": values,
        "pattern": st.sampled_from(["^a", "^\\p{L}+$", "(?<x>a)", "[\\w-.]", "a\\:b", "^[a-z]{1,3}$"]),
        "format": st.sampled_from(["email", "int64", "date", "no such format"]),
        "allOf": st.lists(inner, min_size=1, max_size=2),
        "anyOf": st.lists(inner, min_size=1, max_size=2),
        "oneOf": st.lists(inner, min_size=1, max_size=2),
        "not": inner,
        "if": inner,
        "then": inner,
        "nullable": st.booleans(),
        "id": st.just("draft-4"),
        "$id": st.sampled_from(["urn:a", "urn:example:b", "https://example.com/c"]),
        "$anchor": st.sampled_from(["one", "two"]),
        "$async": st.booleans(),
        "discriminator": st.just({"propertyName": "kind"}),
        "additionalItems": st.booleans(),
        "formatMinimum": st.just("2020"),
        "$ref": st.sampled_from(["#/$defs/x", "#/definitions/y"]),
        "dependentRequired": st.just({"a": ["b"]}),
        "minContains": st.integers(0, 1),
        "propertyNames": inner,
    }
    return st.lists(st.sampled_from(sorted(members)), max_size=4, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: members[name] for name in names})
    )


_schemas = st.recursive(st.booleans() | st.just({}) | _TYPES.map(lambda name: {"type": name}), _nodes, max_leaves=5)


def _roots(schema: Any, x: Any, y: Any) -> dict[str, Any]:
    root = schema if isinstance(schema, dict) else {"properties": {"a": schema}}
    return {**root, "type": "object", "$defs": {"x": x}, "definitions": {"y": y}}


outputs = st.builds(_roots, _nodes(_schemas), st.sampled_from([True, {"type": "string"}]), st.just({"type": "integer"}))


def _spec(inputs: dict[str, Any], output: dict[str, Any] | None) -> dict[str, Any]:
    more = {} if output is None else {"outputSchema": output}
    return {"inputSchema": inputs, "description": "A generated tool that nobody calls.", **more}


tools = st.builds(_spec, outputs, st.none() | outputs)
