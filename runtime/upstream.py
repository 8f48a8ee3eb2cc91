"""The pooled client to backends: sends what `runtime.mapping` built, as it is, and reads the reply within bounds.

No redirects, no proxies from the environment, no cookies. Names that resolve to this machine or to a link-local address
are refused: a Service never does, and a metadata endpoint would.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from runtime import faults
from runtime.faults import CallError
from runtime.shaping import Reply

if TYPE_CHECKING:
    import socket

    from aiohttp.abc import ResolveResult

    from runtime.mapping import Request

__all__ = ["Upstream"]

MAX_REPLY = 1024 * 1024
PER_HOST = 64


class Upstream:
    """``allow_loopback`` is for servers that are tried out on one machine."""

    def __init__(self, *, allow_loopback: bool = False) -> None:
        resolver = ThreadedResolver() if allow_loopback else _Guarded(ThreadedResolver())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=PER_HOST, ttl_dns_cache=5, resolver=resolver),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"Accept": "application/json, text/*;q=0.9, */*;q=0.5", "Accept-Encoding": "gzip"},
            skip_auto_headers=("User-Agent",),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def send(self, request: Request, timeout: float) -> Reply:
        """The backend's reply if it is a success. Raises CallError for anything else, within ``timeout`` seconds."""
        reply = await self.ask(request, timeout)
        if not 200 <= reply.status < 300:
            raise faults.of_status(
                reply.status, reply.body, idempotent=request.idempotent, retry_after=reply.retry_after
            )
        return reply

    async def ask(self, request: Request, timeout: float) -> Reply:
        """The backend's reply, whatever its status. Raises CallError if there is none, or too much of it."""
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as response:
                return Reply(
                    response.status,
                    response.headers.get("Content-Type", ""),
                    await _read(response),
                    response.headers.get("Retry-After"),
                )
        except TimeoutError as error:
            raise CallError("timeout", f"no reply within {timeout:g} s", retryable=request.idempotent) from error
        except (aiohttp.ClientError, OSError) as error:
            host = URL(request.url, encoded=True).host
            message = f"{host} cannot be reached: {type(error).__name__}"
            raise CallError("unreachable", message, retryable=request.idempotent) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_REPLY:
            response.close()
            raise CallError("bad_response", f"the reply is larger than {MAX_REPLY} bytes", status=response.status)
    return bytes(body)


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
