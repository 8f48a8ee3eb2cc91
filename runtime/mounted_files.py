"""The keys of mounted Secrets and ConfigMaps. Nothing outside a mount is ever read.

The kubelet mounts an object as a folder whose files are links: ``key`` to ``..data/key``, and ``..data`` to a folder of
the present revision. Links are followed as long as they stay inside the folder of the object. The kubelet replaces
``..data``, and makes and removes the other links after that. So keys are looked for in ``..data``.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["MAX_BYTES", "Revisions", "list_keys", "read_key", "revision"]

# A Secret holds 1 MiB in all.
MAX_BYTES = 1024 * 1024
# Seconds between two looks at an object. The kubelet takes longer to mount a change, and a look takes two system calls.
LOOK = 0.1
MAX_OBJECTS = 1024


def list_keys(folder: Path, name: str) -> list[str]:
    """The keys of an object, sorted. Names that begin with two dots belong to the kubelet. Raises OSError."""
    mount = _mount(folder, name)
    present = mount / "..data"
    if present.is_symlink():
        _check_inside(present, mount)
    else:
        # Not a mount of the kubelet.
        present = mount
    return sorted(key.name for key in present.iterdir() if not key.name.startswith(".."))


def revision(folder: Path, name: str) -> object:
    """A value that changes when the object does: it costs one look at the link ``..data``. Raises OSError."""
    _check(name)
    data = f"{folder}/{name}/..data"
    try:
        # With os, because this is asked for every call: Path takes ten times as long.
        target, link = os.readlink(data), os.lstat(data)  # noqa: PTH115 -- see above
    except OSError:
        # Not a mount of the kubelet: a folder on a laptop.
        entries = ((entry.name, entry.stat()) for entry in os.scandir(_mount(folder, name)))
        return tuple(sorted((key, stat.st_mtime_ns, stat.st_size, stat.st_ino) for key, stat in entries))
    return target, link.st_mtime_ns, link.st_ino


class Revisions:
    """The `revision` of each object in a folder. With ``monotonic``, in seconds, it is looked at once in `LOOK`."""

    def __init__(self, folder: Path, monotonic: Callable[[], float] | None = None) -> None:
        self._folder = folder
        self._monotonic = monotonic
        # By name: until when it is not looked at again, and the revision.
        self._known: dict[str, tuple[float, object]] = {}

    def of(self, name: str) -> object:
        """See `revision`. Raises OSError."""
        if self._monotonic is None:
            return revision(self._folder, name)
        now, known = self._monotonic(), self._known.get(name)
        if known is not None and now < known[0]:
            return known[1]
        found = revision(self._folder, name)
        if name not in self._known and len(self._known) >= MAX_OBJECTS:
            del self._known[next(iter(self._known))]
        self._known[name] = (now + LOOK, found)
        return found


def read_key(folder: Path, name: str, key: str) -> bytes:
    """The value of a key of the object that is mounted at ``folder/name``.

    Raises OSError if there is none, or if it is not a regular file inside that folder with at most `MAX_BYTES`.
    """
    mount = _mount(folder, name)
    _check(key)
    present = mount / "..data" / key
    path = _check_inside(present if os.path.lexists(present) else mount / key, mount)
    # No link is followed now, and neither a pipe nor a device is waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PermissionError(f"a key of {name} is not a regular file")
        value = file.read(MAX_BYTES + 1)
    if len(value) > MAX_BYTES:
        raise PermissionError(f"a key of {name} has more than {MAX_BYTES} bytes")
    return value


def _mount(folder: Path, name: str) -> Path:
    """The folder of an object, without links. Raises PermissionError if it is elsewhere."""
    _check(name)
    parent = folder.resolve()
    if (parent / name).is_symlink():
        raise PermissionError(f"the mount of {name} is a link")
    return parent / name


def _check_inside(path: Path, mount: Path) -> str:
    """The path without links. Raises PermissionError if it is not in the mount."""
    real = os.path.realpath(path)
    if os.path.commonpath((real, mount)) != str(mount):
        raise PermissionError(f"a key of {mount.name} lies outside its mount")
    return real


def _check(name: str) -> None:
    if not name or name.startswith("..") or name == "." or "/" in name or "\0" in name:
        raise PermissionError("the name of an object or of a key is not a file name")
