"""PURE. The objects of a file, each with its position. A document that cannot be read is a `Fault`.

A list (``kind: List``, ``MCPToolList``, the output of ``kubectl get -o yaml``) counts as its items.
Called by `cli.commands.files`.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cli.manifests import json_nodes, yaml_nodes
from cli.manifests.nodes import Broken, BrokenError, Node
from crd.finding import Level
from crd.ref import GROUP, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cli.manifests.yaml_nodes import Remember

__all__ = ["KUSTOMIZATIONS", "MAX_BYTES", "Document", "Fault", "Source", "parse", "parse_text"]

# The API server reads no request body over 3 MiB (apiserver, MaxRequestBodyBytes); kubectl sends JSON.
MAX_BYTES = 3 * 1024 * 1024
# JSON writes a character in at most six bytes (backslash, u, four digits): a lighter document need not be measured.
_CERTAINLY_SMALL = MAX_BYTES // 6
# Kustomize lets this file omit kind and apiVersion.
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
# Without these letters a text cannot be an object: the member apiVersion may be written with escapes only.
_OBJECT = re.compile(r"apiVersion|\\[uUx]")
# A text that cannot be parsed was meant as an object if it has a member of that name.
_MEMBER = re.compile(r"""\b(?:apiVersion|kind)["']?[ \t]*:""")
_OURS = tuple(kind.value for kind in (Kind.SERVER, Kind.TOOL, Kind.PROMPT, Kind.RESOURCE))


class Source:
    """The name of a file as the user gave it, and its text."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    @cached_property
    def _line_starts(self) -> list[int]:
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1; columns count characters."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file: its content, and the position of every field.

    The offsets of ``node`` are relative to ``start``.
    """

    source: Source
    node: Node
    raw: dict[str, Any] = field(repr=False)
    start: int = 0

    def position(self, path: Sequence[str | int]) -> tuple[int, int]:
        """Line and column of a field's key or a list's item, or of its nearest ancestor in the document."""
        return self.source.position(self.start + self.node.locate(path))


@dataclass(frozen=True, slots=True)
class Fault:
    """A document that cannot be validated: where, and why."""

    source: Source
    offset: int
    message: str
    level: Level = Level.ERROR

    @property
    def position(self) -> tuple[int, int]:
        """Line and column, both from 1."""
        return self.source.position(self.offset)


def parse(
    name: str, data: bytes, *, found: bool = False, remember: Remember | None = None
) -> Iterator[Document | Fault]:
    """The objects of a file, in order.

    A file that was ``found`` in a folder may be one of another program: what is not an object is skipped there.
    ``remember`` as in `cli.manifests.yaml_nodes.compose_parts`.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if found and b"apiVersion" not in data:
            return
        source = Source(name, data.decode(errors="replace"))
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        yield Fault(source, len(data[: error.start].decode()), message)
        return
    if found and not _OBJECT.search(text) and not _MEMBER.search(text):
        return
    yield from parse_text(Source(name, text.removeprefix("\ufeff")), found=found, remember=remember)


def parse_text(source: Source, *, found: bool = False, remember: Remember | None = None) -> Iterator[Document | Fault]:
    """The objects of a text, in order; empty documents are skipped. ``found`` and ``remember`` as in `parse`."""
    for start, node in _compose(source, remember):
        if isinstance(node, Broken):
            if not found or _MEMBER.search(source.text):
                yield Fault(source, start + node.offset, node.message)
        elif node.value is not None and not (found and _belongs_to_others(node.value)):
            yield from _classify(source, start, node)


def _belongs_to_others(raw: object) -> bool:
    """Whether a document of a folder is not an object, and does not look like one of ours that lacks a member."""
    if not isinstance(raw, dict):
        return True
    version, kind = raw.get("apiVersion"), raw.get("kind")
    if isinstance(version, str) and version and isinstance(kind, str) and kind:
        return False
    named = isinstance(version, str) and version.partition("/")[0] == GROUP
    return not named and not (isinstance(kind, str) and kind.removesuffix("List") in _OURS)


def _compose(source: Source, remember: Remember | None) -> Sequence[tuple[int, Node | Broken]]:
    """As kubectl does: a text that begins with a brace is JSON, unless only YAML can read it."""
    if not source.text.lstrip().startswith("{"):
        if remember is not None:
            return yaml_nodes.compose_parts(source.text, remember)
        return [(0, node) for node in yaml_nodes.compose(source.text)]
    try:
        return [(0, node) for node in json_nodes.compose(source.text)]
    except BrokenError as error:
        found = yaml_nodes.compose(source.text)
        if any(isinstance(node, Broken) for node in found) and source.name.endswith(".json"):
            return [(0, error.broken)]
        return [(0, node) for node in found]


def _classify(source: Source, start: int, node: Node) -> Iterator[Document | Fault]:
    """The object of a document, or the items of a list."""
    raw = node.value
    if not isinstance(raw, dict):
        what = "a list" if isinstance(raw, list) else "a single value"
        yield Fault(
            source, start + node.offset, f"this document is {what}; an object has apiVersion, kind and metadata"
        )
        return
    for member in ("apiVersion", "kind"):
        value = raw.get(member)
        if not isinstance(value, str) or not value:
            if member in raw or source.name.rpartition("/")[2] not in KUSTOMIZATIONS:
                yield Fault(source, start + node.locate((member,)), f"{member} must be a non-empty string; add it")
            return
    if not raw["kind"].endswith("List") or not isinstance(raw.get("items"), list):
        yield _document(source, start, node, raw)
        return
    # The items of a typed list may omit apiVersion and kind.
    kind = raw["kind"].removesuffix("List")
    for item in (node.members or {})["items"][1].items or ():
        if kind and isinstance(item.value, dict) and "kind" not in item.value:
            yield _document(source, start, item, {"apiVersion": raw["apiVersion"], "kind": kind, **item.value})
        elif item.value is not None:
            yield from _classify(source, start, item)


def _document(source: Source, start: int, node: Node, raw: dict[str, Any]) -> Document | Fault:
    """The object, unless no API server could store it."""
    if node.weight > _CERTAINLY_SMALL:
        size = len(json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
        if size > MAX_BYTES:
            given, most = size / 2**20, MAX_BYTES // 2**20
            message = f"this object is {given:.1f} MiB as JSON; the API server accepts at most {most} MiB; shorten it"
            return Fault(source, start + node.offset, message)
    return Document(source, node, raw, start)
