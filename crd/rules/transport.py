"""PURE. How requests are sent and replies are read: headers, retries, TLS and statuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crd.finding import Finding, Reason
from crd.models.resource import ResourceSpec
from crd.models.tool import ToolSpec
from crd.published.headers import FORBIDDEN_HEADERS, HEADER_VALUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crd.manifest import Object
    from crd.models.calls import Response

__all__ = ["insecure_tls", "invalid_response", "unsafe_headers", "unsafe_retries"]

Path = tuple[str | int, ...]

_FORBIDDEN = re.compile(FORBIDDEN_HEADERS)
# Headers that must not come from a Secret either: those of framing and connections, and those of MCP.
_FRAMING = re.compile("host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|mcp-.*")
_NEVER_RETURNED = re.compile("set-cookie2?|www-authenticate|proxy-authenticate")
_VALUE = re.compile(HEADER_VALUE)


def unsafe_retries(item: Object) -> Iterator[Finding]:
    """Retries of calls that are not idempotent (RFC 9110, 9.2.2)."""
    spec = item.spec
    if not isinstance(spec, ToolSpec) or spec.retries is None or spec.retries.attempts == 0:
        return
    hinted = spec.annotations is not None and spec.annotations.idempotent_hint is True
    if spec.method not in ("GET", "PUT", "DELETE") and not hinted:
        message = (
            f"a retried {spec.method} request may take effect twice; remove spec.retries or, if the backend handles "
            "repeated requests, set annotations.idempotentHint to true"
        )
        yield Finding.of(Reason.UNSAFE_RETRY, item.ref, message, path=("spec", "retries"))


def insecure_tls(item: Object) -> Iterator[Finding]:
    """TLS without verification of the certificate."""
    spec = item.spec
    if isinstance(spec, ToolSpec | ResourceSpec) and spec.tls and spec.tls.insecure_skip_verify:
        message = "certificates are not verified, so calls can be intercepted; remove this and set tls.caSecretName"
        yield Finding.of(Reason.INSECURE_TLS, item.ref, message, path=("spec", "tls", "insecureSkipVerify"))


def unsafe_headers(item: Object) -> Iterator[Finding]:
    """Headers that an author must not control, invalid values, and headers that are set twice."""
    spec = item.spec
    if not isinstance(spec, ToolSpec | ResourceSpec):
        return
    for path, message in _unsafe_headers(spec):
        yield Finding.of(Reason.UNSAFE_HEADER, item.ref, message, path=("spec", *path))
    yield from _repeated_headers(item, spec)


def _unsafe_headers(spec: ToolSpec | ResourceSpec) -> Iterator[tuple[Path, str]]:
    yield from _mapped_headers(spec)
    for index, source in enumerate(spec.headers_from):
        if _FRAMING.fullmatch(source.name.lower()):
            yield ("headersFrom", index, "name"), f'"{source.name}" is set by the MCP server itself; remove it'
    if isinstance(spec, ToolSpec):
        yield from _forwarded_headers(spec)


def _mapped_headers(spec: ToolSpec | ResourceSpec) -> Iterator[tuple[Path, str]]:
    for index, header in enumerate(spec.http.headers if spec.http else ()):
        at: Path = ("http", "headers", index)
        if _FORBIDDEN.fullmatch(header.name.lower()):
            repair = "remove it or, for credentials, use headersFrom"
            yield (*at, "name"), f'"{header.name}" must not be set by a mapping; {repair}'
        if header.value and not _VALUE.fullmatch(header.value):
            message = f'must be printable ASCII without leading or trailing spaces, got "{header.value}"'
            yield (*at, "value"), message
    for index, operation in enumerate(spec.operations or () if isinstance(spec, ResourceSpec) else ()):
        for position, parameter in enumerate(operation.parameters):
            if parameter.in_ == "header" and _FORBIDDEN.fullmatch(parameter.name.lower()):
                path: Path = ("operations", index, "parameters", position, "name")
                yield path, f'"{parameter.name}" must not be set by a parameter; remove it'


def _forwarded_headers(spec: ToolSpec) -> Iterator[tuple[Path, str]]:
    for index, header in enumerate(spec.forward_headers):
        if _FORBIDDEN.fullmatch(header.name.lower()):
            yield ("forwardHeaders", index, "name"), f'"{header.name}" must not be forwarded; remove it'
        elif header.backend_header and _FORBIDDEN.fullmatch(header.backend_header.lower()):
            message = f'"{header.backend_header}" must not be set from a client header; choose another name'
            yield ("forwardHeaders", index, "backendHeader"), message


def _repeated_headers(item: Object, spec: ToolSpec | ResourceSpec) -> Iterator[Finding]:
    """Headers that two entries set; header names are case-insensitive (RFC 9110, 5.1)."""
    named: list[tuple[Path, str]] = [
        (("spec", "http", "headers", i, "name"), h.name) for i, h in enumerate(spec.http.headers if spec.http else ())
    ]
    named += [(("spec", "headersFrom", i, "name"), h.name) for i, h in enumerate(spec.headers_from)]
    if isinstance(spec, ToolSpec):
        named += [
            (("spec", "forwardHeaders", i), h.backend_header or h.name) for i, h in enumerate(spec.forward_headers)
        ]
    seen: set[str] = set()
    for path, name in named:
        if name.lower() in seen:
            message = f'header "{name}" is already set by an earlier entry; remove one of the two'
            yield Finding.of(Reason.DUPLICATE_ENTRY, item.ref, message, path=path)
        seen.add(name.lower())


def invalid_response(item: Object) -> Iterator[Finding]:
    """Settings of the reply that contradict each other."""
    spec = item.spec
    if not isinstance(spec, ToolSpec | ResourceSpec) or spec.response is None:
        return
    at: Path = ("spec", "response")
    for index, name in enumerate(spec.response.headers):
        if _NEVER_RETURNED.fullmatch(name.lower()):
            message = f'"{name}" must not be passed to clients; remove it'
            yield Finding.of(Reason.UNSAFE_HEADER, item.ref, message, path=(*at, "headers", index))
    schema = isinstance(spec, ToolSpec) and spec.output_schema is not None
    for path, message in _contradictions(spec.response, schema=schema):
        yield Finding.of(Reason.INVALID_MAPPING, item.ref, message, path=(*at, *path))


def _contradictions(response: Response, *, schema: bool) -> Iterable[tuple[Path, str]]:
    if response.format in ("Text", "Binary"):
        if response.select is not None:
            yield (
                ("select",),
                f"select requires format Json, got {response.format}; set format to Json or remove select",
            )
        if schema:
            yield (
                ("format",),
                f"outputSchema requires format Json, got {response.format}; set Json or remove outputSchema",
            )
    if response.on_too_large == "Truncate" and schema:
        message = "outputSchema does not allow truncated replies; set onTooLarge to Error or remove outputSchema"
        yield ("onTooLarge",), message
    for index, status in enumerate(response.expect_status):
        if status.startswith(("1", "3")):
            message = f'must be a 2xx, 4xx or 5xx status, got "{status}"; redirects are not followed, so remove it'
            yield ("expectStatus", index), message
