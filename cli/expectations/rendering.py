"""PURE. The outcomes of cases as text for people and as JUnit XML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args
from xml.etree import ElementTree as ET

from cli.check.formats import junit, text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FORMATS", "Format", "Outcome", "render_junit", "render_text"]

Format = Literal["text", "junit"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case, its place, and what differs from its expectation; nothing if it passed."""

    name: str
    file: str
    line: int
    faults: tuple[str, ...]


def render_text(outcomes: Sequence[Outcome]) -> str:
    """A line for each case, with what differs below it, and a summary."""
    lines = []
    for each in outcomes:
        lines.append(f"{'FAIL' if each.faults else 'ok'}  {each.file}:{each.line}: {each.name}")
        lines += (f"      {line}" for fault in each.faults for line in fault.split("\n"))
    failed = sum(bool(each.faults) for each in outcomes)
    lines.append(f"{len(outcomes) - failed} passed, {failed} failed")
    return "".join(f"{text.escape(line)}\n" for line in lines)


def render_junit(outcomes: Sequence[Outcome]) -> str:
    """One suite with a test case for each outcome."""
    failed = sum(bool(each.faults) for each in outcomes)
    counts = {"tests": str(len(outcomes)), "failures": str(failed), "errors": "0"}
    root = ET.Element("testsuites", {"name": "mcp-operator test", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": "mcp-operator test", **counts, "skipped": "0"})
    for each in outcomes:
        names = {"classname": junit.replace_illegal(each.file), "name": junit.replace_illegal(each.name)}
        places = {"file": junit.replace_illegal(each.file), "line": str(each.line)}
        case = ET.SubElement(suite, "testcase", {**names, **places})
        if each.faults:
            joined = junit.replace_illegal("\n".join(each.faults))
            ET.SubElement(case, "failure", {"message": joined.partition("\n")[0]}).text = joined
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
