"""Keeps a sink as the API server is: list, watch, and list again when the watch cannot tell what was missed.

The behaviour is that of client-go's reflector: paged lists, bookmarks, jittered ends, ``410 Gone`` answered by a list
that replaces everything, so that objects which vanished meanwhile are dropped. A watch without a word for longer than
bookmarks take is torn down.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from cluster.transport import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cluster.resources import ResourceType
    from cluster.transport import Transport

__all__ = ["SILENCE", "Reflector", "Sink"]

logger = logging.getLogger(__name__)

# The API server sends a bookmark about once a minute; half as long again is silence.
SILENCE = 90.0
PAGE = 500
MAX_BACKOFF = 30.0
# How often an API that is not installed, or not shown to us, is asked for again.
ABSENT = 30.0

Manifest = dict[str, Any]


class Sink(Protocol):
    """Where objects go."""

    def replace(self, items: list[Manifest]) -> None:
        """These are all the objects there are."""
        ...

    def put(self, item: Manifest) -> None:
        """This object was created or changed."""
        ...

    def drop(self, item: Manifest) -> None:
        """This object was deleted; ``item`` is its last state."""
        ...


class Reflector:
    """One resource type, perhaps of one namespace or selection, kept in a sink for as long as `run` runs.

    ``monotonic`` gives seconds; ``jitter`` gives numbers from 0 to 1. ``synced`` is set after the first list. Of an
    ``optional`` type there are no objects for as long as the API server does not know it, or does not show it to us.
    """

    def __init__(
        self,
        transport: Transport,
        kind: ResourceType,
        sink: Sink,
        *,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        namespace: str | None = None,
        field_selector: str | None = None,
        label_selector: str | None = None,
        optional: bool = False,
    ) -> None:
        self.synced = asyncio.Event()
        self.kind = kind
        self._transport = transport
        self._sink = sink
        self._monotonic = monotonic
        self._jitter = jitter
        self._optional = optional
        self._path = kind.path(namespace)
        selectors = {"fieldSelector": field_selector, "labelSelector": label_selector}
        self._query = {key: value for key, value in selectors.items() if value}
        self._heard = monotonic()
        self._version: str | None = None

    def silent_for(self) -> float:
        """Seconds since the last word of the API server: a list, an event or a bookmark."""
        return self._monotonic() - self._heard

    async def run(self) -> None:
        """Reflect until cancelled. Whatever fails is logged and tried again, later each time."""
        failures = 0
        while True:
            try:
                if self._version is None:
                    await self._list()
                await self._watch()
                failures = 0
            except ApiError as error:
                if error.status == 410:
                    self._version = None
                    continue
                if error.status in (403, 404) and self._optional:
                    self._absent()
                    failures = 0
                    await asyncio.sleep(ABSENT * (0.5 + self._jitter()))
                    continue
                failures += 1
                logger.warning("watching %s: %s", self.kind.plural, error)
            except (TimeoutError, OSError, aiohttp.ClientError, ValueError) as error:
                failures += 1
                logger.warning("watching %s: %s: %s", self.kind.plural, type(error).__name__, error)
            if failures:
                await asyncio.sleep(min(MAX_BACKOFF, 0.25 * 2**failures) * (0.5 + self._jitter()))

    async def _list(self) -> None:
        items: list[Manifest] = []
        page = {**self._query, "limit": str(PAGE)}
        while True:
            answer = await self._transport.request("GET", self._path, query=page, timeout=30.0)
            items += map(self._typed, answer.get("items") or ())
            metadata = answer.get("metadata") or {}
            if not metadata.get("continue"):
                break
            page["continue"] = metadata["continue"]
        self._sink.replace(items)
        self._version = str(metadata.get("resourceVersion") or "")
        self._heard = self._monotonic()
        self.synced.set()

    def _absent(self) -> None:
        self._sink.replace([])
        self._version = None
        self._heard = self._monotonic()
        self.synced.set()

    async def _watch(self) -> None:
        query = {
            **self._query,
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(int(300 + 300 * self._jitter())),
        }
        async with self._transport.watch(self._path, query=query, idle=SILENCE) as events:
            async for event in events:
                self._heard = self._monotonic()
                self._take(event)
        self._heard = self._monotonic()

    def _take(self, event: Mapping[str, Any]) -> None:
        item = event["object"]
        if event["type"] == "ERROR":
            code = int(item.get("code") or 500)
            raise ApiError(code, str(item.get("reason") or "Unknown"), str(item.get("message") or ""))
        self._version = item["metadata"]["resourceVersion"]
        if event["type"] in ("ADDED", "MODIFIED"):
            self._sink.put(self._typed(item))
        elif event["type"] == "DELETED":
            self._sink.drop(self._typed(item))

    def _typed(self, item: Manifest) -> Manifest:
        """Listed items carry no apiVersion and kind; nobody here reads managedFields, often half of an object."""
        item["apiVersion"] = self.kind.api_version
        item["kind"] = self.kind.kind
        item["metadata"].pop("managedFields", None)
        return item
