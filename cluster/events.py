"""Kubernetes Events about our objects. Best effort: an event that cannot be written is logged and forgotten."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import aiohttp

from cluster import objects, resources
from cluster.transport import ApiError
from crd.ref import GROUP, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cluster.transport import Transport
    from crd.ref import Ref

__all__ = ["record", "record_about"]

logger = logging.getLogger(__name__)


async def record(
    transport: Transport,
    about: Ref,
    uid: str,
    *,
    reason: str,
    note: str,
    now: datetime,
    reporter: str,
    warning: bool = False,
) -> None:
    """Write one event, ``kubectl describe`` shows it; ``note`` is cut at the API's 1024 characters."""
    manifest = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": about.kind.value,
        "metadata": {"namespace": about.namespace, "name": about.name, "uid": uid},
    }
    await record_about(transport, manifest, reason=reason, note=note, now=now, reporter=reporter, warning=warning)


async def record_about(
    transport: Transport,
    about: Mapping[str, Any],
    *,
    reason: str,
    note: str,
    now: datetime,
    reporter: str,
    warning: bool = False,
) -> None:
    """Write one event about any object; those about cluster-scoped ones are kept in the namespace ``default``."""
    metadata = about["metadata"]
    name, namespace = metadata["name"], metadata.get("namespace") or ""
    event = {
        "apiVersion": resources.EVENTS.api_version,
        "kind": resources.EVENTS.kind,
        "metadata": {"namespace": namespace or "default", "name": f"{name}.{int(now.timestamp() * 1e6):x}"},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "note": note[:1024],
        "action": "Reconcile",
        "reportingController": f"{GROUP}/controller",
        "reportingInstance": reporter,
        "regarding": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": namespace,
            "name": name,
            "uid": metadata.get("uid") or "",
        },
    }
    try:
        await objects.create(transport, event)
    except (ApiError, TimeoutError, OSError, aiohttp.ClientError) as error:
        logger.debug("event %s about %s %s/%s: %s", reason, about["kind"], namespace, name, error)
