"""The documents of files, folders and standard input, each with its place. What cannot be read is a `Fault`.

A list (``kind: List``, ``MCPToolList``, what ``kubectl get -o yaml`` prints) counts as its items.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.manifests import json_nodes, yaml_nodes
from cli.manifests.nodes import Broken, BrokenError, Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

__all__ = ["Document", "Fault", "Reading", "Source", "UnreadableError", "documents_of", "read"]

SUFFIXES = (".yaml", ".yml", ".json")
# Kustomize lets this file go without kind and apiVersion.
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml")
STDIN = "-"


class UnreadableError(Exception):
    """A path that cannot be read at all; the message names it and says why."""


class Source:
    """A file's name, as it was given, and its text."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1; columns count characters."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file: what it says, and where everything in it stands."""

    source: Source
    node: Node
    raw: dict[str, Any] = field(repr=False)

    def position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of a field's key or a list's item, or of the nearest ancestor that is there."""
        return self.source.position(self.node.place(path))


@dataclass(frozen=True, slots=True)
class Fault:
    """A document that cannot be judged: where, and what is wrong with it."""

    source: Source
    offset: int
    message: str

    @property
    def position(self) -> tuple[int, int]:
        """Line and column, both from 1."""
        return self.source.position(self.offset)


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was read; ``files`` counts the files."""

    documents: tuple[Document, ...]
    faults: tuple[Fault, ...]
    files: int


def read(paths: Sequence[str], stdin: BinaryIO) -> Reading:
    """Read the files, the folders with all below them, and ``-`` as standard input; a file named twice is read once.

    Raises UnreadableError for the first path that cannot be opened.
    """
    found: list[Document | Fault] = []
    seen: set[str] = set()
    for name in _names(paths):
        where = name if name == STDIN else os.path.realpath(name)
        if where not in seen:
            seen.add(where)
            found += _file(name, stdin.read() if name == STDIN else _bytes(name))
    documents = tuple(item for item in found if isinstance(item, Document))
    return Reading(documents, tuple(item for item in found if isinstance(item, Fault)), len(seen))


def _names(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if path != STDIN and Path(path).is_dir():
            yield from _below(path)
        else:
            yield path


def _below(folder: str) -> Iterator[str]:
    """The YAML and JSON files below a folder, in order; hidden ones (.git, .github) belong to others."""

    def refuse(error: OSError) -> None:
        raise UnreadableError(_said(error.filename, error)) from error

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.normpath(f"{parent}/{name}")


def _bytes(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UnreadableError(_said(name, error)) from error


def _said(name: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist"
    return f"{name} cannot be read: {error.strerror}"


def _file(name: str, data: bytes) -> Iterator[Document | Fault]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        source = Source(name, data.decode(errors="replace"))
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        yield Fault(source, len(data[: error.start].decode()), message)
        return
    yield from documents_of(Source(name, text.removeprefix("\ufeff")))


def documents_of(source: Source) -> Iterator[Document | Fault]:
    """The objects of one text, in order; empty documents are none."""
    for node in _composed(source):
        if isinstance(node, Broken):
            yield Fault(source, node.offset, node.message)
        elif node.value is not None:
            yield from _sorted(source, node)


def _composed(source: Source) -> Sequence[Node | Broken]:
    """As kubectl does: what begins with a brace is JSON, unless only YAML can read it."""
    if not source.text.lstrip().startswith("{"):
        return yaml_nodes.compose(source.text)
    try:
        return json_nodes.compose(source.text)
    except BrokenError as error:
        found = yaml_nodes.compose(source.text)
        if any(isinstance(node, Broken) for node in found) and source.name.endswith(".json"):
            return [error.broken]
        return found


def _sorted(source: Source, node: Node) -> Iterator[Document | Fault]:
    raw = node.value
    if not isinstance(raw, dict):
        what = "a list" if isinstance(raw, list) else "one value"
        yield Fault(source, node.offset, f"this document is {what}; an object has apiVersion, kind and metadata")
        return
    for member in ("apiVersion", "kind"):
        value = raw.get(member)
        if not isinstance(value, str) or not value:
            if member in raw or Path(source.name).name not in KUSTOMIZATIONS:
                yield Fault(source, node.place((member,)), f"{member} is missing or no text; add it")
            return
    if raw["kind"].endswith("List") and isinstance(raw.get("items"), list):
        yield from _items(source, node, raw)
    else:
        yield Document(source, node, raw)


def _items(source: Source, node: Node, raw: dict[str, Any]) -> Iterator[Document | Fault]:
    """The items of a list; those of a typed one may go without apiVersion and kind."""
    kind = raw["kind"].removesuffix("List")
    for item in (node.members or {})["items"][1].items or ():
        if kind and isinstance(item.value, dict) and "kind" not in item.value:
            yield Document(source, item, {"apiVersion": raw["apiVersion"], "kind": kind, **item.value})
        elif item.value is not None:
            yield from _sorted(source, item)
