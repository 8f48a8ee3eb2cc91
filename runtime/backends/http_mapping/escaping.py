"""PURE. How a value is written into a request, with one function for each position. Unsafe values are refused.

A refusal is a CallError ``invalid_arguments``. It names the argument by JSON Pointer and the rule, never the value.
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, contextmanager, nullcontext
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import orjson

from crd.published.headers import HEADER_VALUE
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import pointers
from runtime.mcp import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.published.entries import BodyField, ParameterEntry

__all__ = [
    "UNRESERVED",
    "WORD",
    "FirstRefusal",
    "Refusals",
    "check_header",
    "check_path",
    "encode",
    "escape",
    "escape_literal",
    "escape_segment",
    "escape_segments",
    "refuse",
    "to_ascii_json",
    "to_json",
    "to_plain_text",
    "to_text",
]

MAX_VALUE = 1024
MAX_HEADER = 4096
# A backend, or a proxy in front of it, may decode more than once.
_DECODINGS = 3
_HEADER_VALUE = re.compile(HEADER_VALUE)
# Most values: escaped they look the same (RFC 3986, section 2.3), and a word is a safe path segment.
UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")
WORD = re.compile(rf"[A-Za-z0-9_~-]{{1,{MAX_VALUE}}}")
_NOT_ASCII = re.compile(r"[^\x20-\x7E]")


def refuse(argument: str, rule: str) -> CallError:
    """The fault for an argument, given by name or by JSON Pointer, that breaks a rule."""
    pointer = argument if argument.startswith("/") else f"/{pointers.escape(argument)}"
    return CallError("invalid_arguments", f"{pointer}: {rule}")


class Refusals:
    """Collects refused arguments, so that the client learns all of them at once."""

    def __init__(self) -> None:
        self._messages: list[str] = []

    def collect(self, entry: ParameterEntry | BodyField | None = None) -> AbstractContextManager[None]:
        """Keep an ``invalid_arguments`` for `check`; raise any other fault.

        The value of an ``entry`` may come from a claim or from the tool itself. Then no argument is to blame, and the
        fault is ``misconfigured``.
        """
        return self._collect(entry)

    @contextmanager
    def _collect(self, entry: ParameterEntry | BodyField | None) -> Iterator[None]:
        try:
            yield
        except CallError as fault:
            if fault.code != "invalid_arguments":
                raise
            if entry is not None and not entry.argument:
                source = f'the claim "{entry.claim}" of the client token' if entry.claim else "a constant of the tool"
                message = f"{source} cannot be sent as {entry.name}: it {fault.message.partition(': ')[2]}"
                raise CallError("misconfigured", message) from fault
            self._messages.append(fault.message)

    def check(self) -> None:
        """Raise CallError ``invalid_arguments`` with everything that was collected."""
        if self._messages:
            raise CallError("invalid_arguments", "; ".join(dict.fromkeys(self._messages)))


class FirstRefusal(Refusals):
    """Raises the first refusal as it is. That is all that is needed to know whether there is one."""

    _nothing = nullcontext()

    def collect(self, entry: ParameterEntry | BodyField | None = None) -> AbstractContextManager[None]:
        """Collect nothing."""
        return self._nothing


def to_text(name: str, value: Any) -> str:
    """A scalar as text: numbers and booleans as in JSON. Refuses anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float | Decimal):
        return numbers.to_text(value)
    raise refuse(name, "must be a string, a number or a boolean")


def to_plain_text(name: str, value: Any) -> str:
    """A scalar as text; anything else as JSON, in ASCII."""
    return to_ascii_json(value) if isinstance(value, dict | list) else to_text(name, value)


def encode(name: str, value: str) -> bytes:
    """A string as UTF-8."""
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise refuse(name, "must not contain a lone surrogate (not valid Unicode)") from error


def escape(name: str, value: str) -> str:
    """A name or value of a query: everything but unreserved characters as %XX."""
    if UNRESERVED.fullmatch(value):
        return value
    encode(name, value)
    return quote(value, safe="")


def escape_segment(name: str, value: str) -> str:
    """A path segment, or a part of one. Refuses what could leave the segment, even after repeated decoding."""
    if WORD.fullmatch(value):
        return value
    for form in _decodings(name, value):
        if "/" in form:
            raise refuse(name, 'must not contain "/"')
        _check_segment(name, form)
    return quote(value, safe="")


def escape_segments(name: str, value: str) -> str:
    """One or more path segments, separated by slashes."""
    for form in _decodings(name, value):
        for segment in form.split("/"):
            _check_segment(name, segment)
    return "/".join(quote(segment, safe="") for segment in value.split("/"))


def escape_literal(path: str) -> str:
    """A part of a path as its author wrote it. What is already escaped stays; what a URL does not allow is escaped."""
    return quote(path, safe="/%:@!$&'()*+,;=-._~")


def check_path(path: str, base: str) -> None:
    """Refuse an escaped path that is not at or below its base."""
    # Without either of these there is no dot segment, in no decoding.
    is_suspect = "%" in path or "/." in path
    for segment in path.split("/")[1:] if is_suspect else ():
        for form in _decode_repeatedly(segment):
            if form.partition(";")[0] in (".", ".."):
                raise CallError("invalid_arguments", "the path would contain a dot segment")
    if path != base and not path.startswith(f"{base.rstrip('/')}/"):
        raise CallError("invalid_arguments", "the path would leave the base path of the service")


def check_header(name: str, value: str) -> str:
    """The value of a header, unchanged. Refuses anything but visible ASCII with spaces inside."""
    if len(value) > MAX_HEADER or not _HEADER_VALUE.fullmatch(value):
        raise refuse(name, f"must be visible ASCII of 1 to {MAX_HEADER} characters to be sent in a header")
    return value


def to_json(value: Any) -> bytes:
    """Compact JSON."""
    try:
        return numbers.dumps(value)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise CallError("invalid_arguments", f"the arguments cannot be written as JSON: {error}") from error


def to_ascii_json(value: Any) -> str:
    """Compact JSON in ASCII, which a header can hold, too."""
    return _NOT_ASCII.sub(_escape_character, to_json(value).decode())


def _escape_character(match: re.Match[str]) -> str:
    """The character as one or two ``\\uXXXX`` (RFC 8259, section 7)."""
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def _decodings(name: str, value: str) -> list[str]:
    if not value or len(value) > MAX_VALUE:
        raise refuse(name, f"must have 1 to {MAX_VALUE} characters to be sent in a path")
    encode(name, value)
    return _decode_repeatedly(value)


def _decode_repeatedly(value: str) -> list[str]:
    """The value and its forms after each decoding, until decoding changes nothing."""
    forms = [value]
    for _ in range(_DECODINGS):
        decoded = unquote(forms[-1], errors="replace")
        if decoded == forms[-1]:
            break
        forms.append(decoded)
    return forms


def _check_segment(name: str, value: str) -> None:
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
        raise refuse(name, "must not contain a control character")
    if "\\" in value:
        raise refuse(name, 'must not contain "\\"')
    if not value:
        raise refuse(name, "must not contain an empty path segment")
    if value.partition(";")[0] in (".", ".."):
        raise refuse(name, "must not contain a dot segment")
