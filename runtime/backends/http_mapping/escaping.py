"""PURE. How a value stands in a request: one function a position. What cannot stand there safely is refused.

Every refusal is a CallError ``invalid_arguments`` that names the argument and the rule, never the value.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

import orjson

from runtime.backends.faults import CallError

__all__ = ["check_numbers", "check_path", "dumped", "escaped", "header", "literal", "segment", "segments", "text"]

MAX_VALUE = 1024
MAX_HEADER = 4096
MAX_SAFE_INTEGER = 2**53 - 1
# A backend, or a proxy before it, may decode more than once.
_DECODINGS = 3
_HEADER_VALUE = re.compile(r"[\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?")


def text(name: str, value: Any) -> str:
    """A scalar as text: numbers and booleans as in JSON. Refuses anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return orjson.dumps(value).decode()
    raise CallError("invalid_arguments", f"/{name}: not a plain value")


def escaped(name: str, value: str) -> str:
    """A name or a value of a query: everything but unreserved characters as %XX."""
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as error:
        raise CallError("invalid_arguments", f"/{name}: lone surrogate") from error


def segment(name: str, value: str) -> str:
    """One path segment, or a part of one. What could leave it, also after repeated decoding, is refused."""
    for seen in _decodings(name, value):
        if "/" in seen:
            raise CallError("invalid_arguments", f'/{name}: "/" not allowed')
        _check_segment(name, seen)
    return quote(value, safe="")


def segments(name: str, value: str) -> str:
    """One or more path segments, divided by slashes."""
    for seen in _decodings(name, value):
        for part in seen.split("/"):
            _check_segment(name, part)
    return "/".join(quote(part, safe="") for part in value.split("/"))


def literal(path: str) -> str:
    """The part of a path that its author wrote: what is escaped stays so, what a URL has no place for is escaped."""
    return quote(path, safe="/%:@!$&'()*+,;=-._~")


def check_path(path: str, base: str) -> None:
    """A whole escaped path stays at or below its base, whatever the values made of it."""
    for part in path.split("/")[1:]:
        for seen in _unquoted(part):
            if seen.partition(";")[0] in (".", ".."):
                raise CallError("invalid_arguments", "the path would hold a dot segment")
    if path != base and not path.startswith(f"{base.rstrip('/')}/"):
        raise CallError("invalid_arguments", "the path would leave that of the service")


def header(name: str, value: str) -> str:
    """The value of a header: visible ASCII, with spaces inside."""
    if len(value) > MAX_HEADER or not _HEADER_VALUE.fullmatch(value):
        raise CallError("invalid_arguments", f"/{name}: not a header value")
    return value


def dumped(value: Any) -> bytes:
    """Compact JSON."""
    try:
        return orjson.dumps(value)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise CallError("invalid_arguments", f"/: {error}") from error


def check_numbers(value: Any, path: str = "") -> None:
    """Numbers that a backend would read as others (RFC 8259, section 6) are refused."""
    if isinstance(value, dict):
        for key, child in value.items():
            check_numbers(child, f"{path}/{key}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            check_numbers(child, f"{path}/{index}")
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > MAX_SAFE_INTEGER:
        raise CallError(
            "invalid_arguments", f"{path}: beyond the integers that JSON carries safely; send it as a string"
        )


def _decodings(name: str, value: str) -> list[str]:
    if not value or len(value) > MAX_VALUE:
        raise CallError("invalid_arguments", f"/{name}: empty or longer than {MAX_VALUE} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise CallError("invalid_arguments", f"/{name}: lone surrogate") from error
    return _unquoted(value)


def _unquoted(value: str) -> list[str]:
    """The value, and what it is after each decoding until it stays the same."""
    found = [value]
    for _ in range(_DECODINGS):
        again = unquote(found[-1], errors="replace")
        if again == found[-1]:
            break
        found.append(again)
    return found


def _check_segment(name: str, value: str) -> None:
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        raise CallError("invalid_arguments", f"/{name}: control character")
    if "\\" in value:
        raise CallError("invalid_arguments", f'/{name}: "\\" not allowed')
    if not value:
        raise CallError("invalid_arguments", f"/{name}: empty segment")
    if value.partition(";")[0] in (".", ".."):
        raise CallError("invalid_arguments", f"/{name}: dot segment")
