"""The webhook's own certificate: signed in memory by the CA in the Secret, renewed at half its life or with the CA."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING

import aiohttp

from certs import authority, issuance, secret
from certs.tls import HotContext
from cluster import objects, resources
from cluster.transport import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from certs.authority import Pair
    from cluster.transport import Transport

__all__ = ["Keeper", "names"]

logger = logging.getLogger(__name__)

# Time is judged by the wall clock, often: a machine that was suspended must not miss its renewal.
INTERVAL = 20.0
FIRST_INTERVAL = 0.5


def names(service: str, namespace: str, extra: Sequence[str] = ()) -> tuple[str, ...]:
    """What the API server may call the webhook by: the Service's names, and further hosts or addresses."""
    return (
        f"{service}.{namespace}.svc",
        f"{service}.{namespace}.svc.cluster.local",
        f"{service}.{namespace}",
        service,
        *extra,
    )


class Keeper:
    """Holds the certificate in use. Reads one Secret; writes nothing."""

    def __init__(
        self, transport: Transport, *, namespace: str, name: str, hosts: Sequence[str], now: Callable[[], datetime]
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._name = name
        self._hosts = tuple(hosts)
        self._now = now
        self._signer: Pair | None = None
        self._leaf: Pair | None = None
        self.context: HotContext | None = None

    async def first(self) -> HotContext:
        """Wait for the CA, however long it takes to be made, and sign with it."""
        while self.context is None:
            await self._renew()
            if self.context is None:
                await asyncio.sleep(FIRST_INTERVAL)
        return self.context

    async def run(self) -> None:
        """Renew for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self._renew()

    async def _renew(self) -> None:
        try:
            found = await objects.get(self._transport, resources.SECRETS, self._namespace, self._name)
        except (ApiError, TimeoutError, OSError, aiohttp.ClientError) as error:
            logger.warning("reading the CA in Secret %s/%s: %s", self._namespace, self._name, error)
            return
        ca, now = secret.parse(found), self._now()
        if ca is None or not authority.is_alive(ca.current.certificate, now):
            logger.info("waiting for a CA in Secret %s/%s", self._namespace, self._name)
            return
        if self._leaf and ca.current == self._signer and not authority.renewal_due(self._leaf.certificate, now, 1 / 2):
            return
        try:
            pair = issuance.leaf(ca.current, self._hosts, now)
            if self.context is None:
                self.context = HotContext(pair)
            else:
                self.context.swap(pair)
        except (ValueError, TypeError, ssl.SSLError):
            logger.exception("the CA in Secret %s/%s cannot sign", self._namespace, self._name)
            return
        self._signer, self._leaf = ca.current, pair
        logger.info("signed a certificate for %s", self._hosts[0])
