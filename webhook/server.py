"""Answers the API server over HTTP: three paths, which end in a key, and one review each, within its deadline.

What cannot be judged is answered with 5xx, so that the failure policy decides. Deletions are always allowed, and
defaults need no other object: both are answered also while the snapshot is not ready, as in an outage of the API
server. Before it is ready for the first time, nothing listens. `webhook.connection` answers most reviews without a task
of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from certs import paths
from cluster.connections import Deadlines
from cluster.message import Response
from webhook import admit, closing, connection, cpu_time, review
from webhook.bodies import HEAD, Bodies, Body, RefusedError, uid_of
from webhook.ledger import LedgerError
from webhook.object_cache import ObjectCache
from webhook.object_processes import ExceededError, QueueFullError, is_small
from webhook.review import Operation
from webhook.reviewer import CrowdedError
from webhook.rights import UnansweredError
from webhook.slow_namespaces import LONG_SECONDS, SlowNamespaces

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cluster.message import Request
    from webhook.admit import Decision, JudgedObject
    from webhook.connection import Connections
    from webhook.metrics import Metrics
    from webhook.object_processes import ObjectProcesses
    from webhook.review import Review
    from webhook.reviewer import Reviewer

__all__ = ["Hook", "answer"]

logger = logging.getLogger(__name__)

# Seconds that an API server gives for an answer: if its query says nothing, and at most.
DEFAULT_TIMEOUT, MAX_TIMEOUT = 5.0, 30.0
MARGIN = 0.3
# Reviews in progress, in all and of one namespace.
MAX_IN_FLIGHT, MAX_IN_FLIGHT_OF_NAMESPACE = 256, 128
# An API server writes a request at once, and gives up a connection that it has not used for 90 s: it must be the one to
# close it, since a request may be on its way. `Bodies` has the deadline of a body.
DEADLINES = Deadlines(headers=5.0, first=120.0, idle=120.0, write=5.0, linger=1.0, connections=512)
JSON = "application/json"
# Seconds without a byte after which a connection is closed. What comes while nothing can be judged is refused anyway.
QUIET_UNREADY, QUIET_DRAINING = 0.02, 0.5
# A longer body is parsed by another process: at worst, this much takes 3 ms.
READABLE = 64 * 1024
# The API server writes the operation before anything that somebody else has written.
_OPERATION = re.compile(rb'"operation": ?"([A-Z]+)"')


class Hook:
    """The paths of the registration. ``unready`` says why no review can be judged now, or None.

    With ``client_names``, the certificate of the client must have one of them.
    ``accepts`` says whether the key in a path is one under which the API server calls; without it, paths have no key.

    With ``namespaces``, a review of another one fails: nothing of it is watched, so it cannot be judged. ``cache`` may
    be shared with what reads the watches.
    """

    def __init__(
        self,
        reviewer: Reviewer,
        processes: ObjectProcesses,
        metrics: Metrics,
        *,
        unready: Callable[[], str | None],
        draining: Callable[[], bool],
        accepts: Callable[[str], bool] | None = None,
        client_names: tuple[str, ...] = (),
        bodies: Bodies | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_in_flight_of_namespace: int = MAX_IN_FLIGHT_OF_NAMESPACE,
        namespaces: tuple[str, ...] = (),
        deadlines: Deadlines = DEADLINES,
        cache: ObjectCache | None = None,
    ) -> None:
        self.metrics = metrics
        self._reviewer = reviewer
        self._processes = processes
        self._unready = unready
        self._draining = draining
        self._client_names = frozenset(client_names)
        self._accepts = accepts or (lambda key: not key)
        self._bodies = bodies or Bodies()
        self._max_in_flight = max_in_flight
        self._max_in_flight_of_namespace = max_in_flight_of_namespace
        self._namespaces = namespaces
        self._deadlines = deadlines
        metrics.in_flight.set_function(lambda: self._bodies.complete)
        self._cache = cache or ObjectCache()
        self._slow = SlowNamespaces()
        self._latency, self._mutate_latency = map(metrics.latency_of, ("validate", "mutate"))
        self._at_once: dict[str, Callable[[bytes], bytes | None]] = {
            paths.VALIDATE_PATH.removeprefix("/"): self._validate_at_once,
            paths.MUTATE_PATH.removeprefix("/"): self._fill_in,
        }
        self._paths: dict[str, Callable[[Request, Body], Awaitable[tuple[int, bytes]]]] = {
            paths.VALIDATE_PATH: self._validate,
            paths.MUTATE_PATH: self._mutate,
            paths.NOTE_DELETION_PATH: self._note_deletion,
        }

    def connections(self) -> connection.Connections:
        """The connections of its port."""
        return connection.Connections(
            self.handle,
            self._deadlines,
            answer=self.answer_at_once,
            client_names=self._client_names,
            now=time.time,  # noqa: TID251 -- for the Date header
            on_abort=self.metrics.connections_closed.inc,
        )

    async def close_waiting(self, open_: Connections, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Close the connections that wait for a request while this replica cannot judge, or is about to end.

        A pod that is not ready, or is being deleted, gets no new connections, but a Service leaves those that exist.
        Each of them would cost one refused change, or, at the end of the process, one that is lost. A connection with
        a review in progress is closed with its answer, or once it waits again.
        """

        def quiet() -> float | None:
            if self._unready() is not None:
                return QUIET_UNREADY
            return QUIET_DRAINING if self._draining() else None

        await closing.close_waiting(open_, quiet, sleep)

    def answer_at_once(self, path: str, query: str, body: bytes) -> bytes | None:
        """The answer to a plain request that takes no waiting and has status 200; None if it is for `handle`.

        Of a request that it leaves to `handle` it remembers nothing but what the rules found in the object.
        """
        place, _, key = path[1:].partition("/")
        answer = self._at_once.get(place)
        if answer is None or self._draining() or not self._accepts(key):
            return None
        try:
            return answer(body)
        except Exception:  # noqa: BLE001 -- `handle` meets it again, and answers and reports it
            return None

    def _validate_at_once(self, body: bytes) -> bytes | None:
        if self._unready() is not None or self._bodies.complete >= self._max_in_flight:
            return None
        started = time.perf_counter()
        asked = review.parse(body)
        if asked.operation is Operation.DELETE or (self._slow.until and self._is_slow(asked.namespace)):
            return None
        if self._namespaces and asked.namespace not in self._namespaces:
            return None
        # Whatever was judged before takes little time, and so does what is small.
        judged = self._judge_object(asked, lambda: is_small(body))
        decision = self._reviewer.validate_at_once(judged, dry_run=asked.dry_run) if judged is not None else None
        if decision is None:
            return None
        text = self._answer(asked, decision)
        self._latency.observe(time.perf_counter() - started)
        return text

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises ClientGoneError."""
        place, _, key = request.path[1:].partition("/")
        judge = self._paths.get(f"/{place}")
        if judge is None or not self._accepts(key):
            return Response(404, b"there is nothing here\n")
        request.is_recognised = True
        if request.method != "POST":
            return Response(405, b"send a POST\n", headers={"Allow": "POST"})
        if request.media_type != JSON:
            return Response(415, b"send application/json\n")
        if "content-encoding" in request.headers:
            return Response(415, b"send it without encoding\n", headers={"Accept-Encoding": "identity"})
        body = Body()
        try:
            await self._bodies.read(request, body)
            status, text = await judge(request, body)
        except review.InvalidReviewError as error:
            return Response(400, f"{error}\n".encode())
        except RefusedError as error:
            return self._refuse(request, error)
        finally:
            self._bodies.release(body)
        # The API server keeps its connections; closing this one lets it open the next elsewhere.
        return Response(status, text, JSON, close=status == 503 or self._draining())

    def _refuse(self, request: Request, error: RefusedError) -> Response:
        """Answer a request whose body was not read to its end, and close the connection."""
        if error.status == 429:
            self.metrics.shed.inc()
            if error.uid and request.path.startswith(paths.VALIDATE_PATH):
                # A denial: of an HTTP status the API server says that calling the webhook failed.
                denial = review.denied(error.uid, str(error), code=429, reason="TooManyRequests")
                return Response(200, denial, JSON, close=True)
        return Response(error.status, f"{error}\n".encode(), close=True)

    async def _mutate(self, request: Request, body: Body) -> tuple[int, bytes]:
        uid = uid_of(body.content)
        if not uid or not self._takes_long(body):
            return 200, self._fill_in(body.content)
        with self._mutate_latency.time():
            found = await self._read(request, body, uid)
        if found is None:
            # An object may lack its derived defaults: what reads it takes the same values.
            return 200, review.allowed(uid)
        asked, patch = found
        self.metrics.count_review("mutate", asked.kind, asked.operation, allowed=True)
        return 200, review.allowed(asked.uid, patch=patch)

    def _takes_long(self, body: Body) -> bool:
        """Whether parsing it would stop the event loop, or its namespace has used up the time for such bodies."""
        content = body.content
        return len(content) > READABLE or (self._is_slow(body.namespace.decode()) and not is_small(content))

    async def _read(self, request: Request, body: Body, uid: str) -> tuple[Review, list[dict[str, Any]]] | None:
        """What another process reads in the body; None if it cannot in time. Raises InvalidReviewError."""
        try:
            async with asyncio.timeout(_seconds(request.query)):
                return await self._processes.read(body.content)
        except (QueueFullError, ExceededError, TimeoutError) as error:
            logger.warning("review %s is allowed unread: %s", uid, str(error) or "no time")
            return None
        except ValueError as error:
            raise review.InvalidReviewError(str(error)) from error

    def _fill_in(self, body: bytes) -> bytes:
        """Fill in derived defaults, or refuse what the schema will refuse, with all that the rules find.

        It reads no other object, so it is answered also while nothing can be judged.
        """
        started = cpu_time.seconds()
        asked = review.parse(body)
        text = self._answer_mutate(asked, body)
        seconds = cpu_time.seconds() - started
        if seconds >= LONG_SECONDS:
            self._note_long(asked.namespace, seconds)
        return text

    def _answer_mutate(self, asked: Review, body: bytes) -> bytes:
        with self._mutate_latency.time():
            is_quick = is_small(body) and not (self._slow.until and self._is_slow(asked.namespace))
            if is_quick:
                refusal = admit.refusal_of_unsound(asked, self._cache)
                if refusal is not None:
                    return self._answer(asked, refusal, "mutate")
            self.metrics.count_review("mutate", asked.kind, asked.operation, allowed=True)
            patch = admit.defaulting_patch(asked)
            if is_quick and not patch:
                asyncio.get_running_loop().call_soon(self._judge_early, asked)
            return review.allowed(asked.uid, patch=patch)

    def _judge_early(self, asked: Review) -> None:
        """Judge the object alone while the API server looks at its schema: it will ask for that in a moment."""
        # `_validate` meets what fails here again, and reports it.
        with contextlib.suppress(Exception):
            self._judge_object(asked)

    async def _note_deletion(self, request: Request, body: Body) -> tuple[int, bytes]:
        uid = uid_of(body.content)
        if not uid or not self._takes_long(body):
            return self._allow_deletion(review.parse(body.content))
        found = await self._read(request, body, uid)
        # As if the API server had not been able to call this webhook, which it ignores.
        return self._allow_deletion(found[0]) if found is not None else (200, review.allowed(uid))

    def _allow_deletion(self, asked: Review) -> tuple[int, bytes]:
        """A deletion is never refused, whatever cannot be done."""
        warnings: tuple[str, ...] = ()
        try:
            warnings = self._reviewer.note_deletion(asked)
        except Exception:
            logger.exception("noting the deletion of %s %s/%s failed", asked.kind, asked.namespace, asked.name)
            self.metrics.panics.inc()
        self.metrics.count_review("note-deletion", asked.kind, asked.operation, allowed=True)
        return 200, review.allowed(asked.uid, warnings=warnings)

    async def _validate(self, request: Request, whole: Body) -> tuple[int, bytes]:
        body = whole.content
        asked = review.parse(body) if is_small(body) else None
        if asked.operation is Operation.DELETE if asked is not None else _is_deletion(body):
            return await self._note_deletion(request, whole)
        uid = asked.uid if asked is not None else _uid_of(body)
        why = self._unready()
        if why:
            return 503, review.failed(uid, 503, f"not ready to judge: {why}")
        assert whole.share is not None
        of_namespace = whole.share.complete
        if self._bodies.complete > self._max_in_flight or of_namespace > self._max_in_flight_of_namespace:
            self.metrics.shed.inc()
            busy = f"{of_namespace} reviews of this namespace are in progress; try again in a second"
            return 200, review.denied(uid, busy, code=429, reason="TooManyRequests")
        try:
            with self.metrics.latency_of("validate").time():
                deadline = asyncio.get_running_loop().time() + _seconds(request.query)
                return await self._judge(asked, body, deadline)
        except review.InvalidReviewError:
            raise
        except LedgerError as error:
            # A denial, whatever the failure policy: what is not in the ledger must not be admitted.
            logger.warning("review %s: %s", uid, error)
            return 200, review.denied(uid, str(error), code=503, reason="ServiceUnavailable")
        except (QueueFullError, CrowdedError) as error:
            self.metrics.shed.inc()
            return 200, review.denied(uid, str(error), code=429, reason="TooManyRequests")
        except ExceededError as error:
            logger.warning("review %s: %s", uid, error)
            return 500, review.failed(uid, 500, str(error))
        except UnansweredError as error:
            logger.warning("review %s: %s", uid, error)
            return 500, review.failed(uid, 500, str(error))
        except TimeoutError:
            return 504, review.failed(uid, 504, "no verdict within the API server's time-out")
        except ValueError as error:
            return 400, review.failed(uid, 400, str(error))
        except Exception:
            logger.exception("review %s failed", uid)
            self.metrics.panics.inc()
            return 500, review.failed(uid, 500, "the webhook failed; its log says how")

    async def _judge(self, asked: Review | None, body: bytes, deadline: float) -> tuple[int, bytes]:
        """Judge a review that was parsed, being small, or let another process parse it and judge its object."""
        if asked is not None and not (self._slow.until and self._is_slow(asked.namespace)):
            judged = self._judge_object(asked)
        else:
            async with asyncio.timeout_at(deadline):
                asked, judged = await self._processes.judge(body)
        if judged is None:
            self.metrics.count_review("validate", asked.kind, asked.operation, allowed=True)
            return 200, review.allowed(asked.uid)
        if self._namespaces and asked.namespace not in self._namespaces:
            why = f"namespace {asked.namespace} is not one of --namespaces; correct the namespaceSelector"
            return 500, review.failed(asked.uid, 500, why)
        decision = await self._reviewer.validate(judged, deadline, requester=asked.requester, dry_run=asked.dry_run)
        return 200, self._answer(asked, decision)

    def _judge_object(self, asked: Review, may_take_long: Callable[[], bool] = lambda: True) -> JudgedObject | None:
        """The judgement of the object alone; None if it need not be judged, or takes long and must not."""
        started = cpu_time.seconds()
        judged = None if admit.is_being_deleted(asked) else admit.judge_object(asked, self._cache, may_take_long)
        seconds = cpu_time.seconds() - started
        if seconds >= LONG_SECONDS:
            self._note_long(asked.namespace, seconds)
        return judged

    def _answer(self, asked: Review, decision: Decision, webhook: str = "validate") -> bytes:
        findings = decision.verdict.findings
        for finding in findings:
            self.metrics.count_finding(asked.kind, finding.reason, finding.level)
        allowed = not findings or decision.verdict.allowed
        self.metrics.count_review(webhook, asked.kind, asked.operation, allowed=allowed)
        if not findings:
            return review.allowed(asked.uid, warnings=decision.warnings, audit=review.ALLOWED)
        return answer(asked.uid, decision)

    def _is_slow(self, namespace: str) -> bool:
        return self._slow.holds(namespace, asyncio.get_running_loop().time())

    def _note_long(self, namespace: str, seconds: float) -> None:
        self.metrics.slow.inc()
        self._slow.note(namespace, seconds, asyncio.get_running_loop().time())


def answer(uid: str, decision: Decision) -> bytes:
    """The AdmissionReview that tells a decision."""
    if decision.verdict.allowed:
        return review.allowed(uid, warnings=decision.warnings, audit=decision.audit)
    return review.denied(
        uid,
        decision.message,
        reason=decision.verdict.errors[0].reason,
        causes=decision.causes,
        warnings=decision.warnings,
        audit=decision.audit,
    )


def _uid_of(body: bytes) -> str:
    """The uid of a review that is not parsed here; the API server writes it before everything that can be long."""
    return uid_of(body) or review.parse(body).uid


def _is_deletion(body: bytes) -> bool:
    """Of a review that is not parsed here: whether it is that of a deletion."""
    found = _OPERATION.search(body, 0, HEAD)
    return found is not None and found[1] == b"DELETE"


@lru_cache(maxsize=64)
def _seconds(query: str) -> float:
    """Seconds to answer in: the caller's ``?timeout=5s`` less a margin for the way back."""
    found = re.search(r"(?:^|&)timeout=([0-9.]{1,12})s?(?:&|$)", query)
    try:
        seconds = float(found[1]) if found else DEFAULT_TIMEOUT
    except ValueError:
        seconds = DEFAULT_TIMEOUT
    return max(0.05, min(seconds, MAX_TIMEOUT) - MARGIN)
