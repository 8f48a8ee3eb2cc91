"""PURE. A report as JUnit XML: a test case for each object, which fails if the object has errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from cli.check.formats import text
from crd.finding import Level

if TYPE_CHECKING:
    from cli.check.report import Report
    from cli.manifests.entries import Entry, Place, Subject

__all__ = ["render", "replace_illegal"]

# XML 1.0, production 2: these characters are illegal even as escapes.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: Report) -> str:
    """One suite. Errors without an object in the files get a test case for their file or object."""
    cases: dict[tuple[Subject, str], tuple[Place | None, list[Entry]]] = {
        (subject, ""): (place, []) for subject, place in report.objects
    }
    for found in report.new:
        name = "" if found.subject.name or found.place is None else found.place.file
        cases.setdefault((found.subject, name), (found.place, []))[1].append(found)
    failed = sum(any(found.level is Level.ERROR for found in entries) for _, entries in cases.values())
    counts = {"tests": str(len(cases)), "failures": str(failed), "errors": "0"}
    root = ET.Element("testsuites", {"name": "mcp-operator check", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": "mcp-operator check", **counts, "skipped": "0"})
    for (subject, file), (place, entries) in cases.items():
        _add_case(suite, subject, file, place, entries)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _add_case(suite: ET.Element, subject: Subject, file: str, place: Place | None, entries: list[Entry]) -> None:
    attributes = {"classname": subject.kind or "document", "name": replace_illegal(f"{subject} {file}".strip())}
    if place is not None:
        attributes |= {"file": replace_illegal(place.file), "line": str(place.line)}
    case = ET.SubElement(suite, "testcase", attributes)
    errors = [found for found in entries if found.level is Level.ERROR]
    warnings = [found for found in entries if found.level is Level.WARNING]
    if errors:
        first = {"type": errors[0].reason.value, "message": replace_illegal(errors[0].message)}
        ET.SubElement(case, "failure", first).text = _join_lines(errors)
    if warnings:
        ET.SubElement(case, "system-out").text = _join_lines(warnings)


def _join_lines(entries: list[Entry]) -> str:
    return replace_illegal("\n".join(text.format_line(found) for found in entries))


def replace_illegal(value: str) -> str:
    """The text with its control characters escaped, and other characters that XML cannot hold replaced."""
    return _ILLEGAL.sub("\ufffd", "\n".join(map(text.escape, value.split("\n"))))
