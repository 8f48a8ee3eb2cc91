"""Leader election by a Lease, such that there are never two leaders, whatever the API server or this process does.

A candidate takes a lease that nobody renewed for its whole duration, measured by this process's own clock from the
moment it last saw the record change (clocks of two machines are never compared). A leader that could not renew within
the renew deadline, which is shorter, stops leading before anybody else may start; the leading task is cancelled and
awaited first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

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
    """One candidate for one Lease. ``monotonic`` gives seconds, ``now`` the wall clock in UTC for people to read."""

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
    ) -> None:
        self.leading = False
        self._transport = transport
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._monotonic = monotonic
        self._now = now
        self._timing = timing or Timing()
        self._seen: dict[str, Any] | None = None
        self._seen_at = monotonic()

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then run ``lead`` until it ends or the lease is lost; it has stopped when this returns.

        On the way out, cancelled or not, the lease is given back.
        """
        while not await self._tried():  # noqa: ASYNC110 -- the event would be in another process
            await asyncio.sleep(self._timing.retry)
        logger.info("leading as %s", self._identity)
        self.leading = True
        work = asyncio.ensure_future(lead())
        keep = asyncio.ensure_future(self._kept())
        try:
            await asyncio.wait((work, keep), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended(work)
            self.leading = False
            lost = keep.done() and not keep.cancelled()
            await _ended(keep)
            if not lost:
                with contextlib.suppress(ApiError, TimeoutError, OSError, aiohttp.ClientError):
                    await asyncio.wait_for(self._write(release=True), self._timing.retry)
        if work.done() and not work.cancelled() and (error := work.exception()):
            raise error

    async def _kept(self) -> None:
        """Renew until that was impossible for the deadline."""
        renewed = self._monotonic()
        while True:
            await asyncio.sleep(self._timing.retry)
            if await self._tried(within=renewed + self._timing.deadline - self._monotonic()):
                renewed = self._seen_at
            elif self._monotonic() - renewed >= self._timing.deadline or self._holder() not in (self._identity, ""):
                logger.warning("lost the lease %s/%s", self._namespace, self._name)
                return

    async def _tried(self, within: float | None = None) -> bool:
        """Whether the lease is ours, taken or renewed just now. Any trouble is a no."""
        timeout = self._timing.deadline if within is None else max(0.01, min(within, self._timing.deadline))
        try:
            async with asyncio.timeout(timeout):
                return await self._attempt()
        except (ApiError, TimeoutError, OSError, aiohttp.ClientError) as error:
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
        if self._seen is None or lease["spec"] != self._seen["spec"]:
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
    """Cancel and await, so that nothing of the task goes on afterwards."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
