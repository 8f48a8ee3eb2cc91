"""The directories of the cache, which keeps builds, and of each cluster."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ROOT",
    "SOURCES",
    "cache",
    "cluster_directory",
    "clusters",
    "fingerprint",
    "keep_newest",
    "locked",
    "private",
    "state_directory",
]

SOURCES = Path(__file__).parent
ROOT = SOURCES.parent.parent


def cache() -> Path:
    """The cache directory; created if missing. Raises RuntimeError if another user can change what is in it."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # noqa: TID251 -- a script reads the environment
    directory = base / "mcp-operator"
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    found = directory.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        # Programs of this directory are run, perhaps by root.
        raise RuntimeError(
            f"others can change {directory}; remove it, or set XDG_CACHE_HOME to a directory of your own"
        )
    return directory


def keep_newest(pattern: str, count: int) -> None:
    """Of the files of the cache whose names match, keep those that were used last.

    ``touch`` a file when it is used. Whoever has a file open still reads it.
    """
    found = sorted(cache().glob(pattern), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in found[count:]:
        file.unlink(missing_ok=True)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of this name; one process on the machine has it at a time."""
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def state_directory() -> Path:
    """Where the directories of all clusters are, and where another user cannot create it beforehand for root.

    What is below it is executed and removed, with the rights of root if there is a node. So `private` must hold for it.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/mcp-localcluster")
    return Path(tempfile.gettempdir()) / f"mcp-localcluster-{os.getuid()}"


def private(directory: Path) -> Path:
    """The directory, created if it is missing. Raises RuntimeError unless only this user can change what is in it."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise RuntimeError(f"cannot create {directory}: {error.strerror}") from error
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a directory"
        raise RuntimeError(f"{directory} is {what}; somebody else may have made it: look at it, and remove it")
    if found.st_uid != os.geteuid():
        raise RuntimeError(f"{directory} belongs to user {found.st_uid}, not to {os.geteuid()}; remove it")
    if stat.S_IMODE(found.st_mode) & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise RuntimeError(f"{directory} has mode {mode:04o}, so that others can read or change it; remove it")
    return directory


def cluster_directory(name: str) -> Path:
    """The directory of one cluster. The path is short because it contains sockets."""
    return private(state_directory()) / name


def clusters() -> list[str]:
    """The names of all clusters with a directory."""
    return sorted(path.name for path in private(state_directory()).iterdir() if path.is_dir())


def fingerprint(*parts: bytes) -> str:
    """A short digest of the parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]
