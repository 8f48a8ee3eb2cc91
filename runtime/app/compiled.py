"""PURE. A published catalog, compiled for serving: entries by name, compiled schemas, and every list as bytes.

The catalog in force is replaced as a whole, so one request sees one catalog from beginning to end.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from crd.published import catalogs
from crd.published.entries import HttpResource, Operation
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import mapping
from runtime.mcp import eras, json_schema, lists, numbers, param_headers, uri_templates
from runtime.mcp.json_schema import Completion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.published.catalogs import Catalog
    from crd.published.entries import InlineResource, Prompt, Tool
    from runtime.mcp.json_schema import Validator
    from runtime.mcp.param_headers import ParamHeader

__all__ = ["CompiledCatalog"]

# Views of one catalog that are kept, each for the clients with one set of scopes.
MAX_VIEWS = 32
E = TypeVar("E", bound="Tool | Prompt | InlineResource | HttpResource | Operation")


@dataclass(frozen=True, slots=True)
class CompiledCatalog:
    """``scopes`` are those that entries require.

    ``tools``, ``prompts``, ``param_headers``, ``validators`` and ``completions`` by name; ``resources``, the inline
    ones, by URI.

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
    completions: Mapping[str, Completion]
    pages: Mapping[tuple[str, bool, str | None], bytes]
    server_info: Mapping[str, str]

    scopes: frozenset[str] = frozenset()
    _views: dict[frozenset[str], CompiledCatalog] = field(default_factory=dict, repr=False, compare=False)
    _definitions: dict[tuple[str, bool], str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, payload: bytes) -> CompiledCatalog:
        """Read and compile a published catalog. Raises InvalidCatalogError, or ValueError for an invalid schema."""
        catalog = catalogs.load(payload)
        validators = {
            tool.name: json_schema.compile_schema(mapping.accepted_input_schema(tool)) for tool in catalog.tools
        }
        completions = {tool.name: Completion(tool.input_schema) for tool in catalog.tools}
        return cls._compile(catalog, catalogs.digest(payload), validators, completions, "")

    @classmethod
    def _compile(
        cls,
        catalog: Catalog,
        digest: str,
        validators: Mapping[str, Validator],
        completions: Mapping[str, Completion],
        view: str,
    ) -> CompiledCatalog:
        """``view`` tells the cursors of one view of a catalog from those of another."""
        sections = (catalog.tools, catalog.prompts, catalog.resources, catalog.http_resources, catalog.operations)
        return cls(
            catalog,
            digest,
            tools={tool.name: tool for tool in catalog.tools},
            prompts={prompt.name: prompt for prompt in catalog.prompts},
            resources={resource.uri: resource for resource in catalog.resources},
            rest_tools={tool.ingress_path: tool for tool in catalog.tools if tool.ingress_path},
            param_headers={tool.name: param_headers.of_schema(tool.input_schema) for tool in catalog.tools},
            validators=validators,
            completions=completions,
            pages=lists.build_pages(catalog, f"{digest} {view}"),
            server_info=lists.implementation(catalog, eras.MODERN),
            scopes=frozenset(scope for section in sections for entry in section for scope in entry.required_scopes),
        )

    def visible_to(self, scopes: frozenset[str]) -> CompiledCatalog:
        """The catalog as a client with these scopes has it: without entries that require another one.

        What a client may not use is not there at all, so lists, calls, REST paths and completions agree, and answer
        as for a name that does not exist.
        """
        if not self.scopes:
            return self
        held = self.scopes & scopes
        if held == self.scopes:
            return self
        view = self._views.get(held)
        if view is None:

            def select(entries: tuple[E, ...]) -> tuple[E, ...]:
                return tuple(entry for entry in entries if held.issuperset(entry.required_scopes))

            catalog = self.catalog
            visible = replace(
                catalog,
                tools=select(catalog.tools),
                prompts=select(catalog.prompts),
                resources=select(catalog.resources),
                http_resources=select(catalog.http_resources),
                operations=select(catalog.operations),
            )
            view = self._compile(
                visible, self.digest, self.validators, self.completions, f"for {' '.join(sorted(held))}"
            )
            if len(self._views) >= MAX_VIEWS:
                del self._views[next(iter(self._views))]
            self._views[held] = view
        return view

    def definition(self, tool: Tool, *, modern: bool) -> str:
        """The digest of a tool as clients of an era see it in the list: of its object there, as JSON."""
        known = self._definitions.get((tool.name, modern))
        if known is None:
            seen = hashlib.sha256(orjson.dumps(lists.tool_entry(tool, modern))).hexdigest()
            known = self._definitions[tool.name, modern] = f"sha256:{seen}"
        return known

    def check_arguments(self, tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the defaults of the inputSchema. An MCP backend fills in its own defaults.

        Raises CallError ``invalid_arguments`` with every fault, each with its JSON Pointer, without the values.
        """
        try:
            given: dict[str, Any] = numbers.canonical(dict(arguments))
        except numbers.TooDeepError as error:
            raise CallError("invalid_arguments", str(error)) from error
        validator = self.validators[tool.name]
        if tool.mcp:
            filled, faults = given, json_schema.describe_faults(validator, given)
        else:
            filled, faults = self.completions[tool.name].complete(validator, given)
        if faults is None:
            return filled
        # What their positions in the request forbid, too: the client should learn all faults at once.
        more = mapping.find_refusals(tool, filled) if tool.mcp is None else []
        blamed = {fault.partition(":")[0] for fault in faults.split("; ")}
        more = [fault for fault in more if fault not in faults and fault.partition(":")[0] not in blamed]
        raise CallError("invalid_arguments", "; ".join([faults, *more]))

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
