"""PURE. A report as JSON, and an earlier one as a baseline."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cli.changes import rendering
from cli.check.formats import text
from cli.check.report import identity_of
from crd.finding import Level

if TYPE_CHECKING:
    from cli.check.exemptions import Exemption
    from cli.check.report import Identity, Report
    from cli.manifests.entries import Entry, Place, Related, Subject

__all__ = ["read_baseline", "render"]


def render(report: Report) -> str:
    """``{"findings": […], "changes": […], "summary": {…}}``: it can be the next baseline, whose findings are marked."""
    summary = {
        "objects": len(report.objects),
        "files": report.files,
        "errors": report.count(Level.ERROR),
        "warnings": report.count(Level.WARNING),
        "known": report.known,
    }
    document = {
        "findings": [_finding(found) for found in report.entries],
        "exceptions": [_exemption(found) for found in report.exemptions],
        "changes": rendering.to_json(report.changes),
        "summary": summary,
    }
    return text.escape_json(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def read_baseline(document: str) -> frozenset[Identity]:
    """The identities of the findings in an earlier report. Raises ValueError for any other text."""
    try:
        return frozenset(
            identity_of(
                found["reason"],
                found["kind"],
                found["namespace"],
                found["name"],
                found["path"],
                tuple(found["subject"]),
                found["file"] or "",
            )
            for found in json.loads(document)["findings"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("it must be a report of mcp-operator check --format json") from error


def _finding(found: Entry) -> dict[str, Any]:
    return {
        "level": found.level.value,
        "reason": found.reason.value,
        **_subject(found.subject),
        "path": found.path,
        "subject": list(found.distinction),
        "message": found.message,
        **_place(found.place),
        "related": [_related(other) for other in found.related],
        "known": found.known,
        "excepted": found.excepted,
    }


def _exemption(found: Exemption) -> dict[str, Any]:
    return {
        **_subject(found.subject),
        **_place(found.place),
        "reason": found.reason.value,
        "until": found.until.isoformat(),
        "why": found.why,
        "expired": found.expired,
        "warnings": found.uses,
    }


def _related(other: Related) -> dict[str, Any]:
    return {**_subject(other.subject), **(_place(other.place) if other.place else {})}


def _subject(subject: Subject) -> dict[str, str]:
    return {"kind": subject.kind, "namespace": subject.namespace, "name": subject.name}


def _place(place: Place | None) -> dict[str, str | int | None]:
    if place is None:
        return {"file": None, "line": None, "column": None}
    return {"file": place.file, "line": place.line, "column": place.column}
