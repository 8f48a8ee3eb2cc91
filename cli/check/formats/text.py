"""PURE. A report for people: a line for each finding, in the style of compilers, and a summary."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cli.changes import rendering
from crd.finding import Level

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from cli.check.exemptions import Exemption
    from cli.check.report import Report
    from cli.manifests.entries import Entry, Subject

__all__ = ["escape", "escape_json", "format_line", "format_lines", "render"]

_MOST_NAMED = 3
_COLOURS = {Level.ERROR: "31", Level.WARNING: "33"}
# Control characters, line separators, the marks that change the direction of text (Unicode, UAX 9), and code points
# that are not characters: printed raw, a manifest could move the cursor, forge lines or hide what it says.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff]"
)


def render(report: Report, *, quiet: bool = False, colour: bool = False) -> str:
    """The new findings in the order of the files, what clients see, and, unless ``quiet``, the summary."""
    lines = [*format_lines(report.new, colour=colour)]
    lines += map(_format_exemption, report.exemptions)
    lines += map(escape, rendering.describe(report.changes))
    return "".join(f"{text}\n" for text in ([*lines] if quiet else [*lines, str(report)]))


def format_lines(entries: Iterable[Entry], *, colour: bool = False) -> Iterator[str]:
    """A line for each finding, but one line for all objects that lack the same Service, port, Secret or label.

    One change repairs these. The line has the place of the first object.
    """
    # Pods import this module, by the options of the command, and need none of the rules.
    from cli.manifests.validation import SHARED

    groups: dict[Hashable, list[Entry]] = {}
    for found in entries:
        alike = (found.level, found.path, found.message) if found.reason in SHARED else id(found)
        groups.setdefault((found.reason, alike), []).append(found)
    for group in groups.values():
        yield format_line(group[0], [found.subject for found in group[1:]], colour=colour)


def format_line(found: Entry, others: Sequence[Subject] = (), *, colour: bool = False) -> str:
    """``file:line:column: error: Reason: field.path: message (MCPTool shop/a)``, with control characters escaped.

    ``others`` are objects with the same finding: ``(MCPTool shop/a, MCPTool shop/b and 3 others)``.
    """
    place = found.place
    where = f"{place.file}:{place.line}:{place.column}" if place else "cluster"
    level = f"\x1b[1;{_COLOURS[found.level]}m{found.level}\x1b[0m" if colour else found.level
    path = f"{found.path}: " if found.path else ""
    named = [str(subject) for subject in (found.subject, *others[: _MOST_NAMED - 1])]
    left = len(others) + 1 - len(named)
    if left:
        named.append(f"{left} other{'' if left == 1 else 's'}")
    subjects = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    subject = f" ({subjects})" if found.subject.kind else ""
    return f"{escape(where)}: {level}: {escape(f'{found.reason}: {path}{found.message}{subject}')}"


def _format_exemption(found: Exemption) -> str:
    """``file:line:column: excepted until 2027-01-31: Reason: why (MCPTool shop/a): 2 warnings``."""
    where = f"{found.place.file}:{found.place.line}:{found.place.column}" if found.place else "cluster"
    state = "exception ended on" if found.expired else "excepted until"
    uses = "" if found.expired else f": {found.uses} warning{'' if found.uses == 1 else 's'}"
    return escape(f"{where}: {state} {found.until}: {found.reason}: {found.why} ({found.subject}){uses}")


def escape(text: str) -> str:
    r"""The text with characters that a terminal would act on as ``\n``, ``\x1b`` or ``\u202e``."""
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def escape_json(document: str) -> str:
    r"""A JSON document in which such characters are written as ``\u202e``; its line breaks stay."""
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", document)
