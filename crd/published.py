"""PURE. The catalog of one MCPServer as its pods read it: the types, and their JSON.

The controller compiles and publishes it, the runtime serves it; neither imports the other, both import this. It knows
no Kubernetes object and loads without pydantic, because every pod of every server pays for its imports.

A published catalog travels in a ConfigMap: as text under ``catalog.json``, or gzipped under ``catalog.json.gz`` in
``binaryData`` when it is large. Its digest is the SHA-256 of the uncompressed bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import orjson

__all__ = [
    "DIGEST_ANNOTATION",
    "FILE",
    "GZIP_FILE",
    "Backend",
    "Catalog",
    "InlineResource",
    "InvalidCatalogError",
    "Operation",
    "Parameter",
    "Prompt",
    "Settings",
    "Tool",
    "Variable",
    "digest",
    "dump",
    "load",
    "unpack",
]

T = TypeVar("T")

FORMAT = 1
FILE = "catalog.json"
GZIP_FILE = "catalog.json.gz"
DIGEST_ANNOTATION = "mcp.example.com/catalog-digest"


class InvalidCatalogError(ValueError):
    """These bytes are no catalog that this version can serve."""


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a call goes: host, port and base path of a Service. ``port`` 0: the named port could not be resolved."""

    host: str
    port: int
    path: str = "/"
    scheme: str = "http"


@dataclass(frozen=True, slots=True)
class Tool:
    """One entry of tools/list and how it is called. ``source`` is the ``namespace/name`` of the MCPTool."""

    name: str
    source: str
    method: str
    backend: Backend
    input_schema: dict[str, Any]
    description: str = ""
    ingress_path: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """One argument of a prompt."""

    name: str
    description: str = ""
    required: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """One entry of prompts/list; ``template`` holds ``{{variable}}`` placeholders."""

    name: str
    source: str
    template: str
    description: str = ""
    variables: tuple[Variable, ...] = ()
    ingress_path: str = ""


@dataclass(frozen=True, slots=True)
class InlineResource:
    """A resource whose content stands in the catalog: ``text``, or base64 in ``blob``; exactly one is set."""

    uri: str
    name: str
    source: str
    description: str = ""
    mime_type: str = "text/plain"
    text: str | None = None
    blob: str | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation; ``place`` is path, query or header."""

    name: str
    place: str
    required: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """An HTTP-backed operation of an MCPResource.

    A GET is served as a resource, or a resource template when it has parameters, at ``uri_template``; other methods
    have an empty one. Every operation answers at its ``ingress_path``, which holds ``{parameter}`` placeholders.
    ``backend.path`` may hold the same placeholders.
    """

    name: str
    source: str
    method: str
    ingress_path: str
    backend: Backend
    uri_template: str = ""
    description: str = ""
    mime_type: str = ""
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server behaves. Times in seconds; ``sessions`` is Redis, Memory or Stateless.

    ``hosts`` are the names under which browsers may know the server.
    """

    path_prefix: str = "/mcp"
    request_timeout: float = 30.0
    max_concurrent_requests: int = 100
    sessions: str = "Memory"
    session_ttl: float = 1800.0
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that one MCPServer serves. Entries are sorted by name or URI; no two of a kind share one."""

    server: str
    settings: Settings = field(default_factory=Settings)
    tools: tuple[Tool, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    resources: tuple[InlineResource, ...] = ()
    operations: tuple[Operation, ...] = ()


def dump(catalog: Catalog) -> bytes:
    """Canonical JSON: equal catalogs give equal bytes. ``inputSchema`` members keep the author's order."""
    return orjson.dumps({"format": FORMAT, **asdict(catalog)})


def digest(payload: bytes) -> str:
    """``sha256:<hex>`` of the uncompressed bytes."""
    return f"sha256:{hashlib.sha256(payload).hexdigest()}"


def unpack(data: dict[str, str], binary: dict[str, bytes]) -> bytes:
    """The uncompressed bytes out of a ConfigMap's ``data`` and (decoded) ``binaryData``.

    Raises InvalidCatalogError if neither key is there or the gzip is broken.
    """
    if FILE in data:
        return data[FILE].encode()
    if GZIP_FILE not in binary:
        raise InvalidCatalogError(f"neither {FILE} nor {GZIP_FILE} is there")
    try:
        return gzip.decompress(binary[GZIP_FILE])
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidCatalogError(f"{GZIP_FILE} does not decompress: {error}") from error


def load(payload: bytes) -> Catalog:
    """Read what `dump` wrote. Raises InvalidCatalogError for anything else; members it does not know are ignored."""
    try:
        raw = orjson.loads(payload)
        if raw["format"] != FORMAT:
            raise InvalidCatalogError(f"format is {raw['format']!r}, this version reads {FORMAT}")
        return Catalog(
            server=raw["server"],
            settings=_read(Settings, raw["settings"], hosts=tuple(raw["settings"]["hosts"])),
            tools=tuple(_read(Tool, item, backend=_read(Backend, item["backend"])) for item in raw["tools"]),
            prompts=tuple(
                _read(Prompt, item, variables=tuple(_read(Variable, variable) for variable in item["variables"]))
                for item in raw["prompts"]
            ),
            resources=tuple(_read(InlineResource, item) for item in raw["resources"]),
            operations=tuple(
                _read(
                    Operation,
                    item,
                    backend=_read(Backend, item["backend"]),
                    parameters=tuple(_read(Parameter, parameter) for parameter in item["parameters"]),
                )
                for item in raw["operations"]
            ),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InvalidCatalogError(f"not a catalog: {type(error).__name__}: {error}") from error


def _read(kind: type[T], raw: dict[str, Any], **parsed: Any) -> T:
    known = {name: raw[name] for name in kind.__dataclass_fields__ if name in raw}  # type: ignore[attr-defined]
    return kind(**{**known, **parsed})
