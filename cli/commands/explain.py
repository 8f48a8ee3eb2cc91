"""``mcp-operator explain``: the HTTP request of a tool call, offline, and which field of the spec makes each part.

Exit codes: 0 explained; 1 the runtime would refuse the call; 2 nothing to explain.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cli.check.formats import text
from cli.commands import files
from cli.explain import rendering
from cli.explain.rehearsal import rehearse
from cli.manifests import compilations, transaction
from crd.compiler import assembly
from crd.compiler.members import compile_member
from crd.finding import format_path
from crd.models.tool import ToolSpec
from crd.published import catalogs
from crd.ref import Kind
from runtime.app.compiled import CompiledCatalog
from runtime.backends.faults import CallError
from runtime.mcp import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, TextIO

    from cli.manifests.transaction import Transaction
    from crd.manifest import Object
    from crd.published.entries import Tool

__all__ = ["Options", "UnableError", "find", "run"]


class UnableError(Exception):
    """There is nothing to explain; the message gives the cause."""


@dataclass(frozen=True, slots=True)
class Options:
    """``tool`` is the name of an MCPTool, with or without its namespace, or a name that clients see."""

    tool: str
    arguments: str = "{}"
    claims: str = "{}"
    paths: tuple[str, ...] = (".",)
    format: Literal["text", "json"] = "text"
    namespace: str = "default"


@dataclass(frozen=True, slots=True)
class _Served:
    """A tool as one server has it; ``server`` is empty if no server selects it."""

    item: Object
    server: str
    compiled: CompiledCatalog
    tool: Tool


def run(options: Options, *, stdin: BinaryIO, out: TextIO, err: TextIO) -> int:
    """Print the request and return the exit code."""
    try:
        arguments, claims = _parse("--args", options.arguments), _parse("--claims", options.claims)
        reading = files.read(options.paths, stdin)
        sorted_ = transaction.sort_documents(reading.documents, reading.faults, options.namespace)
        found = find(sorted_, options)
    except (UnableError, files.UnreadableError) as error:
        print(f"mcp-operator explain: {text.escape(str(error))}", file=err)
        return 2
    spec = sorted_.origins[found.item.ref].raw.get("spec") or {}
    place = sorted_.locate(found.item.ref, ())
    title = rendering.Title(
        str(found.item.ref), f"{place.file}:{place.line}" if place else "", found.tool.name, found.server
    )
    try:
        explained = asyncio.run(rehearse(found.compiled, found.tool, arguments, claims, spec))
    except CallError as fault:
        if options.format == "json":
            error_ = {"code": fault.code, "message": fault.message}
            out.write(text.escape_json(json.dumps({**title.to_json(), "error": error_}, indent=2)) + "\n")
        else:
            print(f"mcp-operator explain: {title.name} would not be called: {text.escape(fault.message)}", file=err)
        return 1
    if options.format == "json":
        document = {**title.to_json(), **explained.to_json()}
        out.write(text.escape_json(json.dumps(document, indent=2, ensure_ascii=False)) + "\n")
    else:
        out.write(rendering.render(title, explained))
    return 0


def _parse(option: str, words: str) -> dict[str, Any]:
    try:
        found = numbers.loads(words.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise UnableError(f"{option} must be JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnableError(f'{option} must be a JSON object, such as {{"id": 7}}')
    return found


def find(sorted_: Transaction, options: Options) -> _Served:
    """The tool with the wanted name. Raises UnableError if there is none, or more than one object."""
    tools = [item for item in sorted_.objects if item.ref.kind is Kind.TOOL]
    wanted, where = options.tool, ", ".join(options.paths)
    served = list(_serve(sorted_))
    named = {item.ref for item in tools if wanted in (item.ref.name, item.ref.key, item.served_name)}
    named |= {each.item.ref for each in served if each.tool.name == wanted}
    if not named:
        names = ", ".join(sorted(item.ref.key for item in tools)[:10]) or "none"
        raise UnableError(f'no MCPTool "{wanted}" in {where}; there are: {names}')
    if len(named) > 1:
        raise UnableError(f'"{wanted}" is ambiguous; use one of {", ".join(sorted(ref.key for ref in named))}')
    ref = named.pop()
    item = next(item for item in tools if item.ref == ref)
    errors = compile_member(item).errors
    if errors or not isinstance(item.spec, ToolSpec):
        found = f"{format_path(errors[0].path)}: {errors[0].message}" if errors else "its spec cannot be read"
        raise UnableError(f"{ref} would be refused: {found} (mcp-operator check {where} lists everything)")
    chosen = [each for each in served if each.item.ref == ref]
    chosen.sort(key=lambda each: each.tool.name != wanted)
    served_ = chosen[0] if chosen else _alone(sorted_, item, item.spec)
    if served_.tool.backend.port == 0:
        service = f"{item.spec.service.namespace or ref.namespace}/{item.spec.service.name}"
        raise UnableError(
            f'{ref} names port "{item.spec.service.port}" of Service {service}; add a file with that port of the '
            "Service, or use a number"
        )
    return served_


def _serve(sorted_: Transaction) -> Iterator[_Served]:
    """Every tool of every server."""
    objects = {item.ref.key: item for item in sorted_.objects if item.ref.kind is Kind.TOOL}
    snapshot = compilations.snapshot_of(sorted_.objects, sorted_.facts)
    members = compilations.compile_members(sorted_.objects)
    for server, compilation in compilations.compile_servers(sorted_.objects, members, snapshot).items():
        compiled = CompiledCatalog.load(compilation.text())
        for tool in compiled.tools.values():
            yield _Served(objects[tool.source], str(server), compiled, tool)


def _alone(sorted_: Transaction, item: Object, spec: ToolSpec) -> _Served:
    """A tool that no server of the files serves."""
    snapshot = compilations.snapshot_of(sorted_.objects, sorted_.facts)
    entry = assembly.tool(item.ref, item.served_name, spec, snapshot, "")
    compiled = CompiledCatalog.load(catalogs.dump(catalogs.Catalog("", tools=(entry,))))
    return _Served(item, "", compiled, compiled.tools[entry.name])
