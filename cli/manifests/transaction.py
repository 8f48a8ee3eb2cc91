"""PURE. Sorts documents into the objects to validate, the facts that rules look up, and the findings of unusable ones.

Called by `cli.commands.check` and `cli.commands.graph`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cli.manifests.entries import Entry, Place, Related, Subject
from crd import defaults, extraction, manifest
from crd.facts import ServiceFact
from crd.finding import Reason, format_path
from crd.ref import GROUP, VERSION, Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cli.manifests.documents import Document, Fault
    from crd.facts import Fact
    from crd.manifest import Object

__all__ = ["BACKGROUND", "JUDGED", "Transaction", "decode", "forbid", "locate", "sort_documents"]

JUDGED = (Kind.SERVER, Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)
# Kinds that rules look up without validating them.
BACKGROUND = (Kind.SERVICE, Kind.SECRET, Kind.CONFIG_MAP, Kind.GRANT)
_NAME = ("metadata", "name")
# A name of the API is at most 253 characters long; a longer one is not worth quoting.
_MAX_QUOTED = 253


@dataclass(frozen=True, slots=True)
class Transaction:
    """The content of all files. ``entries`` are findings of unusable documents; ``origins`` locate each object.

    ``forbidden`` are Services with an endpoint in a file that must not be called, and why; those in a file are in
    ``facts`` with it.
    """

    objects: tuple[Object, ...]
    facts: tuple[Fact, ...]
    origins: Mapping[Ref, Document]
    namespaces: frozenset[str]
    entries: tuple[Entry, ...]
    forbidden: Mapping[Ref, str] = field(default_factory=dict)

    def locate(self, ref: Ref, path: tuple[str | int, ...] = _NAME) -> Place | None:
        """The place of a field of an object; None for an object that is in no file."""
        origin = self.origins.get(ref)
        return locate(origin, path) if origin is not None else None


def decode(document: Document, raw: Mapping[str, Any]) -> Object:
    """An object of our kinds. ``raw`` is that of the document, with its namespace and name."""
    item = manifest.decode(defaults.set_defaults(raw))
    if item.problems:
        # Its labels and names count although it is refused, or other objects would have faults that follow.
        item = replace(item, fact=manifest.sound_part(item).fact)
    return item


def sort_documents(
    documents: Iterable[Document],
    faults: Iterable[Fault],
    namespace: str = "default",
    decode: Callable[[Document, Mapping[str, Any]], Object] = decode,
) -> Transaction:
    """Sort the documents by kind. Of duplicate objects the last counts, as in an apply. Foreign kinds are skipped.

    ``namespace`` is that of objects that name none. ``decode`` is that of this module, or remembers what it returned.
    """
    sorting = _Sorting(namespace, decode)
    for fault in faults:
        place = Place(fault.source.name, *fault.position)
        sorting.entries.append(Entry(fault.level, Reason.INVALID_DOCUMENT, fault.message, Subject(), place))
    for document in documents:
        sorting.add(document)
    return Transaction(
        tuple(sorting.objects.values()),
        tuple(forbid(sorting.facts.values(), sorting.forbidden)),
        sorting.origins,
        frozenset(sorting.namespaces),
        tuple(sorting.entries),
        sorting.forbidden,
    )


def forbid(facts: Iterable[Fact], forbidden: Mapping[Ref, str]) -> Iterator[Fact]:
    """The facts, where Services have the endpoints that must not be called."""
    for fact in facts:
        found = forbidden.get(fact.ref)
        yield replace(fact, forbidden=found) if found and isinstance(fact, ServiceFact) else fact


def locate(document: Document, path: tuple[str | int, ...]) -> Place:
    """The place of a field of a document, or of its nearest ancestor in the document."""
    return Place(document.source.name, *document.position(path))


class _Sorting:
    def __init__(self, namespace: str, decode: Callable[[Document, Mapping[str, Any]], Object]) -> None:
        self._namespace = namespace
        self._decode = decode
        self.objects: dict[Ref, Object] = {}
        self.facts: dict[Ref, Fact] = {}
        self.forbidden: dict[Ref, str] = {}
        self.origins: dict[Ref, Document] = {}
        self._first: dict[Ref, Document] = {}
        self.namespaces: set[str] = set()
        self.entries: list[Entry] = []

    def add(self, document: Document) -> None:
        kind = manifest.kind_of(document.raw)
        raw = self._in_namespace(document.raw)
        if kind is None:
            self._add_foreign(document)
            endpoint = extraction.forbidden_endpoint(raw)
            if endpoint is not None:
                service, address = endpoint
                self.forbidden[service] = min(address, self.forbidden.get(service, address))
        elif _name_of(raw) is None:
            self._report(document, _NAME, "metadata.name must be a non-empty string; add it")
        elif kind in BACKGROUND:
            fact = extraction.facts_of_foreign(raw)
            if fact is not None:
                self.facts[fact.ref] = fact
                self._locate(fact.ref, document)
        else:
            metadata = raw["metadata"]
            if not metadata.get("name"):
                # The API server, too, appends five characters to a generateName.
                name = f"{metadata['generateName']}{len(self.objects):05}"
                raw = {**raw, "metadata": {**metadata, "name": name}}
            item = self._decode(document, raw)
            self.objects[item.ref] = item
            self._locate(item.ref, document)

    def _in_namespace(self, raw: dict[str, Any]) -> dict[str, Any]:
        metadata = raw.get("metadata")
        if not isinstance(metadata, dict) or metadata.get("namespace"):
            return raw
        return {**raw, "metadata": {**metadata, "namespace": self._namespace}}

    def _locate(self, ref: Ref, document: Document) -> None:
        """Remember where the object is, and report a duplicate."""
        self.origins[ref] = document
        first = self._first.setdefault(ref, document)
        if first is document:
            return
        other = locate(first, _NAME)
        message = f"{ref} is also at {other.file}:{other.line}, and only the last one is applied; remove or rename one"
        related = (Related(Subject.of(ref), other),)
        self._report(document, _NAME, message, reason=Reason.DUPLICATE_OBJECT, related=related)

    def _add_foreign(self, document: Document) -> None:
        """Skip kinds of other groups; report a misspelt kind or a wrong version of ours."""
        version, kind = document.raw["apiVersion"], document.raw["kind"]
        if version.partition("/")[0] == GROUP:
            if kind in JUDGED:
                message = f'{kind} has no version "{version[:_MAX_QUOTED]}"; use {GROUP}/{VERSION}'
                self._report(document, ("apiVersion",), message)
            else:
                near = difflib.get_close_matches(kind[:_MAX_QUOTED], JUDGED, n=1)
                repair = f'did you mean "{near[0]}"?' if near else f"use one of {', '.join(JUDGED)}"
                self._report(document, ("kind",), f'unknown kind "{kind[:_MAX_QUOTED]}" in {GROUP}; {repair}')
        elif (version, kind) == ("v1", "Namespace") and (name := _name_of(document.raw)) is not None:
            self.namespaces.add(name)

    def _report(
        self,
        document: Document,
        path: tuple[str | int, ...],
        message: str,
        *,
        reason: Reason = Reason.INVALID_DOCUMENT,
        related: tuple[Related, ...] = (),
    ) -> None:
        metadata = document.raw.get("metadata")
        namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
        name = _name_of(document.raw) or ""
        default = self._namespace if name else ""
        subject = Subject(document.raw["kind"], namespace if isinstance(namespace, str) else default, name)
        place = locate(document, path)
        self.entries.append(Entry(reason.level, reason, message, subject, place, format_path(path), related=related))


def _name_of(raw: Mapping[str, Any]) -> str | None:
    """metadata.name, or generateName, if it is a non-empty string."""
    metadata = raw.get("metadata")
    name = (metadata.get("name") or metadata.get("generateName")) if isinstance(metadata, dict) else None
    return name if isinstance(name, str) and name else None
