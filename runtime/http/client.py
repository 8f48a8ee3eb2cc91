"""The pooled client to backends: sends the request that `http_mapping.mapping` built and reads the reply within bounds.

No redirects, no proxies from the environment, no cookies. Names that resolve to this machine or to a link-local address
are refused: a Service never does, and a metadata endpoint would.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from runtime.backends.faults import CallError
from runtime.backends.http_mapping.mapping import Request
from runtime.backends.http_mapping.replies import Reply

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from aiohttp.abc import ResolveResult

    from crd.published.policy import Tls
    from runtime.backends.secret_files import SecretFiles

__all__ = ["Exchanged", "Upstream"]

MAX_REPLY = 1024 * 1024
# Shorter than what servers allow an idle connection, so that a request seldom meets one that is just being closed.
KEEP_ALIVE = 4.0


@dataclass(frozen=True, slots=True)
class Exchanged:
    """The reply to `Upstream.exchange`; ``headers`` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Upstream:
    """``files`` hold the CAs of backends; ``allow_loopback`` is for servers that are tried out on one machine."""

    def __init__(self, files: SecretFiles, *, allow_loopback: bool = False) -> None:
        resolver = ThreadedResolver() if allow_loopback else _Guarded(ThreadedResolver())
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

    async def ask(
        self, request: Request, timeout: float, *, tls: Tls | None = None, max_bytes: int = MAX_REPLY, cut: bool = False
    ) -> Reply:
        """The backend's reply, whatever its status. Raises CallError if there is none within ``timeout`` seconds.

        A reply of more than ``max_bytes`` after decompression is ``bad_response``, or with ``cut`` that much of it.
        """
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
                **self._verified(tls),
            ) as response:
                body, whole = await _read(response, max_bytes, cut=cut)
                headers = {name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers}
                return Reply(
                    response.status,
                    response.headers.get("Content-Type", ""),
                    body,
                    response.headers.get("Retry-After"),
                    headers,
                    whole,
                )
        except TimeoutError as error:
            raise CallError("timeout", f"no reply within {timeout:g} s", retryable=request.idempotent) from error
        except (aiohttp.ClientError, OSError) as error:
            host = URL(request.url, encoded=True).host
            message = f"{host} cannot be reached: {type(error).__name__}"
            raise CallError("unreachable", message, retryable=request.idempotent) from error

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        timeout: float,
        tls: Tls | None = None,
    ) -> Exchanged:
        """A request and the whole of its reply, an event stream too, whatever the status. Raises CallError as `ask`."""
        reply = await self.ask(Request(method, url, tuple(headers), body), timeout, tls=tls)
        return Exchanged(reply.status, reply.headers, reply.body)

    def _verified(self, tls: Tls | None) -> dict[str, Any]:
        if tls is None:
            return {}
        name = {"server_hostname": tls.server_name} if tls.server_name else {}
        return {"ssl": self._context(tls), **name}

    def _context(self, tls: Tls) -> ssl.SSLContext:
        """A context for each CA that there is or was, so that a rotated one is used at once."""
        authority = self._files.value("Secret", tls.ca_secret, "ca.crt") if tls.ca_secret else b""
        key = (authority, tls.insecure_skip_verify)
        if key not in self._contexts:
            try:
                context = ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
            except (ssl.SSLError, UnicodeDecodeError) as error:
                raise CallError("misconfigured", "the CA of the backend cannot be read") from error
            if tls.insecure_skip_verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._contexts[key] = context
        return self._contexts[key]


async def _read(response: aiohttp.ClientResponse, limit: int, *, cut: bool) -> tuple[bytes, int | None]:
    """The body, and how long the whole is if it was cut (0: nobody said)."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            response.close()
            if not cut:
                raise CallError("bad_response", f"the reply is larger than {limit} bytes", status=response.status)
            plain = response.headers.get("Content-Encoding", "identity") == "identity"
            return bytes(body[:limit]), (response.content_length or 0) if plain else 0
    return bytes(body), None


class _Guarded(AbstractResolver):
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
                raise OSError(f"{host} resolves to {address}, which no Service does")
        return answers

    async def close(self) -> None:
        await self._inner.close()
