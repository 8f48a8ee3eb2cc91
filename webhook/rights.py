"""Judges a change by what its requester may do: asks the API server for the rights that it demands.

Only changes with demands pay for a call. In Warn, what would be refused is a warning, and a question that is not
answered refuses nothing, so that a running cluster can adopt the check. In Enforce, a question that is not answered
fails the review, so that the failure policy decides.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from cluster.transport import ApiError
from crd import access
from crd.finding import Level
from crd.rules import workloads

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cluster.access import AccessReviews
    from crd.access import Requester
    from webhook.admit import JudgedObject

__all__ = ["Mode", "RequesterRights", "UnansweredError"]

logger = logging.getLogger(__name__)

Mode = Literal["Warn", "Enforce"]
# Of the time there is to answer, what may go into the questions; the rest is for other objects and the ledger.
SHARE = 0.5
_UNANSWERED = (ApiError, TimeoutError, OSError)


class UnansweredError(Exception):
    """The API server did not say what the requester, or the namespace, may do."""


class RequesterRights:
    """``annotations`` are Ingress annotations that an administrator allows beyond the built-in list.

    ``read_namespace`` reads a Namespace, whose annotation then lists the hosts that its Ingresses may have. Without it,
    every host is allowed.
    """

    def __init__(
        self,
        reviews: AccessReviews,
        *,
        mode: Mode = "Warn",
        annotations: tuple[str, ...] = (),
        read_namespace: Callable[[str], Awaitable[Mapping[str, Any] | None]] | None = None,
    ) -> None:
        self._reviews = reviews
        self._mode = mode
        self._annotations = annotations
        self._read_namespace = read_namespace

    async def judge(self, judged: JudgedObject, requester: Requester, deadline: float) -> JudgedObject:
        """The judgement with what the requester may not do. ``deadline`` is a time of the event loop.

        Raises UnansweredError.
        """
        step = [
            finding
            for finding in judged.annotations
            if not workloads.is_listed(str(finding.path[-1]), self._annotations)
        ]
        timeout = max(0.0, (deadline - asyncio.get_running_loop().time()) * SHARE)
        wanted = judged.demands
        # Two fields that name one Secret are one question.
        questions = [*dict.fromkeys(demand.rights for demand in wanted)]
        asked = (self._reviews.meets(requester, access.Demand(rights, ()), timeout) for rights in questions)
        answers = dict(zip(questions, await asyncio.gather(*asked, return_exceptions=True), strict=True))
        level = Level.WARNING if self._mode == "Warn" else Level.ERROR
        for demand in wanted:
            answer = answers[demand.rights]
            if isinstance(answer, _UNANSWERED):
                text = f"the API server did not say what the requester may do: {type(answer).__name__} {answer}"
                if self._mode == "Enforce":
                    raise UnansweredError(text) from answer
                logger.warning("%s: %s", judged.change.ref, text)
            elif isinstance(answer, BaseException):
                raise answer
            elif not answer:
                step.append(access.forbidden(judged.change.ref, demand, requester.user, level))
        if judged.host and self._read_namespace is not None:
            namespace = judged.change.ref.namespace
            try:
                async with asyncio.timeout_at(deadline):
                    found = await self._read_namespace(namespace) or {}
            except _UNANSWERED as error:
                text = f"Namespace {namespace}, which says what hosts it may use, cannot be read"
                raise UnansweredError(f"{text}: {type(error).__name__} {error}") from error
            listed = (found.get("metadata") or {}).get("annotations") or {}
            refused = access.forbidden_host(judged.change.ref, judged.host, listed.get(access.HOSTS_ANNOTATION, ""))
            step += [refused] if refused is not None else []
        findings = replace(judged.findings, step=(*judged.findings.step, *step))
        return replace(judged, findings=findings)
