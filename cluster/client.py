"""A connection to the API server: as the pod's service account, or by kubeconfig.

What reads a kubeconfig is loaded where there is one only: it takes 70 MiB, which a pod has better uses for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.pod import PodTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.transport import Transport

__all__ = ["SERVICE_ACCOUNT", "connect"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


async def connect(
    context: str | None = None, kubeconfig: Path | None = None, *, refresh_failed: Callable[[], None] = lambda: None
) -> Transport:
    """Connect as the pod's service account; by kubeconfig where one or a context is named, or where there is no pod.

    ``refresh_failed`` is called whenever credentials cannot be read or refreshed.
    Raises kubernetes_asyncio.config.ConfigException when neither is usable.
    """
    if context is None and kubeconfig is None:
        host = os.environ.get("KUBERNETES_SERVICE_HOST")  # noqa: TID251 -- so every client finds the API in a pod
        port = os.environ.get("KUBERNETES_SERVICE_PORT")  # noqa: TID251 -- as above
        if host and port and (SERVICE_ACCOUNT / "token").is_file():
            return PodTransport(SERVICE_ACCOUNT, host, int(port), refresh_failed=refresh_failed)

    from cluster import kubeconfig as by_kubeconfig

    return await by_kubeconfig.connect(context, kubeconfig, refresh_failed=refresh_failed)
