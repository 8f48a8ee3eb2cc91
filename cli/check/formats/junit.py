"""PURE. A report as JUnit XML: a test case for each object, which its errors fail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from cli.check.formats import text
from crd.finding import Level

if TYPE_CHECKING:
    from cli.check.report import Entry, Place, Report, Subject

__all__ = ["render"]

# XML 1.0, production 2: no escape makes these characters legal.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """One suite. Errors that name no object of the files stand under a case of their own file or object."""
    cases: dict[tuple[Subject, str], tuple[Place | None, list[Entry]]] = {
        (subject, ""): (place, []) for subject, place in report.objects
    }
    for found in report.news:
        name = "" if found.subject.name or found.place is None else found.place.file
        cases.setdefault((found.subject, name), (found.place, []))[1].append(found)
    failed = sum(any(found.level is Level.ERROR for found in entries) for _, entries in cases.values())
    counts = {"tests": str(len(cases)), "failures": str(failed), "errors": "0"}
    root = ET.Element("testsuites", {"name": "mcp-operator check", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": "mcp-operator check", **counts, "skipped": "0"})
    for (subject, file), (place, entries) in cases.items():
        _case(suite, subject, file, place, entries)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, subject: Subject, file: str, place: Place | None, entries: list[Entry]) -> None:
    attributes = {"classname": subject.kind or "document", "name": _legal(f"{subject} {file}".strip())}
    if place is not None:
        attributes |= {"file": _legal(place.file), "line": str(place.line)}
    case = ET.SubElement(suite, "testcase", attributes)
    errors = [found for found in entries if found.level is Level.ERROR]
    warnings = [found for found in entries if found.level is Level.WARNING]
    if errors:
        first = {"type": errors[0].reason.value, "message": _legal(errors[0].message)}
        ET.SubElement(case, "failure", first).text = _lines(errors)
    if warnings:
        ET.SubElement(case, "system-out").text = _lines(warnings)


def _lines(entries: list[Entry]) -> str:
    return _legal("\n".join(text.line(found) for found in entries))


def _legal(value: str) -> str:
    return _ILLEGAL.sub("\ufffd", value)
