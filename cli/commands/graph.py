"""Draw which server exposes what, backed by which Service: of files, of a cluster, or of files in a cluster.

Exit codes: 0 drawn; 1 drawn, but for documents that cannot be read; 2 nothing to draw.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.check.formats import text
from cli.commands import documents
from cli.graph import drawing, exposure
from cli.manifests import judgement, transaction

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO, TextIO

__all__ = ["Options", "run"]


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked. Without ``paths``, the cluster alone is drawn."""

    paths: tuple[str, ...]
    format: str = "text"
    live: bool = False
    context: str | None = None
    kubeconfig: Path | None = None


def run(options: Options, *, stdin: BinaryIO, out: TextIO, err: TextIO) -> int:
    """Print the drawing."""
    try:
        reading = documents.read(options.paths, stdin)
    except documents.UnreadableError as error:
        return _unable(str(error), err)
    sorted_ = transaction.sort(reading.documents, reading.faults)
    cluster = judgement.Cluster({}, ())
    if options.live:
        from cli.commands import live  # what talks to clusters takes long to load

        try:
            cluster = asyncio.run(live.read(options.context, options.kubeconfig))
        except live.UnreachableError as error:
            return _unable(str(error), err)
    for entry in sorted_.entries:
        print(text.line(entry), file=err)
    catalog, objects = judgement.together(sorted_, cluster)
    if not objects:
        return _unable(f"no {' or '.join(transaction.JUDGED)} in {', '.join(options.paths) or 'the cluster'}", err)
    found = exposure.picture(catalog, objects, judgement.standing(catalog, objects))
    out.write(drawing.FORMATS[options.format](found))
    return 1 if sorted_.entries else 0


def _unable(message: str, err: TextIO) -> int:
    print(f"mcp-operator graph: {message}", file=err)
    return 2
