"""``mcp-operator graph``: draws which MCPServer exposes what, and which Service answers.

Exit codes: 0 drawn; 1 drawn, but some documents could not be read; 2 nothing to draw.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.check.formats import text
from cli.commands import files
from cli.graph import model, rendering
from cli.manifests import transaction, validation

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO, TextIO

__all__ = ["Options", "run"]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command. Without ``paths``, only the cluster is drawn."""

    paths: tuple[str, ...]
    format: str = "text"
    live: bool = False
    context: str | None = None
    kubeconfig: Path | None = None


def run(options: Options, *, stdin: BinaryIO, out: TextIO, err: TextIO) -> int:
    """Print the graph and return the exit code."""
    try:
        reading = files.read(options.paths, stdin)
    except files.UnreadableError as error:
        return _fail(str(error), err)
    sorted_ = transaction.sort_documents(reading.documents, reading.faults)
    cluster = validation.ClusterState({}, ())
    if options.live:
        from cli.commands import live  # the Kubernetes library loads slowly: only --live waits for it

        try:
            cluster = asyncio.run(live.read(options.context, options.kubeconfig))
        except live.UnreachableError as error:
            return _fail(str(error), err)
    for entry in sorted_.entries:
        print(text.format_line(entry), file=err)
    snapshot, objects = validation.apply_to_cluster(sorted_, cluster)
    if not objects:
        return _fail(f"no {' or '.join(transaction.JUDGED)} in {', '.join(options.paths) or 'the cluster'}", err)
    graph = model.build(snapshot, objects, validation.validate_objects(snapshot, objects))
    out.write(rendering.FORMATS[options.format](graph))
    return 1 if sorted_.entries else 0


def _fail(message: str, err: TextIO) -> int:
    print(f"mcp-operator graph: {text.escape(message)}", file=err)
    return 2
