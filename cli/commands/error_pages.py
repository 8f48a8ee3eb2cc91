"""Reads the pages of docs/errors, one for each reason; a wheel holds them at the same place as a checkout."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["explain", "read_all"]

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
    print(f'mcp-operator check: unknown reason "{reason[:80]}"; {repair}', file=err)
    return 2
