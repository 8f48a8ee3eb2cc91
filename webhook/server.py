"""Answers the API server: two paths, one review each, within its deadline.

What it cannot judge it answers with 5xx, so that the failure policy decides. Nothing is read from the API on the way
to an allow; before a denial that blames another object, that object is read, so that a stale snapshot never refuses
falsely. Where a server is Strict, an allow waits until the ledger has it (`webhook.ledger`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from certs import paths
from cluster import objects, resources
from cluster.transport import ApiError
from crd import manifest
from crd.finding import Reason
from crd.ledger import conflicts as rules
from crd.ref import Kind, Ref
from webhook import admit, live_snapshot, review
from webhook.ledger import LedgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from cluster.transport import Transport
    from crd.finding import Verdict
    from crd.integrity import Change
    from crd.manifest import Object
    from webhook.admit import Decision
    from webhook.ledger import Ledgers
    from webhook.live_snapshot import Memory
    from webhook.metrics import Metrics
    from webhook.review import Review

__all__ = ["Hook", "application"]

logger = logging.getLogger(__name__)

# The largest object is 3 MiB of JSON, twice in an update, in an envelope; aiohttp's own limit is 1 MiB.
BODY_LIMIT = 7 * 1024 * 1024
DEFAULT_TIMEOUT = 5.0
MARGIN = 0.3
MAX_IN_FLIGHT = 128
# Of the time there is to answer, what may go into waiting for the ledger.
LEDGER_SHARE = 0.8


class Hook:
    """What the handlers share. ``unready`` says why no review can be judged now, or None."""

    def __init__(
        self,
        transport: Transport,
        known: Memory,
        metrics: Metrics,
        ledgers: Ledgers,
        *,
        unready: Callable[[], str | None],
        draining: Callable[[], bool],
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self.metrics = metrics
        self.unready = unready
        self.draining = draining
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self._transport = transport
        self._memory = known
        self._ledgers = ledgers

    async def validate(self, asked: Review, seconds: float) -> bytes:
        """Judge within so many seconds, and remember what was allowed."""
        decision = admit.decide(self._memory.snapshot, asked)
        if not decision.allowed:
            decision = await self._confirmed(asked, decision)
        if decision.allowed:
            decision = await self._noted(asked, decision, seconds * LEDGER_SHARE)
        self._count("validate", asked, decision.allowed)
        for finding in decision.verdict:
            self.metrics.findings.labels(asked.kind, finding.reason, finding.level).inc()
        if not decision.allowed:
            return review.denied(
                asked.uid,
                decision.message,
                reason=decision.verdict.errors[0].reason,
                causes=decision.causes,
                warnings=decision.warnings,
                audit=decision.audit,
            )
        if decision.new is not None and decision.new.fact is not None and not asked.dry_run:
            self._memory.expect(decision.new.fact)
        return review.allowed(asked.uid, warnings=decision.warnings, audit=decision.audit)

    async def mutate(self, asked: Review, _seconds: float) -> bytes:
        """Fill in derived defaults."""
        self._count("mutate", asked, True)
        return review.allowed(asked.uid, patch=admit.defaulting_patch(asked))

    async def _confirmed(self, asked: Review, decision: Decision) -> Decision:
        """The decision once the objects that it blames have been read. What cannot be read stays believed."""
        blamed = {ref for finding in decision.verdict.errors for ref in finding.related}
        if not blamed:
            return decision
        reasons = {finding.reason for finding in decision.verdict.errors}
        granting = {ref.namespace for ref in blamed if ref.kind is Kind.SERVICE} if _DENIED in reasons else set()
        await asyncio.gather(self._look(blamed), *(self._grants(namespace) for namespace in granting))
        return admit.decide(self._memory.snapshot, asked)

    async def _noted(self, asked: Review, decision: Decision, seconds: float) -> Decision:
        """The decision once the ledger has the change, or has spoken against it. Raises LedgerError."""
        change, snapshot = decision.change, self._memory.snapshot
        if rules.concerns(snapshot, change):
            return admit.refused(decision, await self._reserved(change, seconds, dry_run=asked.dry_run))
        if rules.frees(snapshot, change) and not asked.dry_run:
            try:
                async with asyncio.timeout(seconds):
                    await self._ledgers.release(change)
            except (*_UNANSWERED, LedgerError) as error:
                # A deletion is never refused. The name stays taken until its intent is too old to matter.
                logger.warning("noting the deletion of %s: %s", change.ref, error)
        return decision

    async def _reserved(self, change: Change, seconds: float, *, dry_run: bool) -> Verdict:
        """What speaks against the change, by the ledger. Raises LedgerError."""
        namespace = change.ref.namespace
        try:
            async with asyncio.timeout(seconds):
                return await self._ledgers.reserve(change, lambda: self._memory.snapshot, self._seen, dry_run=dry_run)
        except TimeoutError as error:
            text = f"too many changes at once in {namespace}, where an MCPServer is Strict; try again in a second"
            raise LedgerError(text) from error
        except (ApiError, OSError, aiohttp.ClientError) as error:
            raise LedgerError(f"the ledger of {namespace} cannot be kept: {error}; try again in a moment") from error

    async def _seen(self, refs: Iterable[Ref]) -> dict[Ref, Object | None]:
        """Objects of ours as they stand, without those that cannot be read."""
        found = await self._look(refs)
        return {ref: manifest.decode(raw) if raw is not None else None for ref, raw in found.items()}

    async def _look(self, refs: Iterable[Ref]) -> dict[Ref, dict[str, Any] | None]:
        """What the API server has under these names, for the memory too; without what cannot be read."""
        ordered = sorted(refs)
        answers = await asyncio.gather(*map(self._get, ordered), return_exceptions=True)
        found: dict[Ref, dict[str, Any] | None] = {}
        for ref, answer in zip(ordered, answers, strict=True):
            if isinstance(answer, _UNANSWERED):
                logger.warning("reading %s before a denial: %s", ref, answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found[ref] = answer
                self._learn(ref, answer)
        return found

    async def _get(self, ref: Ref) -> dict[str, Any] | None:
        return await objects.get(self._transport, _TYPES[ref.kind], ref.namespace, ref.name)

    def _learn(self, ref: Ref, found: dict[str, Any] | None) -> None:
        fact = live_snapshot.fact_of(ref.kind, found) if found else None
        if fact is None:
            self._memory.absent(ref)
        else:
            self._memory.shown(fact)

    async def _grants(self, namespace: str) -> None:
        """A grant and the tool that needs it may come in one apply, the watch's word of it a moment later."""
        try:
            found = await objects.list_all(self._transport, resources.REFERENCE_GRANTS, namespace)
        except ApiError as error:
            if error.status != 404:
                logger.warning("reading the ReferenceGrants of %s before a denial: %s", namespace, error)
            return
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            logger.warning("reading the ReferenceGrants of %s before a denial: %s", namespace, error)
            return
        for item in found:
            fact = live_snapshot.fact_of(Kind.GRANT, {**item, **_GRANT})
            if fact is not None:
                self._memory.shown(fact)

    def _count(self, hook: str, asked: Review, allowed: bool) -> None:
        self.metrics.reviews.labels(hook, asked.kind, asked.operation, "allowed" if allowed else "denied").inc()


_TYPES = {
    Kind.SERVER: resources.SERVERS,
    Kind.TOOL: resources.TOOLS,
    Kind.PROMPT: resources.PROMPTS,
    Kind.RESOURCE: resources.RESOURCES,
    Kind.SERVICE: resources.SERVICES,
}
_UNANSWERED = (ApiError, TimeoutError, OSError, aiohttp.ClientError)
_DENIED = Reason.CROSS_NAMESPACE_DENIED
_GRANT = {"apiVersion": resources.REFERENCE_GRANTS.api_version, "kind": resources.REFERENCE_GRANTS.kind}


def application(hook: Hook) -> web.Application:
    """The web application behind the registration's paths."""
    app = web.Application(client_max_size=BODY_LIMIT)

    async def validate(request: web.Request) -> web.Response:
        return await _answered(hook, "validate", hook.validate, request)

    async def mutate(request: web.Request) -> web.Response:
        return await _answered(hook, "mutate", hook.mutate, request)

    app.router.add_post(paths.VALIDATE_PATH, validate)
    app.router.add_post(paths.MUTATE_PATH, mutate)
    app.router.add_post(paths.NOTE_DELETION_PATH, validate)
    return app


async def _answered(
    hook: Hook, name: str, judge: Callable[[Review, float], Awaitable[bytes]], request: web.Request
) -> web.Response:
    if request.content_type != "application/json":
        return web.Response(status=415, text="send application/json\n")
    try:
        asked = review.parse(await request.read())
    except review.InvalidReviewError as error:
        return web.Response(status=400, text=f"{error}\n")
    why = hook.unready()
    if why:
        return _json(hook, review.failed(asked.uid, 503, f"not ready to judge: {why}"), 503)
    if hook.in_flight >= hook.max_in_flight:
        hook.metrics.shed.inc()
        busy = f"{hook.in_flight} reviews are in progress; try again in a second"
        return _json(hook, review.denied(asked.uid, busy, code=429, reason="TooManyRequests"), 200)
    hook.in_flight += 1
    hook.metrics.in_flight.set(hook.in_flight)
    try:
        with hook.metrics.latency.labels(name).time():
            seconds = _deadline(request)
            async with asyncio.timeout(seconds):
                return _json(hook, await judge(asked, seconds), 200)
    except LedgerError as error:
        # A denial, whatever the failure policy: what is not in the ledger must not be admitted.
        logger.warning("review %s of %s %s/%s: %s", asked.uid, asked.kind, asked.namespace, asked.name, error)
        return _json(hook, review.denied(asked.uid, str(error), code=503, reason="ServiceUnavailable"), 200)
    except TimeoutError:
        return _json(hook, review.failed(asked.uid, 504, "no verdict within the API server's time-out"), 504)
    except ValueError as error:
        return _json(hook, review.failed(asked.uid, 400, str(error)), 400)
    except Exception:
        logger.exception("a bug met review %s of %s %s/%s", asked.uid, asked.kind, asked.namespace, asked.name)
        hook.metrics.panics.inc()
        return _json(hook, review.failed(asked.uid, 500, "the webhook failed; its log says how"), 500)
    finally:
        hook.in_flight -= 1
        hook.metrics.in_flight.set(hook.in_flight)


def _deadline(request: web.Request) -> float:
    """Seconds to answer in: the caller's ``?timeout=5s`` less a margin for the way back."""
    text = request.query.get("timeout", "").removesuffix("s")
    try:
        asked = float(text) if text else DEFAULT_TIMEOUT
    except ValueError:
        asked = DEFAULT_TIMEOUT
    return max(0.05, asked - MARGIN)


def _json(hook: Hook, body: bytes, status: int) -> web.Response:
    response = web.Response(body=body, status=status, content_type="application/json")
    if hook.draining():
        # The API server keeps connections to dying pods; it has to be told to open new ones, elsewhere.
        response.force_close()
        response.headers["Connection"] = "close"
    return response
