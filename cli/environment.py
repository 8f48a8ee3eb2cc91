"""The environment of the process. Only the entry points read it; everything else is given what it needs."""

from __future__ import annotations

import os

__all__ = ["read"]


def read(name: str, default: str) -> str:
    """The variable, or ``default`` where it is not set."""
    return os.environ.get(name, default)  # noqa: TID251 -- the entry point reads the environment
