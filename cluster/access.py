"""Asks the API server whether somebody has a right: with a SubjectAccessReview, cluster-wide, local or for oneself."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import orjson

from cluster.transport import REQUEST_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.transport import Transport
    from crd.access import Demand, Requester, Right

__all__ = ["CACHE_SECONDS", "AccessReviews", "may_self"]

GROUP = "authorization.k8s.io"
# A right that was revoked counts for so long, and one that was granted is missed for so long.
CACHE_SECONDS = 5.0
CACHED = 4096


class AccessReviews:
    """Whether requesters have rights. Answers are kept for some seconds, at most ``cached`` of them.

    ``local`` asks with LocalSubjectAccessReviews, for which a Role in the namespace of the right is enough.
    """

    def __init__(
        self, transport: Transport, *, now: Callable[[], float], cached: int = CACHED, local: bool = False
    ) -> None:
        self._transport = transport
        self._kind = "LocalSubjectAccessReview" if local else "SubjectAccessReview"
        self._now = now
        self._cached = cached
        self._answers: OrderedDict[tuple[bytes, Right], tuple[float, bool]] = OrderedDict()

    async def meets(self, who: Requester, demand: Demand, timeout: float) -> bool:
        """Whether the requester has one of the rights, within ``timeout`` seconds.

        They are asked for one after the other, because the first is usually there. Raises as `Transport.request`.
        """
        subject = {
            "user": who.user,
            "uid": who.uid,
            "groups": who.groups,
            "extra": {key: [*values] for key, values in who.extra.items()},
        }
        digest = hashlib.blake2b(orjson.dumps(subject, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
        async with asyncio.timeout(timeout):
            for right in demand.rights:
                key = (digest, right)
                kept = self._answers.get(key)
                if kept is not None and kept[0] > self._now():
                    self._answers.move_to_end(key)
                    allowed = kept[1]
                else:
                    begun = self._now()
                    allowed = await _ask(self._transport, self._kind, right, timeout, subject)
                    self._answers[key] = begun + CACHE_SECONDS, allowed
                    self._answers.move_to_end(key)
                    if len(self._answers) > self._cached:
                        self._answers.popitem(last=False)
                if allowed:
                    return True
        return False


async def may_self(transport: Transport, demand: Demand) -> bool:
    """Whether the one who is connected has one of the rights. Raises as `Transport.request`."""
    for right in demand.rights:
        if await _ask(transport, "SelfSubjectAccessReview", right, REQUEST_TIMEOUT, {}):
            return True
    return False


async def _ask(transport: Transport, kind: str, right: Right, timeout: float, subject: dict[str, Any]) -> bool:
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": right.resource,
        "namespace": right.namespace,
        "name": right.name,
    }
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"namespace": right.namespace} if kind.startswith("Local") else {},
        "spec": {"resourceAttributes": attributes, **subject},
    }
    where = f"namespaces/{right.namespace}/" if kind.startswith("Local") else ""
    path = f"/apis/{GROUP}/v1/{where}{kind.lower()}s"
    answer = await transport.request("POST", path, body=body, timeout=timeout)
    status = answer.get("status")
    return isinstance(status, dict) and status.get("allowed") is True
