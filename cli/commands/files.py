"""Reads manifests from files, folders and standard input."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.manifests import documents
from cli.manifests.documents import Document, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

__all__ = ["Reading", "UnreadableError", "read"]

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


class UnreadableError(Exception):
    """A path that cannot be opened; the message names it and gives the cause."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The documents, the faults of those that could not be read, and the number of files."""

    documents: tuple[Document, ...]
    faults: tuple[Fault, ...]
    files: int


def read(paths: Sequence[str], stdin: BinaryIO) -> Reading:
    """Read files, folders (recursively) and ``-`` as standard input. A file that is named twice is read once.

    Raises UnreadableError for the first path that cannot be opened.
    """
    found: list[Document | Fault] = []
    seen: set[str] = set()
    for name in _expand(paths):
        where = name if name == STDIN else os.path.realpath(name)
        if where not in seen:
            seen.add(where)
            found += documents.parse(name, stdin.read() if name == STDIN else _read_bytes(name))
    read_ = tuple(item for item in found if isinstance(item, Document))
    return Reading(read_, tuple(item for item in found if isinstance(item, Fault)), len(seen))


def _expand(paths: Iterable[str]) -> Iterator[str]:
    """The paths with every folder replaced by the YAML and JSON files below it, in order.

    Hidden files and folders (.git, .github) are skipped.
    """

    def fail(error: OSError) -> None:
        raise UnreadableError(_describe(error.filename, error)) from error

    for path in paths:
        if path == STDIN or not Path(path).is_dir():
            yield path
            continue
        for parent, folders, files in os.walk(path, onerror=fail):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if name.endswith(SUFFIXES) and not name.startswith("."):
                    yield os.path.normpath(f"{parent}/{name}")


def _read_bytes(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UnreadableError(_describe(name, error)) from error


def _describe(name: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist"
    return f"cannot read {name}: {error.strerror}"
