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
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from cluster.transport import Transport
    from crd.ref import Ref

__all__ = ["Recorder"]

logger = logging.getLogger(__name__)

# How often each Event was seen is remembered of so many. One that is forgotten counts from its second time again.
SERIES = 4096


class Recorder:
    """``reporter`` is the process that writes the Events; ``now`` the wall clock in UTC."""

    def __init__(self, transport: Transport, *, reporter: str, now: Callable[[], datetime]) -> None:
        self._transport = transport
        self._reporter = reporter
        self._now = now
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def record(self, about: Ref, uid: str, *, reason: str, note: str, warning: bool = False) -> None:
        """Write one event, ``kubectl describe`` shows it; ``note`` is cut at the API's 1024 characters."""
        manifest = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": about.kind.value,
            "metadata": {"namespace": about.namespace, "name": about.name, "uid": uid},
        }
        await self.record_about(manifest, reason=reason, note=note, warning=warning)

    async def record_about(self, about: Mapping[str, Any], *, reason: str, note: str, warning: bool = False) -> None:
        """Write one event about any object; those about cluster-scoped ones are kept in the namespace ``default``."""
        metadata, note = about["metadata"], note[:1024]
        name, namespace = metadata["name"], metadata.get("namespace") or ""
        said = "\0".join((about["kind"], metadata.get("uid") or "", reason, note, str(warning)))
        place = (namespace or "default", f"{name}.{hashlib.sha256(said.encode()).hexdigest()[:16]}")
        time = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
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
            "reportingInstance": self._reporter,
            "regarding": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "namespace": namespace,
                "name": name,
                "uid": metadata.get("uid") or "",
            },
        }
        try:
            await self._write(place, event, time)
        except (ApiError, TimeoutError, OSError) as error:
            logger.debug("event %s about %s %s/%s: %s", reason, about["kind"], namespace, name, error)

    async def _write(self, place: tuple[str, str], event: dict[str, Any], time: str) -> None:
        count = 1
        try:
            await objects.create(self._transport, event)
        except ApiError as error:
            if error.status != 409:
                raise
            count = self._counts.get(place, 1) + 1
        self._counts[place] = count
        self._counts.move_to_end(place)
        if len(self._counts) > SERIES:
            self._counts.popitem(last=False)
        if count > 1:
            await self._transport.request(
                "PATCH",
                resources.EVENTS.path(*place),
                body={"series": {"count": count, "lastObservedTime": time}},
                content_type="application/merge-patch+json",
            )
