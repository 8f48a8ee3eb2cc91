"""The wheels that the image installs: the project and its locked dependencies, for the image's Python."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.localcluster import paths, progress

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["locked_requirements", "wheelhouse"]

PYTHON = "3.14"
# Of the image.
EXTRAS = ("otlp",)
# Poetry's condition of a package that only extras need.
_EXTRA = re.compile(r'(?: and )?extra == "([a-z]+)"')


def wheelhouse() -> list[Path]:
    """All wheels: dependencies from the cache, the project's freshly built."""
    return [*_dependencies(), _project()]


def locked_requirements(lock: Path, extras: Collection[str] = ()) -> list[str]:
    """The production dependencies of the lock file with these extras, as requirements with hashes."""
    packages = tomllib.loads(lock.read_text())["package"]
    lines = []
    for package in packages:
        if "main" not in package["groups"]:
            continue
        markers = package.get("markers")
        condition = markers.get("main", "") if isinstance(markers, dict) else (markers or "")
        if wanted := _EXTRA.search(condition):
            if wanted[1] not in extras:
                continue
            condition = _EXTRA.sub("", condition)
        hashes = " ".join(f"--hash={file['hash']}" for file in package["files"])
        lines.append(f"{package['name']}=={package['version']}{f' ; {condition}' if condition else ''} {hashes}")
    return lines


def _dependencies() -> list[Path]:
    requirements = locked_requirements(paths.ROOT / "poetry.lock", EXTRAS)
    directory = paths.cache() / f"wheels-{PYTHON}-{paths.fingerprint(*(line.encode() for line in requirements))}"
    if not directory.exists():
        with paths.locked("wheels"), progress.step("fetching the wheels of the image"):
            if not directory.exists():
                _fetch(requirements, directory)
    return sorted(directory.glob("*.whl"))


def _fetch(requirements: list[str], directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=paths.cache()) as temporary:
        listed = Path(temporary) / "requirements.txt"
        listed.write_text("\n".join(requirements))
        target = Path(temporary) / "wheels"
        common = ["download", "--quiet", "--no-deps", "--dest", str(target)]
        image = ["--python-version", PYTHON, "--only-binary=:all:"]
        _pip(*common, *image, "--require-hashes", "--requirement", str(listed))
        _pip(*common, "pip")
        target.rename(directory)


def _project() -> Path:
    with tempfile.TemporaryDirectory(dir=paths.cache()) as temporary:
        _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", temporary, str(paths.ROOT))
        built = next(Path(temporary).glob("*.whl"))
        kept = paths.cache() / "project" / built.name
        kept.parent.mkdir(exist_ok=True)
        return built.replace(kept)


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"pip {words[0]} exited with {done.returncode}:\n{done.stderr[-3000:]}")
