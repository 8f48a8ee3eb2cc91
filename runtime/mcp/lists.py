"""PURE. The lists of MCP as bytes: every page of every list for both eras, built once per catalog.

A cursor is a digest of catalog, list and position. It reveals nothing, and a cursor of another catalog is invalid.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from crd.steps import finish
from runtime import VERSION
from runtime.backends.http_mapping import mapping, replies
from runtime.mcp import eras, uri_templates

if TYPE_CHECKING:
    from crd.published.catalogs import Catalog
    from crd.published.entries import HttpResource, InlineResource, Operation, Prompt, Tool
    from crd.steps import Steps

__all__ = [
    "LISTS",
    "ToolTexts",
    "build_pages",
    "build_pages_in_steps",
    "digest_lists_in_steps",
    "implementation",
    "list_ttl_ms",
    "tool_entry",
]

LISTS = ("tools/list", "prompts/list", "resources/list", "resources/templates/list")
# Entries that are digested in one step.
STEP = 64


def implementation(catalog: Catalog, version: str) -> dict[str, str]:
    """The server as an MCP Implementation, with the members that a protocol version knows."""
    info = catalog.settings.info
    members = {"name": catalog.server, "version": info.version or VERSION}
    if info.title and version >= "2025-06-18":
        members["title"] = info.title
    if info.website_url and version >= "2025-11-25":
        members["websiteUrl"] = info.website_url
    return members


def list_ttl_ms(catalog: Catalog) -> int:
    """How long clients may cache a list, in milliseconds."""
    return round(catalog.settings.list_ttl * 1000)


class ToolTexts:
    """Tools as entries of tools/list, as JSON, in both eras. A tool is known by its identity."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[Tool, bytes, bytes]] = {}

    def add(self, tool: Tool, before: ToolTexts | None) -> None:
        """Render a tool, if the texts from before do not have it."""
        found = before._texts.get(id(tool)) if before is not None else None
        if found is None or found[0] is not tool:
            modern = orjson.dumps(tool_entry(tool, modern=True))
            legacy = orjson.dumps(tool_entry(tool, modern=False)) if tool.output_schema is not None else modern
            found = (tool, modern, legacy)
        self._texts[id(tool)] = found

    def values(self) -> list[Any]:
        """All that is kept."""
        return list(self._texts.values())

    def of(self, tool: Tool, *, modern: bool) -> bytes:
        """The entry of a tool that was added."""
        _, stateless, legacy = self._texts[id(tool)]
        return stateless if modern else legacy


def build_pages(catalog: Catalog, digest: str, texts: ToolTexts) -> dict[tuple[str, bool, str | None], bytes]:
    """Results by method, era (True: stateless) and cursor (None: the first page)."""
    return finish(build_pages_in_steps(catalog, digest, texts))


def build_pages_in_steps(
    catalog: Catalog, digest: str, texts: ToolTexts
) -> Steps[dict[tuple[str, bool, str | None], bytes]]:
    """The same, with a pause after each page."""
    pages: dict[tuple[str, bool, str | None], bytes] = {}
    size = max(1, catalog.settings.page_size)
    for modern in (True, False):
        for method, (member, entries) in _lists(catalog, modern, texts).items():
            for start in range(0, max(1, len(entries)), size):
                result: dict[str, Any] = {member: entries[start : start + size]}
                if start + size < len(entries):
                    result["nextCursor"] = _cursor(digest, method, start + size)
                if modern:
                    result |= {
                        "resultType": "complete",
                        "ttlMs": list_ttl_ms(catalog),
                        "cacheScope": "private",
                        "_meta": {"io.modelcontextprotocol/serverInfo": implementation(catalog, eras.MODERN)},
                    }
                cursor = _cursor(digest, method, start) if start else None
                pages[method, modern, cursor] = orjson.dumps(result)
                yield
    return pages


def digest_lists_in_steps(catalog: Catalog, texts: ToolTexts) -> Steps[dict[tuple[str, bool], bytes]]:
    """A digest of the entries of each list, by method and era (True: stateless), with pauses.

    It does not depend on what a page has besides them: cursors, the size of pages, hints for caches.
    """
    digests: dict[tuple[str, bool], bytes] = {}
    for modern in (True, False):
        for method, (_, entries) in _lists(catalog, modern, texts).items():
            digest = hashlib.blake2b(digest_size=16)
            for start in range(0, len(entries), STEP):
                digest.update(orjson.dumps(entries[start : start + STEP]))
                yield
            digests[method, modern] = digest.digest()
    return digests


def _cursor(digest: str, method: str, start: int) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(f"{digest} {method} {start}".encode()).digest()[:18]).decode()


def _lists(catalog: Catalog, modern: bool, texts: ToolTexts) -> dict[str, tuple[str, list[Any]]]:
    """The member name and the entries of each list."""
    backed: list[tuple[str, HttpResource | Operation]] = [
        *((each.uri, each) for each in catalog.http_resources),
        *((each.uri_template, each) for each in catalog.operations if each.uri_template),
    ]
    resources: list[tuple[str, InlineResource | HttpResource | Operation]] = [
        *((each.uri, each) for each in catalog.resources),
        *(each for each in backed if not uri_templates.is_template(each[0])),
    ]
    templates = [each for each in backed if uri_templates.is_template(each[0])]
    return {
        "tools/list": ("tools", [orjson.Fragment(texts.of(tool, modern=modern)) for tool in catalog.tools]),
        "prompts/list": ("prompts", [_prompt(prompt) for prompt in catalog.prompts]),
        "resources/list": ("resources", [_resource("uri", uri, entry) for uri, entry in resources]),
        "resources/templates/list": (
            "resourceTemplates",
            [_resource("uriTemplate", uri, entry) for uri, entry in templates],
        ),
    }


def tool_entry(tool: Tool, modern: bool) -> dict[str, Any]:
    """A tool as an entry of tools/list."""
    output = replies.listed_output_schema(tool, modern)
    return {
        "name": tool.name,
        **_without_empty(title=tool.title),
        "description": tool.description or tool.name,
        "inputSchema": mapping.listed_input_schema(tool),
        **({} if output is None else {"outputSchema": output}),
        **_without_empty(annotations=tool.annotations),
    }


def _prompt(prompt: Prompt) -> dict[str, Any]:
    arguments = [
        {"name": v.name, **_without_empty(title=v.title, description=v.description), "required": v.required}
        for v in prompt.variables
    ]
    title = _without_empty(title=prompt.title)
    return {"name": prompt.name, **title, "description": prompt.description or prompt.name, "arguments": arguments}


def _resource(member: str, uri: str, entry: InlineResource | HttpResource | Operation) -> dict[str, Any]:
    optional = _without_empty(
        title=entry.title, description=entry.description, mimeType=entry.mime_type, annotations=entry.annotations
    )
    return {member: uri, "name": entry.name, **optional}


def _without_empty(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}
