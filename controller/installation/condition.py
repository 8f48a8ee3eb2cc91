"""Tells whether admission is in force as a condition of the controller's own pod, which is a readiness gate of it.

So `kubectl get deployments` and every tool that waits for a Deployment show it. The pod that leads says what became of
the canary; the others are ready to take over.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import objects, resources
from cluster.transport import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.clock import Clock
    from cluster.transport import Transport

__all__ = ["STANDBY", "TYPE", "PodCondition", "State"]

logger = logging.getLogger(__name__)

TYPE = "mcp.example.com/AdmissionInForce"
# Between two looks at the state. It is this process's own, so a look costs nothing.
INTERVAL = 1.0
# After a write that failed.
RETRY_INTERVAL = 10.0
MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class State:
    """The condition: whether it is True, and why."""

    holds: bool
    reason: str
    message: str


STANDBY = State(holds=True, reason="Standby", message="another controller leads and sends the canary")


class PodCondition:
    """The condition of the pod ``namespace/name``. ``state`` gives what it should say, or None to leave it as it is."""

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str,
        name: str,
        state: Callable[[], State | None],
        now: Callable[[], datetime],
        clock: Clock,
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._name = name
        self._state = state
        self._now = now
        self._clock = clock
        self._written: State | None = None
        self._since = now()
        self._failed = False

    async def run(self) -> None:
        """Write the condition whenever it changes, until cancelled."""
        while True:
            await self.step()
            await self._clock.sleep(RETRY_INTERVAL if self._failed else INTERVAL)

    async def step(self) -> None:
        """Write the condition if it changed. What cannot be written is tried again."""
        state = self._state()
        if state is None or state == self._written:
            return
        if self._written is None or state.holds != self._written.holds:
            self._since = self._now()
        condition = {
            "type": TYPE,
            "status": str(state.holds),
            "reason": state.reason,
            "message": state.message[:MAX_MESSAGE],
            "lastTransitionTime": self._since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        manifest = {
            "apiVersion": resources.PODS.api_version,
            "kind": resources.PODS.kind,
            "metadata": {"namespace": self._namespace, "name": self._name},
            "status": {"conditions": [condition]},
        }
        try:
            await objects.apply_status(self._transport, manifest, manager="mcp-operator")
        except (ApiError, TimeoutError, OSError) as error:
            if not self._failed:
                logger.warning("cannot write condition %s of pod %s: %s", TYPE, self._name, error)
            self._failed = True
        else:
            self._written, self._failed = state, False
