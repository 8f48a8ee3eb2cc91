"""The pooled HTTP client for backends. It sends a `Request` and reads the `Reply` within bounds of time and size.

It calls Services of the cluster only, at addresses that `crd.addresses` allows. It follows no redirects, uses
no proxy from the environment and keeps no cookies.
"""

from __future__ import annotations

import ssl
import time
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from crd import addresses
from runtime.backends import faults
from runtime.backends.faults import CallError
from runtime.http.connector import ForbiddenAddressError, ServiceResolver, guarded_connector
from runtime.http.exchange import Reply

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import SimpleNamespace

    from aiohttp.abc import AbstractResolver

    from crd.published.policy import Tls
    from runtime.backends.secret_files import SecretFiles
    from runtime.http.exchange import Request

__all__ = ["HttpClient"]

MAX_REPLY = 1024 * 1024
# Seconds. Shorter than the idle timeout of common servers, so that few requests meet a connection that is being closed.
KEEP_ALIVE = 4.0
# Bytes and number of the headers of a reply.
MAX_HEADER_BYTES, MAX_HEADERS = 64 * 1024, 512
_GZIP = ("gzip", "x-gzip")
_LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


class HttpClient:
    """``files`` hold the CAs of backends. Hosts are Services of ``cluster_domain``.

    ``allow_loopback`` also allows loopback addresses, for trying a server out on one machine. ``resolver`` is the
    system's if None. ``unix_time`` gives seconds, with which a date in Retry-After is compared.
    """

    def __init__(
        self,
        files: SecretFiles,
        *,
        cluster_domain: str = "cluster.local",
        allow_loopback: bool = False,
        resolver: AbstractResolver | None = None,
        unix_time: Callable[[], float] = time.time,  # noqa: TID251 -- only a default; tests set the clock
    ) -> None:
        self._files = files
        self._cluster_domain = cluster_domain
        self._allow_loopback = allow_loopback
        self._unix_time = unix_time
        self._contexts: dict[tuple[bytes, bool], ssl.SSLContext] = {}
        self._session = aiohttp.ClientSession(
            connector=guarded_connector(
                allow_loopback=allow_loopback,
                limit=0,
                ttl_dns_cache=5,
                keepalive_timeout=KEEP_ALIVE,
                resolver=ServiceResolver(resolver or ThreadedResolver(), cluster_domain),
            ),
            cookie_jar=_NoCookies(),
            trace_configs=[_trace_sending()],
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
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

        A reply of more than ``max_bytes`` after decompression raises ``bad_response``; with ``cut`` it is truncated. So
        does a body that cannot be read, unless the status is an error or a redirect: then the reply is `Reply.broken`.
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
        progress = _Progress()
        try:
            async with self._session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
                trace_request_ctx=progress,
                **verification,
            ) as response:
                progress.status = response.status
                return await self._read_reply(response, max_bytes, cut=cut, idempotent=request.idempotent)
        except TimeoutError as error:
            if not progress.is_sent:
                raise faults.unreachable(f"no connection to {host} within {max(0.1, round(timeout, 1)):g} s") from error
            raise faults.timeout(timeout, idempotent=request.idempotent, status=progress.status) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _fault(error, host, progress, idempotent=request.idempotent) from error

    async def _read_reply(
        self, response: aiohttp.ClientResponse, max_bytes: int, *, cut: bool, idempotent: bool
    ) -> Reply:
        """The whole reply. Raises CallError if the status is not an error and the body cannot be read."""
        received_at = self._unix_time()
        if sum(len(name) + len(value) for name, value in response.raw_headers) > MAX_HEADER_BYTES:
            message = f"the headers of the reply are larger than {MAX_HEADER_BYTES} bytes"
            raise faults.bad_response(response.status, message, idempotent=idempotent)
        headers = {name.lower(): _text(", ".join(response.headers.getall(name))) for name in response.headers}
        body = bytearray()
        try:
            full_length = await _read(response, body, max_bytes, cut=cut, advice="; narrow the request" * idempotent)
        except _BodyError as error:
            if response.status < 300:
                raise faults.bad_response(
                    response.status, str(error), is_transient=error.is_transient, idempotent=idempotent
                ) from error
            return Reply(response.status, headers, bytes(body[:max_bytes]), None, str(error), received_at)
        return Reply(response.status, headers, bytes(body[:max_bytes]), full_length, "", received_at)

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


class _NoCookies(aiohttp.DummyCookieJar):
    """Does not even parse what a backend sets."""

    def update_cookies_from_headers(self, headers: Any, response_url: URL) -> None:
        """Ignore the headers."""


class _Progress:
    """How far a request has come: whether any of it may have left this process, and the status of its reply."""

    def __init__(self) -> None:
        self.is_sent = False
        self.status: int | None = None


def _trace_sending() -> aiohttp.TraceConfig:
    """Marks a request as sent when its headers are handed to the connection."""

    async def mark(_session: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object) -> None:
        context.trace_request_ctx.is_sent = True

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(mark)
    return config


def _fault(error: Exception, host: str, progress: _Progress, *, idempotent: bool) -> CallError:
    """What an exception of the connection says about the request."""
    if not progress.is_sent:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            what = f"the certificate of {host} is not valid: {error.certificate_error}"
            return faults.unreachable(what[:300], is_transient=False)
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return faults.unreachable(f"the name {host} cannot be resolved")
        cause: BaseException | None = getattr(error, "os_error", None)
        if isinstance(cause, ForbiddenAddressError) or isinstance(error, ssl.SSLError):
            return faults.unreachable(f"the connection to {host} failed: {cause or error}"[:300], is_transient=False)
        return faults.unreachable(f"the connection to {host} failed: {type(error).__name__}")
    if progress.status is not None:
        # The headers of the reply are there, so it is the reply that is incomplete.
        return faults.bad_response(
            progress.status, "the reply ended before its end", is_transient=True, idempotent=idempotent
        )
    if isinstance(error, aiohttp.ClientResponseError):
        what = f"the reply of {host} is not valid HTTP, or a header is larger than {MAX_HEADER_BYTES} bytes"
        return CallError("bad_response", what, faults.Fate.UNKNOWN, idempotent=idempotent)
    return faults.disconnected(f"{host} closed the connection without a reply", idempotent=idempotent)


class _BodyError(Exception):
    """The body of a reply cannot be read. ``is_transient``: another time it may be complete."""

    def __init__(self, message: str, *, is_transient: bool = False) -> None:
        super().__init__(message)
        self.is_transient = is_transient


async def _read(response: aiohttp.ClientResponse, body: bytearray, limit: int, *, cut: bool, advice: str) -> int | None:
    """Append the inflated body to ``body``; no more than ``limit`` + 1 bytes are inflated. Raises _BodyError.

    Returns the full length of a body that was cut (0: unknown), or None if it was not.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", *_GZIP):
        raise _BodyError("the reply has a Content-Encoding that was not asked for")
    inflater = zlib.decompressobj(wbits=31) if encoding in _GZIP else None
    received = 0
    try:
        async for chunk in response.content.iter_any():
            received += len(chunk)
            body += inflater.decompress(chunk, limit + 1 - len(body)) if inflater else chunk
            if len(body) > limit:
                response.close()
                if not cut:
                    raise _BodyError(f"the reply is larger than {limit} bytes{advice}")
                return 0 if inflater else (response.content_length or 0)
            if inflater and inflater.eof:
                # What follows the gzip is not read.
                break
    except zlib.error as error:
        raise _BodyError("the reply is not valid gzip") from error
    except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, OSError) as error:
        if isinstance(error, TimeoutError):
            raise
        length = response.headers.get("Content-Length", "")
        promised = f" of {length[:20]}" if length else ""
        message = f"the reply ended after {received}{promised} bytes, before it was complete"
        raise _BodyError(message, is_transient=True) from error
    if inflater and received and not inflater.eof:
        raise _BodyError("the reply ends within its gzip", is_transient=True)
    return None


def _text(value: str) -> str:
    """A header value in which bytes that are not UTF-8 are replaced, so that it can be written and encoded again."""
    return value.encode(errors="surrogateescape").decode(errors="replace")
