"""PURE. A published catalog, compiled for serving: entries by name, compiled schemas, and every list as bytes.

The catalog in force is replaced as a whole, so one request sees one catalog from beginning to end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crd.published import catalogs
from crd.published.entries import HttpResource, Operation
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import mapping
from runtime.mcp import eras, json_schema, lists, param_headers, uri_templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.published.catalogs import Catalog
    from crd.published.entries import InlineResource, Prompt, Tool
    from runtime.mcp.json_schema import Validator
    from runtime.mcp.param_headers import ParamHeader

__all__ = ["CompiledCatalog"]


@dataclass(frozen=True, slots=True)
class CompiledCatalog:
    """``tools``, ``prompts``, ``param_headers`` and ``validators`` by name; ``resources``, the inline ones, by URI.

    ``rest_tools`` are the tools that have a REST path, by that path. ``pages`` holds the results of lists as bytes, by
    method, era (True: stateless) and cursor. ``server_info`` is the server as an MCP Implementation, in the stateless
    era.
    """

    catalog: Catalog
    digest: str
    tools: Mapping[str, Tool]
    prompts: Mapping[str, Prompt]
    resources: Mapping[str, InlineResource]
    rest_tools: Mapping[str, Tool]
    param_headers: Mapping[str, tuple[ParamHeader, ...]]
    validators: Mapping[str, Validator]
    pages: Mapping[tuple[str, bool, str | None], bytes]
    server_info: Mapping[str, str]

    @classmethod
    def load(cls, payload: bytes) -> CompiledCatalog:
        """Read and compile a published catalog. Raises InvalidCatalogError, or ValueError for an invalid schema."""
        catalog = catalogs.load(payload)
        digest = catalogs.digest(payload)
        return cls(
            catalog,
            digest,
            tools={tool.name: tool for tool in catalog.tools},
            prompts={prompt.name: prompt for prompt in catalog.prompts},
            resources={resource.uri: resource for resource in catalog.resources},
            rest_tools={tool.ingress_path: tool for tool in catalog.tools if tool.ingress_path},
            param_headers={tool.name: param_headers.of_schema(tool.input_schema) for tool in catalog.tools},
            validators={
                tool.name: json_schema.compile_schema(mapping.listed_input_schema(tool)) for tool in catalog.tools
            },
            pages=lists.build_pages(catalog, digest),
            server_info=lists.implementation(catalog, eras.MODERN),
        )

    def check_arguments(self, tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the defaults of the inputSchema. An MCP backend fills in its own defaults.

        Raises CallError ``invalid_arguments`` with every fault, each with its JSON Pointer, without the values.
        """
        filled = dict(arguments) if tool.mcp else json_schema.fill_defaults(tool.input_schema, arguments)
        faults = json_schema.describe_faults(self.validators[tool.name], filled)
        if faults is not None:
            raise CallError("invalid_arguments", faults)
        return filled

    def find_backed_resource(self, uri: str) -> tuple[HttpResource | Operation, dict[str, str]] | None:
        """The resource that a backend serves at a URI, with the values of its template's variables.

        A resource with exactly this URI takes precedence over a template.
        """
        match: tuple[HttpResource | Operation, dict[str, str]] | None = None
        entries: tuple[HttpResource | Operation, ...] = (*self.catalog.http_resources, *self.catalog.operations)
        for entry in entries:
            pattern = entry.uri if isinstance(entry, HttpResource) else entry.uri_template
            if pattern == uri:
                return entry, {}
            if match is None and pattern and uri_templates.is_template(pattern):
                values = uri_templates.match(pattern, uri)
                match = None if values is None else (entry, values)
        return match

    def has_resource(self, uri: str) -> bool:
        """Whether the lists contain this URI or URI template."""
        backed = {entry.uri for entry in self.catalog.http_resources}
        backed |= {entry.uri_template for entry in self.catalog.operations if entry.uri_template}
        return uri in backed or uri in self.resources
