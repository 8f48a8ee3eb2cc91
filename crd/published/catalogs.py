"""PURE. The catalog of one MCPServer as its pods read it, and its JSON.

`crd.published.entries` defines the entries. The controller compiles and publishes a catalog and the runtime serves it;
both import this module and not each other. It loads without pydantic, because every pod pays for its imports.

A published catalog travels in a ConfigMap: as text under ``catalog.json``, or gzipped under ``catalog.json.gz`` in
``binaryData`` when it is large. The gzip may have many members. The digest is made of the digests of the text's lines,
so that a writer who knows most lines already (`crd.published.chunks`) hashes and compresses only the others. See
docs/decisions/0018.
"""

from __future__ import annotations

import hashlib
import types
import typing
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any

import orjson

from crd.published.entries import HttpResource, InlineResource, Operation, Prompt, Tool
from crd.published.settings import Settings

__all__ = [
    "DIGEST_ANNOTATION",
    "FILE",
    "GZIP_FILE",
    "INFLATED_LIMIT",
    "LIMIT",
    "Catalog",
    "InvalidCatalogError",
    "digest",
    "digest_of_lines",
    "dump",
    "inflate",
    "lean",
    "load",
    "parse",
    "reader",
    "unpack",
    "weight",
]

FORMAT = 2
FILE = "catalog.json"
# Of the 1 MiB that a ConfigMap holds; what is over it cannot be published.
LIMIT = 900 * 1024
# What a gzip of that size may grow to; a reader stops there.
INFLATED_LIMIT = 64 * 1024 * 1024
GZIP_FILE = "catalog.json.gz"
# Bytes that are inflated at once; a byte may become a thousand.
WINDOW = 4 * 1024
DIGEST_ANNOTATION = "mcp.example.com/catalog-digest"


_WORDS = (
    b'{"name":"description":"inputSchema":{"type":"object","properties":{"required":["additionalProperties":false}'
    b'"type":"string","type":"integer","type":"number","type":"boolean","type":"array","items":{"enum":["default":'
    b'"minimum":"maximum":"format":"date","service":{"namespace":"port":80,"path":"/api/v1/"method":"GET","http":'
)
# A small window: the default takes 256 KiB of memory. It is copied for each use, in half the time of a new one.
_PACKER = zlib.compressobj(6, zlib.DEFLATED, -12, 5, zdict=_WORDS)


class InvalidCatalogError(ValueError):
    """These bytes are not a catalog that this version can serve."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that an MCPServer serves. Entries are sorted by name or URI, which are distinct within a list.

    ``prefix`` is the configured prefix of tool and prompt names; None in a catalog that was published before prefixes
    were recorded. Pods do not read it; the next compilation uses it to find the incumbents.
    """

    server: str
    settings: Settings = field(default_factory=Settings)
    tools: tuple[Tool, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    resources: tuple[InlineResource, ...] = ()
    http_resources: tuple[HttpResource, ...] = ()
    operations: tuple[Operation, ...] = ()
    prefix: str | None = None


def dump(catalog: Catalog) -> bytes:
    """Canonical JSON: equal catalogs give equal bytes. Members of schemas keep the author's order.

    Defaults are left out.
    """
    return orjson.dumps({"format": FORMAT, **lean(catalog)})


def weight(spec: bytes) -> int:
    """The estimated size of this part of a spec, as JSON, in a compressed catalog, in bytes.

    The spec is compressed alone, with a dictionary of words that most entries contain, so that the sum over all members
    of a server approximates the size of the compressed catalog.
    """
    packer = _PACKER.copy()
    return len(packer.compress(spec)) + len(packer.flush())


def digest(payload: bytes) -> str:
    """The digest of an uncompressed catalog, as ``sha256:<hex>``."""
    return digest_of_lines(hashlib.sha256(line).digest() for line in payload.split(b"\n"))


def digest_of_lines(digests: Iterable[bytes]) -> str:
    """The digest of a catalog out of the SHA-256 of each of its lines."""
    return f"sha256:{hashlib.sha256(b''.join(digests)).hexdigest()}"


def unpack(data: dict[str, str], binary: dict[str, bytes]) -> bytes:
    """The uncompressed bytes out of a ConfigMap's ``data`` and (decoded) ``binaryData``.

    Raises InvalidCatalogError if neither key is there, or the gzip is broken or inflates to more than
    `INFLATED_LIMIT`.
    """
    if FILE in data:
        return data[FILE].encode()
    if GZIP_FILE not in binary:
        raise InvalidCatalogError(f"neither {FILE} nor {GZIP_FILE} is there")
    try:
        return b"".join(inflate(binary[GZIP_FILE]))
    except zlib.error as error:
        raise InvalidCatalogError(f"{GZIP_FILE} does not decompress: {error}") from error


def inflate(packed: bytes) -> Iterator[bytes]:
    """The parts of all members of a gzip (RFC 1952, section 2.2).

    Raises InvalidCatalogError above `INFLATED_LIMIT`, and zlib.error.
    """
    position, room = 0, INFLATED_LIMIT
    while position < len(packed):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            window = packed[position : position + WINDOW]
            if not window:
                raise zlib.error("incomplete or truncated stream")
            part = member.decompress(window, room + 1)
            room -= len(part)
            if room < 0:
                raise InvalidCatalogError(f"{GZIP_FILE} inflates to more than {INFLATED_LIMIT} bytes")
            position += len(window) - len(member.unused_data)
            yield part


def lean(value: Any) -> Any:
    """A value as JSON, without members that have their default values."""
    if isinstance(value, tuple):
        return [lean(item) for item in value]
    if not is_dataclass(value):
        return value
    members = ((name, getattr(value, name), default) for name, default in _defaults(value.__class__))
    return {name: lean(member) for name, member, default in members if member != default}


@cache
def _defaults(kind: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((f.name, f.default_factory() if f.default_factory is not MISSING else f.default) for f in fields(kind))


def parse(payload: bytes) -> dict[str, Any]:
    """A catalog as JSON. Raises InvalidCatalogError for what is not JSON of this format."""
    try:
        raw: dict[str, Any] = orjson.loads(payload)
        if raw["format"] != FORMAT:
            raise InvalidCatalogError(f"format is {raw['format']!r}, this version reads {FORMAT}")
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidCatalogError(f"not a catalog: {type(error).__name__}: {error}") from error
    return raw


def load(payload: bytes) -> Catalog:
    """Read what `dump` wrote. Raises InvalidCatalogError for anything else; members it does not know are ignored."""
    raw = parse(payload)
    try:
        catalog: Catalog = reader(Catalog)(raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidCatalogError(f"not a catalog: {type(error).__name__}: {error}") from error
    return catalog


@cache
def reader(kind: Any) -> Callable[[Any], Any]:
    """A function from JSON to a value of a type: a dataclass, a tuple, a union with None, or JSON as it is."""
    if isinstance(kind, type) and is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        members = {name: reader(hints[name]) for name in kind.__dataclass_fields__}

        def record(raw: Any) -> Any:
            return kind(**{name: members[name](value) for name, value in raw.items() if name in members})

        return record
    if typing.get_origin(kind) is tuple:
        each = reader(typing.get_args(kind)[0])
        return lambda raw: tuple(each(item) for item in raw)
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        inner = next(choice for choice in typing.get_args(kind) if choice is not types.NoneType)
        read = reader(inner)
        return lambda raw: None if raw is None else read(raw)
    return lambda raw: raw
