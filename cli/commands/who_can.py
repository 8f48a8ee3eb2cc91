"""``mcp-operator who-can``: who may call which tool, offline.

Exit codes: 0 printed; 1 with ``--credential``: this client may call no tool; 2 there is no server.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from cli.check.formats import text
from cli.commands import files
from cli.manifests import compilations, transaction
from cli.permissions import decisions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, TextIO

    from cli.manifests.transaction import Transaction
    from cli.permissions.decisions import Principal

__all__ = ["Options", "run"]

# How many tools a message lists.
_MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class Options:
    """``principal`` is a client to ask about; None: who may call each tool. ``server`` and ``tool`` select rows."""

    paths: tuple[str, ...]
    principal: Principal | None = None
    server: str | None = None
    tool: str | None = None
    format: Literal["text", "json"] = "text"
    namespace: str = "default"


def run(options: Options, *, stdin: BinaryIO, out: TextIO, err: TextIO) -> int:
    """Print a row for each tool of each server; the exit code."""
    try:
        reading = files.read(options.paths, stdin)
    except files.UnreadableError as error:
        print(f"mcp-operator who-can: {text.escape(str(error))}", file=err)
        return 2
    sorted_ = transaction.sort_documents(reading.documents, reading.faults, options.namespace)
    rows = [*_rows(sorted_, options)]
    if not rows:
        print(f"mcp-operator who-can: {text.escape(_tell_none(sorted_, options))}", file=err)
        return 2
    if options.format == "json":
        out.write(text.escape_json(json.dumps(rows, indent=2, ensure_ascii=False)) + "\n")
    else:
        for row in rows:
            answer = row["who"] if options.principal is None else "yes" if row["allowed"] else f"no: {row['who']}"
            print(text.escape(f"{row['server']}  {row['tool']}  {answer}"), file=out)
    return 0 if options.principal is None or any(row["allowed"] for row in rows) else 1


def _tell_none(sorted_: Transaction, options: Options) -> str:
    """Why there is no row, with what there is."""
    rows = [*_rows(sorted_, replace(options, server=None, tool=None))]
    if not rows:
        return "no MCPServer of the files serves a tool"
    servers = sorted({row["server"] for row in rows})
    if options.server is not None and not any(options.server in (key, key.partition("/")[2]) for key in servers):
        return f'no MCPServer "{options.server}" that serves a tool; there are: {", ".join(servers)}'
    tools = sorted({row["tool"] for row in _rows(sorted_, replace(options, tool=None))})
    return f'no tool "{options.tool}" is served; there are: {", ".join(tools[:_MOST_NAMES])}' + (
        f" and {len(tools) - _MOST_NAMES} more" if len(tools) > _MOST_NAMES else ""
    )


def _rows(sorted_: Transaction, options: Options) -> Iterator[dict[str, Any]]:
    snapshot = compilations.snapshot_of(sorted_.objects, sorted_.facts)
    members = compilations.compile_members(sorted_.objects)
    for server, compiled in sorted(compilations.compile_servers(sorted_.objects, members, snapshot).items()):
        if options.server not in (None, server.name, server.key):
            continue
        catalog = compiled.catalog
        auth = catalog.settings.auth
        for tool in catalog.tools:
            if options.tool not in (None, tool.name, tool.source):
                continue
            who = decisions.describe(decisions.requirement(auth, tool), auth)
            row: dict[str, Any] = {"server": server.key, "tool": tool.name, "source": tool.source, "who": who}
            if options.principal is not None:
                row["allowed"] = decisions.may_call(options.principal, auth, tool)
            yield row
