"""PURE. The report of `check` independent of its format: entries, and counts by level.

`cli.commands.check` makes a report; the modules of `cli.check.formats` render it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from cli.manifests.entries import Place
from crd.finding import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cli.changes.servers import ServerChange
    from cli.check.exemptions import Exemption
    from cli.manifests.entries import Entry, Subject

__all__ = [
    "FORMATS",
    "Format",
    "Identity",
    "Report",
    "format_count",
    "identify",
    "identity_of",
]

Format = Literal["text", "json", "sarif", "junit", "github"]
FORMATS: tuple[Format, ...] = get_args(Format)
Identity: TypeAlias = tuple[str, ...]


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
