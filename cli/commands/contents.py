"""Reads regular files within limits. It never opens a FIFO, a socket or a device, and so never waits for one."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["MAX_FILE_BYTES", "MAX_TREE_BYTES", "Contents", "RefusedError", "describe"]

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_TREE_BYTES = 512 * 1024 * 1024
_PIECE = 1024 * 1024
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class RefusedError(Exception):
    """A file that is not read; the message says why, and what to do."""


class _TooLargeError(Exception):
    """The file has more bytes than asked for."""


class Contents:
    """Reads files, and counts what they have together."""

    def __init__(self, most: int | None = None) -> None:
        """At most ``most`` bytes are read of one file (default: `MAX_FILE_BYTES`)."""
        self._most = MAX_FILE_BYTES if most is None else most
        self._left = MAX_TREE_BYTES

    def read(self, path: Path, *, named: bool) -> bytes | None:
        """The content of a file; None for a large one that holds no object, if nobody ``named`` it.

        Raises RefusedError.
        """
        try:
            data = _read(path, min(self._most, self._left))
        except OSError as error:
            raise RefusedError(describe(error)) from error
        except _TooLargeError as error:
            if self._left < self._most:
                message = f"the files before it have {MAX_TREE_BYTES // 2**20} MiB together; check a part of them"
                raise RefusedError(message) from error
            if not named and not _mentions_objects(path):
                return None
            message = f"more than {self._most // 2**20} MiB, which is too large for manifests; split it"
            raise RefusedError(message) from error
        self._left -= len(data)
        return data


def describe(error: OSError) -> str:
    """What is wrong with a path, and what to do."""
    if error.errno == errno.ENOENT and isinstance(error.filename, str | Path) and Path(error.filename).is_symlink():
        target = Path(error.filename).readlink()
        return f"a symbolic link to {target}, which does not exist; correct or remove it"
    if error.errno == errno.ELOOP:
        return "a symbolic link that leads back to itself; correct or remove it"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"cannot be read: {error.strerror}; change its permissions, or leave it out with --exclude"
    return f"cannot be read: {error.strerror}"


def _read(path: Path, most: int) -> bytes:
    _require_regular(path.stat().st_mode)  # opening a device may have effects
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _require_regular(os.fstat(descriptor).st_mode)  # it may have been replaced since
        data = file.read(most + 1)
    if len(data) > most:
        raise _TooLargeError
    return data


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for matches, name in _KINDS if matches(mode)), "a special file")
        repair = "pipe its content to mcp-operator check -" if stat.S_ISFIFO(mode) else "name a regular file"
        raise RefusedError(f"{kind}, which is not read; {repair}")


def _mentions_objects(path: Path) -> bool:
    """Whether a file has the letters apiVersion; read in pieces."""
    before = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            if b"apiVersion" in before + piece:
                return True
            before = piece[-16:]
    return False
