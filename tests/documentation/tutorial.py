"""The tutorial, with free ports instead of those that the page names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.documentation import pages

__all__ = ["LAPTOP", "environment", "text", "with_free_ports"]

ROOT = Path(__file__).parents[2]
LAPTOP = ("", "On a laptop")
PORTS = ("19000", "18080", "18081")


def text() -> str:
    """The page."""
    return with_free_ports((ROOT / "docs" / "tutorial.md").read_text())


def with_free_ports(page: str) -> str:
    """The page with ports that nobody listens on."""
    for port in PORTS:
        page = page.replace(port, str(pages.free_port()))
    return page


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment of somebody who has just cloned the repository."""
    path = os.environ["PATH"]  # noqa: TID251 -- the programs of this machine
    return {
        "PATH": f"{Path(sys.executable).parent}:{path}",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": str(ROOT),
        **more,
    }
