"""One webhook without its HTTP server, whose informers have what they are shown."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

from cluster.access import AccessReviews
from cluster.clock import Clock
from cluster.informers.turns import Turns
from crd import manifest
from crd.access import Requester
from crd.ref import Kind, Ref
from webhook import admit, review, watches
from webhook.admit import Decision
from webhook.ledger import Ledgers
from webhook.live_snapshot import LiveSnapshot
from webhook.object_cache import ObjectCache
from webhook.reader import Reader
from webhook.reviewer import Reviewer
from webhook.rights import Mode, RequesterRights
from webhook.slices import Slices

JANE = Requester("jane")


class Replica:
    def __init__(
        self,
        api: Any,
        *known: dict[str, Any],
        now: Callable[[], float] = lambda: 1000.0,
        mode: Mode = "Warn",
        annotations: tuple[str, ...] = (),
        read_namespace: Any = None,
        turns: Turns | None = None,
    ) -> None:
        self.live = LiveSnapshot(now)
        clock = Clock(now, asyncio.sleep, lambda: 0.0)
        self.watched = watches.informers(api, self.live, clock, lambda *_: None)
        reader = Reader(api, self.live, self.watched)
        self.slices = Slices(turns)
        self.ledgers = Ledgers(api, self.live, reader, self.slices, "mcp-system", now=now, jitter=lambda: 0.0)
        reviews = AccessReviews(api, now=now)
        rights = RequesterRights(reviews, mode=mode, annotations=annotations, read_namespace=read_namespace)
        self.reviewer = Reviewer(self.live, reader, self.ledgers, rights, self.slices)
        for kind in self.watched:
            self.reach(kind, "1")
        for item in known:
            self.show(item)

    def show(self, item: dict[str, Any], version: str = "1") -> None:
        """The watch shows this state."""
        item = copy.deepcopy(item)
        item["metadata"].setdefault("resourceVersion", version)
        item["metadata"].setdefault("uid", f"uid-{item['metadata']['name']}")
        informer = self.watched[Kind(item["kind"])]
        key = (item["metadata"]["namespace"], item["metadata"]["name"])
        assert informer.offer_read(key, item, informer.sequence())

    def remove(self, kind: Kind, name: str, namespace: str = "shop") -> None:
        """The watch shows that the object was deleted."""
        informer = self.watched[kind]
        informer.offer_read((namespace, name), None, informer.sequence())

    def stored(self, name: str) -> Any:
        """What the snapshot has of a tool."""
        return self.live.current.member(Ref(Kind.TOOL, "shop", name))

    async def judge(
        self,
        new: dict[str, Any],
        old: Any = None,
        *,
        dry_run: bool = False,
        seconds: float = 5.0,
        requester: Requester = JANE,
    ) -> Decision:
        operation = review.Operation.UPDATE if old else review.Operation.CREATE
        asked = review.Review("u", operation, new["kind"], "shop", new["metadata"]["name"], new, old)
        deadline = asyncio.get_running_loop().time() + seconds
        judged = admit.judge_object(asked, ObjectCache())
        assert judged is not None
        return await self.reviewer.validate(judged, deadline, requester=requester, dry_run=dry_run)

    async def delete(self, old: dict[str, Any], *, dry_run: bool = False) -> tuple[str, ...]:
        ref = manifest.decode(old).ref
        operation = review.Operation.DELETE
        asked = review.Review("u", operation, ref.kind, ref.namespace, ref.name, None, old, dry_run=dry_run)
        warnings = self.reviewer.note_deletion(asked)
        await self.idle()
        return warnings

    def reach(self, kind: Kind, version: str) -> None:
        """The watch has shown everything up to this version."""
        self.watched[kind]._version = version

    async def idle(self) -> None:
        """Wait until nothing is left to be noted."""
        await asyncio.gather(*(writer._task for writer in self.ledgers._writers.values() if writer._task))
