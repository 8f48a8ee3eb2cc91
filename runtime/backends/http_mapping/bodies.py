"""PURE. Request bodies, mode by mode."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any

from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping, pointers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.published.entries import Body
    from runtime.backends.http_mapping.values import Sources

__all__ = ["JSON", "MAX_BODY", "effective_mode", "payload"]

MAX_BODY = 1024 * 1024
JSON = "application/json"
# What a part or a form field is sent as: its name, what else is said of it, its bytes.
Part = tuple[str, str, bytes]


def effective_mode(body: Body, method: str) -> str:
    """The mode in force."""
    return body.mode or ("Arguments" if method in ("POST", "PUT", "PATCH") else "None")


def payload(body: Body, method: str, sources: Sources, leftovers: Mapping[str, Any]) -> tuple[str, bytes] | None:
    """Content-Type and bytes; None for no body. ``leftovers`` are the arguments that nothing else names.

    Raises CallError for an argument that the mode cannot carry, and for more than `MAX_BODY` bytes.
    """
    made = _made(body, effective_mode(body, method), sources, leftovers)
    if made is not None and len(made[1]) > MAX_BODY:
        raise CallError("invalid_arguments", f"the body would be larger than {MAX_BODY} bytes")
    return made


def _made(body: Body, mode: str, sources: Sources, leftovers: Mapping[str, Any]) -> tuple[str, bytes] | None:
    match mode:
        case "Arguments":
            return body.content_type or JSON, escaping.dumped(dict(leftovers))
        case "Argument":
            value = pointers.argument(sources.arguments, body.argument)
            return None if value is pointers.ABSENT else (body.content_type or JSON, escaping.dumped(value))
        case "Fields":
            return body.content_type or JSON, escaping.dumped(_object(body, sources))
        case "Raw":
            value = pointers.argument(sources.arguments, body.argument)
            return None if value is pointers.ABSENT else (body.content_type, _raw(body, value))
        case "Form":
            return "application/x-www-form-urlencoded", _form(body, sources, leftovers)
        case "Multipart":
            return _multipart(list(_parts(body, sources, leftovers)))
    return None


def _object(body: Body, sources: Sources) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for field in body.fields:
        value = sources.of(field)
        if value is not pointers.ABSENT:
            pointers.put(document, field.name, value)
    return document


def _raw(body: Body, value: Any) -> bytes:
    said = escaping.text(body.argument, value)
    return _decoded(body.argument, said) if body.encoding else _encoded(body.argument, said)


def _form(body: Body, sources: Sources, leftovers: Mapping[str, Any]) -> bytes:
    pairs = (
        f"{escaping.escaped(name, name)}={escaping.escaped(name, value)}"
        for name, value in _plain(body, sources, leftovers)
    )
    return "&".join(pairs).encode()


def _plain(body: Body, sources: Sources, leftovers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    given = ((f.name, sources.of(f)) for f in body.fields) if body.fields else iter(leftovers.items())
    for name, value in given:
        for item in value if isinstance(value, list) else [value]:
            if item is not None and item is not pointers.ABSENT:
                yield name, escaping.text(name, item)


def _parts(body: Body, sources: Sources, leftovers: Mapping[str, Any]) -> Iterator[Part]:
    for field in body.fields:
        value = sources.of(field)
        if value is None or value is pointers.ABSENT:
            continue
        said = escaping.text(field.name, value)
        data = _decoded(field.name, said) if field.encoding else _encoded(field.name, said)
        file = f'; filename="{field.file_name}"' if field.file_name else ""
        media = f"\r\nContent-Type: {field.media_type}" if field.media_type else ""
        yield field.name, f"{file}{media}", data
    if not body.fields:
        for name, text in _plain(body, sources, leftovers):
            yield name, "", _encoded(name, text)


def _multipart(parts: list[Part]) -> tuple[str, bytes]:
    """RFC 7578. The boundary is a digest of what it divides, so nobody can put it into a part."""
    digest = hashlib.sha256()
    for _, _, data in parts:
        digest.update(hashlib.sha256(data).digest())
    boundary = digest.hexdigest()[:32]
    chunks = []
    for name, more, data in parts:
        quoted = name.replace("\\", "%5C").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted}"{more}\r\n\r\n'
        chunks.append(_encoded(name, head) + data + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join(chunks) + f"--{boundary}--\r\n".encode()


def _encoded(name: str, value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise CallError("invalid_arguments", f"/{name}: lone surrogate") from error


def _decoded(name: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CallError("invalid_arguments", f"/{name}: not base64") from error
