"""A value that is valid by a schema, made without chance: what a reader of the schema would send."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import hypothesis
import jsonschema
from hypothesis import Phase
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["instance_of"]

_SETTINGS = hypothesis.settings(database=None, derandomize=True, phases=[Phase.generate])
_FORMATS = {
    "date": "2026-11-26",
    "date-time": "2026-11-26T10:00:00Z",
    "time": "10:00:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com/a",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


def instance_of(schema: Mapping[str, Any], *, whole: bool) -> Any:
    """A value with all properties (``whole``), or with the required ones. It is valid, formats included."""
    made = _make(schema, schema, whole)
    jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(made)  # fmt: skip
    return made


def _make(node: Any, root: Mapping[str, Any], whole: bool) -> Any:
    if not isinstance(node, dict):
        return "a value"
    node = _merged(node, root)
    if "const" in node:
        return node["const"]
    if "enum" in node:
        return node["enum"][0]
    if "default" in node and node["default"] is not None:
        return node["default"]
    stated = node.get("type", "object" if "properties" in node else "string")
    match stated if isinstance(stated, str) else next(each for each in stated if each != "null"):
        case "object":
            names = node.get("properties", {}) if whole else node.get("required", ())
            return {name: _make(node.get("properties", {}).get(name, True), root, whole) for name in names}
        case "array":
            count = max(node.get("minItems", 0), 1 if whole else 0)
            return [_make(node.get("items", True), root, whole) for _ in range(count)]
        case "integer" | "number":
            least = node.get("minimum", node.get("exclusiveMinimum", 0) + 1)
            return min(least, node.get("maximum", least))
        case "boolean":
            return True
        case "string":
            return _text(node)
        case _:
            return None


def _merged(node: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with what its references, allOf and first alternative say."""
    parts = [*node.get("allOf", ()), *node.get("anyOf", ())[:1], *node.get("oneOf", ())[:1]]
    if "$ref" in node:
        target: Any = root
        for step in node["$ref"].split("/")[1:]:
            target = target[step]
        parts.append(target)
    made = {key: value for key, value in node.items() if key not in ("allOf", "anyOf", "oneOf", "$ref")}
    for part in parts:
        for key, value in _merged(part, root).items():
            if key == "properties":
                made[key] = {**made.get(key, {}), **value}
            elif key == "required":
                made[key] = [*made.get(key, ()), *value]
            elif key == "pattern":
                made.setdefault("patterns", []).append(value)
            else:
                made.setdefault(key, value)
    return made


def _text(node: Mapping[str, Any]) -> str:
    if node.get("format") in _FORMATS:
        return _FORMATS[node["format"]]
    least = max(node.get("minLength", 1), 1)
    patterns = [*([node["pattern"]] if "pattern" in node else ()), *node.get("patterns", ())]
    plain = "a1"[: node.get("maxLength", 2)].ljust(least, "a")
    if all(re.search(each, plain) for each in patterns):
        return plain
    found = st.from_regex(patterns[0], fullmatch=True)
    return hypothesis.find(found, lambda text: all(re.search(each, text) for each in patterns), settings=_SETTINGS)
