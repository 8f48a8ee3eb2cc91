"""``mcp-operator export server-json``: the servers of files in the format of the MCP registry.

Exit codes: 0 printed; 2 no server has an address outside of the cluster.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from cli.check.formats import text
from cli.commands import files
from cli.export import server_json
from cli.manifests import transaction
from crd.models.server import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

__all__ = ["run"]


def run(paths: Sequence[str], server: str | None, namespace: str, *, out: TextIO, err: TextIO) -> int:
    """Print a JSON array with one document for each server, or one document for a ``server`` by its name."""
    try:
        reading = files.read(paths, io.BytesIO())
    except files.UnreadableError as error:
        print(f"mcp-operator export: {text.escape(str(error))}", file=err)
        return 2
    sorted_ = transaction.sort_documents(reading.documents, reading.faults, namespace)
    found = []
    for item in sorted(sorted_.objects, key=lambda each: each.ref):
        if not isinstance(item.spec, ServerSpec) or server not in (None, item.ref.name, item.ref.key):
            continue
        document = server_json.describe(item, item.spec)
        if document is None:
            print(f"{item.ref} has no ingress, so it has no address for clients; it is left out", file=err)
        else:
            found.append(document)
    if not found:
        which = "MCPServer" if server is None else f'MCPServer "{server}"'
        message = f"no {which} with an ingress in the files; add spec.ingress, which gives a server its address"
        print(f"mcp-operator export: {text.escape(message)}", file=err)
        return 2
    printed = found[0] if server is not None and len(found) == 1 else found
    out.write(text.escape_json(json.dumps(printed, indent=2, ensure_ascii=False)) + "\n")
    return 0
