"""The certificate of the webhook where somebody else issues it: cert-manager writes a Secret, and renews it there.

Both ports serve the same certificate. There is no CA of ours to prove; the second port proves the keys of the paths.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING, Any

from certs import secret
from certs.authority import fingerprint
from certs.keeper import Keeper
from certs.tls import HotContext

if TYPE_CHECKING:
    from certs.authority import Pair

__all__ = ["IssuedKeeper"]

logger = logging.getLogger(__name__)


class IssuedKeeper(Keeper):
    """``name`` is the Secret with ``tls.crt`` and ``tls.key``; ``keys_name`` is the one with the keys of the paths.

    A certificate that does not fit its key is not served: the one before stays.
    """

    def __init__(self, *arguments: Any, name: str, keys_name: str, **further: Any) -> None:
        super().__init__(*arguments, **further)
        self._name = name
        self._keys_name = keys_name
        self._context: HotContext | None = None
        self._served: tuple[Pair, bytes | None] | None = None
        self._told = ""

    @property
    def context(self) -> HotContext | None:
        """The TLS context that serves reviews."""
        return self._context

    @property
    def next_context(self) -> HotContext | None:
        """The same one."""
        return self._context

    async def renew(self) -> None:
        """Read both Secrets, and serve the certificate if it is a new one."""
        try:
            keys = await self._secret(self._keys_name)
            found = await self._secret(self._name)
        except OSError as error:
            logger.warning("%s", error)
            return
        self._take_keys(keys)
        if keys is None and self._context is None:
            self._tell(f"waiting for Secret {self._namespace}/{self._keys_name}, which the controller makes")
            return
        if found is None:
            self._tell(f"Secret {self._namespace}/{self._name} is missing: {self._consequence}")
            return
        if self._knows_clients():
            self._serve(secret.parse_pair(found))

    @property
    def _consequence(self) -> str:
        return "waiting for it" if self._context is None else "the certificate in use stays"

    def _serve(self, pair: Pair) -> None:
        wanted = pair, self._clients
        if wanted == self._served:
            self._told = ""
            return
        try:
            if self._context is None:
                self._context = HotContext(pair, self._clients)
            else:
                self._context.swap(pair, self._clients)
        except (ValueError, ssl.SSLError) as error:
            self._tell(
                f"Secret {self._namespace}/{self._name} holds no certificate with its key ({error}): "
                f"{self._consequence}"
            )
            return
        self._served, self._told = wanted, ""
        logger.info("serving with certificate %s", fingerprint(pair.certificate)[:16])

    def _tell(self, message: str) -> None:
        """Log once, not at every round."""
        if message != self._told:
            logger.warning("%s", message)
        self._told = message
