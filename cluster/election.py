"""Leader election by a Lease, such that there are never two leaders, whatever the API server or this process does.

A candidate takes a lease that nobody renewed for its whole duration, measured by this process's own clock from the
moment it last saw the record change (clocks of two machines are never compared). A leader counts from before it sent
the request that took or renewed the lease: however slow the answer was, nobody can have seen the record earlier. One
that could not renew within the renew deadline, which is shorter than the lease, stops before anybody else may start;
the leading task is cancelled and awaited first. An identity belongs to one process: one that is started again under
the same name is another candidate.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster import objects, resources
from cluster.transport import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from cluster.transport import Transport

__all__ = ["Election", "Timing"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. ``deadline`` is how long a leader goes on without a successful renewal; it is shorter than ``lease``."""

    lease: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


class Election:
    """One candidate for one Lease. ``monotonic`` gives seconds, ``now`` the wall clock in UTC for people to read.

    ``identity`` says to people which process it is; ``unique`` gives the text that is added to tell processes apart.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str,
        name: str,
        identity: str,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
        timing: Timing | None = None,
        unique: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._name = name
        self._identity = f"{identity}_{unique()}"
        self._monotonic = monotonic
        self._now = now
        self._timing = timing or Timing()
        self._seen: dict[str, Any] | None = None
        self._seen_at = monotonic()

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then run ``lead`` until it ends or the lease is lost; it has stopped when this returns.

        On the way out, cancelled or not, the lease is given back.
        """
        while not await self._tried(self._timing.deadline):  # noqa: ASYNC110 -- the event would be in another process
            await asyncio.sleep(self._timing.retry)
        logger.info("leading as %s", self._identity)
        work = asyncio.ensure_future(lead())
        renewal = asyncio.ensure_future(self._renew_until_lost())
        try:
            await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost = renewal.done() and not renewal.cancelled()
            try:
                await _ended(work)
            finally:
                await _ended(renewal)
                if not lost:
                    with contextlib.suppress(ApiError, TimeoutError, OSError):
                        async with asyncio.timeout(self._timing.retry):
                            await self._write(release=True)
        if not work.cancelled() and (error := work.exception()):
            raise error

    async def _renew_until_lost(self) -> None:
        """Renew, until that was impossible for the deadline or the lease has another holder."""
        renewed = self._seen_at
        while (remaining := renewed + self._timing.deadline - self._monotonic()) > 0:
            await asyncio.sleep(min(self._timing.retry, remaining))
            remaining = renewed + self._timing.deadline - self._monotonic()
            if remaining > 0 and await self._tried(remaining):
                renewed = self._seen_at
            elif self._holder() not in (self._identity, ""):
                break
        logger.warning("lost the lease %s/%s", self._namespace, self._name)

    async def _tried(self, within: float) -> bool:
        """Whether the lease is ours, taken or renewed within so many seconds. Any trouble is a no."""
        try:
            async with asyncio.timeout(within):
                return await self._attempt()
        except (ApiError, TimeoutError, OSError) as error:
            logger.debug("lease %s/%s: %s", self._namespace, self._name, error)
            return False

    async def _attempt(self) -> bool:
        # The renewal counts from before it was sent: the others count from when they see it, which is later.
        started = self._monotonic()
        lease = await objects.get(self._transport, resources.LEASES, self._namespace, self._name)
        if lease is None:
            lease = await objects.create(self._transport, self._manifest({}, transitions=0))
            self._observe(lease, started)
            return True
        if self._seen is None or lease["metadata"]["resourceVersion"] != self._seen["metadata"]["resourceVersion"]:
            self._observe(lease, self._monotonic())
        self._seen = lease
        holder = self._holder()
        if holder not in (self._identity, "") and self._monotonic() - self._seen_at < self._lasts(lease):
            return False
        await self._write()
        self._seen_at = started
        return True

    async def _write(self, *, release: bool = False) -> None:
        seen = self._seen or {}
        spec = seen.get("spec", {})
        transitions = int(spec.get("leaseTransitions") or 0) + (spec.get("holderIdentity") != self._identity)
        manifest = self._manifest(seen, transitions=transitions)
        if release:
            manifest["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
        self._observe(await objects.replace(self._transport, manifest), self._monotonic())

    def _manifest(self, seen: dict[str, Any], *, transitions: int) -> dict[str, Any]:
        time = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = seen.get("spec", {})
        acquired = spec.get("acquireTime") if spec.get("holderIdentity") == self._identity else None
        metadata = {"namespace": self._namespace, "name": self._name}
        if seen:
            metadata["resourceVersion"] = seen["metadata"]["resourceVersion"]
        return {
            "apiVersion": resources.LEASES.api_version,
            "kind": resources.LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": max(1, round(self._timing.lease)),
                "acquireTime": acquired or time,
                "renewTime": time,
                "leaseTransitions": transitions,
            },
        }

    def _observe(self, lease: dict[str, Any], at: float) -> None:
        self._seen, self._seen_at = lease, at

    def _holder(self) -> str:
        return str((self._seen or {}).get("spec", {}).get("holderIdentity") or "")

    def _lasts(self, lease: dict[str, Any]) -> float:
        return max(self._timing.lease, float(lease["spec"].get("leaseDurationSeconds") or 0))


async def _ended(task: asyncio.Future[None]) -> None:
    """Cancel and await, so that nothing of the task goes on afterwards, not even if we are cancelled meanwhile."""
    task.cancel()
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
