"""PURE. The lists of MCP as bytes: every page of every list for either era, made once a catalog.

A cursor is a digest over catalog, list and place. So it tells nothing, and one of another catalog names no page.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from runtime.mcp import eras, uri_templates

if TYPE_CHECKING:
    from collections.abc import Callable

    from crd.published.catalogs import Catalog
    from crd.published.entries import HttpResource, InlineResource, Operation, Prompt, Tool

__all__ = ["AS_WRITTEN", "LISTS", "VERSION", "Schemas", "implementation", "pages"]

VERSION = "0.1.0"
LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")


def _plain_output(tool: Tool, modern: bool) -> dict[str, Any] | None:
    """Clients of older eras take objects only, and say so by refusing the whole list."""
    schema = tool.output_schema
    return schema if modern or (schema is not None and schema.get("type") == "object") else None


@dataclass(frozen=True, slots=True)
class Schemas:
    """What a tool's schemas become in a list: of the input, and of the output in an era (True: the stateless one)."""

    input: Callable[[Tool], dict[str, Any]]
    output: Callable[[Tool, bool], dict[str, Any] | None]


AS_WRITTEN = Schemas(lambda tool: tool.input_schema, _plain_output)


def implementation(catalog: Catalog, version: str) -> dict[str, str]:
    """An MCP Implementation in the words of a protocol version; the name is that of the MCPServer."""
    info = catalog.settings.info
    told = {"name": catalog.server, "version": info.version or VERSION}
    if info.title and version >= "2025-06-18":
        told["title"] = info.title
    if info.website_url and version >= "2025-11-25":
        told["websiteUrl"] = info.website_url
    return told


def pages(catalog: Catalog, digest: str, schemas: Schemas) -> dict[tuple[str, bool, str | None], bytes]:
    """The result of a list by method, era and cursor (None: the first page)."""
    found: dict[tuple[str, bool, str | None], bytes] = {}
    size = max(1, catalog.settings.page_size)
    for modern in (True, False):
        for method, (member, entries) in _lists(catalog, schemas, modern).items():
            for start in range(0, max(1, len(entries)), size):
                result: dict[str, Any] = {member: entries[start : start + size]}
                if start + size < len(entries):
                    result["nextCursor"] = _cursor(digest, method, start + size)
                if modern:
                    result |= _around(catalog)
                cursor = _cursor(digest, method, start) if start else None
                found[method, modern, cursor] = orjson.dumps(result)
    return found


def _cursor(digest: str, method: str, start: int) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(f"{digest} {method} {start}".encode()).digest()[:18]).decode()


def _around(catalog: Catalog) -> dict[str, Any]:
    return {
        "resultType": "complete",
        "ttlMs": round(catalog.settings.list_ttl * 1000),
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": implementation(catalog, eras.MODERN)},
    }


def _lists(catalog: Catalog, schemas: Schemas, modern: bool) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    backed: list[tuple[str, HttpResource | Operation]] = [
        *((each.uri, each) for each in catalog.http_resources),
        *((each.uri_template, each) for each in catalog.operations if each.uri_template),
    ]
    plain: list[tuple[str, InlineResource | HttpResource | Operation]] = [
        *((each.uri, each) for each in catalog.resources),
        *(each for each in backed if not uri_templates.is_template(each[0])),
    ]
    templates = [each for each in backed if uri_templates.is_template(each[0])]
    return {
        "tools/list": ("tools", [_tool(tool, schemas, modern) for tool in catalog.tools]),
        "prompts/list": ("prompts", [_prompt(prompt) for prompt in catalog.prompts]),
        "resources/list": ("resources", [_resource("uri", uri, entry) for uri, entry in plain]),
        "resources/templates/list": (
            "resourceTemplates",
            [_resource("uriTemplate", uri, entry) for uri, entry in templates],
        ),
    }


def _given(**members: Any) -> dict[str, Any]:
    """The members that say something."""
    return {name: value for name, value in members.items() if value}


def _tool(tool: Tool, schemas: Schemas, modern: bool) -> dict[str, Any]:
    output = schemas.output(tool, modern)
    return {
        "name": tool.name,
        **_given(title=tool.title),
        "description": tool.description or tool.name,
        "inputSchema": schemas.input(tool),
        **({} if output is None else {"outputSchema": output}),
        **_given(annotations=tool.annotations),
    }


def _prompt(prompt: Prompt) -> dict[str, Any]:
    arguments = [
        {"name": v.name, **_given(title=v.title, description=v.description), "required": v.required}
        for v in prompt.variables
    ]
    title = _given(title=prompt.title)
    return {"name": prompt.name, **title, "description": prompt.description or prompt.name, "arguments": arguments}


def _resource(member: str, uri: str, entry: InlineResource | HttpResource | Operation) -> dict[str, Any]:
    told = _given(
        title=entry.title, description=entry.description, mimeType=entry.mime_type, annotations=entry.annotations
    )
    return {member: uri, "name": entry.name, **told}
