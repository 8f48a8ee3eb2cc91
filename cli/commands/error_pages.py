"""Reads the pages of docs/errors, one for each reason; a wheel holds them at the same place as a checkout."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from cli.check.formats import text
from crd.finding import Reason

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["explain", "list_all", "read_all"]

FOLDER = Path(__file__).parents[2] / "docs" / "errors"


def read_all() -> dict[str, str]:
    """The page of every reason that has one."""
    return {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.md")) if path.stem != "README"}


def explain(reason: str, *, out: TextIO, err: TextIO) -> int:
    """Print the page of a reason. Returns 0, or 2 for an unknown reason, with suggestions."""
    pages = read_all()
    known = {name.lower(): name for name in pages}
    found = known.get(reason.lower())
    if found is not None:
        out.write(pages[found])
        return 0
    near = [known[name] for name in difflib.get_close_matches(reason.lower(), known, n=3)]
    repair = f"did you mean {' or '.join(near)}?" if near else f"use one of {', '.join(pages)}"
    print(f'mcp-operator check: unknown reason "{text.escape(reason[:80])}"; {repair}', file=err)
    return 2


def list_all(*, out: TextIO) -> int:
    """Print every reason with its level and the first sentence of its page. Returns 0."""
    pages = read_all()
    width = max(map(len, Reason))
    for reason in Reason:
        _, _, rest = pages.get(reason, "").partition("\n\n")
        summary = " ".join(rest.partition("\n\n")[0].split())
        out.write(f"{reason:<{width}}  {reason.level:<7}  {summary}\n")
    return 0
