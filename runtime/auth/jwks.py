"""The key sets of token issuers: fetched from their URLs, cached, and fetched again for a token with an unknown key."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from crd import addresses
from runtime.auth import tokens
from runtime.http.pool import Limits, MalformedError, Origin, Pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Fetcher", "KeySets", "KeysUnavailableError"]

logger = logging.getLogger(__name__)

# All in seconds.
MAX_AGE = 300.0
# Between two requests to one issuer, however many tokens name unknown keys.
MIN_INTERVAL = 10.0
TIMEOUT = 3.0
MAX_BODY = 256 * 1024
# A key set is small: nothing is compressed, so nothing is inflated.
_HEADERS = "Accept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: mcp-operator\r\nConnection: close\r\n"
# Characters of a path that are sent as they are (RFC 3986, section 3.3), and what is escaped already.
_PATH = "/:@!$&'()*+,;=~%"


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

    def cached(self, url: str) -> tuple[Mapping[str, Any], ...] | None:
        """The keys at a URL; None if they must be fetched first."""
        cached = self._cache.get(url)
        return None if cached is None or self._is_due(cached, unknown=False) else cached.keys

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


class Fetcher:
    """Fetches key sets over https, or from a Service of the cluster over http if ``allow_http``.

    It connects addresses that `crd.addresses` allows only. ``allow_loopback`` is for tests.
    """

    def __init__(self, *, cluster_domain: str, allow_http: bool = False, allow_loopback: bool = False) -> None:
        self._cluster_domain = cluster_domain
        self._allow_http = allow_http
        self._allow_loopback = allow_loopback

    async def fetch(self, url: str) -> bytes:
        """The body at a URL, within bounds of time and size, without redirects. Raises KeysUnavailableError."""
        try:
            parsed = urlsplit(url)
            host, port = parsed.hostname or "", parsed.port
        except ValueError as error:
            raise KeysUnavailableError("the URL of the keys is malformed") from error
        is_http = parsed.scheme == "http" and self._allow_http
        is_local = self._allow_loopback and host == "127.0.0.1"
        if not (host and parsed.scheme == "https") and not (
            is_http and (is_local or addresses.is_service(host, self._cluster_domain))
        ):
            raise KeysUnavailableError("keys are fetched over https only")
        # It reads the certificates of the system. In a thread, that stops no request.
        context = await asyncio.to_thread(ssl.create_default_context) if parsed.scheme == "https" else None
        origin = Origin(host, port or (443 if context else 80), context)
        path, query = quote(parsed.path or "/", safe=_PATH), quote(parsed.query, safe=f"{_PATH}?")
        target = f"{path}?{query}" if query else path
        head = f"GET {target} HTTP/1.1\r\nHost: {parsed.netloc.rpartition('@')[2]}\r\n{_HEADERS}\r\n".encode()
        pool = Pool(self._resolve, partial(addresses.find_fault, allow_loopback=self._allow_loopback), time.monotonic)
        try:
            reply = await pool.exchange(origin, head, None, TIMEOUT, Limits(MAX_BODY, cut=True), idempotent=True)
        except (OSError, MalformedError) as error:
            raise KeysUnavailableError(f"the request failed: {error}") from error
        finally:
            await pool.close()
        if reply.status != 200:
            raise KeysUnavailableError(f"the issuer answered {reply.status}; 200 is required")
        if reply.broken:
            raise KeysUnavailableError(f"the request failed: {reply.broken}")
        if reply.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise KeysUnavailableError("the key set is compressed, which was not asked for")
        if reply.cut is not None:
            raise KeysUnavailableError(f"the key set is larger than {MAX_BODY} bytes")
        return reply.body

    async def _resolve(self, host: str) -> tuple[str, ...]:
        if addresses.is_service(host, self._cluster_domain):
            host = addresses.absolute_name(host, self._cluster_domain)
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return tuple(str(address[0]) for *_, address in found)
