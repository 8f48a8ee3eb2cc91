"""Keeps the admission hook registered: the CA in its Secret, the bundle and the failure policy in the configurations.

Only the leader runs it. The validating hook starts with ``failurePolicy: Ignore``, so that an installation can come up
in any order, and goes to ``Fail`` at the canary's first success. From then on it stays there: while no webhook
answers, changes are refused, not admitted.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Literal

import aiohttp

from certs import authority, issuance, secret
from certs.authority import Authority, Step
from cluster import objects, resources
from cluster.transport import ApiError
from controller.installation import canary, registration

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.transport import Transport
    from controller.installation.registration import ServiceTarget, UrlTarget
    from controller.metrics import Metrics

__all__ = ["MANAGER", "Publication"]

logger = logging.getLogger(__name__)

MANAGER = "mcp-operator-registration"
CA_NAME = "mcp-operator admission CA"
INTERVAL = 30.0
FIRST_INTERVAL = 1.0


class Publication:
    """``cluster_role`` names the ClusterRole whose deletion collects the configurations."""

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str,
        ca_secret: str,
        cluster_role: str,
        target: ServiceTarget | UrlTarget,
        metrics: Metrics,
        now: Callable[[], datetime],
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._ca_secret = ca_secret
        self._cluster_role = cluster_role
        self._target = target
        self._metrics = metrics
        self._now = now
        self._proved: bytes | None = None

    async def run(self) -> None:
        """Register, prove, renew, until cancelled."""
        while True:
            try:
                await self.step()
            except (ApiError, TimeoutError, OSError, aiohttp.ClientError) as error:
                logger.warning("publishing the admission hook: %s: %s", type(error).__name__, error)
            await asyncio.sleep(INTERVAL if self._proved else FIRST_INTERVAL)

    async def step(self) -> None:
        """One round: CA, configurations, canary, and the failure policy at the canary's first success."""
        ca = await self._authority()
        bundle = authority.bundle(ca, self._now())
        live = await self._enforced()
        await self._register(bundle, "Fail" if live else "Ignore")
        if not await canary.refused(self._transport):
            self._proved = None
            return
        self._proved = bundle
        self._metrics.canary.set(self._now().timestamp())
        if not live:
            logger.info("the admission hook refuses what it should: failurePolicy is Fail from now on")
            await self._register(bundle, "Fail")

    async def _authority(self) -> Authority:
        stored = await objects.get(self._transport, resources.SECRETS, self._namespace, self._ca_secret)
        held, now = secret.parse(stored), self._now()
        proved = held is not None and self._proved == authority.bundle(held, now)
        match authority.next_step(held, now, proved=proved):
            case Step.CREATE:
                wanted = Authority(issuance.authority(CA_NAME, now))
            case Step.INTRODUCE if held:
                wanted = Authority(held.current, issuance.authority(CA_NAME, now), held.previous)
            case Step.PROMOTE if held:
                wanted = authority.promoted(held)
            case _ if held:
                return held
        version = stored["metadata"]["resourceVersion"] if stored else None
        written = secret.manifest(self._namespace, self._ca_secret, wanted, version)
        await (objects.replace if stored else objects.create)(self._transport, written)
        return wanted

    async def _enforced(self) -> bool:
        """Whether the validating hook is at Fail already; read, so that a restart never goes back."""
        found = await objects.get(self._transport, resources.VALIDATING_WEBHOOKS, None, registration.VALIDATING)
        webhooks = (found or {}).get("webhooks") or ()
        return any(each["name"] == registration.VALIDATOR and each.get("failurePolicy") == "Fail" for each in webhooks)

    async def _register(self, bundle: bytes, policy: Literal["Ignore", "Fail"]) -> None:
        for manifest in registration.configurations(
            self._target, bundle, failure_policy=policy, namespace=self._namespace, owner=await self._owner()
        ):
            await objects.apply(self._transport, manifest, manager=MANAGER)

    async def _owner(self) -> dict[str, Any] | None:
        role = await objects.get(self._transport, resources.CLUSTER_ROLES, None, self._cluster_role)
        if role is None:
            return None
        return {
            "apiVersion": resources.CLUSTER_ROLES.api_version,
            "kind": resources.CLUSTER_ROLES.kind,
            "name": self._cluster_role,
            "uid": role["metadata"]["uid"],
        }
