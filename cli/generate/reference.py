"""PURE. The API reference as Markdown, a page for each kind, made from the schemas of the CustomResourceDefinitions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from crd.models import openapi
from crd.ref import GROUP, VERSION, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["render_index", "render_page"]

_HEAD = "| field | type | default | meaning |\n|---|---|---|---|"
_LIMITS = {"maxLength": "≤ {} characters", "maxItems": "≤ {} items", "maxProperties": "≤ {} members"}


def render_index() -> str:
    """The index page."""
    lines = [
        f"# {GROUP}/{VERSION}",
        "",
        "Every field of the four kinds. `kubectl explain mcpserver.spec` shows the same for your cluster.",
        "",
        "| kind | short | what it is |",
        "|---|---|---|",
    ]
    for kind in openapi.KINDS:
        names = openapi.definition(kind)["spec"]["names"]
        lines.append(f"| [{kind}]({kind}.md) | `{names['shortNames'][0]}` | {openapi.schema(kind)['description']} |")
    lines += [
        "",
        "Editors complete and check manifests with [schemas/mcp.json](schemas/mcp.json). It ignores other API groups.",
        "In VS Code (YAML extension) add to the settings:",
        '`"yaml.schemas": {"docs/reference/schemas/mcp.json": "manifests/**/*.yaml"}`; or start a file with',
        "`# yaml-language-server: $schema=…/docs/reference/schemas/mcp.json`.",
    ]
    return "\n".join(lines) + "\n"


def render_page(kind: Kind) -> str:
    """The fields of a kind: the spec in sections, the status in one table."""
    schema = openapi.schema(kind)
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    lines = [f"# {kind}", "", schema["description"], ""]
    lines += [f"- {message}" for message in _messages(spec)]
    lines += [""] if _messages(spec) else []
    plain = {name: child for name, child in spec["properties"].items() if not _inner(child)}
    lines += ["## spec", "", _HEAD, *_rows(plain, spec, "spec"), ""]
    for name, child in spec["properties"].items():
        if _inner(child):
            lines += _section(name, child, name in spec.get("required", ()))
    lines += ["## status", "", _HEAD, *_rows(status["properties"], status, "status", deep=True), ""]
    return "\n".join(lines).rstrip() + "\n"


def _section(name: str, node: Mapping[str, Any], required: bool) -> Iterator[str]:
    path = f"spec.{name}{'[]' if node.get('type') == 'array' else ''}"
    yield from (f"## {path}", "", f"{'Required. ' if required else ''}{_describe(node)}", "")
    inner = _inner(node)
    for message in _messages(inner):
        yield f"- {message}"
    if _messages(inner):
        yield ""
    yield from (_HEAD, *_rows(inner["properties"], inner, path, deep=True), "")


def _rows(fields: Mapping[str, Any], parent: Mapping[str, Any], path: str, *, deep: bool = False) -> Iterator[str]:
    for name, node in fields.items():
        full = f"{path}.{name}"
        required = name in parent.get("required", ())
        default = "required" if required else _default(node)
        yield f"| `{full}` | {_type(node)} | {default} | {_describe(node)} |"
        inner = _inner(node)
        if deep and inner:
            suffix = {"array": "[]", "object": ""}[node["type"]] if "properties" not in node else ""
            suffix = ".*" if node.get("type") == "object" and "additionalProperties" in node else suffix
            yield from _rows(inner["properties"], inner, f"{full}{suffix}", deep=True)


def _inner(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object schema with fields of its own: the node, its items or its values; empty if there is none."""
    for candidate in (node, node.get("items", {}), node.get("additionalProperties", {})):
        if isinstance(candidate, dict) and candidate.get("properties"):
            return candidate
    return {}


def _type(node: Mapping[str, Any]) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "enum" in node:
        return " \\| ".join(f"`{value}`" for value in node["enum"])
    if node.get("type") == "array":
        return f"list of {_type(node['items'])}"
    if isinstance(node.get("additionalProperties"), dict):
        return f"map of {_type(node['additionalProperties'])}"
    return str(node.get("type", "any"))


def _default(node: Mapping[str, Any]) -> str:
    return f"`{_format_value(node['default'])}`" if "default" in node else ""


def _format_value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _describe(node: Mapping[str, Any]) -> str:
    limits = [form.format(node[key]) for key, form in _LIMITS.items() if key in node]
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None or high is not None:
        limits.append(f"{low if low is not None else '…'} to {high if high is not None else '…'}")
    rules = _messages(node) + [m for m in _messages(node.get("items", {})) if not _inner(node)]
    said = [node.get("description", ""), *(f"{rule[0].upper()}{rule[1:]}." for rule in rules)]
    bounds = f" ({', '.join(limits)})" if limits else ""
    return " ".join(filter(None, said)).replace("|", "\\|").replace("\n", " ") + bounds


def _messages(node: Mapping[str, Any]) -> list[str]:
    return [rule["message"] for rule in node.get("x-kubernetes-validations", ())]
