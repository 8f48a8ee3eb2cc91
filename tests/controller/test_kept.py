"""What is read out of objects that are not kept whole."""

from __future__ import annotations

from typing import Any

import pytest

from controller import kept
from controller.planning.state import Rollout, ServerReadiness
from crd.compiler.known_tools import KnownTools
from crd.published import catalogs, signature
from crd.ref import Kind, Ref
from tests.controller import states
from tests.controller.states import endpoint_slice, raw, tool

LABELS = {"mcp.example.com/server": "main"}


def workload(kind: str = "Deployment", **more: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "main-mcp", "labels": LABELS, **more.pop("metadata", {})}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {}, **more}


def entry(manager: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": spec}, **more}


CONTAINER = 'k:{"name":"server"}'
CONTAINERS = {"f:containers": {CONTAINER: {".": {}, "f:image": {}}}}
OURS = entry("mcp-operator", {"f:template": {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": CONTAINERS}})
RESTARTED = {"f:template": {"f:metadata": {"f:annotations": {".": {}, "f:at": {}}}}}


def in_pod(fields: dict[str, Any]) -> dict[str, Any]:
    return {"f:template": {"f:spec": fields}}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((), ""),
        ((OURS,), ""),
        ((OURS, entry("kubectl-edit", in_pod({"f:nodeSelector": {"f:disk": {}}}))), "kubectl-edit"),
        ((OURS, entry("kubectl-edit", in_pod({"f:containers": {CONTAINER: {"f:env": {}}}}))), "kubectl-edit"),
        ((OURS, entry("kubectl-edit", in_pod({"f:containers": {'k:{"name":"x"}': {".": {}, "f:name": {}}}}))),
         "kubectl-edit"),
        # Somebody who sets the same value as we do changes nothing.
        ((OURS, entry("argocd", in_pod(CONTAINERS))), ""),
        ((OURS, entry("kube-controller-manager", {"f:replicas": {}}, subresource="scale")), ""),
        ((OURS, entry("vpa", in_pod({"f:nodeSelector": {"f:disk": {}}}), subresource="resize")), ""),
        ((OURS, entry("kubectl-scale", {"f:replicas": {}})), ""),
        ((OURS, entry("kubectl-rollout", RESTARTED)), ""),
        ((OURS, entry("kubectl-label", {"f:template": {"f:metadata": {"f:labels": {"f:b": {}}}}})), "kubectl-label"),
        ((OURS, {"manager": "somebody", "fieldsV1": {"f:metadata": {"f:labels": {"f:b": {}}}}}), ""),
        ((OURS, entry("", {"f:paused": {}})), "unknown"),
        ((OURS, entry("mcp-operator-scale", {"f:replicas": {}, "f:paused": {}})), ""),
    ],
)  # fmt: skip
def test_who_has_set_fields_of_a_spec(entries: tuple[dict[str, Any], ...], expected: str) -> None:
    found = kept.keep_object(workload(metadata={"managedFields": list(entries)}))

    assert found is not None
    assert found.editor == expected
    assert "managedFields" not in found.manifest()["metadata"]


@pytest.mark.parametrize(
    ("generation", "status", "expected"),
    [
        (2, {}, Rollout(False, 0, 0, 0, is_late=False)),
        (2, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
         Rollout(False, 2, 2, 2, is_late=False)),
        (2, {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 1},
         Rollout(True, 3, 2, 1, is_late=False)),
        (2, {"observedGeneration": 2, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]},
         Rollout(True, 0, 0, 0, is_late=True)),
    ],
)  # fmt: skip
def test_how_far_a_deployment_is(generation: int, status: dict[str, Any], expected: Rollout) -> None:
    found = kept.keep_object(workload(metadata={"generation": generation}, status=status))

    assert found is not None
    assert found.rollout == expected
    other = kept.keep_object(workload("Service", status=status))
    assert other is not None
    assert other.rollout is None


@pytest.mark.parametrize(
    ("rollout", "desired", "expected"),
    [
        (Rollout(True, 2, 2, 2, is_late=False), 2, True),
        (Rollout(True, 3, 3, 3, is_late=False), 2, True),
        (Rollout(True, 0, 0, 0, is_late=False), 0, True),
        (Rollout(False, 2, 2, 2, is_late=False), 2, False),
        (Rollout(True, 3, 2, 2, is_late=False), 2, False),
        (Rollout(True, 2, 2, 1, is_late=False), 2, False),
        (Rollout(True, 1, 1, 2, is_late=False), 2, False),
    ],
)
def test_a_rollout_is_complete_when_all_pods_are_new_and_enough_of_them_available(
    rollout: Rollout, desired: int, expected: bool
) -> None:
    assert rollout.is_complete(desired) is expected


def waiting(reason: str, **more: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"ready": False, "state": {"waiting": {"reason": reason}}, **more}]}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ""),
        (waiting("ContainerCreating"), ""),
        (waiting("ErrImagePull"), "ImagePullBackOff"),
        (waiting("ImagePullBackOff"), "ImagePullBackOff"),
        (waiting("InvalidImageName"), "InvalidImageName"),
        (waiting("CreateContainerConfigError"), "CreateContainerConfigError"),
        (waiting("CrashLoopBackOff"), "CrashLoopBackOff"),
        ({"containerStatuses": [{"ready": False, "restartCount": 2, "started": False, "state": {"running": {}}}]},
         "CrashLoopBackOff"),
        ({"containerStatuses": [{"ready": False, "restartCount": 1, "started": False, "state": {"running": {}}}]}, ""),
        ({"containerStatuses": [{"ready": False, "restartCount": 9, "started": True, "state": {"running": {}}}]}, ""),
        ({"containerStatuses": [{"ready": True, "restartCount": 9}]}, ""),
        ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}, "Unschedulable"),
        ({"conditions": [{"type": "PodScheduled", "status": "True"}]}, ""),
    ],
)  # fmt: skip
def test_what_keeps_a_pod_from_becoming_ready(status: dict[str, Any], expected: str) -> None:
    found = kept.keep_pod(
        {"kind": "Pod", "metadata": {"namespace": "shop", "name": "p", "labels": LABELS}, "status": status}
    )

    assert found is not None
    assert found.trouble == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], ServerReadiness.NOT_READY),
        ([{"type": "Accepted", "status": "True"}], ServerReadiness.NOT_READY),
        ([{"type": "Ready", "status": "False", "reason": "Pending"}], ServerReadiness.NOT_READY),
        ([{"type": "Ready", "status": "True", "reason": "Ready"}], ServerReadiness.READY),
        ([{"type": "Ready", "status": "True", "reason": "ScaledToZero"}], ServerReadiness.SCALED_TO_ZERO),
    ],
)
def test_whether_a_server_serves(conditions: list[dict[str, Any]], expected: ServerReadiness) -> None:
    assert kept.keep_server({**raw("MCPServer", "main", {}), "status": {"conditions": conditions}}).serving is expected


@pytest.mark.parametrize(("ready", "expected"), [(True, True), (None, True), (False, False)])
def test_an_endpoint_whose_state_is_unknown_counts_as_ready(ready: bool | None, expected: bool) -> None:
    assert (kept.keep_readiness(endpoint_slice(ready=ready)) is not None) is expected
    assert kept.keep_readiness({**endpoint_slice(), "endpoints": None}) is None


def test_a_service_keeps_what_an_address_and_a_policy_are_made_of() -> None:
    spec = {"clusterIP": "10.0.0.1", "ports": [{"port": 80}], "selector": {"app": "x"}, "type": "ClusterIP"}
    raw = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "shop"},
        "spec": {**spec, "externalName": "x"},
    }  # fmt: skip

    assert kept.unpack(kept.keep_service(raw).packed) == {"spec": spec}


def test_the_schemas_of_a_tool_are_told_apart() -> None:
    """What one lists as input is not what another lists as output."""

    def schemas(**spec: object) -> str:
        item = tool("a", **spec)
        facts = kept.keep_member(item.raw, None, KnownTools()).tool
        assert facts is not None
        return facts.schema_hash

    shape = {"type": "object", "properties": {"x": {"type": "string"}}}
    assert len({schemas(), schemas(inputSchema=shape), schemas(outputSchema=shape)}) == 3


def metadata(name: str = "main", **more: Any) -> dict[str, Any]:
    return {"namespace": "shop", "name": name, "uid": "u", "generation": 4, "resourceVersion": "9", **more}


def owned_by(kind: str, uid: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "name": "x", "uid": uid, "controller": True, **more}


def test_what_was_packed_is_unpacked() -> None:
    value = {"metadata": {"name": "x" * 1000, "labels": LABELS}, "n": [1, None, True]}

    assert kept.unpack(kept.pack(value)) == value
    assert len(kept.pack(value)) < 100


def test_of_a_service_the_facts_and_a_part_of_its_spec_are_kept() -> None:
    spec = {"selector": {"app": "x"}, "ports": [{"port": 80}], "sessionAffinity": "None"}
    found = kept.keep_service({"apiVersion": "v1", "kind": "Service", "metadata": metadata("s"), "spec": spec})

    assert found.manifest() == {"spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}}
    assert (found.fact.ref, found.selects) == (Ref(Kind.SERVICE, "shop", "s"), True)
    bare = kept.keep_service({"apiVersion": "v1", "kind": "Service", "metadata": metadata("s"), "spec": None})
    assert (bare.manifest(), bare.selects) == ({"spec": {}}, False)


def test_a_server_is_kept_whole_but_for_its_version() -> None:
    stored = raw("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "shop"}}}, managedFields=[{}])
    stored["status"] = {"catalogVersion": 7, "conditions": []}
    found = kept.keep_server(stored)

    assert (found.ref, found.uid, found.generation, found.going) == (
        Ref(Kind.SERVER, "shop", "main"),
        "uid-main",
        3,
        False,
    )
    assert found.version == "7"
    assert found.fact is not None
    whole = found.decode()
    assert whole.fact == found.fact
    assert whole.raw == {
        **stored,
        "metadata": {k: v for k, v in stored["metadata"].items() if k not in ("resourceVersion", "managedFields")},
    }
    going = kept.keep_server({**stored, "metadata": {**stored["metadata"], "deletionTimestamp": "x"}, "status": None})
    assert (going.fact, going.going, going.version, going.serving) == (None, True, "", ServerReadiness.NOT_READY)
    broken = kept.keep_server({**stored, "spec": 7})
    assert (broken.fact, broken.going) == (None, False)
    bare = raw("MCPServer", "main", {})
    del bare["metadata"]["uid"], bare["metadata"]["generation"]
    assert (kept.keep_server(bare).uid, kept.keep_server(bare).generation) == ("", 0)


def test_of_a_workload_all_but_status_and_versions_is_kept() -> None:
    owners = [owned_by("ReplicaSet", "r"), owned_by("MCPServer", "s")]
    item = workload(metadata={**metadata("main-mcp"), "ownerReferences": owners}, status={"replicas": 1})
    item["metadata"]["labels"] = LABELS
    found = kept.keep_object(item)

    assert found is not None
    assert (found.server, found.uid, found.owner) == (Ref(Kind.SERVER, "shop", "main"), "u", "s")
    expected = {k: v for k, v in item["metadata"].items() if k not in ("generation", "resourceVersion")}
    assert found.manifest() == {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": expected, "spec": {}}
    # Of objects of our group the generation stays, and what has no apiVersion is of another one.
    ours = kept.keep_object({**item, "apiVersion": "mcp.example.com/v1alpha1"})
    assert ours is not None
    assert ours.manifest()["metadata"]["generation"] == 4
    other = kept.keep_object({k: v for k, v in item.items() if k != "apiVersion"})
    assert other is not None
    assert "generation" not in other.manifest()["metadata"]
    assert kept.keep_object(workload(metadata={"name": "main"})) is None
    assert kept.keep_object(workload(metadata={"labels": {}})) is None
    assert kept.keep_object(workload(metadata={"labels": None})) is None


def test_who_controls_an_object() -> None:
    def owner(*references: dict[str, Any]) -> str:
        return kept.owner_uid({"metadata": {"ownerReferences": list(references)}}, "MCPServer")

    assert owner(owned_by("MCPServer", "u")) == "u"
    assert owner(owned_by("MCPServer", "u", controller=False)) == ""
    assert owner(owned_by("Deployment", "u")) == ""
    assert owner(owned_by("Deployment", "d"), owned_by("MCPServer", "u")) == "u"
    assert owner({"kind": "MCPServer", "controller": True}) == ""
    assert owner() == kept.owner_uid({}, "MCPServer") == kept.owner_uid({"metadata": {}}, "MCPServer") == ""


def test_what_is_known_of_a_pod() -> None:
    mounts = [{"name": "m", "secret": {"secretName": "keys"}}]
    stored = {
        "kind": "Pod",
        "metadata": metadata("p", labels=LABELS, ownerReferences=[owned_by("ReplicaSet", "r")]),
        "spec": {"volumes": mounts},
        "status": {
            "podIP": "10.0.0.1",
            "hostIP": "10.0.0.2",
            "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}],
        },
    }
    found = kept.keep_pod(stored)

    assert found is not None
    assert (found.server, found.name, found.uid) == (Ref(Kind.SERVER, "shop", "main"), "p", "u")
    assert (found.ready, found.going, found.address, found.owner) == (True, False, "10.0.0.1", "r")
    assert (found.on_host, found.trouble) == (False, "")
    bare = kept.keep_pod({"kind": "Pod", "metadata": {"name": "p", "labels": LABELS, "deletionTimestamp": "x"}})
    assert bare is not None
    assert (bare.server.namespace, bare.uid, bare.ready, bare.going, bare.address) == ("", "", False, True, "")
    assert (bare.mounted, bare.owner, bare.on_host) == (frozenset(), "", False)
    assert kept.keep_pod({"kind": "Pod", "metadata": {"name": "p"}}) is None
    stored["status"]["conditions"] = [{"type": "Ready", "status": "False"}, {"type": "Other", "status": "True"}]
    unready = kept.keep_pod(stored)
    assert unready is not None
    assert not unready.ready


def test_what_is_known_of_a_replica_set() -> None:
    stored = {"kind": "ReplicaSet", "metadata": metadata("r", labels=LABELS)}
    owners = [owned_by("Deployment", "d")]

    assert kept.keep_replica_set(stored) == kept.KeptReplicaSet(Ref(Kind.SERVER, "shop", "main"), "u", "")
    stored["metadata"]["ownerReferences"] = owners
    assert kept.keep_replica_set(stored) == kept.KeptReplicaSet(Ref(Kind.SERVER, "shop", "main"), "u", "d")
    assert kept.keep_replica_set({"kind": "ReplicaSet", "metadata": metadata("r")}) is None


def test_only_endpoints_of_a_service_that_must_not_be_called_are_kept() -> None:
    forbidden = {**endpoint_slice(), "endpoints": [{"addresses": ["169.254.169.254"]}]}
    found = kept.keep_slice(forbidden)

    assert found is not None
    assert found.service == Ref(Kind.SERVICE, "shop", "orders")
    assert "169.254.169.254" in found.forbidden
    assert kept.keep_slice(endpoint_slice()) is None
    for labels in ({}, None):
        stranger = {**forbidden, "metadata": {**forbidden["metadata"], "labels": labels}}
        assert kept.keep_slice(stranger) is None
        assert kept.keep_readiness({**endpoint_slice(), "metadata": stranger["metadata"]}) is None
    ready = kept.keep_readiness(endpoint_slice())
    assert ready is not None
    assert ready.service == Ref(Kind.SERVICE, "shop", "orders")
    mixed = {**endpoint_slice(), "endpoints": [{"conditions": {"ready": False}}, {"conditions": None}]}
    assert kept.keep_readiness(mixed) is not None


def test_a_member_is_read_again_when_it_has_another_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    decode = kept.manifest.decode

    def count(item: Any) -> Any:
        read.append(item["metadata"]["name"])
        return decode(item)

    monkeypatch.setattr(kept.manifest, "decode", count)
    stored = dict(tool("a").raw)
    read.clear()
    first = kept.keep_member(stored, None, KnownTools())
    assert (first.uid, first.generation, first.going, first.status()) == ("uid-a", 3, False, {})
    assert first.ref == Ref(Kind.TOOL, "shop", "a")
    assert first.fact is not None

    def again(**more: Any) -> Any:
        status = more.pop("status", {"servers": []})
        return kept.keep_member(
            {**stored, "metadata": {**stored["metadata"], **more}, "status": status}, first, KnownTools()
        )

    same = again()
    assert (same.compiled, same.status()) == (first.compiled, {"servers": []})
    relabelled = again(labels={"app": "other"})
    assert relabelled.fact is not None
    assert relabelled.fact.labels == {"app": "other"}
    unlabelled = again(labels=None)
    assert unlabelled.fact is not None
    assert unlabelled.fact.labels == {}
    going = again(deletionTimestamp="x", status=None)
    assert (going.going, going.fact, going.status()) == (True, None, {})
    assert read == ["a"]
    for other in ({"generation": 4}, {"uid": "another"}, {"generation": 0}, {"generation": None}):
        again(**other)
    assert read == ["a"] * 5
    broken = {**stored, "spec": 7}
    unread = kept.keep_member(broken, None, KnownTools())
    assert (unread.fact, unread.tool) == (None, None)
    assert kept.keep_member({**broken, "status": {"a": 1}}, unread, KnownTools()).status() == {"a": 1}


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"service": {"name": "orders", "port": 80}}, ""),
        ({"service": {"name": "orders", "port": 80, "path": "/api/"}}, "/api/"),
        ({"service": {"name": "orders", "port": 80, "path": "/api/"}, "http": {"path": "/list"}}, "/api/list"),
        ({"service": {"name": "orders", "port": 80, "scheme": "https"}, "http": {"path": "/list"}}, "/list"),
    ],
)
def test_what_a_status_says_of_a_tool(spec: dict[str, Any], path: str) -> None:
    facts = kept.keep_member(tool("a", **spec).raw, None, KnownTools()).tool  # type: ignore[arg-type]

    assert facts is not None
    assert facts.path.rstrip("/") == path.rstrip("/")
    assert facts.scheme == spec["service"].get("scheme", "http")
    assert (facts.enabled, facts.refuses_drift) == (True, False)
    assert facts.schema_hash.startswith("sha256:")
    assert len(facts.schema_hash) == 7 + 64
    assert facts.context_bytes > facts.context_tokens > 0


def test_the_data_of_a_catalog_are_told_apart_wherever_they_stand() -> None:
    def hashed(**more: Any) -> bytes:
        return kept.hash_data(more)

    keys = (catalogs.FILE, signature.FILE)
    different = {
        hashed(),
        hashed(data={keys[0]: "a"}),
        hashed(data={keys[0]: "b"}),
        hashed(data={keys[1]: "a"}),
        hashed(binaryData={catalogs.GZIP_FILE: "a"}),
        hashed(data={keys[0]: "a", keys[1]: "a"}),
    }
    assert len(different) == 6
    assert hashed() == hashed(data=None, binaryData={}) == hashed(data={"other": "a"})
    assert len(hashed()) == 48


def test_who_wrote_the_data_of_a_catalog() -> None:
    def is_managed(*entries: Any, data: Any = None, binary: Any = None) -> bool:
        return kept._is_managed(
            {"metadata": {"managedFields": list(entries)}, "data": data or {}, "binaryData": binary or {}}
        )

    def fields(manager: str, section: str, *names: str) -> dict[str, Any]:
        return {"manager": manager, "fieldsV1": {f"f:{section}": {f"f:{name}": {} for name in names}}}

    whole = {catalogs.FILE: "a", signature.FILE: "b"}
    ours = fields("mcp-operator", "data", *whole)
    assert is_managed(ours, data=whole)
    assert not is_managed(fields("kubectl", "data", *whole), data=whole)
    assert not is_managed(fields("mcp-operator", "data", catalogs.FILE), data=whole)
    assert is_managed(
        fields("mcp-operator", "data", catalogs.FILE), fields("mcp-operator", "data", signature.FILE), data=whole
    )
    packed = {catalogs.GZIP_FILE: "a"}
    assert is_managed(fields("mcp-operator", "binaryData", catalogs.GZIP_FILE), binary=packed)
    assert not is_managed(fields("mcp-operator", "data", catalogs.GZIP_FILE), binary=packed)
    assert is_managed(data={"other": "x"})
    assert not is_managed({"manager": "mcp-operator", "fieldsV1": None}, data=whole)
    assert not kept._is_managed({"metadata": {}, "data": whole})


def test_of_a_catalog_all_but_its_data_is_kept() -> None:
    owners = [owned_by("MCPServer", "u")]
    stored = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata("main-catalog", labels=LABELS, ownerReferences=owners, managedFields=[{}]),
        "data": {"other": "x"},
        "binaryData": {"more": "eA=="},
    }
    found = kept.keep_catalog(stored, (), "", states.KEYS.public, None)

    assert found is not None
    assert (found.server, found.version) == (Ref(Kind.SERVER, "shop", "main"), "9")
    assert found.manifest() == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "namespace": "shop",
            "name": "main-catalog",
            "uid": "u",
            "resourceVersion": "9",
            "labels": LABELS,
            "ownerReferences": owners,
        },
    }
    assert (found.published, found.stamp, found.is_managed) == (None, None, True)
    assert found.fault
    assert (
        kept.keep_catalog({**stored, "metadata": metadata("main", labels=LABELS)}, (), "", states.KEYS.public, None)
        is None
    )
    assert kept.keep_catalog({**stored, "metadata": metadata("main-catalog")}, (), "", states.KEYS.public, None) is None
    orphaned = kept.keep_catalog(
        {**stored, "metadata": metadata("main-catalog", labels=LABELS)}, (), "", states.KEYS.public, None
    )
    assert orphaned is not None
    assert orphaned.fault == "no MCPServer controls it"
