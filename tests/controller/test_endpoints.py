"""Services whose endpoints must not be called are not served, and what is watched for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.endpoints import OF_OTHERS, OF_SERVICES
from crd.ref import Kind, Ref
from tests.controller.running import Controller, run
from tests.controller.states import server, service, tool
from tests.controller.test_cache import Seen
from tests.controller.test_reconciler import cluster_with, condition, published

ORDERS = Ref(Kind.SERVICE, "shop", "orders")
METADATA = "64:ff9b::a9fe:a9fe"


def slice_of(*addresses: str, name: str = "orders-1", by: str = "", service: str = "orders") -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": service}
    if by:
        labels["endpointslice.kubernetes.io/managed-by"] = by
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "shop", "name": name, "labels": labels},
        "addressType": "IPv6",
        "endpoints": [{"addresses": list(addresses)}],
    }


def test_a_forbidden_endpoint_concerns_whoever_calls_the_service() -> None:
    seen = Seen(server(), tool("a"), service("orders"))

    assert seen.put(slice_of(METADATA)) == {"MCPTool shop/a", "MCPServer shop/main"}
    fact = seen.cache.snapshot.service(ORDERS)
    assert fact is not None
    assert fact.forbidden == f"{METADATA} (a link-local address)"
    assert seen.put(slice_of("fd00::1")) == {"MCPTool shop/a", "MCPServer shop/main"}
    fact = seen.cache.snapshot.service(ORDERS)
    assert fact is not None
    assert fact.forbidden == ""


def test_the_endpoints_may_be_known_before_the_service() -> None:
    seen = Seen(server(), tool("a"), slice_of(METADATA))

    seen.put(service("orders"))
    fact = seen.cache.snapshot.service(ORDERS)
    assert fact is not None
    assert fact.forbidden


def test_endpoints_that_may_be_called_are_not_kept() -> None:
    seen = Seen(server(), tool("a"), service("orders"))

    # Its first ready endpoint concerns the status of the tool.
    assert seen.put(slice_of("fd00::1")) == {"MCPTool shop/a"}
    assert seen.put(slice_of("fd00::2")) == set()
    (informer,) = [each for each in seen.cache.informers if each._query.get("labelSelector") == OF_OTHERS]
    assert list(informer.items()) == []


def test_only_namespaces_with_a_called_service_without_a_selector_are_watched() -> None:
    seen = Seen(server(), service("orders"), service("idle", selector=None))
    watched = seen.cache.endpoints.watched
    assert watched == {}

    seen.put(dict(tool("a").raw))
    assert watched == {}
    seen.put(service("orders", selector=None))
    assert set(watched) == {"shop"}
    seen.drop(dict(tool("a").raw))
    assert watched == {}
    seen.put(dict(tool("a").raw))
    assert set(watched) == {"shop"}
    seen.drop(service("orders"))
    assert watched == {}


def test_services_that_nobody_calls_cause_no_watch() -> None:
    seen = Seen(server(), tool("a"), service("orders"))
    for number in range(1000):
        seen.put(service(f"s{number}", selector=None))

    assert seen.cache.endpoints.watched == {}
    slices = [each for each in seen.cache.informers if each.resource.plural == "endpointslices"]
    assert [each._query["labelSelector"] for each in slices] == [OF_OTHERS, OF_SERVICES]


@pytest.mark.parametrize("by", ["", "endpointslice-controller.k8s.io", "me"])
def test_the_tool_is_served_until_an_endpoint_is_forbidden_and_again_afterwards(by: str) -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        api.put(service("orders", selector=None))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            assert [entry.name for entry in published(api).tools] == ["a"]

            api.put(slice_of(METADATA, by=by))
            await asyncio.sleep(5)
            assert published(api).tools == ()
            assert condition(api, "MCPTool", "a", "Accepted") == ("False", "EndpointForbidden")
            assert condition(api, "MCPTool", "a", "ResolvedRefs") == ("False", "EndpointForbidden")

            api.remove("EndpointSlice", "shop", "orders-1")
            await asyncio.sleep(5)
            assert [entry.name for entry in published(api).tools] == ["a"]

    run(main())


def test_an_endpoint_that_went_while_nobody_called_the_service_is_forgotten() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"), slice_of(METADATA, by="endpointslice-controller.k8s.io"))
        api.put(service("orders", selector=None))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            assert condition(api, "MCPTool", "a", "Accepted") == ("False", "EndpointForbidden")

            api.remove("MCPTool", "shop", "a")
            await asyncio.sleep(5)
            api.remove("EndpointSlice", "shop", "orders-1")
            api.put(dict(tool("a").raw))
            await asyncio.sleep(5)
            assert [entry.name for entry in published(api).tools] == ["a"]

    run(main())


def test_a_label_of_kubernetes_on_a_service_with_a_selector_is_believed() -> None:
    """Kubernetes corrects these, and there are as many as Services."""

    async def main() -> None:
        api = cluster_with(server(), tool("a"), slice_of(METADATA, by="endpointslice-controller.k8s.io"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            assert [entry.name for entry in published(api).tools] == ["a"]

    run(main())


def test_a_tool_that_calls_an_external_name_is_served_no_longer() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            api.put(service("orders", type="ExternalName", externalName="metadata.google.internal"))
            await asyncio.sleep(5)
            assert published(api).tools == ()
            assert condition(api, "MCPTool", "a", "Accepted") == ("False", "ServiceExternalName")

    run(main())
