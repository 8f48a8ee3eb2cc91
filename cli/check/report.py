"""PURE. The report of `check` independent of its format: entries with their places, and counts by level.

An entry is a finding with its place in a file. `cli.commands.check` makes a report; the modules of
`cli.check.formats` render it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from crd.finding import Level, Reason, format_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cli.changes.servers import ServerChange
    from cli.check.exemptions import Exemption
    from crd.finding import Finding
    from crd.ref import Ref

__all__ = [
    "FORMATS",
    "Entry",
    "Format",
    "Identity",
    "Place",
    "Related",
    "Report",
    "Subject",
    "format_count",
    "identify",
    "identity_of",
    "make_entry",
]

Format = Literal["text", "json", "sarif", "junit", "github"]
FORMATS: tuple[Format, ...] = get_args(Format)
Identity: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in a file; line and column count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """The object of an entry; empty where the document does not name it."""

    kind: str = ""
    namespace: str = ""
    name: str = ""

    @classmethod
    def of(cls, ref: Ref) -> Subject:
        """The object of a reference."""
        return cls(ref.kind.value, ref.namespace, ref.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}".strip(" /")


@dataclass(frozen=True, slots=True)
class Related:
    """Another object that a finding names, and its place if it is in one of the files."""

    subject: Subject
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding. ``place`` is None for an object of the cluster; ``known`` marks findings of the baseline.

    ``excepted`` marks warnings that the object excepts, see `cli.check.exemptions`.
    """

    level: Level
    reason: Reason
    message: str
    subject: Subject
    place: Place | None
    path: str = ""
    distinction: tuple[str, ...] = ()
    related: tuple[Related, ...] = ()
    known: bool = False
    excepted: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The entries in the order of the files, and the objects and number of files that were validated.

    ``changes`` are the differences that clients see, if two states were compared. ``exemptions`` are the exceptions of
    the objects.
    """

    entries: tuple[Entry, ...]
    objects: tuple[tuple[Subject, Place], ...]
    files: int
    compared: bool = False
    changes: tuple[ServerChange, ...] = ()
    exemptions: tuple[Exemption, ...] = ()

    @classmethod
    def of(
        cls,
        entries: Iterable[Entry],
        objects: Sequence[tuple[Subject, Place]],
        files: int,
        known: frozenset[Identity] | None,
    ) -> Report:
        """Sort the entries and mark those of the baseline."""
        marked = (replace(found, known=identify(found) in (known or ())) for found in entries)
        return cls(tuple(sorted(marked, key=_order)), tuple(objects), files, known is not None)

    @property
    def new(self) -> tuple[Entry, ...]:
        """The entries that are neither in the baseline nor excepted."""
        return tuple(found for found in self.entries if not found.known and not found.excepted)

    def count(self, level: Level) -> int:
        """How many new entries have this level."""
        return sum(found.level is level for found in self.new)

    def fails(self, at: Level) -> bool:
        """Whether a new entry is at this level or above."""
        return any(found.level is Level.ERROR or at is Level.WARNING for found in self.new)

    @property
    def known(self) -> int:
        """How many entries are in the baseline."""
        return sum(found.known for found in self.entries)

    def __str__(self) -> str:
        counts = [format_count(self.count(level), level.value) for level in (Level.ERROR, Level.WARNING)]
        counts += [f"{self.known} known"] if self.compared else []
        excepted = sum(found.excepted and not found.known for found in self.entries)
        counts += [f"{excepted} excepted"] if excepted else []
        return f"{format_count(len(self.objects), 'object')} in {format_count(self.files, 'file')}: {', '.join(counts)}"


def format_count(count: int, noun: str) -> str:
    """A count with its noun: ``1 object``, ``2 objects``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def make_entry(finding: Finding, place: Place | None, places: Iterable[Place | None]) -> Entry:
    """A finding as an entry; ``places`` are those of its related objects, in order."""
    return Entry(
        finding.level,
        finding.reason,
        finding.message,
        Subject.of(finding.ref),
        place,
        format_path(finding.path),
        finding.subject,
        tuple(Related(Subject.of(ref), at) for ref, at in zip(finding.related, places, strict=True)),
    )


def identify(found: Entry) -> Identity:
    """The key by which a baseline recognises a finding: independent of line, wording and level.

    The file is part of it only where the document names no object.
    """
    subject = found.subject
    file = found.place.file if found.place else ""
    return identity_of(found.reason, subject.kind, subject.namespace, subject.name, found.path, found.distinction, file)


def identity_of(
    reason: str,
    kind: str,
    namespace: str,
    name: str,
    path: str,
    distinction: tuple[str, ...],
    file: str,
) -> Identity:
    """The identity of a finding with these properties."""
    if not name:
        return (reason, kind, file)
    return (reason, kind, namespace, name, path, *distinction)


def _order(found: Entry) -> tuple[bool, Place, str, str, str, tuple[str, ...]]:
    place = found.place or Place("", 0, 0)
    return (found.place is None, place, found.level.value, found.reason.value, str(found.subject), found.distinction)
