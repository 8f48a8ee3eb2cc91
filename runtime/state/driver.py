"""The driver of Redis, without its metrics.

Where OpenTelemetry is installed, the driver imports its metrics, which takes 80 ms and 2.4 MiB. Nobody reads them: the
server has its own.
"""

from __future__ import annotations

import sys
from importlib import import_module

__all__ = ["load"]

_METRICS = "opentelemetry"


def load() -> None:
    """Import the driver. Called before any module that imports it."""
    known = sys.modules.get(_METRICS)
    # Imports of it fail, as where it is not installed.
    sys.modules[_METRICS] = None  # type: ignore[assignment]
    try:
        import_module("redis.asyncio")
    finally:
        del sys.modules[_METRICS]
        if known is not None:
            sys.modules[_METRICS] = known
