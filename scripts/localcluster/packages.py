"""Installs the Debian packages that a node, its images and JavaScript clients need, as root."""

from __future__ import annotations

import os
import shutil
import subprocess

from scripts.localcluster import paths, progress

__all__ = ["IMAGES", "JAVASCRIPT", "NODE", "REDIS", "ensure"]

# Package, and a file that shows that it is installed.
NODE = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iptables": "/usr/sbin/iptables",
    "iproute2": "/usr/sbin/ip",
    "conntrack": "/usr/sbin/conntrack",
    "busybox-static": "/usr/bin/busybox",
    "util-linux": "/usr/bin/nsenter",
    "mount": "/usr/bin/mount",
}
IMAGES = {
    "buildah": "/usr/bin/buildah",
    "mmdebstrap": "/usr/bin/mmdebstrap",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
}
REDIS = {"redis-server": "/usr/bin/redis-server"}
JAVASCRIPT = {"nodejs": "/usr/bin/node", "npm": "/usr/bin/npm"}


def ensure(wanted: dict[str, str]) -> None:
    """Install missing packages. Raises RuntimeError where that is impossible, with instructions."""
    if not _missing(wanted):
        return
    # apt-get fails while another one runs.
    with paths.locked("packages"):
        _install(_missing(wanted))


def _missing(wanted: dict[str, str]) -> list[str]:
    return sorted(package for package, file in wanted.items() if not _present(file))


def _install(missing: list[str]) -> None:
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise RuntimeError(f"missing packages, which only root on Debian can install: {' '.join(missing)}")
    with progress.step(f"installing the Debian packages {' '.join(missing)}"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}  # noqa: TID251 -- a script reads the environment
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        for command in (["apt-get", "update", "-qq"], install):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
        # The daemons of these packages would start at boot; a cluster starts its own.
        if shutil.which("systemctl"):
            for unit in ("containerd", "redis-server"):
                subprocess.run(["systemctl", "disable", "--now", unit], capture_output=True, check=False)


def _present(file: str) -> bool:
    return os.path.exists(file) or shutil.which(os.path.basename(file)) is not None  # noqa: PTH110, PTH119
