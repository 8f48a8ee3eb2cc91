"""From the API server's objects to its objects: what is written, when, and what is not."""

from __future__ import annotations

import asyncio
import base64
import itertools
from typing import Any

import pytest

from cluster import objects
from cluster.transport import ApiError
from crd.compiler import compilation
from crd.published import catalogs, signature
from tests.controller.fake_api import FakeApi
from tests.controller.running import Controller, Pods, run
from tests.controller.states import controlled_by, endpoint_slice, prompt, raw, replica_set, server, service, tool

SERVER = raw("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "shop"}}})


def cluster_with(*items: Any) -> FakeApi:
    """An API server with these objects and the Service that the tools call."""
    api = FakeApi()
    fill(api, *items)
    return api


def fill(api: FakeApi, *items: Any) -> None:
    """Put these objects into it, and the Service that the tools call."""
    for item in (service("orders"), endpoint_slice("orders"), *items):
        manifest = dict(item if isinstance(item, dict) else item.raw)
        metadata = {k: v for k, v in manifest["metadata"].items() if k not in ("generation", "resourceVersion")}
        api.put({**manifest, "metadata": metadata})
        if manifest["kind"] == "MCPServer":
            api.put(replica_set(metadata["name"]))


def a_pod(name: str = "p", server: str = "main", *, ready: bool = True) -> dict[str, Any]:
    labels = {"mcp.example.com/server": server, "app.kubernetes.io/managed-by": "mcp-operator"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "shop",
            "name": name,
            "labels": labels,
            "ownerReferences": controlled_by("ReplicaSet", f"uid-ReplicaSet-{server}"),
        },
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def published(api: FakeApi, server: str = "main") -> catalogs.Catalog:
    stored = api.get("ConfigMap", f"{server}-catalog")
    assert stored is not None
    binary = {key: base64.b64decode(value) for key, value in (stored.get("binaryData") or {}).items()}
    return catalogs.load(catalogs.unpack(stored.get("data") or {}, binary))


def digest(api: FakeApi, server: str = "main") -> str:
    stored = api.get("ConfigMap", f"{server}-catalog")
    assert stored is not None
    return str(stored["metadata"]["annotations"][catalogs.DIGEST_ANNOTATION])


def condition(api: FakeApi, kind: str, name: str, which: str) -> tuple[str, str]:
    found = api.get(kind, name)
    assert found is not None
    return next((c["status"], c["reason"]) for c in found["status"]["conditions"] if c["type"] == which)


def changed(api: FakeApi, kind: str, name: str, /, **spec: Any) -> None:
    found = api.get(kind, name)
    assert found is not None
    api.put({**found, "spec": {**found["spec"], **spec}})


def test_a_server_gets_its_objects_and_everybody_a_status() -> None:
    async def main() -> None:
        api = cluster_with(server(replicas=2), tool("a"), prompt("p"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            assert condition(api, "MCPTool", "a", "Ready") == ("False", "ServerNotReady")
            for name in ("p", "q"):
                controller.pods.digest_of[name] = digest(api)
                api.put(a_pod(name))
            await asyncio.sleep(5)

        assert [entry.name for entry in published(api).tools] == ["a"]
        assert next(write for write in api.writes if not write[1].startswith("MCP")) == (
            "POST",
            "ConfigMap",
            "main-catalog",
        )
        kinds = {kind for _, kind, _ in api.writes}
        assert kinds >= {"ServiceAccount", "Role", "RoleBinding", "Deployment", "Service"}
        counted = {each: controller.metrics.writes.labels(each)._value.get() for each in ("publish", "apply", "status")}
        assert counted["publish"] == 1
        assert counted["apply"] >= 5
        assert counted["status"] >= 3
        assert api.get("Deployment", "main-mcp")["spec"]["replicas"] == 2  # type: ignore[index]
        assert condition(api, "MCPTool", "a", "Ready") == ("True", "Ready")
        assert condition(api, "MCPPrompt", "p", "Ready") == ("True", "Ready")
        assert condition(api, "MCPServer", "main", "Programmed") == ("True", "Programmed")
        assert condition(api, "MCPServer", "main", "Ready") == ("True", "Ready")
        # One Event when the server is ready, whatever it serves.
        assert [(each["regarding"]["kind"], each["reason"]) for each in api.events] == [("MCPServer", "Ready")]

    run(main())


def test_a_settled_cluster_is_left_alone_by_another_controller() -> None:
    async def main() -> None:
        pods = Pods()
        api = cluster_with(server(), tool("a"), tool("b", name="a"), prompt("p"), a_pod())
        async with Controller(api, pods) as controller:
            controller.lead()
            await asyncio.sleep(5)
            pods.digest_of["p"] = digest(api)
            await asyncio.sleep(30)
        assert condition(api, "MCPServer", "main", "Ready") == ("True", "Ready")
        api.writes.clear()

        async with Controller(api, pods) as controller:
            controller.lead()
            await asyncio.sleep(60)
            assert controller.count("MCPServer", "done") >= 1
            assert controller.count("MCPTool", "done") == 2
        assert api.writes == []

    run(main())


def test_an_edit_costs_the_catalog_and_the_edited_objects_status() -> None:
    async def main() -> None:
        api = cluster_with(server(), *(tool(f"t{n:02}") for n in range(60)))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            api.writes.clear()
            before = controller.count("MCPTool", "done")
            changed(api, "MCPTool", "t07", description="new")
            await asyncio.sleep(5)

            assert published(api).tools[7].description == "new"
            assert set(api.writes) == {
                ("PUT", "ConfigMap", "main-catalog"),
                ("PATCH", "MCPServer", "main"),
                ("PATCH", "MCPTool", "t07"),
            }
            # The edited one, and the echo of its status.
            assert controller.count("MCPTool", "done") - before <= 3

    run(main())


def test_an_edit_is_compiled_into_what_was_compiled_before(monkeypatch: pytest.MonkeyPatch) -> None:
    advance, before = compilation.advance, []

    def note(known: Any, *more: Any) -> Any:
        before.append(known)
        return advance(known, *more)

    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            made = len(before)
            changed(api, "MCPTool", "a", description="new")
            await asyncio.sleep(5)
        assert before[0] is None
        assert len(before) > made
        assert None not in before[made:]

    monkeypatch.setattr(compilation, "advance", note)
    run(main())


def test_a_name_that_comes_free_goes_to_the_next_and_both_are_told() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a", name="n"), tool("b", name="n"), tool("c"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            assert condition(api, "MCPTool", "b", "Accepted") == ("False", "NameConflict")
            api.writes.clear()
            changed(api, "MCPTool", "a", name="m")
            await asyncio.sleep(5)
            assert {(entry.name, entry.source) for entry in published(api).tools} == {
                ("c", "shop/c"), ("m", "shop/a"), ("n", "shop/b"),
            }  # fmt: skip
            assert condition(api, "MCPTool", "b", "Accepted") == ("True", "Accepted")
            assert ("PATCH", "MCPTool", "c") not in api.writes

    run(main())


def test_a_catalog_whose_answer_got_lost_reaches_the_statuses_all_the_same() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a", name="n"), tool("b", name="n"))
        request, lost = api.request, []

        async def lose(method: str, path: str, **options: Any) -> Any:
            answer = await request(method, path, **options)
            if method == "PUT" and not lost:
                lost.append(path)
                raise TimeoutError
            return answer

        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            api.request = lose  # type: ignore[method-assign]
            changed(api, "MCPTool", "a", name="m")
            await asyncio.sleep(30)
        assert lost
        assert condition(api, "MCPTool", "b", "Accepted") == ("True", "Accepted")

    run(main())


def test_another_prefix_moves_no_name_to_another_object() -> None:
    async def main() -> None:
        api = cluster_with(server(naming={"prefix": "a_"}), {**dict(tool("young", name="n").raw)})
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            elder = dict(tool("elder", name="n").raw)
            api.put({**elder, "metadata": {**elder["metadata"], "creationTimestamp": "2020-01-01T00:00:00Z"}})
            await asyncio.sleep(5)
            changed(api, "MCPServer", "main", naming={"prefix": "b_"})
            await asyncio.sleep(5)
            assert [(entry.name, entry.source) for entry in published(api).tools] == [("b_n", "shop/young")]
            status = api.get("MCPTool", "young")["status"]  # type: ignore[index]
            assert status["servers"] == [{"name": "main", "servedName": "b_n", "accepted": True}]

    run(main())


@pytest.mark.parametrize("answers", [False, True])
def test_pods_are_asked_until_they_report_the_published_digest(answers: bool) -> None:
    async def main() -> None:
        pods = Pods()
        api = cluster_with(server(), tool("a"), a_pod())
        async with Controller(api, pods) as controller:
            controller.lead()
            await asyncio.sleep(60)
            assert condition(api, "MCPServer", "main", "Programmed") == ("False", "Pending")
            assert len(pods.asked) > 6
            if answers:
                pods.digest_of["p"] = digest(api)
            asked = len(pods.asked)
            await asyncio.sleep(60)
            assert (len(pods.asked) - asked <= 1) is answers
            expected = ("True", "Programmed") if answers else ("False", "Pending")
            assert condition(api, "MCPServer", "main", "Programmed") == expected

    run(main())


def test_a_server_whose_pods_do_not_answer_delays_no_other() -> None:
    async def main() -> None:
        pods = Pods()
        pods.delay = 1000.0
        names = [f"s{n}" for n in range(20)]
        api = cluster_with(*(server(name) for name in names), tool("a"), *(a_pod(f"{name}-1", name) for name in names))
        async with Controller(api, pods) as controller:
            controller.lead()
            await asyncio.sleep(1)
            assert all(published(api, name).tools for name in names)
            changed(api, "MCPTool", "a", description="new")
            await asyncio.sleep(1)
            assert [published(api, name).tools[0].description for name in names] == ["new"] * 20

    run(main())


def test_a_failed_reconcile_is_tried_again_later_each_time() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        attempts: list[float] = []

        async def fail(method: str, path: str) -> None:
            if method == "POST" and "configmaps" in path:
                attempts.append(asyncio.get_running_loop().time())
                if len(attempts) < 6:
                    raise RuntimeError("a bug") if len(attempts) == 2 else ApiError(500, "InternalError", "no leader")

        api.before = fail
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(60)
        waits = [after - before for before, after in itertools.pairwise(attempts)]
        assert len(attempts) == 6
        assert all(later >= 1.5 * sooner for sooner, later in itertools.pairwise(waits))
        assert published(api).tools
        assert [controller.count("MCPServer", result) for result in ("error", "bug", "conflict")] == [4, 1, 0]

    run(main())


def test_what_the_api_server_refuses_is_told_in_the_status() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"))

        async def refuse(method: str, path: str) -> None:
            if method == "PATCH" and "deployments" in path:
                raise ApiError(422, "Invalid", "limits are below requests")

        api.before = refuse
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
        assert condition(api, "MCPServer", "main", "Programmed") == ("False", "Refused")
        assert condition(api, "MCPTool", "a", "Accepted") == ("True", "Accepted")
        status = api.get("MCPServer", "main")["status"]  # type: ignore[index]
        assert any("limits are below requests" in c["message"] for c in status["conditions"])

    run(main())


def test_after_a_term_ends_nothing_of_it_goes_on() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"), a_pod())
        gates: list[str] = []

        async def linger(method: str, path: str) -> None:
            """A request that ends a while after it was cancelled, as one does that has to close its connection."""
            if method == "POST" and "configmaps" in path:
                try:
                    await asyncio.sleep(60)
                finally:
                    await asyncio.sleep(2)
                    gates.append("ended")

        api.before = linger
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(1)
            await controller.depose()
            assert gates == ["ended"]
            api.before = None
            writes, asked = len(api.writes), len(controller.pods.asked)
            await asyncio.sleep(120)
            assert (len(api.writes), len(controller.pods.asked)) == (writes, asked)

    run(main())


def test_in_a_second_term_everything_is_worked_on_again() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"), tool("b"))

        async def hang(method: str, path: str) -> None:
            if method in ("POST", "PATCH"):
                await asyncio.sleep(1000)

        async with Controller(api) as controller:
            api.before = hang
            controller.lead()
            await asyncio.sleep(1)
            await controller.depose()
            api.before = None
            controller.lead()
            await asyncio.sleep(5)
            assert {entry.name for entry in published(api).tools} == {"a", "b"}
            assert condition(api, "MCPTool", "b", "Accepted") == ("True", "Accepted")
            done = controller.count("MCPTool", "done")
            await controller.depose()
            controller.lead()
            await asyncio.sleep(5)
            assert controller.count("MCPTool", "done") >= done + 2
            changed(api, "MCPTool", "a", description="new")
            await asyncio.sleep(5)
            assert published(api).tools[0].description == "new"

    run(main())


def test_a_catalog_that_another_leader_published_meanwhile_has_the_incumbents() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a", name="n"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            await controller.depose()
            stored = api.get("ConfigMap", "main-catalog")
            assert stored is not None
            text = stored["data"][catalogs.FILE].replace('"source":"shop/a"', '"source":"shop/z"')
            envelope = controller.keyring.keys.sign(
                server_uid="uid-main", version=2**50, name=catalogs.FILE, content=text.encode()
            )
            data = {catalogs.FILE: text, signature.FILE: envelope}
            await objects.replace(api, {**stored, "data": data}, manager="mcp-operator")
            api.put(dict(tool("z", name="n").raw))
            await asyncio.sleep(1)
            controller.lead()
            await asyncio.sleep(5)
        assert [(entry.name, entry.source) for entry in published(api).tools] == [("n", "shop/z")]

    run(main())


def test_users_changes_come_before_what_is_only_looked_at_again() -> None:
    async def main() -> None:
        api = cluster_with(server(), *(tool(f"t{n:03}") for n in range(300)))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(30)
            await controller.depose()
            seen: list[str] = []
            reconciler = controller.lead()
            work = reconciler._reconcile_member

            async def noted(ref: Any) -> None:
                seen.append(ref.name)
                if len(seen) == 5:
                    changed(api, "MCPTool", "t299", description="new")
                await work(ref)

            reconciler._reconcile_member = noted  # type: ignore[method-assign]
            await asyncio.sleep(30)
        assert 4 < seen.index("t299") < 100
        assert len(set(seen)) == 300

    run(main())


def test_an_object_with_a_deletion_timestamp_is_served_no_longer() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"), tool("b"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            found = api.get("MCPTool", "a")
            assert found is not None
            metadata = {**found["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}
            api.put({**found, "metadata": metadata})
            await asyncio.sleep(5)
        assert [entry.name for entry in published(api).tools] == ["b"]

    run(main())


def test_a_server_with_a_deletion_timestamp_loses_its_objects_by_their_uids() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        async with Controller(api) as controller:
            reconciler = controller.lead()
            await asyncio.sleep(5)
            found = api.get("MCPServer", "main")
            assert found is not None
            deployment = api.get("Deployment", "main-mcp")
            assert deployment is not None
            assert len(reconciler._pinned) == 1
            metadata = {**found["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}
            api.put({**found, "metadata": metadata})
            await asyncio.sleep(5)
        for kind, name in (("Deployment", "main-mcp"), ("Service", "main-mcp"), ("ConfigMap", "main-catalog")):
            assert api.get(kind, name) is None, kind
        # Nothing of it is remembered.
        remembered = (reconciler._compilations, reconciler._pinned, reconciler._affected, reconciler._repaired)
        assert [len(each) for each in remembered] == [0, 0, 0, 0]

    run(main())


def test_another_incarnation_is_never_removed() -> None:
    """Between the look and the deletion somebody replaced the object: the API server refuses by the uid."""

    async def main() -> None:
        api = cluster_with(server(networkPolicy={"enabled": True}), tool("a"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            found = api.get("NetworkPolicy", "main-mcp")
            assert found is not None

            async def replace(method: str, path: str) -> None:
                if method == "DELETE":
                    api.before = None
                    api.remove("NetworkPolicy", "shop", "main-mcp")
                    metadata = {"name": "main-mcp", "namespace": "shop", "uid": "theirs"}
                    api.put(
                        {"apiVersion": found["apiVersion"], "kind": "NetworkPolicy", "metadata": metadata, "spec": {}}
                    )

            api.before = replace
            changed(api, "MCPServer", "main", networkPolicy={"enabled": False})
            await asyncio.sleep(30)
        kept = api.get("NetworkPolicy", "main-mcp")
        assert kept is not None
        assert kept["metadata"]["uid"] == "theirs"

    run(main())


def test_only_what_a_server_needs_is_looked_for_under_its_names() -> None:
    async def main() -> None:
        api = cluster_with(server(redis={"serviceName": "redis"}))
        async with Controller(api) as controller:
            api.reads.clear()
            controller.lead()
            await asyncio.sleep(0.05)
        assert set(api.reads) == {
            "configmaps", "serviceaccounts", "roles", "rolebindings", "deployments", "services",
        }  # fmt: skip

    run(main())


def test_the_number_of_pods_is_applied_by_a_manager_of_its_own() -> None:
    async def main() -> None:
        managers: list[tuple[str, str]] = []
        api = cluster_with(server(replicas=2))
        request = api.request

        async def noted(method: str, path: str, **options: Any) -> Any:
            if method == "PATCH" and not path.endswith("/status"):
                managers.append((options["body"]["kind"], options["query"]["fieldManager"]))
            return await request(method, path, **options)

        api.request = noted  # type: ignore[method-assign]
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
        assert ("Deployment", "mcp-operator") in managers
        assert ("Deployment", "mcp-operator-scale") in managers

    run(main())


def test_a_catalog_swap_changes_no_condition() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"), a_pod())
        seen: list[str] = []

        async def note(_method: str, _path: str) -> None:
            objects = (("MCPServer", "main"), ("MCPTool", "a"))
            seen.extend(condition(api, kind, name, "Ready")[0] for kind, name in objects)

        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            controller.pods.digest_of["p"] = digest(api)
            await asyncio.sleep(20)
            assert condition(api, "MCPTool", "a", "Ready") == ("True", "Ready")
            api.events.clear()
            api.before = note
            for number in range(5):
                changed(api, "MCPTool", "a", description=f"edit {number}")
                await asyncio.sleep(5)
                controller.pods.digest_of["p"] = digest(api)
                await asyncio.sleep(20)

            assert set(seen) == {"True"}
            assert api.events == []
            assert api.get("MCPServer", "main")["status"]["syncedReplicas"] == 1  # type: ignore[index]

            # In the end the status says that a pod does not load it.
            changed(api, "MCPTool", "a", description="never loaded")
            await asyncio.sleep(120)
            assert condition(api, "MCPServer", "main", "Ready") == ("False", "Pending")
            assert condition(api, "MCPTool", "a", "Ready") == ("False", "ServerNotReady")

    run(main())


def test_a_taken_name_is_tried_again_and_the_rest_is_served_meanwhile() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"), a_pod())
        api.put(service("main-mcp"))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            assert condition(api, "MCPServer", "main", "Ready") == ("False", "NameTaken")
            assert [entry.name for entry in published(api).tools] == ["a"]
            assert api.get("Deployment", "main-mcp") is not None
            assert [each["reason"] for each in api.events] == ["NameTaken"]

            api.remove("Service", "shop", "main-mcp")
            await asyncio.sleep(20)
            controller.pods.digest_of["p"] = digest(api)
            await asyncio.sleep(20)
            assert condition(api, "MCPServer", "main", "Ready") == ("True", "Ready")
            found = api.get("Service", "main-mcp")
            assert found is not None
            assert found["metadata"]["ownerReferences"][0]["kind"] == "MCPServer"

    run(main())


def test_what_somebody_sets_in_an_object_is_taken_away_and_told_and_not_fought_over() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"))
        times: list[float] = []

        async def note(method: str, path: str) -> None:
            if method == "PUT" and "services" in path:
                times.append(asyncio.get_running_loop().time())

        def ports() -> list[int]:
            found = api.get("Service", "main-mcp")
            assert found is not None
            return [port["port"] for port in found["spec"]["ports"]]

        def edit(port: int) -> None:
            found = api.get("Service", "main-mcp")
            assert found is not None
            fields = [{"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:x": {}}}}]
            edited = [{**found["spec"]["ports"][0], "port": port}]
            metadata = {**found["metadata"], "managedFields": fields}
            api.put({**found, "metadata": metadata, "spec": {**found["spec"], "ports": edited}})

        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            api.before = note
            edit(81)
            await asyncio.sleep(1)
            assert ports() == [80]
            (event,) = api.events
            assert (event["reason"], event["type"]) == ("Repaired", "Warning")
            assert (event["regarding"]["kind"], event["reportingInstance"]) == ("MCPServer", "me")
            assert "kubectl-edit" in event["note"]

            for _ in range(20):
                edit(82)
                await asyncio.sleep(1)
            await asyncio.sleep(60)
            assert len(times) == 2
            assert times[1] - times[0] >= 29
            assert ports() == [80]

    run(main())


PIN = {"inputSchema": f"sha256:{'0' * 64}"}


def drift_events(api: FakeApi) -> list[tuple[str, str, str]]:
    return [(e["regarding"]["kind"], e["type"], e["note"]) for e in api.events if e["reason"] == "Drifted"]


def test_a_drifted_tool_is_told_once_whoever_leads() -> None:
    async def main() -> None:
        pods = Pods()
        tools = [tool(name, mcp={"toolName": name, "pin": PIN}) for name in ("a", "b", "c")]
        api = cluster_with(server(), *tools, tool("plain"), a_pod())
        async with Controller(api, pods) as controller:
            controller.lead()
            await asyncio.sleep(5)
            pods.digest_of["p"], pods.pins = digest(api), "3A"
            await asyncio.sleep(60)
            assert [condition(api, "MCPTool", name, "Drifted") for name in "abc"] == [("False", "AsPinned")] * 3
            assert drift_events(api) == []

            # The description of the first, and the third is gone.
            pods.pins = "CAx"
            await asyncio.sleep(60)
            assert condition(api, "MCPTool", "a", "Drifted") == ("True", "Changed")
            assert condition(api, "MCPTool", "b", "Drifted") == ("False", "AsPinned")
            assert condition(api, "MCPTool", "c", "Drifted") == ("True", "Vanished")
            [(kind, level, note)] = drift_events(api)
            assert (kind, level) == ("MCPServer", "Warning")
            assert note.startswith("2 pinned tools are no longer listed as reviewed: a (changed: description); c (the")
            assert controller.metrics.drifted._value.get() == 2

            # Nobody can compare any longer: what was found last stays.
            pods.pins = "3?"
            await asyncio.sleep(60)
            assert condition(api, "MCPTool", "a", "Drifted") == ("True", "Changed")
            pods.pins = "CAx"
            await asyncio.sleep(60)
            assert len(drift_events(api)) == 1

        async with Controller(api, pods) as controller:
            controller.lead()
            await asyncio.sleep(60)
            assert len(drift_events(api)) == 1

            pods.pins = "3A"
            await asyncio.sleep(60)
            assert condition(api, "MCPTool", "a", "Drifted") == ("False", "AsPinned")
            assert controller.metrics.drifted._value.get() == 0
        assert len(drift_events(api)) == 1

    run(main())


@pytest.mark.parametrize("said", ["", "A", "4A", "3z", "\x1b[31m", "3", "2A?", "99999999999A"])
def test_what_a_pod_says_is_believed_only_in_the_form_of_verdicts(said: str) -> None:
    async def main() -> None:
        pods = Pods()
        tools = [tool(name, mcp={"toolName": name, "pin": PIN}) for name in ("a", "b", "c")]
        api = cluster_with(server(), *tools, a_pod())
        async with Controller(api, pods) as controller:
            controller.lead()
            await asyncio.sleep(5)
            pods.digest_of["p"], pods.pins = digest(api), said
            await asyncio.sleep(60)
        known = {"2A?": "False"}.get(said, "Unknown")
        assert condition(api, "MCPTool", "a", "Drifted")[0] == known
        assert condition(api, "MCPTool", "c", "Drifted")[0] == "Unknown"
        assert drift_events(api) == []

    run(main())


def test_while_a_foreign_object_has_the_name_of_the_catalog_no_pod_is_asked() -> None:
    async def main() -> None:
        api = cluster_with(server(), tool("a"), a_pod())
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(1)
            controller.pods.digest_of["p"] = digest(api)
            await asyncio.sleep(60)
            assert condition(api, "MCPServer", "main", "Ready") == ("True", "Ready")
            api.remove("ConfigMap", "shop", "main-catalog")
            foreign = {"namespace": "shop", "name": "main-catalog"}
            api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": foreign, "data": {}})
            controller.pods.asked.clear()
            await asyncio.sleep(60)
            assert condition(api, "MCPServer", "main", "Ready") == ("False", "NameTaken")
            assert controller.pods.asked == []

    run(main())


def test_with_the_first_catalog_those_that_it_lacks_are_told_too() -> None:
    """Of what was stored before there was a server, also that which is not served learns why."""

    async def fail(method: str, path: str) -> None:
        if method == "POST" and path.endswith("/configmaps"):
            raise ApiError(500, "InternalError", "etcd")

    async def main() -> None:
        double, broken = tool("b", name="get"), tool("c", inputSchema={"type": "array"})
        api = cluster_with(tool("a", name="get"), double, broken, tool("d", enabled=False))
        async with Controller(api) as controller:
            controller.lead()
            await asyncio.sleep(5)
            api.before = fail
            api.put(dict(server(contextBudget=1).raw))
            await asyncio.sleep(5)
            assert condition(api, "MCPTool", "a", "Accepted") == ("Unknown", "Pending")
            api.before = None
            await asyncio.sleep(60)
            assert published(api).tools == ()
            assert {name: condition(api, "MCPTool", name, "Accepted") for name in "abcd"} == {
                "a": ("False", "ContextBudgetExceeded"),
                "b": ("False", "ContextBudgetExceeded"),
                "c": ("False", "InvalidSchema"),
                "d": ("True", "Disabled"),
            }

    run(main())
