"""Events become keys: every object whose world has changed, and no others."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster import resources
from cluster.transport import ApiError
from cluster.workqueue import Workqueue
from controller import gather
from controller.cache import Knowledge, read_catalog
from controller.metrics import Metrics
from controller.reconciler import Reconciler
from crd.published import catalogs
from crd.ref import Kind, Ref
from tests.controller.worlds import carried_out, grant, planned, raw, secret, server, service, tool, world

MAIN = Ref(Kind.SERVER, "shop", "main")
KEY = {"headersFrom": [{"name": "X-Key", "secretKeyRef": {"name": "key", "key": "k"}}]}


class Seen:
    """A knowledge, fed by hand, and the keys it gave since they were last asked for."""

    def __init__(self, *items: Any) -> None:
        self.keys: list[Ref] = []
        self.knowledge = Knowledge(self.keys.append)
        for item in items:
            self.put(item if isinstance(item, dict) else dict(item.raw))
        self.keys.clear()

    def sinks(self, kind: str, *, ours: bool) -> Any:
        managed = [s for s in self.knowledge.sources if s.kind.kind == kind and (s.selector is not None) == ours]
        return managed[0].sink

    def put(self, item: dict[str, Any]) -> set[str]:
        ours = "mcp.example.com/server" in (item["metadata"].get("labels") or {})
        self.keys.clear()
        self.sinks(item["kind"], ours=ours).put(item)
        return {str(key) for key in self.keys}

    def drop(self, item: dict[str, Any]) -> set[str]:
        ours = "mcp.example.com/server" in (item["metadata"].get("labels") or {})
        self.keys.clear()
        self.sinks(item["kind"], ours=ours).drop(item)
        return {str(key) for key in self.keys}


def a_tool(name: str = "a", version: str = "1", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"resourceVersion": version, **({"labels": labels} if labels is not None else {})}
    return raw("MCPTool", name, {"service": {"name": "orders", "port": "http"}, **spec}, **metadata)


def a_pod(version: str = "1", *names: str, **status: Any) -> dict[str, Any]:
    labels = {"mcp.example.com/server": "main", "app.kubernetes.io/managed-by": "mcp-operator"}
    volumes = [{"name": f"secret-{name}", "secret": {"secretName": name}} for name in names]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "shop", "name": "main-mcp-1", "labels": labels, "resourceVersion": version},
        "spec": {"volumes": volumes},
        "status": status,
    }


def owned(kind: str, *members: Any, item: Any = None, **changes: Any) -> dict[str, Any]:
    found = carried_out(planned(world(item or server(), *members)))[kind]
    return {**found, **changes}


def test_what_secrets_and_config_maps_there_are_is_not_known() -> None:
    catalog = Knowledge(lambda _ref: None).snapshot

    assert not catalog.knows(Kind.SECRET)
    assert not catalog.knows(Kind.CONFIG_MAP)
    assert catalog.knows(Kind.SERVICE)


def test_grants_are_watched_where_there_are_any() -> None:
    optional = [s.kind for s in Knowledge(lambda _ref: None).sources if s.optional]

    assert optional == [resources.REFERENCE_GRANTS]


def test_a_changed_tool_concerns_itself_and_the_servers_that_select_it() -> None:
    seen = Seen(server(), server("other", toolSelector={"matchLabels": {"app": "x"}}), tool("a"))

    assert seen.put(a_tool(version="2", description="new")) == {"MCPTool shop/a", "MCPServer shop/main"}


def test_a_relabelled_tool_concerns_the_servers_before_and_after() -> None:
    seen = Seen(server(), server("other", toolSelector={"matchLabels": {"app": "x"}}), tool("a"))

    assert seen.put(a_tool(version="2", labels={"app": "x"})) == {
        "MCPTool shop/a", "MCPServer shop/main", "MCPServer shop/other",
    }  # fmt: skip


def test_a_status_concerns_the_object_alone() -> None:
    seen = Seen(server(), tool("a"))

    assert seen.put({**a_tool(version="2"), "status": {"servers": []}}) == {"MCPTool shop/a"}


def test_a_deleted_tool_concerns_its_servers() -> None:
    seen = Seen(server(), tool("a"))

    assert seen.drop(a_tool()) == {"MCPServer shop/main"}
    assert seen.knowledge.everything() == [MAIN]


def test_a_changed_server_concerns_all_that_it_may_select() -> None:
    seen = Seen(server(), tool("a"))

    assert seen.put(dict(server(replicas=2).raw)) == {"MCPServer shop/main", "MCPTool shop/a"}


def test_a_server_that_leaves_a_host_concerns_whoever_waits_for_it() -> None:
    door = {"ingress": {"host": "a.example.com"}}
    seen = Seen(server(**door), server("other", **door))

    assert "MCPServer shop/other" in seen.put(dict(server().raw))


def test_an_object_that_cannot_be_read_is_kept_to_be_told_so() -> None:
    seen = Seen(server(), tool("a"))

    seen.put(a_tool(version="2", method="FETCH"))

    world = gather.member_world(seen.knowledge, Ref(Kind.TOOL, "shop", "a"), now="now")
    assert world is not None
    assert world.member.problems
    assert world.servers == {}


def test_a_service_concerns_those_who_call_it() -> None:
    seen = Seen(server(redis={"serviceName": "redis"}), tool("a"))

    assert seen.put(service("orders")) == {"MCPTool shop/a", "MCPServer shop/main"}
    assert seen.put(service("redis")) == {"MCPServer shop/main"}
    assert seen.put(service("unused")) == set()


def test_a_service_that_moves_to_other_pods_concerns_the_policies() -> None:
    seen = Seen(server(), tool("a"), service("orders"))

    assert "MCPServer shop/main" in seen.put(service("orders", selector={"app": "new"}))
    assert seen.put({**service("orders", selector={"app": "new"}), "status": {"x": 1}}) == set()
    assert "MCPServer shop/main" in seen.drop(service("orders", selector={"app": "new"}))
    assert seen.knowledge.snapshot.service(Ref(Kind.SERVICE, "shop", "orders")) is None


def test_a_grant_concerns_those_whom_it_lets_in() -> None:
    far = {"service": {"name": "orders", "namespace": "other", "port": 80}}
    seen = Seen(server(), tool("a", **far), tool("near"))

    assert seen.put(grant("other")) == {"MCPTool shop/a", "MCPServer shop/main"}
    assert seen.knowledge.snapshot.granted(Ref(Kind.TOOL, "shop", "a"), Ref(Kind.SERVICE, "other", "orders"))
    assert seen.put(grant("other")) == set()
    assert seen.put(grant("other", kind="MCPPrompt")) == {"MCPTool shop/a", "MCPServer shop/main"}
    assert seen.drop(grant("other", kind="MCPPrompt")) == set()


def test_what_belongs_to_a_server_concerns_it_unless_only_its_status_changed() -> None:
    seen = Seen(server(), tool("a"))
    scaler = owned("HorizontalPodAutoscaler", item=server(autoscaling={"maxReplicas": 2}))

    assert seen.put(scaler) == {"MCPServer shop/main"}
    moved = {**scaler, "metadata": {**scaler["metadata"], "resourceVersion": "2"}, "status": {"currentReplicas": 2}}
    assert seen.put(moved) == set()
    assert seen.put({**moved, "spec": {**moved["spec"], "maxReplicas": 5}}) == {"MCPServer shop/main"}
    assert seen.drop(moved) == {"MCPServer shop/main"}


def test_what_carries_no_servers_name_concerns_nobody() -> None:
    seen = Seen(server())
    stray = owned("Deployment")
    sink = seen.sinks("Deployment", ours=True)

    sink.put({**stray, "metadata": {"namespace": "shop", "name": "stray", "labels": {}}})

    assert seen.keys == []


def test_a_published_catalog_concerns_the_server_and_all_its_members() -> None:
    seen = Seen(server(), tool("a"), tool("b"))

    assert seen.put(owned("ConfigMap", tool("a"))) == {"MCPServer shop/main", "MCPTool shop/a", "MCPTool shop/b"}
    held = seen.knowledge.holders(MAIN)
    assert held is not None
    assert {str(ref) for ref in held.values()} == {"MCPTool shop/a"}
    assert seen.knowledge.holders(MAIN) is held


@pytest.mark.parametrize("stored", [{}, {"data": {catalogs.FILE: "{"}}, {"binaryData": {catalogs.GZIP_FILE: "AAAA"}}])
def test_a_catalog_that_cannot_be_read_has_no_holders(stored: dict[str, Any]) -> None:
    seen = Seen(server(), {**owned("ConfigMap"), "data": None, **stored})

    assert seen.knowledge.holders(MAIN) is None
    assert read_catalog(stored) is None


def test_a_server_that_has_published_nothing_has_no_holders() -> None:
    assert Seen(server()).knowledge.holders(MAIN) is None


def test_pods_that_come_and_go_concern_those_who_read_secrets() -> None:
    seen = Seen(server(), tool("a", **KEY), tool("b"))

    assert seen.put(a_pod()) == {"MCPServer shop/main", "MCPTool shop/a"}
    assert seen.put(a_pod("1")) == set()
    assert seen.put(a_pod("2", phase="Running")) == {"MCPServer shop/main"}
    assert seen.drop(a_pod("2")) == {"MCPServer shop/main", "MCPTool shop/a"}


@pytest.mark.parametrize(
    ("pods", "missing"), [((), ()), ((a_pod(),), (secret("key"),)), ((a_pod("1", "key"),), ())],
    ids=["no pods", "one without", "all have it"],
)  # fmt: skip
def test_a_member_knows_which_of_its_secrets_the_pods_lack(pods: Any, missing: Any) -> None:
    seen = Seen(server(), tool("a", **KEY), *pods)

    found = gather.member_world(seen.knowledge, Ref(Kind.TOOL, "shop", "a"), now="now")

    assert found is not None
    assert found.unmounted == ({MAIN: missing} if missing else {})


@pytest.mark.parametrize("going", [{}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}])
def test_what_is_gone_or_going_has_no_world(going: dict[str, Any]) -> None:
    seen = Seen(*([raw("MCPTool", "a", {"service": {"name": "o", "port": 1}}, **going)] if going else []))

    assert gather.member_world(seen.knowledge, Ref(Kind.TOOL, "shop", "a"), now="now") is None


class Api:
    """Keeps what is written; ``refuses`` is the kind that is answered 422. What was asked for is remembered."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.asked: list[str] = []
        self.written: list[tuple[str, str, str]] = []
        self.statuses: list[dict[str, Any]] = []

    async def request(self, method: str, path: str, *, query: Any = None, body: Any = None, **_: Any) -> Any:
        if method == "GET":
            self.asked.append(path.split("/")[-2])
            raise ApiError(404, "NotFound", "no")
        if path.endswith("/status"):
            self.statuses.append(body["status"])
            return body
        if body["kind"] == self.refuses:
            raise ApiError(422, "Invalid", "limits are below requests")
        self.written.append((method, body["kind"], (query or {}).get("fieldManager", "")))
        return body


class Silent:
    async def digest(self, pod: dict[str, Any]) -> str | None:
        return None


async def reconciled(api: Api, seen: Seen) -> None:
    """Have the server worked on once."""
    queue: Workqueue[Ref] = Workqueue()
    metrics = Metrics()
    reconciler = Reconciler(
        api, seen.knowledge, queue, Silent(), metrics,  # type: ignore[arg-type]
        image="i", identity="me", now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    task = asyncio.create_task(reconciler.run())
    while not api.statuses:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_only_what_a_server_wishes_is_looked_for_under_its_names() -> None:
    api = Api()

    await reconciled(api, Seen(server(redis={"serviceName": "redis"})))

    assert set(api.asked) == {
        "configmaps", "serviceaccounts", "roles", "rolebindings", "deployments", "services",
    }  # fmt: skip


async def test_every_action_is_written_and_the_number_of_pods_by_a_manager_of_its_own() -> None:
    api = Api()

    await reconciled(api, Seen(server(replicas=2)))

    assert api.written[0] == ("POST", "ConfigMap", "")
    assert ("PATCH", "Deployment", "mcp-operator") in api.written
    assert ("PATCH", "Deployment", "mcp-operator-scale") in api.written


async def test_what_the_api_server_refuses_is_told_in_the_status() -> None:
    api = Api(refuses="Deployment")

    await reconciled(api, Seen(server()))

    programmed = next(c for c in api.statuses[0]["conditions"] if c["type"] == "Programmed")
    assert (programmed["status"], programmed["reason"]) == ("False", "Refused")
    assert "limits are below requests" in programmed["message"]
