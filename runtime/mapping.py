"""PURE. From arguments to an HTTP request: the whole of what may reach a backend, and how it is escaped.

Host, port and scheme come from the catalog only. Every value is serialised for its position; what cannot stand there is
refused before anything is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import orjson

from runtime.faults import CallError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crd.published import Backend, Operation, Tool

__all__ = ["Request", "of_operation", "of_tool", "segment"]

MAX_URL = 8192
MAX_SAFE_INTEGER = 2**53 - 1
_WITH_BODY = ("POST", "PUT", "PATCH")
_HEADER_VALUE = re.compile(r"[\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?")
_FORBIDDEN_HEADERS = re.compile(
    r"host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|authorization|proxy-.*|cookie"
    r"|forwarded|x-forwarded-.*|mcp-.*|traceparent",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: ``url`` is escaped already and goes out as it is."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    @property
    def idempotent(self) -> bool:
        """By the method's definition (RFC 9110): may be sent again."""
        return self.method in ("GET", "PUT", "DELETE")


def of_tool(tool: Tool, arguments: Mapping[str, Any]) -> Request:
    """The default mapping: JSON body for POST, PUT and PATCH, query for GET and DELETE. Raises CallError."""
    _check_numbers(arguments, "")
    base = _base(tool.backend) + quote(tool.backend.path, safe="/%:@!$&'()*+,;=-._~")
    if tool.method in _WITH_BODY:
        headers = (("Content-Type", "application/json"),)
        return _bounded(Request(tool.method, base, headers, orjson.dumps(dict(arguments))))
    return _bounded(Request(tool.method, base + _query(_pairs(arguments))))


def of_operation(operation: Operation, values: Mapping[str, str], body: bytes | None = None) -> Request:
    """An operation with the values of its parameters. Raises CallError for a missing or unsendable one."""
    places: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation.parameters:
        if parameter.name in values:
            places[parameter.place][parameter.name] = values[parameter.name]
        elif parameter.required or parameter.place == "path":
            raise CallError("invalid_arguments", f"/{parameter.name}: required")
    filled = _PLACEHOLDER.sub(lambda match: _filled(match[1], places["path"]), operation.backend.path)
    headers = tuple((name, _header(name, value)) for name, value in places["header"].items())
    if body is not None:
        headers = (*headers, ("Content-Type", "application/json"))
    return _bounded(
        Request(operation.method, _base(operation.backend) + filled + _query(places["query"].items()), headers, body)
    )


def segment(name: str, value: str) -> str:
    """One path segment. What could leave the segment, also after decoding again and again, is refused."""
    if not value or len(value) > 1024:
        raise CallError("invalid_arguments", f"/{name}: empty or longer than 1024 characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise CallError("invalid_arguments", f"/{name}: lone surrogate") from error
    decoded = value
    for _ in range(4):
        _check_segment(name, decoded)
        again = unquote(decoded, errors="replace")
        if again == decoded:
            break
        decoded = again
    return quote(value, safe="")


def _check_segment(name: str, value: str) -> None:
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        raise CallError("invalid_arguments", f"/{name}: control character")
    if "/" in value or "\\" in value:
        raise CallError("invalid_arguments", f'/{name}: "/" or "\\" not allowed')
    if value.partition(";")[0] in (".", "..") or not value:
        raise CallError("invalid_arguments", f"/{name}: dot segment")


def _filled(name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise CallError("misconfigured", f"the path uses {{{name}}}, which is no path parameter")
    return segment(name, values[name])


def _header(name: str, value: str) -> str:
    if _FORBIDDEN_HEADERS.fullmatch(name):
        raise CallError("misconfigured", f"header {name} cannot be set by a parameter")
    if len(value) > 4096 or not _HEADER_VALUE.fullmatch(value):
        raise CallError("invalid_arguments", f"/{name}: not a header value")
    return value


def _base(backend: Backend) -> str:
    if backend.port == 0:
        raise CallError("misconfigured", f"Service {backend.host} has no such port; see the object's conditions")
    return f"{backend.scheme}://{backend.host}:{backend.port}"


def _pairs(arguments: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in arguments.items():
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                yield name, _text(name, item)


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    raise CallError("invalid_arguments", f"/{name}: objects cannot stand in a query")


def _query(pairs: Iterable[tuple[str, str]]) -> str:
    try:
        text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    except UnicodeEncodeError as error:
        raise CallError("invalid_arguments", "lone surrogate") from error
    return f"?{text}" if text else ""


def _check_numbers(value: Any, path: str) -> None:
    """JSON numbers that a backend would read as others (RFC 8259, section 6) are refused."""
    if isinstance(value, dict):
        for key, child in value.items():
            _check_numbers(child, f"{path}/{key}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _check_numbers(child, f"{path}/{index}")
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > MAX_SAFE_INTEGER:
        raise CallError(
            "invalid_arguments", f"{path}: beyond the integers that JSON carries safely; send it as a string"
        )


def _bounded(request: Request) -> Request:
    if len(request.url) > MAX_URL:
        raise CallError("invalid_arguments", f"the URL would be longer than {MAX_URL} characters")
    return request
