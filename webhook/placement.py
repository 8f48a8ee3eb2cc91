"""Puts into the live snapshot what concerns so many objects that it takes long, in slices of the event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webhook.live_snapshot import LiveSnapshot
    from webhook.slices import Slices

__all__ = ["keep_up"]

logger = logging.getLogger(__name__)


async def keep_up(live: LiveSnapshot, slices: Slices) -> None:
    """Place what is late, until cancelled. Until this begins, and once it ends, nothing is late."""
    wanted = asyncio.Event()
    live.spread(wanted.set)
    try:
        while True:
            await wanted.wait()
            wanted.clear()
            await slices.finish(live.place_late())
    except Exception:
        logger.exception("what concerns many objects is put into the snapshot in one piece from now on")
    finally:
        live.spread(None)
