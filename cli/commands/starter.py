"""``mcp-operator init``: a commented starter folder. It overwrites nothing.

Exit codes: 0 written; 2 nothing was written: a file is there already, or the folder cannot be written.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cli.check.formats import text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["run"]

_SOURCE = Path(__file__).parents[1] / "starter"


def run(folder: Path, *, out: TextIO, err: TextIO) -> int:
    """Write the files and list them; the exit code."""
    files = [*_files()]
    taken = [folder / name for name in files if (folder / name).exists() or (folder / name).is_symlink()]
    if taken:
        print(f"mcp-operator init: {text.escape(str(taken[0]))} is there already; choose another folder", file=err)
        return 2
    try:
        for name in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                file.write((_SOURCE / name).read_bytes())
            print(text.escape(str(target)), file=out)
    except OSError as error:
        print(f"mcp-operator init: {text.escape(str(error.filename))}: {error.strerror}", file=err)
        return 2
    place = "" if folder == Path() else f"cd {shlex.quote(text.escape(str(folder)))} && "
    print(f"next: {place}mcp-operator check manifests/ && mcp-operator test tests/", file=out)
    return 0


def _files() -> Iterator[Path]:
    """The files of the starter, relative to it, in the order of their names."""
    yield from (path.relative_to(_SOURCE) for path in sorted(_SOURCE.rglob("*")) if path.is_file())
