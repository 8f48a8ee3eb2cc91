"""The pooled HTTP client for backends. It sends a `Request` and reads the `Reply` within bounds of time and size.

It follows no redirects, uses no proxy from the environment and keeps no cookies. It refuses host names that resolve to
a loopback or link-local address: no Service does, but a cloud metadata endpoint would.
"""

from __future__ import annotations

import ipaddress
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from runtime.backends import faults
from runtime.backends.faults import CallError
from runtime.http.exchange import Reply

if TYPE_CHECKING:
    import socket

    from aiohttp.abc import ResolveResult

    from crd.published.policy import Tls
    from runtime.backends.secret_files import SecretFiles
    from runtime.http.exchange import Request

__all__ = ["HttpClient"]

MAX_REPLY = 1024 * 1024
# Seconds. Shorter than the idle timeout of common servers, so that few requests meet a connection that is being closed.
KEEP_ALIVE = 4.0


class HttpClient:
    """``files`` hold the CAs of backends. ``allow_loopback`` is for trying a server out on one machine."""

    def __init__(self, files: SecretFiles, *, allow_loopback: bool = False) -> None:
        resolver = ThreadedResolver() if allow_loopback else _ClusterResolver(ThreadedResolver())
        self._files = files
        self._contexts: dict[tuple[bytes, bool], ssl.SSLContext] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=5, keepalive_timeout=KEEP_ALIVE, resolver=resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"Accept": "application/json, text/*;q=0.9, */*;q=0.5", "Accept-Encoding": "gzip"},
            skip_auto_headers=("User-Agent",),
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
        verification: dict[str, Any] = {}
        if tls is not None:
            verification["ssl"] = self._ssl_context(tls)
            if tls.server_name:
                verification["server_hostname"] = tls.server_name
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
                **verification,
            ) as response:
                body, full_length = await _read(response, max_bytes, cut=cut)
                headers = {name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers}
                return Reply(response.status, headers, body, full_length)
        except TimeoutError as error:
            raise faults.timeout(timeout, retryable=request.idempotent) from error
        except (aiohttp.ClientError, OSError) as error:
            host = URL(request.url, encoded=True).host
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
    """The body, and its full length if it was cut (0: unknown)."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            if not cut:
                message = f"the reply is larger than {limit} bytes; narrow the request"
                raise CallError("bad_response", message, status=response.status)
            is_plain = response.headers.get("Content-Encoding", "identity") == "identity"
            return bytes(body[:limit]), (response.content_length or 0) if is_plain else 0
    return bytes(body), None


class _ClusterResolver(AbstractResolver):
    """Refuses addresses that no Service can have."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = 0,  # type: ignore[assignment]
    ) -> list[ResolveResult]:
        answers = await self._inner.resolve(host, port, family)
        for answer in answers:
            address = ipaddress.ip_address(answer["host"])
            if address.is_loopback or address.is_link_local or address.is_unspecified:
                raise OSError(f"{host} resolves to {address}, which cannot be the address of a Service")
        return answers

    async def close(self) -> None:
        await self._inner.close()
