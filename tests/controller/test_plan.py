"""From what is to what is to be done; and once it is done, nothing."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from controller import plan, status, workloads
from controller.gather import _digest
from controller.knowledge import read_catalog
from controller.plan import Apply, Publish, Remove
from controller.world import MemberWorld, Pod, ServerWorld
from crd import footprint, manifest, published
from crd.catalog import Catalog
from crd.ref import Kind, Ref

NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-02T00:00:00Z"


def raw(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "generation": 3,
            "labels": {"app": "shop"},
            **metadata,
        },
        "spec": spec,
    }


def server(**spec: Any) -> manifest.Object:
    return manifest.decode(raw("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "shop"}}, **spec}))


def tool(ref: str, **spec: Any) -> manifest.Object:
    return manifest.decode(raw("MCPTool", ref, {"service": {"name": "orders", "port": "http"}, **spec}))


def service(name: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 8080}]
    return {"kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": {"ports": ports}}


def world(
    item: manifest.Object,
    *members: manifest.Object,
    existing: dict[str, Any] | None = None,
    pods: tuple[Pod, ...] = (),
    services: tuple[str, ...] = ("orders",),
    incumbents: published.Catalog | None = None,
) -> ServerWorld:
    facts = [found.fact for found in (item, *members) if found.fact]
    catalog = Catalog.of([*facts, *(footprint.service_fact(service(name)) for name in services)])
    return ServerWorld(item, members, catalog, incumbents, existing or {}, pods, "operator:1", NOW)


def planned(given: ServerWorld) -> plan.Plan:
    return plan.plan_server(given, plan.compiled(given))


def carried_out(made: plan.Plan) -> dict[str, Any]:
    """What the API server would hold afterwards."""
    stored = {}
    for action in made.actions:
        metadata = {**action.manifest["metadata"], "resourceVersion": "1", "uid": "x"}
        stored[action.manifest["kind"]] = {**action.manifest, "metadata": metadata, "status": {}}
    return stored


def test_for_a_new_server_the_catalog_comes_first_and_the_pods_after_their_rights() -> None:
    made = planned(world(server(), tool("a")))

    assert [type(action).__name__ for action in made.actions[:1]] == ["Publish"]
    assert [action.manifest["kind"] for action in made.actions] == [
        "ConfigMap", "ServiceAccount", "Role", "RoleBinding", "Deployment", "Service",
    ]  # fmt: skip


def test_what_stands_as_wished_is_not_touched() -> None:
    given = server(ingress={"host": "a.example.com"})
    first = planned(world(given, tool("a")))

    assert planned(world(given, tool("a"), existing=carried_out(first))).actions == ()


def test_a_new_tool_changes_the_catalog_and_nothing_else() -> None:
    existing = carried_out(planned(world(server(), tool("a"))))

    actions = planned(world(server(), tool("a"), tool("b"), existing=existing)).actions

    assert [type(action) for action in actions] == [Publish]
    assert actions[0].manifest["metadata"]["resourceVersion"] == "1"


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({"replicas": 3}, "Deployment"),
        ({"image": "other:2"}, "Deployment"),
        ({"imagePullPolicy": "Always"}, "Deployment"),
        ({"imagePullSecrets": [{"name": "registry"}]}, "Deployment"),
        ({"redis": {"serviceName": "redis", "port": 6380}}, "Deployment"),
        ({"config": {"requestTimeout": "5s"}}, "ConfigMap"),
        ({"config": {"maxConcurrentRequests": 5}}, "ConfigMap"),
        ({"sessions": {"mode": "Stateless"}}, "ConfigMap"),
        ({"sessions": {"ttl": "5m"}}, "ConfigMap"),
        ({"ingress": {"host": "a.example.com"}}, "Ingress"),
        ({"ingress": {"host": "a.example.com", "tlsSecretName": "t", "pathPrefix": "/x"}}, "Ingress"),
    ],
)
def test_every_field_of_a_server_changes_a_workload(spec: dict[str, Any], kind: str) -> None:
    existing = carried_out(planned(world(server(), tool("a"))))

    actions = planned(world(server(**spec), tool("a"), existing=existing)).actions

    assert kind in [action.manifest["kind"] for action in actions]
    assert kind == "Deployment" or "Deployment" not in [action.manifest["kind"] for action in actions]


def test_a_field_that_is_no_longer_wished_is_taken_back() -> None:
    existing = carried_out(planned(world(server(imagePullSecrets=[{"name": "registry"}]), tool("a"))))

    actions = planned(world(server(), tool("a"), existing=existing)).actions

    assert [action.manifest["kind"] for action in actions] == ["Deployment"]


def test_drift_is_undone() -> None:
    existing = carried_out(planned(world(server(), tool("a"))))
    drifted = {**existing["Deployment"], "spec": {**existing["Deployment"]["spec"], "replicas": 9}}

    actions = planned(world(server(), tool("a"), existing={**existing, "Deployment": drifted})).actions

    assert [type(action) for action in actions] == [Apply]


def test_an_ingress_that_is_no_longer_wished_is_removed() -> None:
    existing = carried_out(planned(world(server(ingress={"host": "a.example.com"}), tool("a"))))

    actions = planned(world(server(), tool("a"), existing=existing)).actions

    assert Remove(existing["Ingress"]) in actions


def test_a_name_of_somebody_else_stops_everything() -> None:
    stranger = {"kind": "Service", "metadata": {"name": "main-mcp", "ownerReferences": [{"uid": "other"}]}}

    made = planned(world(server(), tool("a"), existing={"Service": stranger}))

    assert made.actions == ()
    assert made.obstacle is not None
    assert made.obstacle[0] == "NameTaken"


def test_a_large_catalog_is_compressed_and_reads_the_same() -> None:
    given = world(server(), *(tool(f"t{n}", inputSchema={"type": "object", "title": "x" * 2000}) for n in range(200)))

    stored = planned(given).actions[0].manifest

    payload = gzip.decompress(base64.b64decode(stored["binaryData"][published.GZIP_FILE]))
    assert published.digest(payload) == stored["metadata"]["annotations"][published.DIGEST_ANNOTATION]
    found = read_catalog(dict(stored))
    assert found is not None
    assert len(found.tools) == 200


def test_a_catalog_that_cannot_fit_is_not_published() -> None:
    noise = ["".join(chr(0x4E00 + (n * 7919 + i * 104729) % 20000) for i in range(1500)) for n in range(400)]
    given = world(server(), *(tool(f"t{n}", description=text) for n, text in enumerate(noise)))

    made = planned(given)

    assert made.obstacle is not None
    assert made.obstacle[0] == "CatalogTooLarge"


@pytest.mark.parametrize("stored", [{}, {"data": {published.FILE: "{"}}, {"binaryData": {published.GZIP_FILE: "AAAA"}}])
def test_a_catalog_that_cannot_be_read_has_no_incumbents(stored: dict[str, Any]) -> None:
    assert read_catalog(stored) is None


def told(given: ServerWorld) -> dict[str, tuple[str, str]]:
    compilation = plan.compiled(given)
    made = plan.plan_server(given, compilation)
    wanted = status.server_status(given, compilation, made)
    return {c["type"]: (c["status"], c["reason"]) for c in wanted["status"]["conditions"]}


def digest() -> str:
    return planned(world(server(), tool("a"))).digest


@pytest.mark.parametrize(
    ("pods", "programmed", "ready"),
    [
        ((), ("False", "NoReadyPods"), "False"),
        ((Pod("p", False, None),), ("False", "NoReadyPods"), "False"),
        ((Pod("p", True, None),), ("False", "Pending"), "False"),
        ((Pod("p", True, "sha256:old"),), ("False", "Pending"), "False"),
        ((Pod("p", True, digest()),), ("True", "Programmed"), "True"),
    ],
    ids=["no pod", "none ready", "silent", "an older catalog", "the published catalog"],
)
def test_programmed_means_that_every_ready_pod_serves_the_published_catalog(
    pods: tuple[Pod, ...], programmed: tuple[str, str], ready: str
) -> None:
    conditions = told(world(server(), tool("a"), pods=pods))

    assert conditions["Programmed"] == programmed
    assert conditions["Ready"][0] == ready


def test_a_server_with_a_fault_is_not_accepted_and_nothing_is_done() -> None:
    given = world(server(replicas="many"), tool("a"))

    assert planned(given).actions == ()
    assert told(given)["Accepted"] == ("False", "InvalidField")
    assert told(given)["Programmed"] == ("False", "NotAccepted")


def test_missing_services_are_told() -> None:
    given = world(server(redis={"serviceName": "redis"}), tool("a"), services=())

    assert told(given)["ResolvedRefs"] == ("False", "ServiceMissing")


def member(item: manifest.Object, *servers: published.Catalog | None, services: tuple[str, ...] = ("orders",)) -> Any:
    facts = [footprint.service_fact(service(name)) for name in services]
    assert item.fact is not None or item.problems
    catalog = Catalog.of([*facts, *([item.fact] if item.fact else [])])
    refs = {Ref(Kind.SERVER, "shop", f"s{n}"): found for n, found in enumerate(servers)}
    wanted = status.member_status(MemberWorld(item, catalog, refs, NOW))["status"]
    return wanted, {c["type"]: (c["status"], c["reason"]) for c in wanted["conditions"]}


def serving(*tools: manifest.Object) -> published.Catalog:
    compilation = plan.compiled(world(server(), *tools))
    assert compilation is not None
    return compilation.catalog


def test_a_served_tool_is_ready_and_says_where_it_calls() -> None:
    wanted, conditions = member(tool("a"), serving(tool("a")))

    assert conditions["Ready"] == ("True", "Ready")
    assert wanted["servers"] == [{"name": "s0", "servedName": "a", "accepted": True}]
    assert wanted["resolvedEndpoint"] == "http://orders.shop.svc:8080/"


@pytest.mark.parametrize(
    ("item", "servers", "services", "condition", "expected"),
    [
        (tool("a"), (), ("orders",), "Accepted", ("True", "NotSelected")),
        (tool("a"), (), ("orders",), "Ready", ("False", "NotSelected")),
        (tool("a"), (None,), ("orders",), "Accepted", ("Unknown", "Pending")),
        (tool("a"), (serving(),), ("orders",), "Accepted", ("Unknown", "Pending")),
        (tool("b", name="a"), (serving(tool("a")),), ("orders",), "Accepted", ("False", "NameConflict")),
        (tool("a"), (serving(tool("a")),), (), "ResolvedRefs", ("False", "ServiceMissing")),
        (tool("a"), (serving(tool("a")),), (), "Ready", ("False", "ServiceMissing")),
        (tool("a", inputSchema={"type": "array"}), (serving(),), ("orders",), "Accepted", ("False", "InvalidSchema")),
        (tool("a", method="FETCH"), (), ("orders",), "Accepted", ("False", "InvalidField")),
    ],
)
def test_a_member_says_what_keeps_it_from_being_used(
    item: Any, servers: Any, services: Any, condition: str, expected: tuple[str, str]
) -> None:
    _, conditions = member(item, *servers, services=services)

    assert conditions[condition] == expected


def test_the_time_of_a_condition_stays_while_its_status_does() -> None:
    first = status.member_status(MemberWorld(tool("a"), Catalog(), {}, NOW))
    again = manifest.decode({**tool("a").raw, "status": first["status"]})

    second = status.member_status(MemberWorld(again, Catalog(), {}, LATER))

    assert not status.differs(first["status"], second)
    assert status.differs(None, second)


@pytest.mark.parametrize(
    ("payload", "expected"), [(b'{"digest":"d"}', "d"), (b'{"digest":7}', None), (b"[]", None), (b"<", None)]
)
def test_a_pod_says_its_digest_or_nothing(payload: bytes, expected: str | None) -> None:
    assert _digest(payload) == expected


def test_the_pods_are_hardened() -> None:
    spec = server().spec
    assert spec is not None
    found = next(m for m in workloads.manifests(server(), spec, "i") if m["kind"] == "Deployment")  # type: ignore[arg-type]
    pod = found["spec"]["template"]["spec"]
    container = pod["containers"][0]

    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
