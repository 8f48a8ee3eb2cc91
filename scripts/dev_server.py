"""`mcp-operator dev` in this process, for the scripts that call what it serves."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
from typing import TYPE_CHECKING

from cli.commands import dev

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from crd.ref import Ref

__all__ = ["serving"]

STARTED = 60.0


@contextlib.asynccontextmanager
async def serving(
    folder: str, services: Mapping[Ref, str], environment: Mapping[str, str], server: str
) -> AsyncIterator[str]:
    """The URL of ``server`` (namespace/name) of a folder of manifests, whose ``services`` are at these URLs."""
    out, stop = io.StringIO(), asyncio.Event()
    options = dev.Options((folder,), port=0, services=services, environment=environment)
    task = asyncio.create_task(dev.serve(options, stop, out=out, err=sys.stderr))
    try:
        async with asyncio.timeout(STARTED):
            while "page: " not in out.getvalue():
                if task.done():
                    task.result()
                await asyncio.sleep(0.02)
        yield f"{out.getvalue().partition('page: ')[2].partition('/#')[0]}/{server}/mcp"
    finally:
        stop.set()
        await task
