"""PURE. Request bodies, one function for each mode."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any

from crd.published.entries import BodyField
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping, pointers, values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.published.entries import Body
    from runtime.backends.http_mapping.values import Sources

__all__ = ["JSON", "MAX_BODY", "build", "effective_mode"]

MAX_BODY = 1024 * 1024
JSON = "application/json"
# A part of a multipart body: its name, its further header text, its bytes.
Part = tuple[str, str, bytes]


def effective_mode(body: Body, method: str) -> str:
    """The mode that applies: the author's, else the method's default."""
    return body.mode or ("Arguments" if method in ("POST", "PUT", "PATCH") else "None")


def build(
    body: Body, mode: str, sources: Sources, leftovers: Mapping[str, Any], refusals: escaping.Refusals
) -> tuple[str, bytes] | None:
    """Content-Type and bytes, or None for no body. ``mode`` is the effective one.

    ``leftovers`` are the arguments that no other entry names. ``refusals`` collects the fields that the mode cannot
    send.

    Raises CallError for an argument that the mode cannot send, and for more than `MAX_BODY` bytes.
    """
    built: tuple[str, bytes] | None = None
    match mode:
        case "Arguments":
            built = body.content_type or JSON, escaping.to_json(dict(leftovers))
        case "Argument":
            value = pointers.argument(sources.arguments, body.argument)
            if value is not pointers.ABSENT:
                built = body.content_type or JSON, escaping.to_json(value)
        case "Fields":
            document: dict[str, Any] = {}
            for field in body.fields:
                value = sources.value_of(field)
                if value is not pointers.ABSENT:
                    pointers.put(document, field.name, value)
            built = body.content_type or JSON, escaping.to_json(document)
        case "Raw":
            value = pointers.argument(sources.arguments, body.argument)
            if value is not pointers.ABSENT and value is not None:
                text = escaping.to_text(body.argument, value)
                decode = _decode_base64 if body.encoding else escaping.encode
                built = body.content_type, decode(body.argument, text)
        case "Form":
            pairs = (f"{name}={text}" for name, text in _form_pairs(body, sources, leftovers, refusals))
            built = "application/x-www-form-urlencoded", "&".join(pairs).encode()
        case "Multipart":
            built = _join_parts(list(_parts(body, sources, leftovers, refusals)))
    if built is not None and len(built[1]) > MAX_BODY:
        raise CallError("invalid_arguments", f"the request body would be larger than {MAX_BODY} bytes; send less data")
    return built


def _form_fields(body: Body, sources: Sources, leftovers: Mapping[str, Any]) -> Iterator[tuple[BodyField, Any]]:
    """The fields of a form with their values: those of the author, else one for every leftover argument."""
    if body.fields:
        yield from ((field, sources.value_of(field)) for field in body.fields)
    else:
        yield from ((BodyField(name, f"/{pointers.escape(name)}"), value) for name, value in leftovers.items())


def _form_pairs(
    body: Body, sources: Sources, leftovers: Mapping[str, Any], refusals: escaping.Refusals
) -> Iterator[tuple[str, str]]:
    for field, value in _form_fields(body, sources, leftovers):
        with refusals.collect(field):
            yield from values.form_pairs(field, value)


def _parts(body: Body, sources: Sources, leftovers: Mapping[str, Any], refusals: escaping.Refusals) -> Iterator[Part]:
    """The parts of a form. A list becomes a part for each item, unless it is one of JSON."""
    for field, value in _form_fields(body, sources, leftovers):
        argument = field.argument or field.name
        file = f'; filename="{field.file_name}"' if field.file_name else ""
        media = f"\r\nContent-Type: {field.media_type}" if field.media_type else ""
        is_json = field.style == "Json"
        for item in value if isinstance(value, list) and not is_json else [value]:
            if item is None or item is pointers.ABSENT:
                continue
            with refusals.collect(field):
                text = escaping.to_json(item).decode() if is_json else escaping.to_plain_text(argument, item)
                data = (_decode_base64 if field.encoding else escaping.encode)(argument, text)
                yield field.name, f"{file}{media}", data


def _join_parts(parts: list[Part]) -> tuple[str, bytes]:
    """RFC 7578. The boundary is a digest of the parts, so no part can contain it."""
    digest = hashlib.sha256()
    for _, _, data in parts:
        digest.update(hashlib.sha256(data).digest())
    boundary = digest.hexdigest()[:32]
    chunks = []
    for name, more, data in parts:
        quoted = name.replace("\\", "%5C").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{quoted}"{more}\r\n\r\n'
        chunks.append(escaping.encode(name, head) + data + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join(chunks) + f"--{boundary}--\r\n".encode()


def _decode_base64(name: str, value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise escaping.refuse(name, "must be base64") from error
