"""Events become keys: every object whose state has changed, and no others."""

from __future__ import annotations

import asyncio
import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.clock import Clock
from controller import gather
from controller.cache import Cache
from controller.kept import KeptMember, PublishedCatalog, hash_data, keep_pod
from controller.signing.keys import generate
from crd.compiler.compilation import Incumbents
from crd.finding import Reason
from crd.published import catalogs, signature
from crd.published.signature import Stamp
from crd.ref import Kind, Ref
from tests.controller.fake_api import FakeApi
from tests.controller.states import (
    KEYS,
    carried_out,
    controlled_by,
    endpoint_slice,
    grant,
    planned,
    raw,
    replica_set,
    secret,
    server,
    service,
    state,
    tool,
)

MAIN = Ref(Kind.SERVER, "shop", "main")
KEY = {"headersFrom": [{"name": "X-Key", "secretKeyRef": {"name": "key", "key": "k"}}]}


class Seen:
    """A cache, fed by hand, and the keys it gave for the last event."""

    def __init__(self, *items: Any) -> None:
        self.keys: list[Ref] = []
        self.version = 1
        self.specs: dict[Any, Any] = {}
        clock = Clock(lambda: 0.0, asyncio.sleep, lambda: 0.5)
        self.cache = Cache(FakeApi(), self.keys.append, keys=lambda: KEYS, clock=clock, seconds=lambda: 0.0)
        for item in items:
            self.put(item if isinstance(item, dict) else dict(item.raw))
        self.keys.clear()

    def informer(self, item: dict[str, Any]) -> Any:
        ours = "mcp.example.com/server" in (item["metadata"].get("labels") or {})
        found = [i for i in self.cache.informers if i.resource.kind == item["kind"]]
        return found[-1] if ours else found[0]

    def put(self, item: dict[str, Any]) -> set[str]:
        """An event, with versions and generations as an API server counts them."""
        return self._offer(item, item)

    def drop(self, item: dict[str, Any]) -> set[str]:
        return self._offer(item, None)

    def _offer(self, item: dict[str, Any], state: dict[str, Any] | None) -> set[str]:
        self.keys.clear()
        self.version += 1
        key = (item["metadata"]["namespace"], item["metadata"]["name"])
        if state is not None:
            spec, generation = self.specs.get((item["kind"], key), (None, 0))
            generation += spec != state.get("spec")
            self.specs[item["kind"], key] = (state.get("spec"), generation)
            metadata = {**state["metadata"], "resourceVersion": str(self.version), "generation": generation}
            state = copy.deepcopy({**state, "metadata": metadata})
        # Several informers watch EndpointSlices, each for something else.
        several = [each for each in self.cache.informers if each.resource.kind == item["kind"] == "EndpointSlice"]
        for informer in several or [self.informer(item)]:
            assert informer.offer_read(key, state, informer.sequence())
        return {str(ref) for ref in self.keys}


def a_tool(name: str = "a", version: str = "1", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"resourceVersion": version, **({"labels": labels} if labels is not None else {})}
    return raw("MCPTool", name, {"service": {"name": "orders", "port": "http"}, **spec}, **metadata)


def a_pod(version: str = "1", *names: str, **status: Any) -> dict[str, Any]:
    labels = {"mcp.example.com/server": "main", "app.kubernetes.io/managed-by": "mcp-operator"}
    volumes = [{"name": f"secret-{name}", "secret": {"secretName": name}} for name in names]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "shop",
            "name": "main-mcp-1",
            "labels": labels,
            "resourceVersion": version,
            "ownerReferences": controlled_by("ReplicaSet", "uid-ReplicaSet-main"),
        },
        "spec": {"volumes": volumes},
        "status": status,
    }


def orphan() -> dict[str, Any]:
    """A pod with the labels of a server that no ReplicaSet controls."""
    pod = a_pod()
    return {**pod, "metadata": {**pod["metadata"], "ownerReferences": []}}


def kept_of(seen: Seen, ref: Ref) -> KeptMember:
    member = seen.cache.member(ref)
    assert member is not None
    return member


def owned(kind: str, *members: Any, item: Any = None, **changes: Any) -> dict[str, Any]:
    found = carried_out(planned(state(item or server(), *members)))[kind]
    return {**found, **changes}


def test_what_secrets_and_config_maps_there_are_is_not_known() -> None:
    snapshot = Seen().cache.snapshot

    assert not snapshot.knows(Kind.SECRET)
    assert not snapshot.knows(Kind.CONFIG_MAP)
    assert snapshot.knows(Kind.SERVICE)


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
    before = seen.cache.everything()

    assert seen.drop(a_tool()) == {"MCPServer shop/main"}
    assert list(seen.cache.everything()) == list(seen.cache.servers()) == [MAIN]
    assert list(before) == [MAIN, Ref(Kind.TOOL, "shop", "a")]


def test_a_changed_server_concerns_those_whom_it_selects_otherwise() -> None:
    seen = Seen(server(), tool("a"))

    assert seen.put(dict(server(replicas=2).raw)) == {"MCPServer shop/main"}
    assert seen.put(dict(server(toolSelector={"matchLabels": {"app": "x"}}).raw)) == {
        "MCPServer shop/main", "MCPTool shop/a",
    }  # fmt: skip
    assert seen.cache.take_changed(MAIN) == {Ref(Kind.TOOL, "shop", "a")}
    assert seen.drop(dict(server().raw)) == {"MCPServer shop/main"}


def test_an_object_with_a_deletion_timestamp_is_a_member_no_longer() -> None:
    seen = Seen(server(), tool("a"), tool("b"))
    assert seen.cache.take_changed(MAIN) == {Ref(Kind.TOOL, "shop", "a"), Ref(Kind.TOOL, "shop", "b")}
    going = a_tool()
    going["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/wait"]}

    assert seen.put(going) == {"MCPServer shop/main"}
    assert seen.cache.take_changed(MAIN) == {Ref(Kind.TOOL, "shop", "a")}
    assert set(seen.cache.snapshot.view(MAIN).members) == {Ref(Kind.TOOL, "shop", "b")}
    assert seen.cache.selected(MAIN)(Ref(Kind.TOOL, "shop", "a")) is None
    assert seen.put(a_tool(name="b", labels={"app": "shop"})) == {"MCPTool shop/b"}


def test_a_server_with_a_deletion_timestamp_selects_nothing_and_gives_its_host_free() -> None:
    entry = {"ingress": {"host": "a.example.com"}}
    seen = Seen(server(**entry), server("other", **entry), tool("a"))
    going = dict(server(**entry).raw)
    going["metadata"] = {**going["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}

    assert seen.put(going) == {"MCPServer shop/main", "MCPServer shop/other", "MCPTool shop/a"}
    kept = seen.cache.server(MAIN)
    assert kept is not None
    assert kept.going
    assert seen.cache.snapshot.server(MAIN) is None


def test_a_member_is_compiled_once_for_each_generation() -> None:
    seen = Seen(server(), tool("a"))
    ref = Ref(Kind.TOOL, "shop", "a")
    first = kept_of(seen, ref)

    seen.put({**dict(tool("a").raw), "status": {"servers": []}})
    second = kept_of(seen, ref)
    seen.put(a_tool(labels={"app": "shop", "tier": "x"}))
    third = kept_of(seen, ref)
    seen.put(a_tool(description="new"))
    fourth = kept_of(seen, ref)

    assert second.compiled is first.compiled
    assert third.compiled.entries is first.compiled.entries
    assert third.compiled.fact is not None
    assert third.compiled.fact.labels == {"app": "shop", "tier": "x"}
    assert fourth.compiled.entries != first.compiled.entries


def test_a_server_that_leaves_a_host_concerns_whoever_waits_for_it() -> None:
    door = {"ingress": {"host": "a.example.com"}}
    seen = Seen(server(**door), server("other", **door))

    assert "MCPServer shop/other" in seen.put(dict(server().raw))


def test_an_object_that_cannot_be_read_is_kept_to_be_told_so() -> None:
    seen = Seen(server(), tool("a"))

    seen.put(a_tool(version="2", method="FETCH"))

    state = gather.member_state(seen.cache, Ref(Kind.TOOL, "shop", "a"), {}, now="now")
    assert state is not None
    assert [finding.reason for finding in state.member.compiled.errors] == [Reason.INVALID_FIELD]
    assert state.servers == {}


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
    assert seen.cache.snapshot.service(Ref(Kind.SERVICE, "shop", "orders")) is None


def test_a_grant_concerns_those_whom_it_lets_in() -> None:
    far = {"service": {"name": "orders", "namespace": "other", "port": 80}}
    seen = Seen(server(), tool("a", **far), tool("near"))

    assert seen.put(grant("other")) == {"MCPTool shop/a", "MCPServer shop/main"}
    assert seen.cache.snapshot.granted(Ref(Kind.TOOL, "shop", "a"), Ref(Kind.SERVICE, "other", "orders"))
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

    assert seen.put({**stray, "metadata": {"namespace": "shop", "name": "stray", "labels": {}}}) == set()
    assert seen.put({**a_pod(), "metadata": {"namespace": "shop", "name": "stray"}}) == set()


def test_a_published_catalog_concerns_the_server_and_all_its_members() -> None:
    seen = Seen(server(), tool("a"), tool("b"))

    assert seen.put(owned("ConfigMap", tool("a"))) == {"MCPServer shop/main", "MCPTool shop/a", "MCPTool shop/b"}
    held = seen.cache.incumbents(MAIN)
    assert held is not None
    assert {str(ref) for ref in held.holders.values()} == {"MCPTool shop/a"}
    assert seen.cache.incumbents(MAIN) is held
    assert seen.put(owned("ConfigMap", tool("a"))) == set()
    assert seen.put(owned("ConfigMap", tool("a"), tool("b"))) == {"MCPServer shop/main", "MCPTool shop/b"}
    assert seen.put(owned("ConfigMap", item=server(naming={"prefix": "x_"}))) == {
        "MCPServer shop/main", "MCPTool shop/a", "MCPTool shop/b",
    }  # fmt: skip


def test_a_catalog_of_our_own_concerns_nobody_and_is_not_decoded() -> None:
    seen = Seen(server(), tool("a"))
    ours = owned("ConfigMap", tool("a"))
    uid = ours["metadata"]["ownerReferences"][0]["uid"]
    stamp = Stamp(KEYS.generation, 1, "x")
    known = PublishedCatalog(hash_data(ours), "sha256:x", Incumbents(), stamp, KEYS.argument, uid)
    seen.cache.expect(MAIN, known)

    assert seen.put(ours) == set()
    assert seen.cache.published(MAIN) is known
    foreign = {**ours, "metadata": {**ours["metadata"], "annotations": {}}}
    assert seen.put(foreign) == {"MCPServer shop/main"}


@pytest.mark.parametrize("stored", [{}, {"data": {catalogs.FILE: "{"}}, {"binaryData": {catalogs.GZIP_FILE: "AAAA"}}])
def test_a_catalog_that_cannot_be_read_has_no_holders(stored: dict[str, Any]) -> None:
    seen = Seen(server(), {**owned("ConfigMap"), "data": None, **stored})

    assert seen.cache.incumbents(MAIN) is None


def test_a_server_that_has_published_nothing_has_no_holders() -> None:
    assert Seen(server()).cache.incumbents(MAIN) is None


def test_pods_that_come_and_go_concern_those_who_read_secrets() -> None:
    seen = Seen(server(), tool("a", **KEY), tool("b"))

    assert seen.put(a_pod()) == {"MCPServer shop/main", "MCPTool shop/a"}
    assert seen.put(a_pod("1")) == set()
    assert seen.put(a_pod("2", podIP="10.0.0.1")) == {"MCPServer shop/main"}
    assert seen.put(a_pod("2", podIP="10.0.0.1", phase="Running")) == set()
    assert seen.drop(a_pod("2")) == {"MCPServer shop/main", "MCPTool shop/a"}


@pytest.mark.parametrize(
    ("pods", "missing"), [((), ()), ((a_pod(),), (secret("key"),)), ((a_pod("1", "key"),), ())],
    ids=["no pods", "one without", "all have it"],
)  # fmt: skip
def test_a_member_knows_which_of_its_secrets_the_pods_lack(pods: Any, missing: Any) -> None:
    seen = Seen(server(), tool("a", **KEY), owned("Deployment"), replica_set(deployment="x"), *pods)

    found = gather.member_state(seen.cache, Ref(Kind.TOOL, "shop", "a"), {}, now="now")

    assert found is not None
    assert found.unmounted == ({MAIN: missing} if missing else {})


@pytest.mark.parametrize("going", [{}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}])
def test_what_is_gone_or_going_has_no_state(going: dict[str, Any]) -> None:
    seen = Seen(*([raw("MCPTool", "a", {"service": {"name": "o", "port": 1}}, **going)] if going else []))

    assert gather.member_state(seen.cache, Ref(Kind.TOOL, "shop", "a"), {}, now="now") is None


@pytest.mark.parametrize(
    ("deployment", "sets", "pod", "counts"),
    [
        ({}, [replica_set(deployment="x")], a_pod(), True),
        ({}, [], a_pod(), False),
        ({}, [replica_set(deployment="x")], orphan(), False),
        ({}, [replica_set(deployment="uid-other")], a_pod(), False),
        ({}, [replica_set("other", deployment="x", uid="uid-ReplicaSet-main")], a_pod(), False),
        ({"ownerReferences": []}, [replica_set(deployment="x")], a_pod(), False),
        ({"ownerReferences": [{"kind": "MCPServer", "uid": "uid-other", "controller": True}]},
         [replica_set(deployment="x")], a_pod(), False),
        ({"name": "another"}, [replica_set(deployment="x")], a_pod(), False),
    ],
    ids=["ours", "no ReplicaSet", "no owner", "of another Deployment", "with the label of another server",
         "a Deployment that nobody owns", "a Deployment of another server", "a Deployment of another name"],
)  # fmt: skip
def test_only_the_pods_of_the_servers_own_deployment_are_its_pods(
    deployment: dict[str, Any], sets: list[Any], pod: dict[str, Any], counts: bool
) -> None:
    workload = owned("Deployment")
    seen = Seen(server(), {**workload, "metadata": {**workload["metadata"], **deployment}}, *sets, pod)

    assert [each.name for each in seen.cache.pods(MAIN)] == (["main-mcp-1"] if counts else [])


def test_a_replica_set_that_comes_late_concerns_those_who_read_secrets() -> None:
    seen = Seen(server(), tool("a", **KEY), tool("b"), owned("Deployment"), a_pod("1"))

    assert seen.put(replica_set(deployment="x")) == {"MCPServer shop/main", "MCPTool shop/a"}
    assert [pod.name for pod in seen.cache.pods(MAIN)] == ["main-mcp-1"]
    assert seen.put({**replica_set(deployment="x"), "status": {"replicas": 1}}) == set()
    assert seen.drop(replica_set(deployment="x")) == {"MCPServer shop/main", "MCPTool shop/a"}


@pytest.mark.parametrize("kind", ["Deployment", "ConfigMap", "Service"])
def test_an_object_with_a_servers_label_under_another_name_concerns_nobody(kind: str) -> None:
    seen = Seen(server(), tool("a"))
    forged = owned(kind)

    assert seen.put({**forged, "metadata": {**forged["metadata"], "name": "another"}}) == set()


@pytest.mark.parametrize(
    ("hosted", "status", "expected"),
    [(False, {"podIP": "10.0.0.1", "hostIP": "192.0.2.1"}, False), (True, {"podIP": "10.0.0.1"}, True),
     (False, {"podIP": "192.0.2.1", "hostIP": "192.0.2.1"}, True), (False, {}, False)],
)  # fmt: skip
def test_what_is_on_the_network_of_a_node_is_known(hosted: bool, status: dict[str, Any], expected: bool) -> None:
    found = keep_pod({**a_pod(**status), "spec": {"hostNetwork": hosted}})

    assert found is not None
    assert found.on_host is expected


@pytest.mark.parametrize("change", ["signed", "another root", "unsigned", "another text", "another owner"])
def test_of_a_catalog_that_is_seen_first_only_the_signature_counts(change: str) -> None:
    found = owned("ConfigMap", tool("a"))
    data, metadata = found["data"], found["metadata"]
    (owner,) = metadata["ownerReferences"]
    edited = {
        "signed": found,
        "another root": {**found, "data": {**data, signature.FILE: signed_by_another(data, owner["uid"])}},
        "unsigned": {**found, "data": {catalogs.FILE: data[catalogs.FILE]}},
        "another text": {**found, "data": {**data, catalogs.FILE: data[catalogs.FILE].replace("shop/a", "shop/z")}},
        "another owner": {**found, "metadata": {**metadata, "ownerReferences": [{**owner, "uid": "uid-2"}]}},
    }

    seen = Seen(server(), tool("a"), edited[change])

    assert (seen.cache.incumbents(MAIN) is not None) == (change == "signed")
    assert (seen.cache.published(MAIN) is not None) == (change == "signed")


def signed_by_another(data: dict[str, str], uid: str) -> str:
    others = generate(datetime(2030, 1, 1, tzinfo=UTC))
    return others.sign(server_uid=uid, version=2**50, name=catalogs.FILE, content=data[catalogs.FILE].encode())


def test_members_are_looked_at_again_when_their_server_or_their_backend_becomes_ready() -> None:
    """As many as there are may be affected, so they come after what somebody has changed."""
    later: list[Ref] = []
    seen = Seen(server(), tool("a"), tool("b", service={"name": "stock", "port": 80}), service("orders"))
    seen.cache._enqueue_later = later.append

    def ready(truth: str, reason: str = "Ready") -> dict[str, Any]:
        return {**server().raw, "status": {"conditions": [{"type": "Ready", "status": truth, "reason": reason}]}}

    for status, expected in (
        (ready("True"), {"a", "b"}),
        (ready("True"), set()),
        (ready("True", "ScaledToZero"), {"a", "b"}),
        (ready("False"), {"a", "b"}),
    ):
        seen.put(status)
        assert {ref.name for ref in later} == expected
        later.clear()

    orders = Ref(Kind.SERVICE, "shop", "orders")
    assert seen.cache.deserted({orders, Ref(Kind.SERVICE, "shop", "stock")}) == {orders}
    for manifest, names in ((endpoint_slice(), {"a"}), (endpoint_slice(), set()), (endpoint_slice(ready=False), {"a"})):
        seen.put(manifest)
        assert {ref.name for ref in later} == names
        later.clear()
    assert seen.cache.deserted({orders}) == {orders}
    seen.put(endpoint_slice())
    assert seen.cache.deserted({orders}) == set()


def test_the_rollout_and_the_editor_of_a_deployment_are_known() -> None:
    seen = Seen(server())
    main = server().ref
    assert seen.cache.rollout(main) is None
    assert seen.cache.edited(main) == {}

    fields = {"f:spec": {"f:paused": {}}}
    metadata = {
        "namespace": "shop", "name": "main-mcp", "labels": {"mcp.example.com/server": "main"},
        "managedFields": [{"manager": "kubectl-edit", "fieldsV1": fields}],
    }  # fmt: skip
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {}}
    seen.put({**deployment, "status": {"observedGeneration": 1, "replicas": 2}})

    rollout = seen.cache.rollout(main)
    assert rollout is not None
    assert (rollout.is_observed, rollout.total) == (True, 2)
    assert seen.cache.edited(main) == {"Deployment": "kubectl-edit"}


def test_a_catalog_may_be_seen_before_its_server() -> None:
    seen = Seen(tool("a"))

    seen.put(owned("ConfigMap", tool("a")))
    seen.put(dict(server().raw))

    held = seen.cache.incumbents(MAIN)
    assert held is not None
    assert {str(ref) for ref in held.holders.values()} == {"MCPTool shop/a"}


def test_of_a_server_that_is_gone_no_catalog_is_expected() -> None:
    seen = Seen(server(), tool("a"))
    ours = owned("ConfigMap", tool("a"))
    uid = ours["metadata"]["ownerReferences"][0]["uid"]
    known = PublishedCatalog(
        hash_data(ours), "sha256:x", Incumbents(), Stamp(KEYS.generation, 1, "x"), KEYS.argument, uid
    )
    seen.cache.expect(MAIN, known)
    seen.drop(dict(server().raw))
    seen.put(dict(server().raw))

    # It is decoded like every other one.
    seen.put(ours)
    assert seen.cache.published(MAIN) is not known
    assert seen.cache.published(MAIN) is not None
