"""Reads manifests from files, folders and standard input.

What is read may come from somebody else: only regular files are opened, no symbolic link leads out of the folders that
the user named, and sizes have limits. What is not read for these reasons is a finding.
"""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cli.commands import contents
from cli.commands.contents import MAX_FILE_BYTES, Contents, RefusedError
from cli.manifests import documents, repositories
from cli.manifests.documents import Document, Fault, Source
from crd.finding import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

__all__ = ["MAX_FILES", "Reading", "UnreadableError", "read", "stamps"]

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"
# Packages of others, among them thousands of JSON files.
SKIPPED = "node_modules"
MAX_FILES = 50_000


class Parser(Protocol):
    """See `cli.manifests.documents.parse`."""

    def __call__(self, name: str, data: bytes, *, found: bool = False) -> Iterable[Document | Fault]:
        """The objects of a file, in order."""


class UnreadableError(Exception):
    """A path of the command line that does not exist; the message names it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The documents, the faults of those that could not be read, and the number of files.

    ``in_folders`` says that files of folders are among them: they may hold no object of ours.
    """

    documents: tuple[Document, ...]
    faults: tuple[Fault, ...]
    files: int
    in_folders: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """A file to read: ``named`` on the command line, or found in a folder, where files of other programs are."""

    name: str
    named: bool


def read(
    paths: Sequence[str], stdin: BinaryIO, exclude: Sequence[str] = (), parse: Parser = documents.parse
) -> Reading:
    """Read files, folders (recursively) and ``-`` as standard input. A file that is named twice is read once.

    ``exclude`` are patterns of names, or of paths below a folder. ``parse`` is `cli.manifests.documents.parse`, or
    remembers what that returned. Raises UnreadableError for the first path that does
    not exist.
    """
    found: list[Document | Fault] = []
    seen: set[str] = set()
    kustomizations: dict[str, str] = {}
    reader = Contents()
    in_folders = False
    for item in _Tree(paths, exclude).expand():
        if isinstance(item, Fault):
            found.append(item)
            continue
        where = item.name if item.name == STDIN else os.path.realpath(item.name)
        if where in seen:
            continue
        if len(seen) == MAX_FILES:
            message = f"more than {MAX_FILES} files; name a part of the folder, or leave folders out with --exclude"
            found.append(_fault(item.name, message))
            break
        seen.add(where)
        in_folders = in_folders or not item.named
        try:
            found += _read_stdin(stdin) if item.name == STDIN else _read_file(item, reader, kustomizations, parse)
        except RefusedError as error:
            found.append(_fault(item.name, str(error)))
    kept = (*repositories.set_patches_apart(found, kustomizations),)
    read_ = tuple(item for item in kept if isinstance(item, Document))
    return Reading(read_, tuple(item for item in kept if isinstance(item, Fault)), len(seen), in_folders)


def stamps(paths: Sequence[str], exclude: Sequence[str] = ()) -> dict[str, tuple[int, int, int]]:
    """What changes when a file does, of every file that `read` would read: time of change, size, inode.

    Raises UnreadableError.
    """
    found: dict[str, tuple[int, int, int]] = {}
    for item in _Tree(paths, exclude).expand():
        if isinstance(item, _File) and len(found) < MAX_FILES:
            try:
                status = Path(item.name).stat()
            except OSError:
                continue
            found[item.name] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return found


def _read_stdin(stdin: BinaryIO) -> Iterator[Document | Fault]:
    data = stdin.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise RefusedError(f"more than {MAX_FILE_BYTES // 2**20} MiB, which is too large for manifests; split it")
    yield from documents.parse(STDIN, data)


def _read_file(
    item: _File, reader: Contents, kustomizations: dict[str, str], parse: Parser
) -> Iterator[Document | Fault]:
    """The documents of a file; the texts of kustomizations are added to those known by folder."""
    path = Path(item.name)
    data = reader.read(path, named=item.named)
    if data is None:
        return
    if path.name in documents.KUSTOMIZATIONS:
        kustomizations[str(path.parent)] = data.decode("utf-8", "replace")
    elif item.named:
        _find_kustomizations(path.parent, reader, kustomizations)
    chart = _chart_of(path)
    if chart is not None and repositories.is_template(data):
        yield from repositories.describe_template(item.name, data, str(chart))
    else:
        yield from parse(item.name, data, found=not item.named)


def _find_kustomizations(folder: Path, reader: Contents, kustomizations: dict[str, str]) -> None:
    """Read the kustomizations that may name a file as a patch: in its folder, and in the one above."""
    for place in (folder, folder / os.pardir):
        for name in documents.KUSTOMIZATIONS:
            if str(place) not in kustomizations and (place / name).is_file():
                try:
                    text = reader.read(place / name, named=True)
                except RefusedError:
                    continue  # it is not what the user asked for
                kustomizations[str(place)] = (text or b"").decode("utf-8", "replace")


def _chart_of(path: Path) -> Path | None:
    """The folder of the Helm chart whose template a file is."""
    for folder in path.parents:
        if folder.name == "templates" and (folder.parent / "Chart.yaml").is_file():
            return folder.parent
    return None


class _Tree:
    """The files that the paths of the command line stand for."""

    def __init__(self, paths: Sequence[str], exclude: Sequence[str]) -> None:
        self._paths = paths
        self._roots = tuple(Path(os.path.realpath(path)) for path in paths if path != STDIN)
        self._exclude = tuple(pattern.rstrip("/").removeprefix("./") for pattern in exclude)

    def expand(self) -> Iterator[_File | Fault]:
        """The paths with every folder replaced by the YAML and JSON files below it, in order.

        Hidden files and folders (.git, .github) are skipped, and node_modules.
        """
        for name in self._paths:
            path = Path(name)
            if name == STDIN:
                yield _File(name, named=True)
            elif not os.path.lexists(name):
                raise UnreadableError(f"{name} does not exist")
            elif self._is_excluded(name, path.name):
                continue
            elif path.is_dir():
                yield from self._walk(path)
            else:
                yield _File(name, named=True)

    def _walk(self, root: Path) -> Iterator[_File | Fault]:
        """The files of a folder in the order of their names: those of a folder before those of the folders in it."""
        pending = [root]
        while pending:
            folder = pending.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                yield _fault(str(folder), contents.describe(error))
                continue
            below: list[Path] = []
            for entry in entries:
                path = folder / entry.name
                if (
                    entry.name.startswith(".")
                    or entry.name == SKIPPED
                    or self._is_excluded(str(path.relative_to(root)), entry.name)
                ):
                    continue
                if entry.is_symlink():
                    yield from self._follow(path)
                elif entry.is_dir(follow_symlinks=False):
                    below.append(path)
                elif entry.name.endswith(SUFFIXES):
                    yield _File(str(path), named=False)
            pending += reversed(below)

    def _follow(self, path: Path) -> Iterator[_File | Fault]:
        """The file of a symbolic link that stays within the folders of the command line; a finding for others."""
        is_manifest = path.name.endswith(SUFFIXES)
        try:
            path.stat()
        except OSError as error:
            yield _fault(str(path), contents.describe(error), Level.ERROR if is_manifest else Level.WARNING)
            return
        target = Path(os.path.realpath(path))
        inside = any(target.is_relative_to(root) for root in self._roots)
        if path.is_dir():
            if not inside:
                message = f"a symbolic link to the folder {target}, which is not followed; name that folder as well"
                yield _fault(str(path), message, Level.WARNING)
        elif is_manifest and inside:
            yield _File(str(path), named=False)
        elif is_manifest:
            message = f"a symbolic link to {target}, which is outside of the folder and not followed; name that file"
            yield _fault(str(path), message)

    def _is_excluded(self, path: str, name: str) -> bool:
        return any(fnmatch.fnmatch(path, pattern) or fnmatch.fnmatch(name, pattern) for pattern in self._exclude)


def _fault(name: str, message: str, level: Level = Level.ERROR) -> Fault:
    return Fault(Source(name, ""), 0, message, level)
