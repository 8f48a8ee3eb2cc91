"""PURE. Exceptions with an end: warnings that the author of an object accepts until a date, and says why.

The annotation ``mcp.example.com/except`` has a line ``REASON until YYYY-MM-DD: why`` for each. Errors cannot be
excepted: the webhook would refuse the object all the same, and a check that passes what is refused is of no use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from cli.manifests.entries import Entry, Subject
from crd.finding import Level, Reason, format_path
from crd.ref import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.check.report import Report
    from cli.manifests.entries import Place
    from cli.manifests.transaction import Transaction

__all__ = ["ANNOTATION", "Exemption", "apply"]

ANNOTATION = f"{GROUP}/except"
_PATH = ("metadata", "annotations", ANNOTATION)
# A longer annotation is none that somebody wrote.
MAX_LINES, MAX_LINE = 50, 500
_LINE = re.compile(r"([A-Za-z]+) until (\d{4}-\d{2}-\d{2}): *(\S.*)")


@dataclass(frozen=True, slots=True)
class Exemption:
    """An exception of an object. ``uses`` is how many warnings it has; an expired one has none."""

    subject: Subject
    place: Place | None
    reason: Reason
    until: date
    why: str
    expired: bool
    uses: int = 0


def apply(report: Report, files: Transaction, today: date) -> Report:
    """The report with excepted warnings marked, all exceptions listed, and a finding for each that cannot be used.

    The last day counts: an exception until today has not expired.
    """
    found: list[Exemption] = []
    faults: list[Entry] = []
    for item in files.objects:
        place = files.locate(item.ref, _PATH)
        for each in _read(item.metadata.get("annotations"), Subject.of(item.ref), place, today):
            (found if isinstance(each, Exemption) else faults).append(each)  # type: ignore[arg-type]
    current = {(each.subject, each.reason): index for index, each in enumerate(found) if not each.expired}
    expired = {(each.subject, each.reason): each for each in found if each.expired}
    uses = [0] * len(found)
    entries: list[Entry] = []
    for entry in report.entries:
        key = entry.subject, entry.reason
        if entry.level is Level.WARNING and key in current:
            uses[current[key]] += 1
            entries.append(replace(entry, excepted=True))
        elif entry.level is Level.WARNING and key in expired:
            message = f"{entry.message} (the exception ended on {expired[key].until})"
            entries.append(replace(entry, message=message))
        else:
            entries.append(entry)
    counted = tuple(replace(each, uses=count) for each, count in zip(found, uses, strict=True))
    return replace(report, entries=(*entries, *faults), exemptions=counted)


def _read(annotations: object, subject: Subject, place: Place | None, today: date) -> Iterator[Exemption | Entry]:
    text = annotations.get(ANNOTATION) if isinstance(annotations, dict) else None
    if not isinstance(text, str):
        return
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    for line in lines[:MAX_LINES]:
        match = _LINE.fullmatch(line[:MAX_LINE])
        if match is None:
            yield _fault(subject, place, f'must be lines of the form "REASON until YYYY-MM-DD: why", got "{line[:80]}"')
            continue
        name, day, why = match.groups()
        try:
            reason, until = Reason(name), date.fromisoformat(day)
        except ValueError as error:
            yield _fault(subject, place, f"{error}; mcp-operator check --list-reasons lists the reasons")
            continue
        if reason.level is Level.ERROR:
            message = f"{reason} is an error, with which the webhook refuses the object; only warnings can be excepted"
            yield _fault(subject, place, message)
            continue
        yield Exemption(subject, place, reason, until, why, until < today)
    if len(lines) > MAX_LINES:
        yield _fault(subject, place, f"must have at most {MAX_LINES} lines, got {len(lines)}")


def _fault(subject: Subject, place: Place | None, message: str) -> Entry:
    return Entry(Level.WARNING, Reason.INVALID_FIELD, message, subject, place, format_path(_PATH), (message,))
