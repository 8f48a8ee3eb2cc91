"""The directories of the cache, which keeps builds, and of each cluster."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

__all__ = ["ROOT", "SOURCES", "cache", "cluster_directory", "clusters", "fingerprint"]

SOURCES = Path(__file__).parent
ROOT = SOURCES.parent.parent


def cache() -> Path:
    """The cache directory; created if missing."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")  # noqa: TID251 -- a script reads the environment
    directory = base / "mcp-operator"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _clusters_directory() -> Path:
    return Path(tempfile.gettempdir()) / f"mcp-localcluster-{os.getuid()}"


def cluster_directory(name: str) -> Path:
    """The directory of one cluster. The path is short because it contains sockets."""
    return _clusters_directory() / name


def clusters() -> list[str]:
    """The names of all clusters with a directory."""
    base = _clusters_directory()
    return sorted(path.name for path in base.iterdir() if path.is_dir()) if base.is_dir() else []


def fingerprint(*parts: bytes) -> str:
    """A short digest of the parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]
