"""The webhook's own certificates: signed in memory by the CA in the Secret, renewed at half their life or with the CA.

There are two. The webhook serves with the one that the current CA signed. A second port serves with one of the next CA
while there is a next CA, so that the controller can prove that an API server trusts it before it becomes current.
Both may demand certificates of clients, by a CA in a file, which is read as often as the Secret.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING

import aiohttp
from cryptography import x509

from certs import authority, issuance, secret
from certs.acceptance import AcceptedKeys
from certs.authority import Authority
from certs.tls import HotContext
from cluster import objects, resources
from cluster.transport import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from certs.authority import Pair
    from cluster.transport import Transport

__all__ = ["Keeper", "names"]

logger = logging.getLogger(__name__)

# The validity is checked by the wall clock, often: a machine that was suspended must not miss its renewal.
INTERVAL = 10.0
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
    """Holds the certificates in use. Reads one Secret, and the CA of clients if there is one; writes nothing.

    ``context`` serves reviews, ``next_context`` the proof of the next CA; both are None until there is a CA. ``keys``
    are the keys of the paths under which reviews are answered.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str,
        name: str,
        hosts: Sequence[str],
        now: Callable[[], datetime],
        client_ca: Path | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._name = name
        self._now = now
        self._client_ca = client_ca
        self._clients: bytes | None = None
        self._sleep = sleep
        self.keys = AcceptedKeys()
        self._serving = _Leaf(hosts)
        self._proving = _Leaf(hosts)
        self._without_ca = False

    @property
    def context(self) -> HotContext | None:
        """The TLS context that serves reviews."""
        return self._serving.context

    @property
    def next_context(self) -> HotContext | None:
        """The TLS context whose certificate is signed by the next CA, if there is one."""
        return self._proving.context

    async def first(self) -> tuple[HotContext, HotContext]:
        """Both contexts, as soon as there is a CA, however long that takes."""
        while True:
            await self.renew()
            if self.context is not None and self.next_context is not None:
                return self.context, self.next_context
            await self._sleep(FIRST_INTERVAL)

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await self._sleep(INTERVAL)
            await self.renew()

    async def renew(self) -> None:
        """Read the CA, and sign anew what has to be. Whatever fails is logged, and the certificates stay."""
        try:
            found = await objects.get(self._transport, resources.SECRETS, self._namespace, self._name)
        except (ApiError, TimeoutError, OSError, aiohttp.ClientError) as error:
            logger.warning("reading the CA in Secret %s/%s: %s", self._namespace, self._name, error)
            return
        now = self._now()
        if found is not None:
            self.keys.update(secret.parse_keys(found), now)
        held = authority.repaired(secret.parse(found) or Authority(None), (), now)
        serving = held.current
        if serving is None and (self._serving.context is None or self._serving.is_due(now)):
            # The API servers get to know the next CA as soon as it is in the Secret; a certificate of it is better
            # than none.
            serving = held.following
        # Once, not at every round.
        if serving is None and not self._without_ca:
            what = "waiting for one" if self._serving.context is None else "the certificate in use stays"
            logger.warning("Secret %s/%s holds no CA that can sign: %s", self._namespace, self._name, what)
        self._without_ca = serving is None
        self._read_clients()
        if self._client_ca is not None and self._clients is None:
            # Without their CA no client is trusted, so nothing is served.
            return
        for leaf, signer in ((self._serving, serving), (self._proving, held.following or serving)):
            if signer is not None and leaf.renew(signer, now, self._clients):
                logger.info("signed a certificate by CA %s", authority.fingerprint(signer.certificate)[:16])

    def _read_clients(self) -> None:
        """Read the CA of clients; what was read last stays if that fails."""
        if self._client_ca is None:
            return
        try:
            found = self._client_ca.read_bytes()
            x509.load_pem_x509_certificates(found)
        except (OSError, ValueError) as error:
            logger.warning("reading the CA of clients in %s: %s", self._client_ca, error)
        else:
            self._clients = found


class _Leaf:
    """One certificate in use, and the context that serves it."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.context: HotContext | None = None
        self._hosts = tuple(hosts)
        self._signer: Pair | None = None
        self._client_ca: bytes | None = None
        self._pair: Pair | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether half of the certificate's life is over, or there is none."""
        return self._pair is None or authority.renewal_due(self._pair.certificate, now, 1 / 2)

    def renew(self, signer: Pair, now: datetime, client_ca: bytes | None) -> bool:
        """Sign anew, if the CA or that of clients has changed or the certificate is due; whether that was so."""
        if signer == self._signer and client_ca == self._client_ca and not self.is_due(now):
            return False
        try:
            pair = issuance.leaf(signer, self._hosts, now)
            if self.context is None:
                self.context = HotContext(pair, client_ca)
            else:
                self.context.swap(pair, client_ca)
        except (ValueError, TypeError, ssl.SSLError) as error:
            logger.warning(
                "the certificate in use stays, because the CA cannot sign, or that of clients is none: %s", error
            )
            return False
        self._signer, self._client_ca, self._pair = signer, client_ca, pair
        return True
