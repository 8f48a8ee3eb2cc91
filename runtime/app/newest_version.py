"""Which catalog is the newest, as the status of the MCPServer says: a pod that has just started loads no older one.

Whoever may write ConfigMaps can put an old catalog back, with its signature. A pod remembers the order of catalogs
while it runs. Before it has loaded the first one, the status is its memory, which only the controller writes.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from cluster import objects, resources
from cluster.transport import ApiError
from crd.published import signature

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cluster.transport import Transport
    from crd.published.signature import Order

__all__ = ["learn"]

logger = logging.getLogger(__name__)

# Seconds between two attempts.
RETRY, LONGEST_RETRY = 1.0, 60.0


async def learn(
    transport: Transport,
    *,
    namespace: str,
    server: str,
    uid: str,
    seconds: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Order | None:
    """The order by the status of the MCPServer with this UID; None if it says none. Asks until there is an answer.

    ``seconds`` is Unix time. Without an answer nothing is known, so an API server that is down, or a Role of an older
    version, keeps no pod from serving.
    """
    delay, told = RETRY, ""
    while True:
        try:
            found = await objects.get(transport, resources.SERVERS, namespace, server)
        except (ApiError, TimeoutError, OSError) as error:
            message = f"{type(error).__name__}: {error}"
            if message != told:
                logger.warning("the newest version of the catalog is not known: %s; asking again", message)
            told = message
            await sleep(delay)
            delay = min(delay * 2, LONGEST_RETRY)
            continue
        if found is None or found["metadata"].get("uid") != uid:
            return None
        return signature.read_order((found.get("status") or {}).get("catalogVersion"), seconds())
