"""Reads the former state of files: from a folder, or from a revision in the history of Git.

Git runs with a deadline, without a shell, pager, hooks or network, and what it prints is bounded.
"""

from __future__ import annotations

import io
import os
import selectors
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from cli.commands import files
from cli.commands.contents import MAX_FILE_BYTES, MAX_TREE_BYTES
from cli.manifests.documents import Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.commands.files import Reading

__all__ = ["NoRevisionError", "head", "read"]

DEADLINE = 30.0
MAX_LISTING = 32 * 1024 * 1024
_FILES = (b"100644", b"100755")
# What `cli.commands.files` looks at beside manifests.
_FURTHER = "Chart.yaml"


class NoRevisionError(Exception):
    """The former state cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class _Blob:
    """A file of a revision."""

    path: str
    id: str
    size: int


def read(since: str, paths: Sequence[str], exclude: Sequence[str], environment: Mapping[str, str]) -> Reading:
    """The former state of ``paths``: all files of ``since`` if it is a folder, else the files as of that revision.

    A path that the revision does not have had no files. Raises NoRevisionError.
    """
    if files.STDIN in paths:
        raise NoRevisionError("--since compares files; it cannot be used with -")
    if since and Path(since).is_dir():
        return files.read([since], io.BytesIO(), exclude)
    if not since or since.startswith("-") or "\0" in since:
        raise NoRevisionError(f'--since must be a folder or a revision of Git, got "{since}"')
    with tempfile.TemporaryDirectory(prefix="mcp-operator-") as name:
        folder = Path(os.path.realpath(name))
        wanted = [str(_extract(since, path, folder / str(index), environment)) for index, path in enumerate(paths)]
        there = [path for path in wanted if Path(path).exists()]
        if not there:
            return files.Reading((), (), 0)
        reading = files.read(there, io.BytesIO(), exclude)
        found = tuple(
            replace(each, source=Source(f"{since}:{os.path.relpath(each.source.name, folder)}", each.source.text))
            for each in reading.documents
        )
        return replace(reading, documents=found)


def head(folder: Path, environment: Mapping[str, str]) -> str:
    """The commit that is checked out in a folder. Raises NoRevisionError."""
    return _Git(folder, environment).text("rev-parse", "--verify", "HEAD")


def _extract(since: str, path: str, folder: Path, environment: Mapping[str, str]) -> Path:
    """Write what the revision has at a path below a folder, and return where."""
    place = Path(os.path.realpath(path))
    base = place if place.is_dir() else place.parent
    while not base.is_dir():
        base = base.parent
    run = _Git(base, environment)
    root = Path(run.text("rev-parse", "--show-toplevel"))
    commit = run.text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{since}^{{commit}}")
    relative = place.relative_to(os.path.realpath(root)).as_posix()
    listing = run.bytes("-C", str(root), "ls-tree", "-r", "-l", "-z", "--full-tree", commit, "--", relative)
    blobs = [blob for entry in listing.split(b"\0") if (blob := _blob(entry)) is not None]
    total = sum(blob.size for blob in blobs)
    if total > MAX_TREE_BYTES or len(blobs) > files.MAX_FILES:
        raise NoRevisionError(f"{since} has too many files at {path}; name a part of the folder")
    content = run.bytes(
        "cat-file", "--batch", given="".join(f"{blob.id}\n" for blob in blobs).encode(), most=total + 128 * len(blobs)
    )
    start = 0
    for blob in blobs:
        header, _, _ = content[start : start + 200].partition(b"\n")
        start += len(header) + 1
        target = folder / blob.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content[start : start + blob.size])
        start += blob.size + 1
    return folder / relative


def _blob(entry: bytes) -> _Blob | None:
    """A manifest in the listing of ``git ls-tree -l``; None for links, submodules, and files of other programs."""
    described, _, name = entry.partition(b"\t")
    fields = described.split()
    if len(fields) != 4 or fields[0] not in _FILES:
        return None
    try:
        path = PurePosixPath(name.decode())
    except UnicodeDecodeError:
        return None
    if ".." in path.parts or path.is_absolute() or not (path.name.endswith(files.SUFFIXES) or path.name == _FURTHER):
        return None
    size = int(fields[3])
    return _Blob(str(path), fields[2].decode("ascii"), size) if size <= MAX_FILE_BYTES else None


class _Git:
    """Runs Git in a folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        kept = {name: environment[name] for name in ("PATH", "HOME") if name in environment}
        self._environment = {
            **kept, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1", "GIT_PAGER": "cat",
        }  # fmt: skip
        self._folder = folder

    def text(self, *words: str) -> str:
        """The one line that a command prints."""
        return self.bytes(*words).decode("utf-8", "surrogateescape").strip("\n")

    def bytes(self, *words: str, given: bytes = b"", most: int = MAX_LISTING) -> bytes:
        """What a command prints. Raises NoRevisionError if it fails, prints too much or takes too long."""
        named = next(word for word in words if not word.startswith(("-", "/")))
        with tempfile.TemporaryFile() as input_:
            input_.write(given)
            input_.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 -- no shell; the words are ours, or follow --end-of-options
                    ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", *words],  # noqa: S607 -- the git of the user
                    cwd=self._folder, env=self._environment,
                    stdin=input_, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                )  # fmt: skip
            except OSError as error:
                raise NoRevisionError(f"git cannot be run: {error.strerror}") from error
            with process:
                try:
                    printed = _read_all(process, most)
                    code = process.wait(DEADLINE)
                except (subprocess.TimeoutExpired, TimeoutError) as error:
                    process.kill()
                    raise NoRevisionError(f"git {named} took longer than {DEADLINE:.0f} s") from error
                except NoRevisionError:
                    process.kill()
                    raise
        if code:
            why = (
                "the folder is in no Git repository"
                if "--show-toplevel" in words
                else "there is no such commit; fetch it, or name another"
            )
            raise NoRevisionError(f"git {named} {words[-1]} failed: {why}")
        return printed


def _read_all(process: subprocess.Popen[bytes], most: int) -> bytes:
    """Everything that a process prints. Raises TimeoutError and NoRevisionError."""
    assert process.stdout is not None
    ends = time.monotonic() + DEADLINE
    found: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, ends - time.monotonic())):
                raise TimeoutError
            piece = os.read(process.stdout.fileno(), 1024 * 1024)
            if not piece:
                return b"".join(found)
            found.append(piece)
            size += len(piece)
            if size > most:
                raise NoRevisionError(f"git printed more than {most} bytes")
