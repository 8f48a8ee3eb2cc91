"""PURE. Entries: findings about manifests, with their places in files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crd.finding import format_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crd.finding import Finding, Level, Reason
    from crd.ref import Ref

__all__ = ["Entry", "Place", "Related", "Subject", "make_entry"]


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
