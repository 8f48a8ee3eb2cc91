"""PURE. Reads an OpenAPI description: its version, its operations, and its local references, all within limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import orjson

from cli.imports import swagger
from cli.manifests import scalars, yaml_nodes
from cli.manifests.nodes import Broken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "MAX_BYTES",
    "MAX_OPERATIONS",
    "METHODS",
    "Description",
    "Operation",
    "UnusableError",
    "mapping",
    "parse",
]

MAX_BYTES = 64 * 1024 * 1024
MAX_OPERATIONS = 50_000
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
# A reference may lead to a reference.
_MAX_HOPS = 32
_VERSION = re.compile(r"3\.[01]\.[0-9A-Za-z.-]+")
_VARIABLE = re.compile(r"\{([^{}]+)\}")


class UnusableError(Exception):
    """A text that is not an OpenAPI description, or a part of one that cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a description: its method in upper case, its path as it is written, and its content.

    ``parameters`` are those of the path and of the operation, resolved; ``faults`` are those that cannot be resolved.
    """

    method: str
    path: str
    content: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...] = ()
    faults: tuple[str, ...] = ()
    servers: Any = None

    @property
    def key(self) -> str:
        """What identifies the operation in its description: ``GET /orders/{id}``."""
        return f"{self.method} {self.path}"

    @property
    def id(self) -> str:
        """The operationId; empty if there is none."""
        given = self.content.get("operationId")
        return given if isinstance(given, str) else ""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags."""
        given = self.content.get("tags")
        return tuple(tag for tag in given if isinstance(tag, str)) if isinstance(given, list) else ()


class Description:
    """An OpenAPI description. Nothing in it is trusted to have the right type."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        """Raises UnusableError for another version, or another kind of document."""
        if "swagger" in content:
            if str(content["swagger"]) != "2.0":
                raise UnusableError(f'must be OpenAPI 3.0 or 3.1, or Swagger 2.0, got swagger: "{content["swagger"]}"')
            content = swagger.modernize(content)
        self.content = content
        version = content.get("openapi")
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            given = f'openapi: "{version}"' if version is not None else "no member openapi"
            raise UnusableError(f"must be OpenAPI 3.0 or 3.1, or Swagger 2.0, got {given}")
        self.is_3_0 = version.startswith("3.0")
        if not isinstance(content.get("paths", {}), dict):
            raise UnusableError("paths must be an object of paths")

    @property
    def title(self) -> str:
        """info.title, on one line."""
        title = mapping(self.content.get("info")).get("title")
        return " ".join(title.split()) if isinstance(title, str) else ""

    def resolve(self, node: Any) -> Mapping[str, Any]:
        """A node, or what its local reference leads to. Raises UnusableError if that is not an object."""
        for _ in range(_MAX_HOPS):
            if not isinstance(node, dict):
                raise UnusableError("must be an object")
            target = node.get("$ref")
            if not isinstance(target, str):
                return node
            node = self.find(target)
        raise UnusableError("references lead to references without end")

    def find(self, target: str) -> Any:
        """What a local reference (``#/components/schemas/Order``) leads to.

        Raises UnusableError for a reference to another file, and for one that leads nowhere.
        """
        if not target.startswith("#"):
            raise UnusableError(f'"{target[:200]}" is in another file; bundle the description into one file')
        node: Any = self.content
        for step in target[1:].split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and name in node:
                node = node[name]
            elif isinstance(node, list) and name.isdecimal() and len(name) < 6 and int(name) < len(node):
                node = node[int(name)]
            else:
                raise UnusableError(f'"{target[:200]}" leads nowhere')
        return node

    def operations(self) -> Iterator[Operation]:
        """All operations in the order of the file. Raises UnusableError for more than `MAX_OPERATIONS`."""
        count = 0
        for path, given in mapping(self.content.get("paths")).items():
            if not path.startswith("/"):
                continue
            try:
                item = self.resolve(given)
            except UnusableError as error:
                yield Operation("*", path, {}, faults=(f"the path: {error}",))
                continue
            for method in METHODS:
                content = item.get(method)
                if content is None:
                    continue
                count += 1
                if count > MAX_OPERATIONS:
                    raise UnusableError(f"the description has more than {MAX_OPERATIONS} operations; split it")
                if not isinstance(content, dict):
                    yield Operation(method.upper(), path, {}, faults=("the operation must be an object",))
                    continue
                parameters, faults = self._parameters(item.get("parameters"), content.get("parameters"))
                servers = content.get("servers") or item.get("servers")
                yield Operation(method.upper(), path, content, parameters, faults, servers)

    def _parameters(self, *lists: Any) -> tuple[tuple[Mapping[str, Any], ...], tuple[str, ...]]:
        """The parameters of a path and of an operation, which replaces those of the same name and place."""
        found: dict[tuple[str, str], Mapping[str, Any]] = {}
        faults: list[str] = []
        for given in lists:
            for each in given if isinstance(given, list) else ():
                try:
                    parameter = self.resolve(each)
                except UnusableError as error:
                    faults.append(f"a parameter is left out: {error}")
                    continue
                name, place = parameter.get("name"), parameter.get("in")
                if isinstance(name, str) and name and place in ("path", "query", "header", "cookie"):
                    found[(place, name)] = parameter
                else:
                    faults.append(f"a parameter is left out: it has name {name!r} and in {place!r}")
        return tuple(found.values()), tuple(faults)

    def base_path(self, servers: Any = None) -> str:
        """The path of the first server, of the description or of an operation; "/" if there is none."""
        given = servers if servers is not None else self.content.get("servers")
        first = given[0] if isinstance(given, list) and given else None
        if not isinstance(first, dict) or not isinstance(first.get("url"), str):
            return "/"
        variables = mapping(first.get("variables"))

        def default(match: re.Match[str]) -> str:
            return str(mapping(variables.get(match[1])).get("default", ""))

        try:
            path = urlsplit(_VARIABLE.sub(default, first["url"])).path
        except ValueError:
            return "/"
        return "/" + path.strip("/")


def parse(data: bytes) -> Description:
    """Read a description in JSON or YAML. Raises UnusableError, also for more than `MAX_BYTES`."""
    if len(data) > MAX_BYTES:
        raise UnusableError(f"the file has more than {MAX_BYTES // 2**20} MiB; split it")
    content: Any = None
    if data.lstrip()[:1] in (b"{", b"["):
        try:
            content = orjson.loads(data)
        except orjson.JSONDecodeError:
            content = None  # YAML that begins like JSON, or a number that does not fit
    if content is None:
        content = _parse_yaml(data)
    if not isinstance(content, dict):
        raise UnusableError("the file must hold one object with the member openapi")
    return Description(content)


def _parse_yaml(data: bytes) -> Any:
    try:
        text = data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise UnusableError("the file is not UTF-8; save it as UTF-8") from error
    documents = yaml_nodes.compose(text, scalars.core)
    for node in documents:
        if isinstance(node, Broken):
            line = text.count("\n", 0, node.offset) + 1
            raise UnusableError(f"line {line}: {node.message}")
    values = [node.value for node in documents if not isinstance(node, Broken) and node.value is not None]
    if len(values) != 1:
        raise UnusableError(f"the file must hold one document, got {len(values)}")
    return values[0]


def mapping(value: Any) -> Mapping[str, Any]:
    """A value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
