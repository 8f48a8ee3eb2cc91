"""Judges the reviews of one process, and remembers what it admits.

Nothing is read from the API server on the way to an allow, except what the requester of a change may do, if the change
demands rights (`webhook.rights`). Before a denial that blames other objects, these are read,
so that a stale snapshot never refuses falsely. Where a server is Strict, an allow waits until the ledger has the change
(`webhook.ledger`). Whatever was waited for: if the snapshot moved meanwhile, the change is judged by the new one before
it is remembered, so two changes that conflict never pass one process.

A change may concern thousands of objects. It is judged in steps, and all judgements that take long share a slice of
each iteration of the event loop. What others changed meanwhile is looked at in the end, and nothing else is judged
again, so that no stream of changes makes a judgement begin anew.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cluster.transport import ApiError
from crd.finding import Reason
from crd.ledger import conflicts
from crd.ref import Kind
from crd.steps import advance
from webhook import admit, live_snapshot
from webhook.ledger import LedgerError

if TYPE_CHECKING:
    from collections.abc import Collection

    from crd.access import Requester
    from crd.finding import Verdict
    from crd.integrity import Change
    from crd.ref import Ref
    from crd.snapshot import Snapshot
    from webhook.admit import Decision, JudgedObject
    from webhook.ledger import Ledgers
    from webhook.live_snapshot import LiveSnapshot
    from webhook.reader import Reader
    from webhook.review import Review
    from webhook.rights import RequesterRights
    from webhook.slices import Slices

__all__ = ["CrowdedError", "Reviewer"]

logger = logging.getLogger(__name__)

# Of the time there is to answer, what may go into waiting for the ledger.
LEDGER_SHARE = 0.8
# Steps of a judgement that are done at once. Most judgements have fewer.
STEPS_AT_ONCE = 200
# Objects that are read before one denial; the others that it blames stay believed.
READS = 32


class CrowdedError(Exception):
    """More writes of one object are on their way than may be."""


@dataclass(frozen=True, slots=True)
class _Judged:
    """A decision by a snapshot, which was the current one when so many objects had moved.

    ``took_long``: to judge the change anew takes longer than to look at what moved since.
    """

    decision: Decision
    snapshot: Snapshot
    moves: int
    took_long: bool


class Reviewer:
    """``live`` is what it judges by; ``reader`` reads past the watches, ``ledgers`` are asked for Strict servers.

    ``rights`` asks what the requester of a change may do. Judgements that take long are made in ``slices``.
    """

    def __init__(
        self, live: LiveSnapshot, reader: Reader, ledgers: Ledgers, rights: RequesterRights, slices: Slices
    ) -> None:
        self._live = live
        self._reader = reader
        self._ledgers = ledgers
        self._rights = rights
        self._slices = slices

    async def validate(self, judged: JudgedObject, deadline: float, *, requester: Requester, dry_run: bool) -> Decision:
        """Judge the change; ``deadline`` is a time of the event loop.

        Raises TimeoutError, LedgerError, CrowdedError and, where the requester's rights are not known, UnansweredError.
        """
        live, change = self._live, judged.change
        if judged.demands or judged.annotations or judged.host:
            judged = await self._rights.judge(judged, requester, deadline)
        await self._make_room(change.ref, deadline, dry_run=dry_run)
        read: set[Ref] = set()
        known: _Judged | None = None
        reserved = False
        try:
            while True:
                known = await self._decide(judged, known, deadline)
                decision = known.decision
                if not decision.allowed:
                    unread = decision.blamed - read
                    if not unread:
                        if reserved:
                            self._ledgers.withdraw(change)
                        return admit.worded_as_pending(decision, live.pending_since, live_snapshot.LANDING_SECONDS)
                    read |= unread
                    async with asyncio.timeout_at(deadline):
                        await self._read(unread, decision)
                elif not reserved and conflicts.concerns(known.snapshot, change):
                    verdict = await self._reserve(change, deadline, dry_run=dry_run)
                    if not verdict.allowed:
                        return admit.with_findings(decision, verdict)
                    if dry_run:
                        break
                    reserved = True
                else:
                    break
        except BaseException:
            # The change is not admitted after all.
            if reserved:
                self._ledgers.withdraw(change)
            raise
        if not dry_run:
            live.expect(change, (known.snapshot, decision.after))
        return decision

    def validate_at_once(self, judged: JudgedObject, *, dry_run: bool) -> Decision | None:
        """The decision of `validate` where it needs no waiting, or None: then nothing is remembered of the change."""
        if judged.demands or judged.annotations or judged.host:
            return None
        live, change = self._live, judged.change
        snapshot = live.current
        if live.is_crowded(change.ref):
            return None
        dearer = partial(live.dearer, change.ref.namespace)
        decision = advance(admit.decide_in_steps(snapshot, live.alternatives(change), judged, dearer), STEPS_AT_ONCE)
        if decision is None or not decision.verdict.allowed or conflicts.concerns(snapshot, change):
            return None
        if not dry_run:
            live.expect(change, (snapshot, decision.after))
        return decision

    async def _decide(self, judged: JudgedObject, known: _Judged | None, deadline: float) -> _Judged:
        """A denial, or what is allowed by the snapshot of now. Raises TimeoutError.

        ``known`` is what was decided before. A denial was right at a time since the review began, and stays one unless
        something moves before the next question.
        """
        live, change = self._live, judged.change
        while True:
            snapshot, moves = live.current, live.moves
            if known is not None and known.moves == moves:
                return known
            allowed = known if known is not None and known.decision.allowed and known.took_long else None
            moved = live.moves_since(allowed.moves, allowed.snapshot) if allowed is not None else None
            alternatives, dearer = live.alternatives(change), partial(live.dearer, change.ref.namespace)
            if allowed is None or moved is None:
                steps = admit.decide_in_steps(snapshot, alternatives, judged, dearer)
            else:
                steps = admit.decide_again(allowed.decision, moved, alternatives, judged, dearer)
            decision = advance(steps, STEPS_AT_ONCE)
            took_long = allowed is not None or decision is None
            if decision is None:
                async with asyncio.timeout_at(deadline):
                    decision = await self._slices.finish(steps)
            known = _Judged(decision, snapshot, moves, took_long)
            if not known.decision.allowed:
                return known

    async def _make_room(self, ref: Ref, deadline: float, *, dry_run: bool) -> None:
        """Read an object of which many writes are on their way. Raises CrowdedError if they may all still be stored.

        A dry run adds none.
        """
        if dry_run or not self._live.is_crowded(ref):
            return
        async with asyncio.timeout_at(deadline):
            await self._reader.look([ref])
        if self._live.is_crowded(ref):
            count = live_snapshot.WRITES
            raise CrowdedError(f"{count} changes of {ref} are admitted and not yet seen stored; try again in a second")

    def note_deletion(self, asked: Review) -> tuple[str, ...]:
        """Note that an object is being deleted; what its servers lose, as warnings. Never waits, never fails."""
        ref = admit.ref_of(asked)
        if ref is None:
            return ()
        metadata = (asked.old or {}).get("metadata")
        if not asked.dry_run and isinstance(metadata, dict):
            uid = str(metadata.get("uid") or "")
            self._live.note_stored(ref, uid, str(metadata.get("resourceVersion") or ""))
            if conflicts.is_guarded(self._live.current, ref.namespace):
                self._ledgers.note_deletion(ref.namespace, uid)
        return admit.preview_deletion(self._live.current, ref)

    async def _reserve(self, change: Change, deadline: float, *, dry_run: bool) -> Verdict:
        """What speaks against the change, by the ledger. Raises LedgerError."""
        namespace = change.ref.namespace
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout((deadline - now) * LEDGER_SHARE):
                return await self._ledgers.reserve(change, dry_run=dry_run)
        except TimeoutError as error:
            text = f"too many changes at once in {namespace}, where an MCPServer is Strict; try again in a second"
            raise LedgerError(text) from error
        except (ApiError, OSError) as error:
            raise LedgerError(f"the ledger of {namespace} cannot be kept: {error}; try again in a moment") from error

    async def _read(self, refs: Collection[Ref], decision: Decision) -> None:
        """Read what a denial blames, and the grants that it misses."""
        denied = any(finding.reason is Reason.CROSS_NAMESPACE_DENIED for finding in decision.verdict.errors)
        granting = {ref.namespace for ref in refs if ref.kind is Kind.SERVICE} if denied else set()
        await asyncio.gather(self._reader.look(sorted(refs)[:READS]), *map(self._reader.read_grants, granting))
