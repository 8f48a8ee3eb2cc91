"""The EndpointSlices that may lead a Service to addresses that must not be called.

Kubernetes writes the EndpointSlices of a Service with a selector, from the addresses of pods, and corrects them. All
others are somebody's own, so they are watched in the whole cluster; there are few. A label tells the two apart, and
whoever writes an EndpointSlice writes its labels. Nobody corrects a forged label on a Service without a selector. So in
namespaces where an object calls such a Service, the EndpointSlices with the label of Kubernetes are watched, too.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.informers.scope import ScopedInformer
    from cluster.informers.store import Key
    from controller.kept import KeptSlice
    from crd.ref import Ref

__all__ = ["OF_KUBERNETES", "OF_OTHERS", "OF_SERVICES", "Endpoints"]

_MANAGER = "endpointslice.kubernetes.io/managed-by"
_CONTROLLER = "endpointslice-controller.k8s.io"
# Label selectors.
OF_SERVICES = "kubernetes.io/service-name"
OF_OTHERS = f"kubernetes.io/service-name,{_MANAGER}!={_CONTROLLER}"
OF_KUBERNETES = f"kubernetes.io/service-name,{_MANAGER}={_CONTROLLER}"


class Endpoints:
    """``others`` watches `OF_OTHERS`; ``watch`` makes an informer of a namespace with `OF_KUBERNETES`.

    ``changed`` is called with every Service for which `forbidden` may have another result.
    """

    def __init__(
        self,
        others: ScopedInformer[KeptSlice],
        watch: Callable[[str], ScopedInformer[KeptSlice]],
        changed: Callable[[Ref], None],
    ) -> None:
        self._others = others
        self._watch = watch
        self._changed = changed
        self._needed: defaultdict[str, set[Ref]] = defaultdict(set)
        self._watched: dict[str, ScopedInformer[KeptSlice]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        others.on_change(self._slice_changed)

    @property
    def watched(self) -> dict[str, ScopedInformer[KeptSlice]]:
        """The namespaces with an informer of their own."""
        return self._watched

    def forbidden(self, service: Ref) -> str:
        """An endpoint of a Service that must not be called, and why; empty if none is known."""
        informers = (self._others, self._watched.get(service.namespace))
        found = (each for informer in informers if informer is not None for each in informer.by("service", service))
        return min((each.forbidden for each in found), default="")

    def need(self, service: Ref, *, needed: bool) -> None:
        """Whether an object calls this Service, and it has no selector."""
        namespace, services = service.namespace, self._needed[service.namespace]
        if needed:
            services.add(service)
            if namespace not in self._watched:
                informer = self._watched[namespace] = self._watch(namespace)
                informer.on_change(self._slice_changed)
                self._start(namespace)
            return
        services.discard(service)
        if services:
            return
        del self._needed[namespace]
        if namespace in self._tasks:
            self._tasks.pop(namespace).cancel()
        if namespace in self._watched:
            # What it has shown is known no longer.
            gone = list(self._watched.pop(namespace).items())
            for _, each in gone:
                self._changed(each.service)

    async def run(self) -> None:
        """Run the informers of namespaces until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._group:
                for namespace in self._watched:
                    self._start(namespace)
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None
            self._tasks.clear()

    def _start(self, namespace: str) -> None:
        if self._group is not None:
            self._tasks[namespace] = self._group.create_task(self._watched[namespace].run())

    def _slice_changed(self, _key: Key, old: KeptSlice | None, new: KeptSlice | None) -> None:
        for service in {each.service for each in (old, new) if each}:
            self._changed(service)
