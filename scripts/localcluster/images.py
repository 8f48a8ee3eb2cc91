"""Builds container images without a registry: base images from Debian packages, the operator's image with buildah."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from scripts.localcluster import packages, paths, progress, wheels

__all__ = ["load", "operator", "pause", "redis"]

PYTHON_PACKAGES = "base-files,ca-certificates,python3.14-minimal,libpython3.14-stdlib"
REDIS_PACKAGES = "base-files,redis-server"
# The operator's image has 230 MB, and each state of the sources has its own.
KEPT_IMAGES = 4
BUILDAH = ["buildah", "--storage-driver", "vfs"]


def load(socket: Path, archive: Path) -> None:
    """Import a Docker archive into containerd. Raises RuntimeError with the error of ``ctr``."""
    _run(["ctr", "-a", str(socket), "-n", "k8s.io", "images", "import", str(archive)])


def pause(name: str) -> Path:
    """The pause image of pod sandboxes: one static program that sleeps."""
    busybox = Path("/usr/bin/busybox") if Path("/usr/bin/busybox").exists() else Path("/bin/busybox")
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(busybox, "busybox")
    return _archive(
        f"pause-{paths.fingerprint(busybox.read_bytes())}", name, layer.getvalue(), ["/busybox", "sleep", "2147483647"]
    )


def redis(name: str = "localhost/redis:dev") -> Path:
    """The image of Redis, from Debian's package."""
    packages.ensure(packages.IMAGES)
    root = _debian("redis", "sid", REDIS_PACKAGES)
    return _archive(f"image-{root.stem}", name, root.read_bytes(), ["/usr/bin/redis-server"])


def operator(name: str = "localhost/mcp-operator:dev") -> Path:
    """The image of the operator, from the project's Dockerfile on Debian's Python 3.14."""
    packages.ensure(packages.IMAGES)
    base = _debian("python", "sid", PYTHON_PACKAGES)
    wheelhouse = wheels.wheelhouse()
    dockerfile = paths.ROOT / "Dockerfile"
    parts = [dockerfile.read_bytes(), base.name.encode(), *(f.name.encode() + f.read_bytes() for f in wheelhouse)]
    archive = paths.cache() / f"operator-{paths.fingerprint(*parts)}.tar"
    with paths.locked("image"):
        if archive.exists():
            archive.touch()
        else:
            with progress.step("building the operator's image"):
                _build(name, base, wheelhouse, dockerfile, archive)
        paths.keep_newest("operator-*.tar", KEPT_IMAGES)
    return archive


def _build(name: str, base: Path, wheelhouse: list[Path], dockerfile: Path, archive: Path) -> None:
    with tempfile.TemporaryDirectory(dir=paths.cache()) as directory:
        context = Path(directory) / "context"
        (context / "dist" / "wheels").mkdir(parents=True)
        for wheel in wheelhouse:
            shutil.copy(wheel, context / "dist" / "wheels")
        base_archive = Path(directory) / "base.tar"
        _write_archive(base_archive, "localhost/python:3.14", base.read_bytes(), [])
        storage = [*BUILDAH, "--root", f"{directory}/storage", "--runroot", f"{directory}/run"]
        _run([*storage, "pull", f"docker-archive:{base_archive}"])
        _run([*storage, "bud", "--isolation", "chroot", "--build-arg", "BASE=localhost/python:3.14", "--pull-never",
              "--file", str(dockerfile), "--tag", name, str(context)])  # fmt: skip
        output = Path(directory) / "image.tar"
        _run([*storage, "push", name, f"docker-archive:{output}:{name}"])
        output.rename(archive)


def _debian(what: str, suite: str, include: str) -> Path:
    """The file system of Debian packages, as a tar archive."""
    result = paths.cache() / f"{what}-{paths.fingerprint(suite.encode(), include.encode())}.tar"
    if result.exists():
        return result
    with paths.locked(f"base-{what}"), progress.step(f"fetching Debian's {what} for the image"):
        if not result.exists():
            temporary = result.with_suffix(".new.tar")
            _run(["mmdebstrap", "--variant=extract", '--aptopt=Acquire::Check-Valid-Until "false"',
                  f"--include={include}", suite, str(temporary), _mirror()])  # fmt: skip
            temporary.rename(result)
    return result


def _mirror() -> str:
    """The Debian mirror in the apt sources of this machine."""
    for file in (*Path("/etc/apt/sources.list.d").glob("*.sources"), *Path("/etc/apt").rglob("*.list")):
        found = re.search(r"^(?:URIs:|deb(?: \[[^\]]*\])?)\s+(\S+/debian/?)(?:\s|$)", file.read_text(), re.MULTILINE)
        if found:
            return found[1]
    raise RuntimeError("no Debian mirror in the apt sources of this machine")


def _archive(file: str, name: str, layer: bytes, command: list[str]) -> Path:
    archive = paths.cache() / f"{file}.tar"
    if archive.exists():
        return archive
    temporary = archive.with_suffix(".new")
    _write_archive(temporary, name, layer, command)
    temporary.rename(archive)
    return archive


def _write_archive(file: Path, name: str, layer: bytes, command: list[str]) -> None:
    """Write a Docker archive with one layer."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": command or None, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
            "history": [],
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(file, "w") as tar:
        for member, data in (("config.json", config), ("layer.tar", layer), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:8])} … exited with {done.returncode}:\n{done.stderr[-3000:]}")
