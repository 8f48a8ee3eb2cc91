"""Reads objects past the watches, for whoever is about to refuse a change because of them.

What a read shows goes into the informers, unless a watch has overtaken it, and settles which admitted writes of the
object can still be stored.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from cluster import objects, resources
from cluster.transport import ApiError
from crd import manifest
from crd.ref import Kind
from webhook.watches import WATCHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cluster.informers.scope import ScopedInformer
    from cluster.informers.versions import Version
    from cluster.transport import Transport
    from crd.facts import Fact
    from crd.manifest import Object
    from crd.ref import Ref
    from webhook.live_snapshot import LiveSnapshot

__all__ = ["Reader"]

logger = logging.getLogger(__name__)

# How long to wait until the snapshot has what was read, where it takes long to put it there.
LATE_SECONDS = 2.0
LATE_INTERVAL = 0.005

_UNANSWERED = (ApiError, TimeoutError, OSError)


class Reader:
    """``watched`` are the informers that feed ``live``."""

    def __init__(self, transport: Transport, live: LiveSnapshot, watched: Mapping[Kind, ScopedInformer[Fact]]) -> None:
        self._transport = transport
        self._live = live
        self._watched = watched

    def reached(self, kind: Kind) -> Version | None:
        """The version up to which every change of a kind has been seen; None while a list is needed."""
        return self._watched[kind].reached

    async def look(self, refs: Iterable[Ref]) -> dict[Ref, Object | None]:
        """Objects as the API server has them now, without those that cannot be read. The snapshot has them then."""
        # What is not watched may not be read either.
        known = (ref for ref in refs if ref.kind in WATCHED)
        ordered = sorted(ref for ref in known if self._watched[ref.kind].covers(ref.namespace))
        tokens = {kind: informer.sequence() for kind, informer in self._watched.items()}
        begun = self._live.now()
        reads = (objects.get(self._transport, WATCHED[ref.kind], ref.namespace, ref.name) for ref in ordered)
        found: dict[Ref, Object | None] = {}
        for ref, answer in zip(ordered, await asyncio.gather(*reads, return_exceptions=True), strict=True):
            if found:
                await asyncio.sleep(0)  # to decode all of them at once would take long
            if isinstance(answer, _UNANSWERED):
                logger.warning("reading %s before a denial: %s", ref, answer)
                continue
            if isinstance(answer, BaseException):
                raise answer
            self._watched[ref.kind].offer_read((ref.namespace, ref.name), answer, tokens[ref.kind])
            if ref.kind in manifest.OURS:
                found[ref] = manifest.decode(answer) if answer is not None else None
                self._live.resolve(ref, found[ref], begun)
        await self._place(ordered)
        return found

    async def _place(self, refs: Iterable[Ref]) -> None:
        waited = 0.0
        while self._live.is_late(refs) and waited < LATE_SECONDS:
            await asyncio.sleep(LATE_INTERVAL)
            waited += LATE_INTERVAL

    async def read_grants(self, namespace: str) -> None:
        """A grant and the tool that needs it may come in one apply, and the watch shows the grant a moment later."""
        informer = self._watched[Kind.GRANT]
        if not informer.covers(namespace):
            return
        token = informer.sequence()
        try:
            found = await objects.list_all(self._transport, resources.REFERENCE_GRANTS, namespace)
        except _UNANSWERED as error:
            if not (isinstance(error, ApiError) and error.status == 404):
                logger.warning("reading the ReferenceGrants of %s before a denial: %s", namespace, error)
            return
        for item in found:
            informer.offer_read((namespace, item["metadata"]["name"]), item, token)
