"""PURE. A report for people: one line a finding, as compilers write them, and a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.finding import Level

if TYPE_CHECKING:
    from cli.check.report import Entry, Report

__all__ = ["line", "render"]

_COLOURS = {Level.ERROR: "31", Level.WARNING: "33"}


def render(report: Report, *, quiet: bool = False, colour: bool = False) -> str:
    """The lines, in the order of the files; ``quiet`` leaves the summary out. What a baseline knows is only counted."""
    lines = [line(found, colour=colour) for found in report.news]
    return "".join(f"{text}\n" for text in ([*lines] if quiet else [*lines, str(report)]))


def line(found: Entry, *, colour: bool = False) -> str:
    """``file:line:column: error: Reason: field.path: message (MCPTool shop/a)``."""
    place = found.place
    where = f"{place.file}:{place.line}:{place.column}" if place else "cluster"
    level = f"\x1b[1;{_COLOURS[found.level]}m{found.level}\x1b[0m" if colour else found.level
    path = f"{found.path}: " if found.path else ""
    subject = f" ({found.subject})" if found.subject.kind else ""
    return f"{where}: {level}: {found.reason}: {path}{found.message}{subject}"
