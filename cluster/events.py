"""Kubernetes Events about our objects. Best effort: an event that cannot be written is logged and forgotten.

What happens again to an object is not another Event but one more in the series of the first: its name is made of what
it says. Of an Event the API server lets nothing but the series be changed.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

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

# How often each Event was seen, for so many of them. One that is forgotten counts from its second time again.
SERIES = 4096
_counts: OrderedDict[tuple[str, str], int] = OrderedDict()


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
    metadata, note = about["metadata"], note[:1024]
    name, namespace = metadata["name"], metadata.get("namespace") or ""
    said = "\0".join((about["kind"], metadata.get("uid") or "", reason, note, str(warning)))
    place = (namespace or "default", f"{name}.{hashlib.sha256(said.encode()).hexdigest()[:16]}")
    time = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    event = {
        "apiVersion": resources.EVENTS.api_version,
        "kind": resources.EVENTS.kind,
        "metadata": {"namespace": place[0], "name": place[1]},
        "eventTime": time,
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "note": note,
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
        try:
            await objects.create(transport, event)
            _counts[place] = 1
        except ApiError as error:
            if error.status != 409:
                raise
            _counts[place] = _counts.get(place, 1) + 1
            await transport.request(
                "PATCH",
                resources.EVENTS.path(*place),
                body={"series": {"count": _counts[place], "lastObservedTime": time}},
                content_type="application/merge-patch+json",
            )
        _counts.move_to_end(place)
        if len(_counts) > SERIES:
            _counts.popitem(last=False)
    except (ApiError, TimeoutError, OSError) as error:
        logger.debug("event %s about %s %s/%s: %s", reason, about["kind"], namespace, name, error)
