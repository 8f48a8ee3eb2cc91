"""PURE. The documents sorted: what is judged, what is only there, what cannot be told apart.

Called by `cli.commands.check` and `cli.commands.graph`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.check.report import Entry, Place, Related, Subject
from crd import defaults, extraction, manifest
from crd.finding import Level, Reason, dotted
from crd.ref import GROUP, VERSION, Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cli.commands.documents import Document, Fault
    from crd.facts import Fact
    from crd.manifest import Object

__all__ = ["BACKGROUND", "JUDGED", "Transaction", "name_of", "place_of", "sort"]

JUDGED = (Kind.SERVER, Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)
# Kinds that are not judged but looked up by the rules.
BACKGROUND = (Kind.SERVICE, Kind.SECRET, Kind.CONFIG_MAP, Kind.GRANT)
_NAME = ("metadata", "name")


@dataclass(frozen=True, slots=True)
class Transaction:
    """Everything that the files hold. ``entries`` tell what could not be sorted; ``origins`` where an object stands."""

    objects: tuple[Object, ...]
    facts: tuple[Fact, ...]
    origins: Mapping[Ref, Document]
    namespaces: frozenset[str]
    entries: tuple[Entry, ...]

    def place(self, ref: Ref, path: tuple[str | int, ...] = _NAME) -> Place | None:
        """Where a field of an object stands; None for an object that is in no file."""
        origin = self.origins.get(ref)
        return place_of(origin, path) if origin is not None else None


def sort(documents: Iterable[Document], faults: Iterable[Fault]) -> Transaction:
    """Sort the documents by kind. Of an object given twice the last counts, as in an apply.

    Other people's kinds are passed over.
    """
    sorting = _Sorting()
    sorting.entries += map(_unreadable, faults)
    for document in documents:
        sorting.take(document)
    return Transaction(
        tuple(sorting.objects.values()),
        tuple(sorting.facts.values()),
        sorting.origins,
        frozenset(sorting.namespaces),
        tuple(sorting.entries),
    )


def place_of(document: Document, path: tuple[str | int, ...]) -> Place:
    """Where a field of a document stands, or its nearest ancestor that is there."""
    return Place(document.source.name, *document.position(path))


def name_of(raw: Mapping[str, Any]) -> str | None:
    """metadata.name, or generateName, if one of them is text."""
    metadata = raw.get("metadata")
    name = (metadata.get("name") or metadata.get("generateName")) if isinstance(metadata, dict) else None
    return name if isinstance(name, str) and name else None


class _Sorting:
    def __init__(self) -> None:
        self.objects: dict[Ref, Object] = {}
        self.facts: dict[Ref, Fact] = {}
        self.origins: dict[Ref, Document] = {}
        self._first: dict[Ref, Document] = {}
        self.namespaces: set[str] = set()
        self.entries: list[Entry] = []

    def take(self, document: Document) -> None:
        raw = document.raw
        kind = manifest.kind_of(raw)
        if kind is None:
            self._foreign(document)
        elif name_of(raw) is None:
            message = "metadata.name is missing or no text; every object has a name, so add it"
            self._broken(document, _NAME, message)
        elif kind in BACKGROUND:
            fact = extraction.facts_of_foreign(raw)
            if fact is not None:
                self.facts[fact.ref] = fact
                self._placed(fact.ref, document)
        else:
            item = manifest.decode(defaults.defaulted(self._named(raw)))
            self.objects[item.ref] = item
            self._placed(item.ref, document)

    def _named(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The manifest under a name of its own; the API server, too, appends five characters to a generateName."""
        metadata = raw["metadata"]
        if metadata.get("name"):
            return raw
        name = f"{metadata['generateName']}{len(self.objects):05}"
        return {**raw, "metadata": {**metadata, "name": name}}

    def _placed(self, ref: Ref, document: Document) -> None:
        self.origins[ref] = document
        first = self._first.setdefault(ref, document)
        if first is document:
            return
        other = place_of(first, _NAME)
        message = f"{ref} stands at {other.file}:{other.line} too, and the last one would win; remove or rename one"
        self._wrong(Reason.DUPLICATE_OBJECT, document, _NAME, message, (Related(Subject.of(ref), other),))

    def _foreign(self, document: Document) -> None:
        """Other people's kinds are none of ours to judge; a misspelt one of ours is."""
        version, kind = document.raw["apiVersion"], document.raw["kind"]
        if version.partition("/")[0] == GROUP:
            if kind in JUDGED:
                self._broken(document, ("apiVersion",), f'"{version}" is no version of {kind}; use {GROUP}/{VERSION}')
            else:
                near = difflib.get_close_matches(kind, JUDGED, n=1)
                repair = f'did you mean "{near[0]}"?' if near else f"use one of {', '.join(JUDGED)}"
                self._broken(document, ("kind",), f'"{kind}" is no kind of {GROUP}; {repair}')
        elif (version, kind) == ("v1", "Namespace") and (name := name_of(document.raw)) is not None:
            self.namespaces.add(name)

    def _broken(self, document: Document, path: tuple[str | int, ...], message: str) -> None:
        self._wrong(Reason.INVALID_DOCUMENT, document, path, message)

    def _wrong(
        self,
        reason: Reason,
        document: Document,
        path: tuple[str | int, ...],
        message: str,
        related: tuple[Related, ...] = (),
    ) -> None:
        place = place_of(document, path)
        entry = Entry(reason.level, reason, message, _subject(document.raw), place, dotted(path), related=related)
        self.entries.append(entry)


def _subject(raw: Mapping[str, Any]) -> Subject:
    """What a document calls itself, as far as it is text."""
    metadata = raw.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    named = name_of(raw) or ""
    return Subject(raw["kind"], namespace if isinstance(namespace, str) else "default" if named else "", named)


def _unreadable(fault: Fault) -> Entry:
    place = Place(fault.source.name, *fault.position)
    return Entry(Level.ERROR, Reason.INVALID_DOCUMENT, fault.message, Subject(), place)
