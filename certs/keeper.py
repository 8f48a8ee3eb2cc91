"""Holds the certificates that the webhook serves with, and the keys of its paths. Writes nothing.

Where the certificates come from is up to `certs.leaf.SigningKeeper` and `certs.issued.IssuedKeeper`.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from cryptography import x509

from certs import secret
from certs.acceptance import AcceptedKeys
from cluster import objects, resources
from cluster.transport import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from certs.tls import HotContext
    from cluster.transport import Transport

__all__ = ["Keeper"]

logger = logging.getLogger(__name__)

# The validity is checked by the wall clock, often: a machine that was suspended must not miss its renewal.
INTERVAL = 10.0
FIRST_INTERVAL = 0.5


class Keeper(ABC):
    """Reads Secrets of one namespace, and the CA of clients if there is one.

    ``context`` serves reviews, ``next_context`` the proof of what will be registered next; both are None until there is
    a certificate. ``keys`` are the keys of the paths under which reviews are answered.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str,
        now: Callable[[], datetime],
        client_ca: Path | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._now = now
        self._client_ca = client_ca
        self._clients: bytes | None = None
        self._sleep = sleep
        self.keys = AcceptedKeys()

    @property
    @abstractmethod
    def context(self) -> HotContext | None:
        """The TLS context that serves reviews."""

    @property
    @abstractmethod
    def next_context(self) -> HotContext | None:
        """The TLS context of the port on which the next CA and the next key are proved."""

    @abstractmethod
    async def renew(self) -> None:
        """Read the Secrets, and serve what is new. Whatever fails is logged, and the certificates stay."""

    async def first(self) -> tuple[HotContext, HotContext]:
        """Both contexts, as soon as there is a certificate, however long that takes."""
        while True:
            await self.renew()
            if self.context is not None and self.next_context is not None:
                return self.context, self.next_context
            await self._sleep(FIRST_INTERVAL)

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await self._sleep(INTERVAL)
            try:
                await self.renew()
            except Exception:
                # Nobody else would renew, and the keys of the paths change every day.
                logger.exception("renewing failed; trying again in %.0f s", INTERVAL)

    async def _secret(self, name: str) -> Mapping[str, Any] | None:
        """The Secret, None if there is none. Raises OSError if it cannot be read."""
        try:
            return await objects.get(self._transport, resources.SECRETS, self._namespace, name)
        except (ApiError, TimeoutError, OSError) as error:
            raise OSError(f"reading Secret {self._namespace}/{name}: {error}") from error

    def _take_keys(self, found: Mapping[str, Any] | None) -> None:
        """Accept the keys in this Secret."""
        if found is not None:
            self.keys.update(secret.parse_keys(found), self._now())

    def _knows_clients(self) -> bool:
        """Read the CA of clients, if one is demanded; what was read last stays if that fails. False without any.

        Without their CA no client is trusted, so nothing can be served.
        """
        if self._client_ca is None:
            return True
        try:
            found = self._client_ca.read_bytes()
            x509.load_pem_x509_certificates(found)
        except (OSError, ValueError) as error:
            logger.warning("reading the CA of clients in %s: %s", self._client_ca, error)
        else:
            self._clients = found
        return self._clients is not None
