"""``mcp-operator import mcp``: makes MCPTools of the tools of an MCP server, and pins them.

Exit codes: as for ``import openapi``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cli.check.formats import text
from cli.commands import imports, mcp_servers
from cli.commands.contents import Contents, RefusedError
from cli.commands.imports import Output, Previous, UnreadableError
from cli.commands.mcp_servers import NotStartedError
from cli.imports import mcp_tools
from cli.imports.mcp_tools import Credential
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TextIO

    from runtime.backends.mcp.tool_pages import Listing

__all__ = ["Options", "Source", "run"]

# Of a file with the value of a header.
MAX_VALUE = 1024 * 1024
_SCHEMES = ("Bearer ", "Basic ")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the value of a header comes from: a variable of the environment, or a file."""

    header: str
    variable: str = ""
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command: the ``url`` of the server, or the ``command`` that starts it.

    ``environment`` is that of the command. ``variables`` are those that headers may come from.
    """

    tools: mcp_tools.Options
    url: str = ""
    command: tuple[str, ...] = ()
    headers: tuple[Source, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 60.0
    output: Output = field(default_factory=Output)


def run(options: Options, *, out: TextIO, err: TextIO) -> int:
    """Write the manifests, tell what became of every tool, and return the exit code."""
    try:
        previous = Previous.read(options.output)
        previous.require_namespace(options.output.file, options.tools.placement.namespace)
        headers = {source.header: _value(source, options.variables) for source in options.headers}
        listing = asyncio.run(_list(options, tuple(headers.items())))
    except (UnreadableError, NotStartedError) as error:
        print(f"mcp-operator import: {text.escape(str(error))}", file=err)
        return 2
    if listing.fault:
        where = options.url or options.command[0]
        message = f"the tools of {where} cannot be listed: {listing.fault}"
        for value in headers.values():
            message = message.replace(value, "…")
        print(f"mcp-operator import: {text.escape(message)}", file=err)
        return 2
    others = sorted(listing.capabilities & {"prompts", "resources"})
    if others:
        print(f"note: the server also has {' and '.join(others)}, which are not imported", file=err)
    credentials = tuple(_credential(name, value) for name, value in headers.items())
    settings = replace(options.tools, names=mcp_tools.names_of(previous.base), credentials=credentials)
    made = mcp_tools.import_tools(listing.tools, settings)
    namespace = options.tools.placement.namespace
    return imports.write(made, previous, options.output, namespace, out, err, noun="tool", source="the server")


async def _list(options: Options, headers: tuple[tuple[str, str], ...]) -> Listing:
    if options.command:
        return await mcp_servers.list_of(options.command, options.environment, options.timeout)
    return await mcp_servers.list_at(options.url, headers, options.tools.protocol, options.timeout)


def _value(source: Source, variables: Mapping[str, str]) -> str:
    """The value of a header. Raises UnreadableError, which does not show it."""
    if source.file is not None:
        try:
            read = Contents(MAX_VALUE).read(source.file, named=True) or b""
            value = read.decode().removesuffix("\n").removesuffix("\r")
        except RefusedError as error:
            raise UnreadableError(f"{source.file}: {error}") from error
        except UnicodeDecodeError as error:
            raise UnreadableError(f"{source.file}: not UTF-8") from error
    else:
        value = variables.get(source.variable, "")
    if not value:
        where = source.file or f"the variable {source.variable}"
        raise UnreadableError(f"the header {source.header} has no value: {where} is empty")
    try:
        return escaping.check_header(source.header, value)
    except CallError as error:
        raise UnreadableError(f"the value of the header {source.header} is not one") from error


def _credential(name: str, value: str) -> Credential:
    prefix = next((scheme for scheme in _SCHEMES if value.startswith(scheme)), "")
    return Credential(name, name.lower(), prefix)
