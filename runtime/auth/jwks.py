"""The key sets of token issuers: fetched from their URLs, cached, and fetched again for a token with an unknown key."""

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

# All in seconds.
MAX_AGE = 300.0
# Between two requests to one issuer, however many tokens name unknown keys.
MIN_INTERVAL = 10.0
TIMEOUT = 3.0
MAX_BODY = 256 * 1024


class KeysUnavailableError(Exception):
    """Keys or credentials cannot be read. No client can be authenticated, and that is not the client's fault."""


@dataclass(slots=True)
class _CachedSet:
    keys: tuple[Mapping[str, Any], ...] | None = None
    fetched: float = 0.0
    requested: float | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """``fetch`` returns the bytes at a URL, or raises KeysUnavailableError. ``monotonic`` gives seconds."""

    def __init__(self, fetch: Callable[[str], Awaitable[bytes]], monotonic: Callable[[], float]) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._cache: dict[str, _CachedSet] = {}

    async def keys(self, url: str, *, unknown: bool = False) -> tuple[Mapping[str, Any], ...]:
        """The keys at a URL. ``unknown``: a token names a key that the cached set does not contain.

        Concurrent callers share one fetch. Cached keys stay in use while the issuer is unavailable. Raises
        KeysUnavailableError if no fetch has succeeded yet.
        """
        cached = self._cache.setdefault(url, _CachedSet())
        if self._is_due(cached, unknown=unknown) and not (cached.keys and cached.lock.locked() and not unknown):
            async with cached.lock:
                if self._is_due(cached, unknown=unknown):
                    await self._refresh(url, cached)
        if cached.keys is None:
            raise KeysUnavailableError(f"no keys have been fetched from {url} yet")
        return cached.keys

    def _is_due(self, cached: _CachedSet, *, unknown: bool) -> bool:
        now = self._monotonic()
        if cached.requested is not None and now - cached.requested < MIN_INTERVAL:
            return False
        return unknown or cached.keys is None or now - cached.fetched >= MAX_AGE

    async def _refresh(self, url: str, cached: _CachedSet) -> None:
        try:
            cached.keys = tokens.key_set(await self._fetch(url))
            cached.fetched = self._monotonic()
        except (KeysUnavailableError, tokens.InvalidKeysError) as error:
            logger.warning("cannot refresh the keys from %s: %s", url, error)
        cached.requested = self._monotonic()


async def fetch(url: str) -> bytes:
    """The body at a URL, within bounds of time and size, without redirects or proxies. Raises KeysUnavailableError."""
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            ) as session,
            session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as response,
        ):
            if response.status != 200:
                raise KeysUnavailableError(f"the issuer answered {response.status}; 200 is required")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise KeysUnavailableError(f"the key set is larger than {MAX_BODY} bytes")
            return bytes(body)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise KeysUnavailableError(f"the request failed: {type(error).__name__}") from error
