"""What the controller believes of what is stored: catalogs that it has signed, and objects that its servers own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from cluster import objects
from crd.published import catalogs, signature
from crd.published.signature import Stamp
from tests.controller.fake_api import FakeApi
from tests.controller.running import LIFETIME, START, Controller, run
from tests.controller.states import server, tool
from tests.controller.test_reconciler import changed, cluster_with, published

Data = dict[str, str]


def config_map(api: FakeApi, name: str = "main-catalog") -> dict[str, Any]:
    found = api.get("ConfigMap", name)
    assert found is not None
    return found


def stamp(api: FakeApi, controller: Controller, uid: str = "uid-main") -> Stamp:
    """The stamp of the stored catalog, as a pod would verify it by its arguments."""
    data = config_map(api)["data"]
    arguments = arguments_of(api)
    assert arguments["--server-uid"] == uid
    root = signature.decode_root(arguments["--catalog-root"])
    content = data[catalogs.FILE].encode()
    found = signature.verify(data.get(signature.FILE), root=root, server_uid=uid, name=catalogs.FILE, content=content)
    assert isinstance(found, Stamp), found
    assert controller.keyring.keys.argument == arguments["--catalog-root"]
    return found


def arguments_of(api: FakeApi) -> dict[str, str]:
    deployment = api.get("Deployment", "main-mcp")
    assert deployment is not None
    words = deployment["spec"]["template"]["spec"]["containers"][0]["args"][1:]
    return dict(zip(words[::2], words[1::2], strict=True))


def names(api: FakeApi) -> list[tuple[str, str]]:
    return [(entry.name, entry.source) for entry in published(api).tools]


def aged(ref: str, year: int, **spec: Any) -> dict[str, Any]:
    item = dict(tool(ref, **spec).raw)
    return {**item, "metadata": {**item["metadata"], "creationTimestamp": f"{year}-01-01T00:00:00Z"}}


def given_to_another(data: Data) -> Data:
    return {**data, catalogs.FILE: data[catalogs.FILE].replace('"source":"shop/young"', '"source":"shop/elder"')}


def without_signature(data: Data) -> Data:
    return {catalogs.FILE: given_to_another(data)[catalogs.FILE]}


def with_a_huge_version(data: Data) -> Data:
    envelope = {**json.loads(data[signature.FILE]), "version": 2**53 - 1}
    return {**given_to_another(data), signature.FILE: json.dumps(envelope)}


def broken(_data: Data) -> Data:
    return {catalogs.FILE: "{", signature.FILE: "{"}


def same_text(data: Data) -> Data:
    return {**data, signature.FILE: data[signature.FILE] + " "}


@pytest.mark.parametrize("manager", ["kubectl", "mcp-operator"])
@pytest.mark.parametrize("edit", [given_to_another, without_signature, with_a_huge_version, broken, same_text])
def test_a_rewritten_catalog_moves_no_name_and_is_repaired(edit: Callable[[Data], Data], manager: str) -> None:
    async def main() -> None:
        api = cluster_with(server(), aged("young", 2025, name="n"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            before = stamp(api, controller)
            api.put(aged("elder", 2020, name="n"))
            await asyncio.sleep(5)
            stored = config_map(api)
            await objects.replace(api, {**stored, "data": edit(stored["data"])}, manager=manager)
            await asyncio.sleep(5)
            changed(api, "MCPTool", "young", name="n", description="new")
            await asyncio.sleep(5)
            assert names(api) == [("n", "shop/young")]
            assert stamp(api, controller) > before
            assert stamp(api, controller).version < 2**50
            for name, accepted in (("young", True), ("elder", False)):
                status = api.get("MCPTool", name)["status"]  # type: ignore[index]
                assert [each["accepted"] for each in status["servers"]] == [accepted]
            api.writes.clear()
            await asyncio.sleep(60)
            assert api.writes == []

    run(main())


def test_a_catalog_that_only_another_manager_wrote_is_made_anew() -> None:
    """Its data are ours to the byte, so that a replacement would change no field, and no manager."""

    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            stored, before = config_map(api), stamp(api, controller)
            await controller.depose()
            for data in ({"x": "y"}, stored["data"]):
                await objects.replace(api, {**config_map(api), "data": data}, manager="kubectl")
            api.writes.clear()
            await asyncio.sleep(1)
            controller.lead()
            await asyncio.sleep(5)
            assert [w for w in api.writes if w[2] == "main-catalog"] == [
                ("DELETE", "configmaps", "main-catalog"), ("POST", "ConfigMap", "main-catalog"),
            ]  # fmt: skip
            assert stamp(api, controller) > before
            assert [entry["manager"] for entry in config_map(api)["metadata"]["managedFields"]] == ["mcp-operator"]

    run(main())


def test_an_old_catalog_that_is_put_back_does_not_count() -> None:
    async def main() -> None:
        api = cluster_with(server(), aged("young", 2025, name="n"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            old = config_map(api)["data"]
            changed(api, "MCPTool", "young", name="m")
            await asyncio.sleep(5)
            api.put(aged("elder", 2020, name="m"))
            await asyncio.sleep(5)
            before = stamp(api, controller)
            await objects.replace(api, {**config_map(api), "data": old}, manager="mcp-operator")
            await asyncio.sleep(5)
            assert names(api) == [("m", "shop/young")]
            assert stamp(api, controller).version > before.version

    run(main())


@pytest.mark.parametrize("is_old", [False, True])
def test_a_catalog_that_somebody_makes_immutable_is_made_anew(is_old: bool) -> None:
    """Otherwise it would stay as it is, and no later catalog could be published."""

    async def main() -> None:
        api = cluster_with(server(), tool("a", name="n"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            old = config_map(api)["data"]
            changed(api, "MCPTool", "a", name="m")
            await asyncio.sleep(5)
            frozen = {**config_map(api), "immutable": True, **({"data": old} if is_old else {})}
            await objects.replace(api, frozen, manager="mcp-operator")
            await asyncio.sleep(5)
            assert "immutable" not in config_map(api)
            assert [name for name, _ in names(api)] == ["m"]
            changed(api, "MCPTool", "a", name="o")
            await asyncio.sleep(5)
            assert [name for name, _ in names(api)] == ["o"]

    run(main())


def reported(api: FakeApi) -> signature.Order:
    found = api.get("MCPServer", "main")
    assert found is not None
    order = signature.read_order(found["status"]["catalogVersion"], START.timestamp())
    assert order is not None
    return order


def test_the_status_names_the_newest_catalog_and_a_new_controller_takes_no_older_one() -> None:
    """Somebody has put an old catalog back while no controller ran. The clock of the next one is behind."""

    async def main() -> None:
        api = cluster_with(server(), aged("young", 2025, name="n"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            assert reported(api) == stamp(api, controller).order
            old = config_map(api)["data"]
            changed(api, "MCPTool", "young", name="m")
            await asyncio.sleep(5)
            before = stamp(api, controller)
            assert reported(api) == before.order
        await objects.replace(api, {**config_map(api), "data": old}, manager="mcp-operator")
        async with Controller(api) as controller:
            controller.now = lambda: START  # type: ignore[method-assign]
            controller.lead()
            await asyncio.sleep(5)
            assert names(api) == [("m", "shop/young")]
            assert reported(api) == stamp(api, controller).order > before.order
            api.writes.clear()
            await asyncio.sleep(60)
            assert api.writes == []

    run(main())


def test_an_old_catalog_gives_no_name_back_after_a_restart() -> None:
    async def main() -> None:
        api = cluster_with(server(), aged("young", 2026, name="n"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            old = config_map(api)["data"]
            api.remove("MCPTool", "shop", "young")
            api.put(aged("elder", 2025, name="n"))
            await asyncio.sleep(5)
            assert names(api) == [("n", "shop/elder")]
            api.put(aged("young", 2026, name="n"))
            await asyncio.sleep(5)
        await objects.replace(api, {**config_map(api), "data": old}, manager="mcp-operator")
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            assert names(api) == [("n", "shop/elder")]

    run(main())


@pytest.mark.parametrize("forged", [f"{2**52}.{2**52}", "1.1", "x", ""])
def test_a_forged_version_in_a_status_locks_nothing_out(forged: str) -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            found = api.get("MCPServer", "main")
            assert found is not None
            api.put({**found, "status": {**found["status"], "catalogVersion": forged}})
            await asyncio.sleep(5)
            changed(api, "MCPTool", "a", description="new")
            await asyncio.sleep(5)
            assert reported(api) == stamp(api, controller).order
            assert stamp(api, controller).version < 2**50

    run(main())


def test_the_signature_of_another_server_does_not_count() -> None:
    async def main() -> None:
        api = cluster_with(server(), server("other"), tool("a"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            mine, before = config_map(api)["data"], stamp(api, controller)
            theirs = config_map(api, "other-catalog")["data"]
            assert mine != theirs
            await objects.replace(api, {**config_map(api), "data": theirs}, manager="mcp-operator")
            await asyncio.sleep(5)
            assert stamp(api, controller) > before
            assert published(api).server == "shop/main"

    run(main())


def test_versions_grow_across_restarts_and_where_the_clock_went_back() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        stamps = []
        for number in range(3):
            async with Controller(api) as controller:
                controller.now = lambda: START.replace(year=2026 - number)  # type: ignore[method-assign]  # noqa: B023
                controller.lead()
                await asyncio.sleep(5)
                changed(api, "MCPTool", "a", description=f"text {number}")
                await asyncio.sleep(5)
                stamps.append(stamp(api, controller))
        assert stamps == sorted(set(stamps))
        assert len({each.generation for each in stamps}) == 1

    run(main())


def test_a_new_controller_goes_on_with_the_catalog_that_is_stored() -> None:
    async def main() -> None:
        api = cluster_with(server(), aged("young", 2025, name="n"))
        for _ in range(2):
            async with Controller(api) as controller:
                controller.lead()
                await asyncio.sleep(5)
                api.put(aged("elder", 2020, name="n"))
                await asyncio.sleep(5)
                assert names(api) == [("n", "shop/young")]
        api.writes.clear()
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(30)
        assert api.writes == []

    run(main())


def test_a_new_working_key_signs_all_catalogs_and_rolls_no_pod() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            before, template = stamp(api, controller), arguments_of(api)
            upkeep = asyncio.create_task(controller.keyring.maintain(lead=lambda: True))
            api.writes.clear()
            await asyncio.sleep(LIFETIME.total_seconds() + 60)
            upkeep.cancel()
            assert stamp(api, controller).generation > before.generation
            assert arguments_of(api) == template
            # The status names the version of the catalog.
            written = {("Secret", "keys"), ("ConfigMap", "main-catalog"), ("MCPServer", "main")}
            assert {(kind, name) for _, kind, name in api.writes} == written

    run(main())


def test_a_new_root_key_rolls_the_pods_and_moves_no_name() -> None:
    async def main() -> None:
        api = cluster_with(server(), aged("young", 2025, name="n"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            api.put(aged("elder", 2020, name="n"))
            await asyncio.sleep(5)
            template = arguments_of(api)
            api.remove("Secret", "mcp-system", "keys")
            await controller.keyring.refresh()
            await asyncio.sleep(5)
            stamp(api, controller)
            assert arguments_of(api)["--catalog-root"] != template["--catalog-root"]
            assert names(api) == [("n", "shop/young")]

    run(main())


def test_a_catalog_of_a_higher_generation_than_the_working_key_is_exceeded() -> None:
    """As after the Secret was restored from a backup."""

    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            old = api.get("Secret", "keys", "mcp-system")
            assert old is not None
            await controller.keyring.reach(2**40)
            await asyncio.sleep(5)
            before = stamp(api, controller)
            assert before.generation == 2**40
            api.put({**old, "metadata": {"namespace": "mcp-system", "name": "keys"}})
            await controller.keyring.refresh()
            await asyncio.sleep(5)
            changed(api, "MCPTool", "a", description="new")
            await asyncio.sleep(5)
            assert stamp(api, controller) > before

    run(main())


def labelled(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """What a user gives the labels of a server."""
    labels = {"app.kubernetes.io/managed-by": "mcp-operator", "mcp.example.com/server": "main"}
    versions = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1"}
    metadata = {"namespace": "shop", "name": name, "labels": labels}
    return {"apiVersion": versions.get(kind, "v1"), "kind": kind, "metadata": metadata, **more}


def test_objects_with_labels_of_ours_are_ignored_counted_and_left_alone() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        forged = [
            labelled("Deployment", "main-mcp-2", spec={"replicas": 3}),
            labelled("ConfigMap", "another", data={catalogs.FILE: "{}"}),
            labelled("Service", "another", spec={"ports": [{"name": "http", "port": 80}]}),
            labelled("Pod", "another", spec={}, status={"conditions": [{"type": "Ready", "status": "True"}]}),
        ]
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            before = [api.get(kind, name)["status"] for kind, name in (("MCPServer", "main"), ("MCPTool", "a"))]  # type: ignore[index]
            api.writes.clear()
            stored = [api.put(item) for item in forged]
            await asyncio.sleep(30)
            assert api.writes == []
            assert sorted(controller.foreign) == ["configmaps", "deployments", "pods", "services"]
            assert controller.pods.asked == []
            assert before == [api.get(k, n)["status"] for k, n in (("MCPServer", "main"), ("MCPTool", "a"))]  # type: ignore[index]
            found = api.get("MCPServer", "main")
            assert found is not None
            metadata = {**found["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}
            api.put({**found, "metadata": metadata})
            await asyncio.sleep(30)
            assert api.get("Deployment", "main-mcp") is None
            assert [api.get(item["kind"], item["metadata"]["name"]) for item in forged] == stored

    run(main())


def test_a_forged_status_changes_nothing_for_others_and_is_written_again() -> None:
    async def main() -> None:
        api = cluster_with(server(), aged("young", 2025, name="n"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            api.put(aged("elder", 2020, name="n"))
            await asyncio.sleep(5)
            objects_before = {
                kn: api.get(*kn) for kn in (("MCPServer", "main"), ("MCPTool", "young"), ("MCPTool", "elder"))
            }
            elder, main_server = objects_before["MCPTool", "elder"], objects_before["MCPServer", "main"]
            assert elder is not None
            assert main_server is not None
            served = [{"name": "main", "servedName": "n", "accepted": True}]
            api.put({**elder, "status": {"servers": served, "conditions": []}})
            api.put({**main_server, "status": {"catalogDigest": "sha256:0", "conditions": [], "toolCount": 99}})
            api.writes.clear()
            await asyncio.sleep(30)
            assert sorted({(kind, name) for _, kind, name in api.writes}) == [
                ("MCPServer", "main"),
                ("MCPTool", "elder"),
            ]
            assert names(api) == [("n", "shop/young")]
            for kn, item in objects_before.items():
                status, former = (each["status"] for each in (api.get(*kn), item))  # type: ignore[index]
                assert times_left_out(status) == times_left_out(former)

    run(main())


def times_left_out(status: dict[str, Any]) -> dict[str, Any]:
    conditions = [{k: v for k, v in each.items() if k != "lastTransitionTime"} for each in status["conditions"]]
    return {**status, "conditions": conditions}
