"""The pooled HTTP client for backends. It sends a `Request` and reads the `Reply` within bounds of time and size.

It calls Services of the cluster only, at addresses that `crd.addresses` allows. It follows no redirects, uses
no proxy from the environment and keeps no cookies.
"""

from __future__ import annotations

import ssl
import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from crd import addresses
from crd.published.policy import Tls
from runtime.backends import faults
from runtime.backends.faults import CallError
from runtime.http.pool import LateError, Limits, LostError, MalformedError, NotConnectedError, Origin, Pool
from runtime.http.resolver import Resolver, look_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.backends.secret_files import SecretFiles
    from runtime.http.exchange import Header, Reply, Request
    from runtime.http.resolver import Lookup

__all__ = ["HttpClient", "fixed_lines"]

MAX_ADDRESSES = 20_000
MAX_REPLY = 1024 * 1024

_SYSTEM = Tls()
_ACCEPT = "Accept: application/json, text/*;q=0.9, */*;q=0.5\r\n"
_ACCEPT_ENCODING = "Accept-Encoding: gzip\r\n"
_LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


def fixed_lines(authority: str, headers: tuple[Header, ...] = ()) -> str:
    """The header lines that a request with these headers to a host and port begins with."""
    accept = "" if _names_accept(headers) else _ACCEPT
    return f"Host: {authority}\r\n{accept}{_ACCEPT_ENCODING}"


def _names_accept(headers: tuple[Header, ...]) -> bool:
    """Whether a request says itself what it accepts. Of two header lines many servers read the first alone."""
    return any(len(name) == 6 and name.lower() == "accept" for name, _ in headers)


class HttpClient:
    """``files`` hold the CAs of backends. Hosts are Services of ``cluster_domain``.

    ``allow_loopback`` also allows loopback addresses, for trying a server out on one machine. ``lookup`` resolves
    names, by DNS if None. ``unix_time`` gives seconds, with which a date in Retry-After is compared.
    """

    def __init__(
        self,
        files: SecretFiles,
        *,
        cluster_domain: str = "cluster.local",
        allow_loopback: bool = False,
        lookup: Lookup | None = None,
        unix_time: Callable[[], float] = time.time,  # noqa: TID251 -- only a default; tests set the clock
    ) -> None:
        self._files = files
        self._cluster_domain = cluster_domain
        self._allow_loopback = allow_loopback
        self._contexts: dict[tuple[bytes, bool], ssl.SSLContext] = {}
        self._resolver = Resolver(lookup or look_up(), time.monotonic)
        # Asked before each connection, and a dead backend is connected for each call.
        fault = lru_cache(MAX_ADDRESSES)(partial(addresses.find_fault, allow_loopback=allow_loopback))
        self._pool = Pool(self._resolve, fault, unix_time)
        self._addresses: dict[str, tuple[Origin, str]] = {}

    async def _resolve(self, host: str) -> tuple[str, ...]:
        if addresses.is_service(host, self._cluster_domain):
            host = addresses.absolute_name(host, self._cluster_domain)
        return await self._resolver.resolve(host)

    async def close(self) -> None:
        """Close the connections."""
        await self._resolver.close()
        await self._pool.close()

    async def send(
        self,
        request: Request,
        timeout: float,
        *,
        tls: Tls | None = None,
        max_bytes: int = MAX_REPLY,
        cut: bool = False,
        more: tuple[Header, ...] = (),
        ends: Callable[[bytes], bool] | None = None,
    ) -> Reply:
        """The backend's reply, whatever its status. Raises CallError if there is none within ``timeout`` seconds.

        A reply of more than ``max_bytes`` after decompression raises ``bad_response``; with ``cut`` it is truncated. So
        does a body that cannot be read, unless the status is an error or a redirect: then the reply is `Reply.broken`.
        ``more`` are headers that every attempt has its own of. ``ends`` says when the rest of an event stream is not
        needed (`runtime.http.pool.Limits`).
        """
        start = request.url.find("/", 8)
        base, target = request.url[:start], request.url[start:]
        origin, fixed = self._address(base) if tls is None else self._find_address(base, tls)
        if _names_accept(request.headers):
            fixed = fixed.replace(_ACCEPT, "")
        length = f"Content-Length: {len(request.body)}\r\n" if request.body is not None else ""
        lines = "".join([f"{name}: {value}\r\n" for name, value in (*request.headers, *more)])
        head = f"{request.method} {target} HTTP/1.1\r\n{fixed}{lines}{length}\r\n".encode()
        try:
            reply = await self._pool.exchange(
                origin, head, request.body, timeout, Limits(max_bytes, cut, ends), idempotent=request.idempotent
            )
        except NotConnectedError as error:
            raise faults.unreachable(str(error), is_transient=not error.is_permanent) from error
        except LateError as error:
            raise faults.timeout(timeout, idempotent=request.idempotent, status=error.status) from error
        except LostError as error:
            message = f"{origin.host} closed the connection without a reply"
            raise faults.disconnected(message, idempotent=request.idempotent) from error
        except MalformedError as error:
            what = f"{error} (of {origin.host})"
            raise CallError("bad_response", what, faults.Fate.UNKNOWN, idempotent=request.idempotent) from error
        if reply.broken and reply.status < 300:
            too_large = reply.broken.startswith("the reply is larger than ")
            what = f"{reply.broken}; narrow the request" if too_large and request.idempotent else reply.broken
            transient, idempotent = reply.is_incomplete, request.idempotent
            raise faults.bad_response(reply.status, what, is_transient=transient, idempotent=idempotent)
        return reply

    def _address(self, base: str) -> tuple[Origin, str]:
        """Where a URL leads to, and the headers that every request there has. Remembered."""
        known = self._addresses.get(base)
        if known is None:
            if len(self._addresses) >= MAX_ADDRESSES:
                del self._addresses[next(iter(self._addresses))]
            known = self._addresses[base] = self._find_address(base, _SYSTEM)
        return known

    def _find_address(self, base: str, tls: Tls) -> tuple[Origin, str]:
        scheme, _, authority = base.partition("://")
        host, _, port = authority.rpartition(":")
        is_local = self._allow_loopback and host in _LOCAL_HOSTS
        if not is_local and not addresses.is_service(host, self._cluster_domain):
            raise CallError("misconfigured", "the backend of this call is not a Service of the cluster")
        context = self._ssl_context(tls) if scheme == "https" else None
        return Origin(host, int(port), context, tls.server_name or None), fixed_lines(authority)

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
