"""The pooled HTTP client for backends. It sends a `Request` and reads the `Reply` within bounds of time and size.

It calls Services of the cluster only, at addresses that `crd.addresses` allows. It follows no redirects, uses
no proxy from the environment and keeps no cookies.
"""

from __future__ import annotations

import ssl
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from crd import addresses
from runtime.backends import faults
from runtime.backends.faults import CallError
from runtime.http.connector import ServiceResolver, guarded_connector
from runtime.http.exchange import Reply

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

    from crd.published.policy import Tls
    from runtime.backends.secret_files import SecretFiles
    from runtime.http.exchange import Request

__all__ = ["HttpClient"]

MAX_REPLY = 1024 * 1024
# Seconds. Shorter than the idle timeout of common servers, so that few requests meet a connection that is being closed.
KEEP_ALIVE = 4.0
_LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


class HttpClient:
    """``files`` hold the CAs of backends. Hosts are Services of ``cluster_domain``.

    ``allow_loopback`` also allows loopback addresses, for trying a server out on one machine. ``resolver`` is the
    system's if None.
    """

    def __init__(
        self,
        files: SecretFiles,
        *,
        cluster_domain: str = "cluster.local",
        allow_loopback: bool = False,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._files = files
        self._cluster_domain = cluster_domain
        self._allow_loopback = allow_loopback
        self._contexts: dict[tuple[bytes, bool], ssl.SSLContext] = {}
        self._session = aiohttp.ClientSession(
            connector=guarded_connector(
                allow_loopback=allow_loopback,
                limit=0,
                ttl_dns_cache=5,
                keepalive_timeout=KEEP_ALIVE,
                resolver=ServiceResolver(resolver or ThreadedResolver(), cluster_domain),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"Accept": "application/json, text/*;q=0.9, */*;q=0.5", "Accept-Encoding": "gzip"},
            skip_auto_headers=("User-Agent",),
            auto_decompress=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def send(
        self, request: Request, timeout: float, *, tls: Tls | None = None, max_bytes: int = MAX_REPLY, cut: bool = False
    ) -> Reply:
        """The backend's reply, whatever its status. Raises CallError if there is none within ``timeout`` seconds.

        A reply of more than ``max_bytes`` after decompression raises ``bad_response``; with ``cut`` it is truncated.
        """
        url = URL(request.url, encoded=True)
        host = url.host or ""
        is_local = self._allow_loopback and host in _LOCAL_HOSTS
        if not addresses.is_service(host, self._cluster_domain) and not is_local:
            raise CallError("misconfigured", "the backend of this call is not a Service of the cluster")
        verification: dict[str, Any] = {}
        if tls is not None:
            verification["ssl"] = self._ssl_context(tls)
            if tls.server_name:
                verification["server_hostname"] = tls.server_name
        try:
            async with self._session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
                **verification,
            ) as response:
                body, full_length = await _read(response, max_bytes, cut=cut)
                headers = {name.lower(): _text(", ".join(response.headers.getall(name))) for name in response.headers}
                return Reply(response.status, headers, body, full_length)
        except TimeoutError as error:
            raise faults.timeout(timeout, retryable=request.idempotent) from error
        except (aiohttp.ClientError, OSError) as error:
            message = f"the request to {host} failed: {type(error).__name__}"
            raise CallError("unreachable", message, retryable=request.idempotent) from error

    def _ssl_context(self, tls: Tls) -> ssl.SSLContext:
        """One context for each CA certificate seen, so that a rotated CA applies at once."""
        authority = self._files.value("Secret", tls.ca_secret, "ca.crt") if tls.ca_secret else b""
        key = (authority, tls.insecure_skip_verify)
        if key not in self._contexts:
            try:
                context = ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
            except (ssl.SSLError, UnicodeDecodeError) as error:
                message = "ca.crt of the backend's CA Secret is not a PEM certificate"
                raise CallError("misconfigured", message) from error
            if tls.insecure_skip_verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._contexts[key] = context
        return self._contexts[key]


async def _read(response: aiohttp.ClientResponse, limit: int, *, cut: bool) -> tuple[bytes, int | None]:
    """The inflated body, and its full length if it was cut (0: unknown). No more than ``limit`` bytes are inflated."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", ""):
        message = "the reply has a Content-Encoding that was not asked for"
        raise CallError("bad_response", message, status=response.status)
    inflater = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    body = bytearray()
    async for chunk in response.content.iter_any():
        try:
            body += inflater.decompress(chunk, limit + 1 - len(body)) if inflater else chunk
        except zlib.error as error:
            raise CallError("bad_response", "the reply is not valid gzip", status=response.status) from error
        if len(body) > limit:
            response.close()
            if not cut:
                message = f"the reply is larger than {limit} bytes; narrow the request"
                raise CallError("bad_response", message, status=response.status)
            return bytes(body[:limit]), 0 if inflater else (response.content_length or 0)
        if inflater and inflater.eof:
            # What follows the gzip is not read.
            break
    if inflater and body and not inflater.eof:
        raise CallError("bad_response", "the reply ends within its gzip", status=response.status)
    return bytes(body), None


def _text(value: str) -> str:
    """A header value in which bytes that are not UTF-8 are replaced, so that it can be written and encoded again."""
    return value.encode(errors="surrogateescape").decode(errors="replace")
