"""The keys of token issuers: fetched from their URLs, kept, and fetched anew when a token names an unknown one."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from runtime.auth import tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["KeySets", "KeysUnavailableError", "fetch"]

logger = logging.getLogger(__name__)

MAX_AGE = 300.0
# However many tokens name unknown keys, the issuer is asked no more often.
MIN_INTERVAL = 10.0
TIMEOUT = 3.0
MAX_BODY = 256 * 1024


class KeysUnavailableError(Exception):
    """What clients are known by cannot be read; nobody can be let in, and it is not their fault."""


@dataclass(slots=True)
class _Known:
    keys: tuple[Mapping[str, Any], ...] | None = None
    fetched: float = 0.0
    asked: float | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """``fetch`` brings the bytes at a URL, or raises KeysUnavailableError; ``monotonic`` gives seconds."""

    def __init__(self, fetch: Callable[[str], Awaitable[bytes]], monotonic: Callable[[], float]) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}

    async def keys(self, url: str, *, unknown: bool = False) -> tuple[Mapping[str, Any], ...]:
        """The keys at a URL; ``unknown``: a token names one that those of before do not hold.

        They are fetched once for all who wait. Old ones go on while the issuer does not answer. Raises
        KeysUnavailableError if there never were any.
        """
        known = self._known.setdefault(url, _Known())
        if self._due(known, unknown=unknown) and not (known.keys and known.lock.locked() and not unknown):
            async with known.lock:
                if self._due(known, unknown=unknown):
                    await self._refresh(url, known)
        if known.keys is None:
            raise KeysUnavailableError(f"{url} has given no keys yet")
        return known.keys

    def _due(self, known: _Known, *, unknown: bool) -> bool:
        now = self._monotonic()
        if known.asked is not None and now - known.asked < MIN_INTERVAL:
            return False
        return unknown or known.keys is None or now - known.fetched >= MAX_AGE

    async def _refresh(self, url: str, known: _Known) -> None:
        try:
            known.keys = tokens.key_set(await self._fetch(url))
            known.fetched = self._monotonic()
        except (KeysUnavailableError, tokens.InvalidKeysError) as error:
            logger.warning("the keys at %s: %s", url, error)
        known.asked = self._monotonic()


async def fetch(url: str) -> bytes:
    """The body at a URL: within time and size, without redirects or proxies. Raises KeysUnavailableError."""
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            ) as session,
            session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status != 200:
                raise KeysUnavailableError(f"answered {answer.status}")
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise KeysUnavailableError(f"larger than {MAX_BODY} bytes")
            return bytes(body)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise KeysUnavailableError(f"cannot be fetched: {type(error).__name__}") from error
