"""PURE. A catalog made ready to serve: entries by name, compiled schemas, and every list as bytes, once.

One `Serving` a catalog: it is swapped whole, so that a request sees one catalog from its beginning to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import jsonschema_rs

from crd.published import catalogs
from crd.published.entries import HttpResource, Operation
from runtime.backends.faults import CallError
from runtime.mcp import lists, param_headers, uri_templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.published.catalogs import Catalog
    from crd.published.entries import InlineResource, Prompt, Tool
    from runtime.backends.http_mapping.replies import Reply
    from runtime.mcp.context import Context
    from runtime.mcp.lists import Schemas
    from runtime.mcp.param_headers import Mirror

__all__ = ["Backends", "Serving"]

MAX_DEPTH = 32


class Backends(Protocol):
    """Whoever calls the backends, with the policies of their entries. Any method may raise CallError."""

    async def call(self, tool: Tool, arguments: Mapping[str, Any], context: Context) -> dict[str, Any]:
        """The result of tools/call. Raises RpcError too, where the backend speaks MCP itself."""
        ...

    async def read(self, resource: HttpResource, values: Mapping[str, str], context: Context) -> Reply:
        """The content of a resource."""
        ...

    async def operate(
        self, operation: Operation, values: Mapping[str, str], body: bytes | None, context: Context
    ) -> Reply:
        """The backend's reply, whatever its status."""
        ...


def _no_retrieval(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of the schema, and nothing is fetched")


@dataclass(frozen=True, slots=True)
class Serving:
    """``pages`` holds the result of each list as bytes, by method, era and cursor; ``resources`` are the inline ones.

    ``doors`` are the tools that answer below the endpoint, by path.
    """

    catalog: Catalog
    digest: str
    tools: Mapping[str, Tool]
    prompts: Mapping[str, Prompt]
    resources: Mapping[str, InlineResource]
    doors: Mapping[str, Tool]
    mirrors: Mapping[str, tuple[Mirror, ...]]
    validators: Mapping[str, jsonschema_rs.Draft202012Validator]
    pages: Mapping[tuple[str, bool, str | None], bytes]

    @classmethod
    def of(cls, payload: bytes, schemas: Schemas = lists.AS_WRITTEN) -> Serving:
        """Read and compile a published catalog. Raises InvalidCatalogError, or ValueError for a schema in it."""
        catalog = catalogs.load(payload)
        digest = catalogs.digest(payload)
        return cls(
            catalog,
            digest,
            {tool.name: tool for tool in catalog.tools},
            {prompt.name: prompt for prompt in catalog.prompts},
            {resource.uri: resource for resource in catalog.resources},
            {tool.ingress_path: tool for tool in catalog.tools if tool.ingress_path},
            {tool.name: param_headers.of_schema(tool.input_schema) for tool in catalog.tools},
            {
                tool.name: jsonschema_rs.Draft202012Validator(schemas.input(tool), retriever=_no_retrieval)
                for tool in catalog.tools
            },
            lists.pages(catalog, digest, schemas),
        )

    def check(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the defaults of the inputSchema in place; a backend that speaks MCP fills in its own.

        Raises CallError ``invalid_arguments`` with the place and the rule; never with the value.
        """
        entry = self.tools[tool]
        filled = dict(arguments) if entry.mcp else _filled(entry.input_schema, arguments, MAX_DEPTH)
        error = next(iter(self.validators[tool].iter_errors(filled)), None)
        if error is not None:
            place = "".join(f"/{step}" for step in error.instance_path) or "/"
            rule = "".join(f"/{step}" for step in error.schema_path)
            raise CallError("invalid_arguments", f"{place}: breaks {rule} of the inputSchema")
        return filled

    def backed(self, uri: str) -> tuple[HttpResource | Operation, dict[str, str]] | None:
        """What a backend answers at a URI, with the values in it. A URI that stands there as it is comes first."""
        found: tuple[HttpResource | Operation, dict[str, str]] | None = None
        entries: tuple[HttpResource | Operation, ...] = (*self.catalog.http_resources, *self.catalog.operations)
        for entry in entries:
            pattern = entry.uri if isinstance(entry, HttpResource) else entry.uri_template
            if pattern == uri:
                return entry, {}
            if found is None and pattern and uri_templates.is_template(pattern):
                values = uri_templates.match(pattern, uri)
                found = None if values is None else (entry, values)
        return found

    def completes(self, uri: str) -> bool:
        """Whether arguments of a resource template may be asked for: it is served, as a template or as it is."""
        written = {entry.uri for entry in self.catalog.http_resources}
        written |= {entry.uri_template for entry in self.catalog.operations if entry.uri_template}
        return uri in written or uri in self.resources


def _filled(schema: Mapping[str, Any], value: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """An object with the defaults of its absent properties."""
    properties = schema.get("properties")
    filled = dict(value)
    if not isinstance(properties, dict) or not depth:
        return filled
    for name, child in properties.items():
        if not isinstance(child, dict):
            continue
        if name not in filled and "default" in child:
            filled[name] = child["default"]
        elif isinstance(filled.get(name), dict):
            filled[name] = _filled(child, filled[name], depth - 1)
    return filled
