"""PURE. A catalog made ready to serve: entries by name, compiled schemas, and every list as bytes, once.

One `Serving` a catalog: it is swapped whole, so that a request sees one catalog from its beginning to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import orjson

from crd import published
from runtime import uris
from runtime.faults import CallError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Serving", "server_info"]

LIST_TTL_MS = 60_000
VERSION = "0.1.0"


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema, and nothing is fetched")


def server_info(server: str) -> dict[str, str]:
    """An MCP Implementation; the name is that of the MCPServer, ``namespace/name``."""
    return {"name": server, "version": VERSION}


@dataclass(frozen=True, slots=True)
class Serving:
    """``lists`` holds the result of each list method as bytes, by method and era."""

    catalog: published.Catalog
    digest: str
    tools: Mapping[str, published.Tool]
    prompts: Mapping[str, published.Prompt]
    resources: Mapping[str, published.InlineResource]
    validators: Mapping[str, jsonschema_rs.Draft202012Validator]
    lists: Mapping[tuple[str, bool], bytes]

    @classmethod
    def of(cls, payload: bytes) -> Serving:
        """Read and compile a published catalog. Raises InvalidCatalogError, or ValueError for a schema in it."""
        catalog = published.load(payload)
        return cls(
            catalog,
            published.digest(payload),
            {tool.name: tool for tool in catalog.tools},
            {prompt.name: prompt for prompt in catalog.prompts},
            {resource.uri: resource for resource in catalog.resources},
            {
                tool.name: jsonschema_rs.Draft202012Validator(tool.input_schema, retriever=_no_retrieval)
                for tool in catalog.tools
            },
            {(method, modern): body for modern in (True, False) for method, body in _lists(catalog, modern).items()},
        )

    def check(self, tool: str, arguments: Mapping[str, Any]) -> None:
        """Raises CallError ``invalid_arguments`` with the place and the rule; never with the value."""
        error = next(iter(self.validators[tool].iter_errors(dict(arguments))), None)
        if error is not None:
            place = "".join(f"/{step}" for step in error.instance_path) or "/"
            rule = "".join(f"/{step}" for step in error.schema_path)
            raise CallError("invalid_arguments", f"{place}: breaks {rule} of the inputSchema")

    def operation(self, uri: str) -> tuple[published.Operation, dict[str, str]] | None:
        """The operation that is served at a URI, with the values in it."""
        for operation in self.catalog.operations:
            if operation.uri_template:
                values = uris.match(operation.uri_template, uri)
                if values is not None:
                    return operation, values
        return None


def _lists(catalog: published.Catalog, modern: bool) -> dict[str, bytes]:
    plain = [o for o in catalog.operations if o.uri_template and not uris.is_template(o.uri_template)]
    templates = [o for o in catalog.operations if uris.is_template(o.uri_template)]
    lists: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "tools/list": ("tools", [_tool(tool) for tool in catalog.tools]),
        "prompts/list": ("prompts", [_prompt(prompt) for prompt in catalog.prompts]),
        "resources/list": (
            "resources",
            [*map(_resource, catalog.resources), *(_operation(o, "uri") for o in plain)],
        ),
        "resources/templates/list": ("resourceTemplates", [_operation(o, "uriTemplate") for o in templates]),
    }
    around = {
        "resultType": "complete",
        "ttlMs": LIST_TTL_MS,
        "cacheScope": "private",
        "_meta": {"io.modelcontextprotocol/serverInfo": server_info(catalog.server)},
    }
    return {
        method: orjson.dumps({member: entries, **(around if modern else {})})
        for method, (member, entries) in lists.items()
    }


def _tool(tool: published.Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description or tool.name, "inputSchema": tool.input_schema}


def _prompt(prompt: published.Prompt) -> dict[str, Any]:
    arguments = [{"name": v.name, "description": v.description, "required": v.required} for v in prompt.variables]
    return {"name": prompt.name, "description": prompt.description or prompt.name, "arguments": arguments}


def _resource(resource: published.InlineResource) -> dict[str, Any]:
    described = {"description": resource.description} if resource.description else {}
    return {"uri": resource.uri, "name": resource.name, **described, "mimeType": resource.mime_type}


def _operation(operation: published.Operation, member: str) -> dict[str, Any]:
    described = {"description": operation.description} if operation.description else {}
    return {member: operation.uri_template, "name": operation.name, **described}
