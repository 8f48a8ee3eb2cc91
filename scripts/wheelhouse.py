"""Writes the wheels that the Dockerfile installs to ``dist/wheels``."""

from __future__ import annotations

import shutil
import sys

from scripts.localcluster import paths, wheels


def main() -> int:
    """Replace the content of the folder."""
    target = paths.ROOT / "dist" / "wheels"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for wheel in wheels.wheelhouse():
        shutil.copy(wheel, target)
    print(f"{len(list(target.iterdir()))} wheels in {target.relative_to(paths.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
