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

from certs import authority, issuance, secret
from certs.authority import Authority
from certs.keeper import Keeper
from certs.tls import HotContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from certs.authority import Pair
    from cluster.transport import Transport

__all__ = ["SigningKeeper", "names"]

logger = logging.getLogger(__name__)


def names(service: str, namespace: str, extra: Sequence[str] = ()) -> tuple[str, ...]:
    """What the API server may call the webhook by: the Service's names, and further hosts or addresses."""
    return (
        f"{service}.{namespace}.svc",
        f"{service}.{namespace}.svc.cluster.local",
        f"{service}.{namespace}",
        service,
        *extra,
    )


class SigningKeeper(Keeper):
    """Signs with the CA in the Secret ``name``, which holds the keys of the paths, too."""

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
        super().__init__(transport, namespace=namespace, now=now, client_ca=client_ca, sleep=sleep)
        self._name = name
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

    async def renew(self) -> None:
        """Read the CA, and sign anew what has to be."""
        try:
            found = await self._secret(self._name)
        except OSError as error:
            logger.warning("the CA: %s", error)
            return
        now = self._now()
        self._take_keys(found)
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
        if not self._knows_clients():
            return
        for leaf, signer in ((self._serving, serving), (self._proving, held.following or serving)):
            if signer is not None:
                leaf.renew(signer, now, self._clients)


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

    def renew(self, signer: Pair, now: datetime, client_ca: bytes | None) -> None:
        """Sign anew, if the CA or that of clients has changed or the certificate is due."""
        if signer == self._signer and client_ca == self._client_ca and not self.is_due(now):
            return
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
            return
        self._signer, self._client_ca, self._pair = signer, client_ca, pair
        logger.info("signed a certificate by CA %s", authority.fingerprint(signer.certificate)[:16])
