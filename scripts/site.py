"""A hook of MkDocs: links from the documentation to other files of the repository lead to the repository.

Raises an error for a link to a file that does not exist, which MkDocs cannot see outside of ``docs``.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["REPOSITORY", "BrokenLinkError", "lead_outside", "on_page_markdown"]

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://git.example.com/platform/mcp-operator/blob/main"
_LINK = re.compile(r"(?<=\]\()(\.\./[^)#\s]*)")


class BrokenLinkError(Exception):
    """A page links to a file that does not exist."""


def lead_outside(markdown: str, page: PurePosixPath) -> str:
    """The page with a URL for each link that leaves ``docs``; ``page`` is its path in the repository."""

    def replace(match: re.Match[str]) -> str:
        target = (ROOT / page.parent / match[1]).resolve()
        if not target.is_relative_to(ROOT) or not target.exists():
            raise BrokenLinkError(f"{page}: {match[1]} does not exist")
        inside = target.relative_to(ROOT)
        return match[1] if inside.parts[:1] == ("docs",) else f"{REPOSITORY}/{inside.as_posix()}"

    return _LINK.sub(replace, markdown)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by MkDocs for each page."""
    return lead_outside(markdown, PurePosixPath("docs") / page.file.src_uri)
