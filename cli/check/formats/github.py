"""PURE. A report as workflow commands: GitHub shows each finding at its line of the pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.changes import rendering
from cli.check.formats import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.check.report import Report
    from cli.manifests.entries import Entry

__all__ = ["render"]


def render(report: Report, *, folder: str, quiet: bool = False) -> str:
    """A line ``::error file=…,line=…,col=…,title=…::message`` for each finding; files relative to ``folder``."""
    lines = [_format_command(found, folder.rstrip("/") + "/") for found in report.new]
    if report.changes:
        lines.append(f"::notice title=Changes::{_escape_lines(rendering.describe(report.changes))}")
    return "".join(f"{line}\n" for line in ([*lines] if quiet else [*lines, str(report)]))


def _format_command(found: Entry, folder: str) -> str:
    place = found.place
    properties = {"title": found.reason.value}
    if place is not None:
        file = place.file.removeprefix(folder)
        properties = {"file": file, "line": str(place.line), "col": str(place.column), **properties}
    joined = ",".join(f"{key}={_escape_property(value)}" for key, value in properties.items())
    path = f"{found.path}: " if found.path else ""
    subject = f" ({found.subject})" if found.subject.kind else ""
    return f"::{found.level} {joined}::{_escape_data(f'{path}{found.message}{subject}')}"


def _escape_data(value: str) -> str:
    """Escape as the command parser of the runner expects it, after what a terminal would act on."""
    return text.escape(value).replace("%", "%25")


def _escape_lines(lines: Iterable[str]) -> str:
    return "%0A".join(map(_escape_data, lines))


def _escape_property(value: str) -> str:
    return _escape_data(value).replace(":", "%3A").replace(",", "%2C")
