"""PURE. A published catalog, compiled for serving: entries by name, compiled schemas, and every list as bytes.

The catalog in force is replaced as a whole, so one request sees one catalog from beginning to end.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from crd.clients import tolerances
from crd.published import loading
from crd.published.entries import HttpResource, Operation
from crd.published.loading import Loaded
from crd.steps import finish
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import mapping
from runtime.mcp import eras, json_schema, lists, numbers, param_headers, uri_templates
from runtime.mcp.json_schema import Completion
from runtime.mcp.lists import ToolTexts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.clients.tolerances import Fault
    from crd.published.catalogs import Catalog
    from crd.published.entries import InlineResource, Prompt, Tool
    from crd.steps import Steps
    from runtime.mcp.json_schema import Validator
    from runtime.mcp.param_headers import ParamHeader

__all__ = ["CompiledCatalog"]

# Tools that are rendered in one step.
STEP = 32
# Views of one catalog that are kept, each for the clients with one set of scopes.
MAX_VIEWS = 32
E = TypeVar("E", bound="Tool | Prompt | InlineResource | HttpResource | Operation")


class _Schemas:
    """What is made of the inputSchema of a tool when the tool is called first."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools
        self._made: dict[str, tuple[Validator, Completion]] = {}
        self._headers: dict[str, tuple[ParamHeader, ...]] = {}

    def of(self, name: str) -> tuple[Validator, Completion]:
        """The validator and the defaults. Raises ValueError for an invalid schema."""
        made = self._made.get(name)
        if made is None:
            tool = self._tools[name]
            validator = json_schema.compile_schema(mapping.accepted_input_schema(tool))
            made = self._made[name] = (validator, Completion(tool.input_schema))
        return made

    def headers_of(self, name: str) -> tuple[ParamHeader, ...]:
        """The arguments that are repeated in headers."""
        headers = self._headers.get(name)
        if headers is None:
            headers = self._headers[name] = param_headers.of_schema(self._tools[name].input_schema)
        return headers


@dataclass(frozen=True, slots=True)
class CompiledCatalog:
    """``scopes`` are those that entries require.

    ``tools`` and ``prompts`` by name; ``resources``, the inline ones, by URI.

    ``rest_tools`` are the tools that have a REST path, by that path. ``pages`` holds the results of lists as bytes, by
    method, era (True: stateless) and cursor; ``list_digests`` has a digest of the entries of each list, by method and
    era. ``server_info`` is the server as an MCP Implementation, in the stateless era; ``modern_meta`` the ``_meta`` of
    a result with nothing else in it. ``tolerated`` are the faults of clients that are read as what the client means.
    """

    catalog: Catalog
    digest: str
    tools: Mapping[str, Tool]
    prompts: Mapping[str, Prompt]
    resources: Mapping[str, InlineResource]
    rest_tools: Mapping[str, Tool]
    pages: Mapping[tuple[str, bool, str | None], bytes]
    list_digests: Mapping[tuple[str, bool], bytes]
    server_info: Mapping[str, str]
    modern_meta: orjson.Fragment
    tolerated: frozenset[Fault]
    schemas: _Schemas
    _loaded: Loaded
    _texts: ToolTexts

    scopes: frozenset[str] = frozenset()
    _views: dict[frozenset[str], CompiledCatalog] = field(default_factory=dict, repr=False, compare=False)
    _definitions: dict[tuple[str, bool], str] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, payload: bytes) -> CompiledCatalog:
        """Read and compile a published catalog. Raises InvalidCatalogError."""
        return finish(cls.load_in_steps(payload.split(b"\n"), None))

    @classmethod
    def load_in_steps(cls, lines: list[bytes], before: CompiledCatalog | None) -> Steps[CompiledCatalog]:
        """The same with pauses. What the catalog ``before`` has already is not made again.

        Schemas are compiled when their tool is called first.
        """
        loaded = yield from loading.load(lines, before._loaded if before is not None else None)
        texts = ToolTexts()
        for number, tool in enumerate(loaded.catalog.tools):
            texts.add(tool, before._texts if before is not None else None)
            if number % STEP == 0:
                yield
        schemas = _Schemas({tool.name: tool for tool in loaded.catalog.tools})
        return (yield from cls._compile(loaded, texts, schemas, ""))

    @classmethod
    def _compile(cls, loaded: Loaded, texts: ToolTexts, schemas: _Schemas, view: str) -> Steps[CompiledCatalog]:
        """``view`` tells the cursors of one view of a catalog from those of another."""
        catalog = loaded.catalog
        sections = (catalog.tools, catalog.prompts, catalog.resources, catalog.http_resources, catalog.operations)
        pages = yield from lists.build_pages_in_steps(catalog, f"{loaded.digest} {view}", texts)
        list_digests = yield from lists.digest_lists_in_steps(catalog, texts)
        tools = {tool.name: tool for tool in catalog.tools}
        server_info = lists.implementation(catalog, eras.MODERN)
        yield
        return cls(
            catalog,
            loaded.digest,
            tools=tools,
            prompts={prompt.name: prompt for prompt in catalog.prompts},
            resources={resource.uri: resource for resource in catalog.resources},
            rest_tools={tool.ingress_path: tool for tool in catalog.tools if tool.ingress_path},
            pages=pages,
            list_digests=list_digests,
            server_info=server_info,
            modern_meta=orjson.Fragment(orjson.dumps({"io.modelcontextprotocol/serverInfo": server_info})),
            tolerated=tolerances.in_effect(catalog.settings.tolerances),
            schemas=schemas,
            _loaded=loaded,
            _texts=texts,
            scopes=frozenset(scope for section in sections for entry in section for scope in entry.required_scopes),
        )

    def visible_to(self, scopes: frozenset[str]) -> CompiledCatalog:
        """The catalog as a client with these scopes has it: without entries that require another one.

        What a client may not use is not there at all, so lists, calls, REST paths and completions agree, and answer
        as for a name that does not exist.
        """
        if not self.scopes:
            return self
        return finish(self.view_in_steps(scopes))

    def view_in_steps(self, scopes: frozenset[str]) -> Steps[CompiledCatalog]:
        """The same with pauses, if the view is not there yet."""
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
            loaded = Loaded(visible, self.digest)
            view = yield from self._compile(loaded, self._texts, self.schemas, f"for {' '.join(sorted(held))}")
            if len(self._views) >= MAX_VIEWS:
                del self._views[next(iter(self._views))]
            self._views[held] = view
        return view

    def definition(self, tool: Tool, *, modern: bool) -> str:
        """The digest of a tool as clients of an era see it in the list: of its object there, as JSON."""
        known = self._definitions.get((tool.name, modern))
        if known is None:
            seen = hashlib.sha256(self._texts.of(tool, modern=modern)).hexdigest()
            known = self._definitions[tool.name, modern] = f"sha256:{seen}"
        return known

    def take_apart(self) -> list[list[Any]]:
        """What is large in a catalog that is no longer used, so that it can be freed piece by piece."""
        lines = list(self._loaded.lines.values())
        return [list(lines), list(self.catalog.tools), self._texts.values(), list(self.pages.values())]

    def param_headers(self, tool: Tool) -> tuple[ParamHeader, ...]:
        """The headers in which clients repeat arguments of a tool."""
        return self.schemas.headers_of(tool.name)

    def check_arguments(self, tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the defaults of the inputSchema. An MCP backend fills in its own defaults.

        Raises CallError ``invalid_arguments`` with every fault, each with its JSON Pointer, without the values.
        """
        try:
            given: dict[str, Any] = numbers.canonical(dict(arguments))
        except numbers.TooDeepError as error:
            raise CallError("invalid_arguments", str(error)) from error
        try:
            validator, completion = self.schemas.of(tool.name)
        except ValueError as error:
            raise CallError("misconfigured", "the inputSchema of this tool cannot be compiled") from error
        if tool.mcp:
            filled, faults = given, json_schema.describe_faults(validator, given)
        else:
            filled, faults = completion.complete(validator, given)
        if faults is None:
            return filled
        # What their positions in the request forbid, too: the client should learn all faults at once.
        more = mapping.find_refusals(tool, filled) if tool.mcp is None else []
        told = faults.split("; ")
        blamed = {fault.partition(":")[0] for fault in told}
        more = [
            fault
            for fault in more
            if fault not in faults
            and fault.partition(":")[0] not in blamed
            and fault.replace("required argument", "required property", 1) not in told
        ]
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
