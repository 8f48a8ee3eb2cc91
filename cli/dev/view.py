"""PURE. What the page shows, as JSON: servers with their entries, findings with lines, Services and Secrets."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from cli.dev.plan import endpoint_path
from runtime.backends.http_mapping import mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cli.dev.plan import Plan, PlannedServer
    from cli.manifests.entries import Entry
    from crd.published.entries import HttpResource, InlineResource, Operation, Prompt, Tool

__all__ = ["describe_findings", "describe_servers"]

# Lines of a file before and after that of a finding.
AROUND = 4
MAX_FINDINGS = 200


def describe_servers(plan: Plan) -> list[dict[str, Any]]:
    """The servers in order, with what clients see."""
    return [_server(server, plan) for server in plan.servers]


def _server(server: PlannedServer, plan: Plan) -> dict[str, Any]:
    catalog = server.catalog
    return {
        "key": server.ref.key,
        "path": endpoint_path(server.ref),
        "title": catalog.settings.info.title,
        "auth": catalog.settings.auth.type,
        "bytes": server.context[0],
        "tokens": server.context[1],
        "tools": [_tool(tool, plan) for tool in catalog.tools],
        "prompts": [_prompt(prompt) for prompt in catalog.prompts],
        "resources": list(_resources(server)),
    }


def _tool(tool: Tool, plan: Plan) -> dict[str, Any]:
    size, tokens = plan.contexts.get(tool.source, (0, 0))
    return {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "source": f"MCPTool {tool.source}",
        "schema": mapping.listed_input_schema(tool),
        "annotations": tool.annotations,
        "bytes": size,
        "tokens": tokens,
        "isMcp": tool.mcp is not None,
    }


def _prompt(prompt: Prompt) -> dict[str, Any]:
    properties = {
        each.name: {
            "type": "string",
            **({"description": each.description} if each.description else {}),
            **({"enum": list(each.enum)} if each.enum else {}),
            **({} if each.default is None else {"default": each.default}),
        }
        for each in prompt.variables
    }
    schema = {"type": "object", "properties": properties, "required": [v.name for v in prompt.variables if v.required]}
    return {
        "name": prompt.name,
        "title": prompt.title,
        "description": prompt.description,
        "source": f"MCPPrompt {prompt.source}",
        "schema": schema,
    }


def _resources(server: PlannedServer) -> Iterator[dict[str, Any]]:
    catalog = server.catalog
    listed: list[tuple[InlineResource | HttpResource | Operation, str]] = []
    listed += [(entry, entry.uri) for entry in catalog.resources]
    listed += [(entry, entry.uri) for entry in catalog.http_resources]
    listed += [(entry, entry.uri_template) for entry in catalog.operations if entry.uri_template]
    for entry, uri in listed:
        yield {
            "name": entry.name,
            "title": entry.title,
            "description": entry.description,
            "source": f"MCPResource {entry.source}",
            "uri": uri,
            "mimeType": entry.mime_type,
        }


def describe_findings(entries: Iterable[Entry], texts: Mapping[str, str], folder: str) -> list[dict[str, Any]]:
    """The findings with the lines around each. ``texts`` are the files by name, ``folder`` is the working directory."""
    found = []
    for entry in list(entries)[:MAX_FINDINGS]:
        place = entry.place
        described: dict[str, Any] = {
            "level": entry.level.value,
            "reason": entry.reason.value,
            "message": entry.message,
            "subject": str(entry.subject),
            "path": entry.path,
        }
        if place is not None:
            lines = texts.get(place.file, "").splitlines()
            first = max(0, place.line - 1 - AROUND)
            described |= {
                "file": place.file,
                "line": place.line,
                "column": place.column,
                "absolute": str(PurePath(folder) / place.file),
                "firstLine": first + 1,
                "excerpt": [line[:400] for line in lines[first : place.line + AROUND]],
            }
        found.append(described)
    return found
