"""From what is to what is to be done; and once it is done, nothing."""

from __future__ import annotations

import base64
import copy
import gzip
from typing import Any

import pytest

from controller.planning.plan import Apply, Plan, Publish, Remove, Repair, Scale, plan_removal, replacement
from controller.pods import report_of
from crd import manifest
from crd.published import catalogs
from tests.controller.states import carried_out, planned, prompt, resource, server, service, state, tool


def kinds(made: Plan) -> list[tuple[str, str]]:
    return [(type(action).__name__, action.manifest["kind"]) for action in made.actions]


def after(item: manifest.Object, *members: manifest.Object, **more: Any) -> dict[str, Any]:
    """What stands once a server's plan was carried out."""
    return carried_out(planned(state(item, *members, **more)))


def test_for_a_new_server_the_catalog_comes_first_and_the_pods_after_their_rights() -> None:
    made = planned(state(server(), tool("a")))

    assert [type(action).__name__ for action in made.actions[:1]] == ["Publish"]
    assert [action.manifest["kind"] for action in made.actions] == [
        "ConfigMap", "ServiceAccount", "Role", "RoleBinding", "Deployment", "Deployment", "Service",
    ]  # fmt: skip


def test_what_stands_as_wished_is_not_touched() -> None:
    given = server(
        ingress={"host": "a.example.com"},
        replicas=3,
        podDisruptionBudget={},
        networkPolicy={"enabled": True},
        redis={"serviceName": "redis", "credentialsSecretName": "login"},
    )
    members = (tool("a"), prompt("p"), resource("r", content={"uri": "mcp://r", "text": "x"}))

    assert planned(state(given, *members, existing=after(given, *members))).actions == ()


def test_a_new_tool_changes_the_catalog_and_nothing_else() -> None:
    existing = carried_out(planned(state(server(), tool("a"))))

    actions = planned(state(server(), tool("a"), tool("b"), existing=existing)).actions

    assert [type(action) for action in actions] == [Publish]
    assert actions[0].manifest["metadata"]["resourceVersion"] == "1"


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({"replicas": 3}, "Deployment"),
        ({"resources": {"limits": {"memory": "1Gi"}}}, "Deployment"),
        ({"podTemplate": {"priorityClassName": "high"}}, "Deployment"),
        ({"service": {"port": 8080}}, "Service"),
        ({"info": {"title": "Shop"}}, "ConfigMap"),
        ({"naming": {"prefix": "x_"}}, "ConfigMap"),
        ({"rateLimits": {"server": {"requests": 5}}}, "ConfigMap"),
        ({"auth": {"type": "APIKey", "apiKey": {"secretName": "keys"}}}, "Deployment"),
        ({"networkPolicy": {"enabled": True}}, "NetworkPolicy"),
        ({"autoscaling": {"maxReplicas": 2}}, "HorizontalPodAutoscaler"),
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
    existing = carried_out(planned(state(server(), tool("a"))))

    actions = planned(state(server(**spec), tool("a"), existing=existing)).actions

    assert kind in [action.manifest["kind"] for action in actions]
    assert kind == "Deployment" or "Deployment" not in [action.manifest["kind"] for action in actions]


def test_a_quantity_that_the_api_server_writes_otherwise_is_no_drift() -> None:
    given = server(resources={"requests": {"cpu": "1000m"}, "limits": {"memory": "0.5Gi"}})
    existing = after(given, tool("a"))
    existing["Deployment"]["spec"]["template"]["spec"]["containers"][0]["resources"] = {
        "requests": {"cpu": "1"}, "limits": {"memory": "512Mi"},
    }  # fmt: skip

    assert planned(state(given, tool("a"), existing=existing)).actions == ()


def test_a_field_that_is_no_longer_wished_is_taken_back() -> None:
    existing = carried_out(planned(state(server(imagePullSecrets=[{"name": "registry"}]), tool("a"))))

    actions = planned(state(server(), tool("a"), existing=existing)).actions

    assert [type(action) for action in actions] == [Scale, Apply]


def test_drift_is_undone() -> None:
    existing = after(server(), tool("a"))
    existing["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"] = "other:9"

    assert kinds(planned(state(server(), tool("a"), existing=existing))) == [
        ("Scale", "Deployment"), ("Apply", "Deployment"),
    ]  # fmt: skip


def test_a_new_deployment_starts_with_its_number_of_pods_which_another_manager_then_holds() -> None:
    made = planned(state(server(replicas=3), tool("a")))

    deployment, scale = (action for action in made.actions if action.manifest["kind"] == "Deployment")
    assert deployment.manifest["spec"]["replicas"] == 3
    assert isinstance(scale, Scale)
    assert scale.manifest == {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "shop", "name": "main-mcp"},
        "spec": {"replicas": 3},
    }  # fmt: skip


def test_another_number_of_pods_changes_nothing_else() -> None:
    existing = after(server(replicas=3), tool("a"))

    actions = planned(state(server(replicas=5), tool("a"), existing=existing)).actions

    assert [(type(action), action.manifest["spec"]) for action in actions] == [(Scale, {"replicas": 5})]


def test_an_autoscaler_finds_as_many_pods_as_there_are_and_is_left_alone() -> None:
    existing = after(server(replicas=3), tool("a"))
    scaled = server(autoscaling={"maxReplicas": 9})

    made = planned(state(scaled, tool("a"), existing=existing))
    assert kinds(made) == [("Apply", "HorizontalPodAutoscaler")]

    existing = carried_out(made, existing)
    existing["Deployment"]["spec"]["replicas"] = 7
    assert planned(state(scaled, tool("a"), existing=existing)).actions == ()


def test_a_new_deployment_with_an_autoscaler_has_no_number() -> None:
    made = planned(state(server(autoscaling={"maxReplicas": 9}), tool("a")))

    found = [action for action in made.actions if action.manifest["kind"] == "Deployment"]
    assert [type(action) for action in found] == [Apply]
    assert "replicas" not in found[0].manifest["spec"]


def test_with_an_autoscaler_a_changed_pod_leaves_the_number_alone() -> None:
    scaled = {"autoscaling": {"maxReplicas": 9}}
    existing = after(server(**scaled), tool("a"))

    assert kinds(planned(state(server(image="x:2", **scaled), tool("a"), existing=existing))) == [
        ("Apply", "Deployment")
    ]


def test_without_the_autoscaler_the_number_is_the_authors_again() -> None:
    existing = after(server(autoscaling={"maxReplicas": 9}), tool("a"))
    existing["Deployment"]["spec"]["replicas"] = 7

    made = planned(state(server(), tool("a"), existing=existing))

    assert kinds(made)[1:] == [("Scale", "Deployment"), ("Remove", "HorizontalPodAutoscaler")]


SECRET_A = {"headersFrom": [{"name": "Authorization", "secretKeyRef": {"name": "a-key", "key": "k"}}]}
SECRET_B = {"headersFrom": [{"name": "Authorization", "secretKeyRef": {"name": "b-key", "key": "k"}}]}


def mounted(existing: dict[str, Any]) -> list[str]:
    volumes = existing["Deployment"]["spec"]["template"]["spec"]["volumes"][2:]
    return [v["secret"]["secretName"] if "secret" in v else v["configMap"]["name"] for v in volumes]


def test_what_served_objects_and_the_server_read_is_mounted_in_order() -> None:
    config = {"name": "X-Tenant", "configMapKeyRef": {"name": "tenants", "key": "k"}}
    service = {"name": "orders", "port": "http", "scheme": "https"}
    given = server(
        redis={"serviceName": "redis", "tls": {"enabled": True, "caSecretName": "redis-ca"},
               "credentialsSecretName": "login",
               "mode": "Sentinel", "sentinel": {"masterName": "m", "credentialsSecretName": "sentinels"}},
        auth={"type": "APIKey", "apiKey": {"secretName": "keys"}},
        ingress={"host": "a.example.com", "tlsSecretName": "certificate"},
    )  # fmt: skip
    members = (
        tool("b", **SECRET_B),
        tool("a", headersFrom=[*SECRET_A["headersFrom"], config]),
        tool("c", service=service, tls={"caSecretName": "backend-ca"}),
    )

    assert mounted(after(given, *members)) == [
        "tenants", "a-key", "b-key", "backend-ca", "keys", "login", "redis-ca", "sentinels",
    ]  # fmt: skip


def test_keys_of_an_issuer_out_of_a_secret_are_mounted() -> None:
    jwt = {"issuer": "https://i.example.com", "audiences": ["a"], "jwksSecretName": "jwks"}

    assert mounted(after(server(auth={"type": "JWT", "jwt": jwt}), tool("a"))) == ["jwks"]


def test_a_new_name_of_a_secret_rolls_the_pods() -> None:
    existing = after(server(), tool("a", **SECRET_A))

    made = planned(state(server(), tool("a", **SECRET_A), tool("b", **SECRET_B), existing=existing))

    assert ("Apply", "Deployment") in kinds(made)
    assert mounted(carried_out(made, existing)) == ["a-key", "b-key"]


def test_a_known_name_rolls_nothing() -> None:
    existing = after(server(), tool("a", **SECRET_A))

    made = planned(state(server(), tool("a", **SECRET_A), tool("b", **SECRET_A), existing=existing))

    assert kinds(made) == [("Publish", "ConfigMap")]


def test_a_config_map_that_nobody_reads_any_longer_rolls_nothing_either() -> None:
    reads = {"headersFrom": [{"name": "X-Tenant", "configMapKeyRef": {"name": "tenants", "key": "k"}}]}
    existing = after(server(), tool("a", **reads))

    assert kinds(planned(state(server(), tool("a"), existing=existing))) == [("Publish", "ConfigMap")]


def test_a_name_that_nobody_uses_any_longer_goes_with_the_next_roll() -> None:
    existing = after(server(), tool("a", **SECRET_A))

    made = planned(state(server(), tool("a"), existing=existing))
    assert kinds(made) == [("Publish", "ConfigMap")]

    existing = carried_out(made, existing)
    assert planned(state(server(), tool("a"), existing=existing)).actions == ()
    assert mounted(carried_out(planned(state(server(image="x:2"), tool("a"), existing=existing)), existing)) == []


def test_what_is_not_served_mounts_nothing_and_opens_no_way() -> None:
    given = server(networkPolicy={"enabled": True})
    off = after(given, tool("a", enabled=False, **SECRET_A))
    on = after(given, tool("a", **SECRET_A))

    assert (mounted(off), mounted(on)) == ([], ["a-key"])
    assert len(on["NetworkPolicy"]["spec"]["egress"]) == len(off["NetworkPolicy"]["spec"]["egress"]) + 1


def test_the_policy_opens_the_way_to_redis_and_to_backends_and_follows_their_services() -> None:
    given = server(networkPolicy={"enabled": True}, redis={"serviceName": "redis"})
    redis = service("redis", ports=[{"port": 6379}])
    before = after(given, tool("a"), services=(service("orders"), redis))
    moved = (service("orders", selector={"app": "new"}), redis)

    peers = [rule["to"][0]["podSelector"]["matchLabels"]["app"] for rule in _egress(before) if "to" in rule]
    assert peers == ["orders", "redis"]
    assert kinds(planned(state(given, tool("a"), existing=before, services=moved))) == [("Apply", "NetworkPolicy")]


def test_the_policy_opens_the_way_to_sentinels() -> None:
    sentinel = {"masterName": "m", "serviceName": "sentinels"}
    given = server(
        networkPolicy={"enabled": True}, redis={"serviceName": "redis", "mode": "Sentinel", "sentinel": sentinel}
    )
    services = (service("redis", ports=[{"port": 6379}]), service("sentinels", ports=[{"port": 26379}]))

    rules = [rule for rule in _egress(after(given, services=services)) if "to" in rule]

    opened = {rule["to"][0]["podSelector"]["matchLabels"]["app"]: rule["ports"][0]["port"] for rule in rules}
    assert opened == {"redis": 6379, "sentinels": 26379}


def _egress(existing: dict[str, Any]) -> list[dict[str, Any]]:
    return list(existing["NetworkPolicy"]["spec"]["egress"])


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({"ingress": {"host": "a.example.com"}}, "Ingress"),
        ({"autoscaling": {"maxReplicas": 2}}, "HorizontalPodAutoscaler"),
        ({"replicas": 2, "podDisruptionBudget": {}}, "PodDisruptionBudget"),
        ({"networkPolicy": {"enabled": True}}, "NetworkPolicy"),
    ],
)
def test_what_is_no_longer_wished_is_removed_if_it_is_ours(spec: dict[str, Any], kind: str) -> None:
    existing = after(server(**spec), tool("a"))
    foreign = {**existing, kind: {**existing[kind], "metadata": {"name": "main-mcp", "ownerReferences": []}}}

    assert Remove(existing[kind]) in planned(state(server(), tool("a"), existing=existing)).actions
    assert not any(
        isinstance(action, Remove) for action in planned(state(server(), tool("a"), existing=foreign)).actions
    )


def test_an_account_of_our_own_goes_when_the_author_names_another() -> None:
    existing = after(server(), tool("a"))

    made = planned(state(server(podTemplate={"serviceAccountName": "robot"}), tool("a"), existing=existing))

    assert ("Remove", "ServiceAccount") in kinds(made)


def test_a_host_and_path_that_an_elder_server_has_gets_no_second_ingress() -> None:
    door = {"ingress": {"host": "a.example.com"}}
    elder = server("elder", **door)

    assert "Ingress" not in after(server(**door), tool("a"), others=(elder,))
    assert "Ingress" in after(elder, tool("a"), others=(server(**door),))


def test_annotations_of_an_author_stand_beside_our_mark() -> None:
    found = after(server(service={"annotations": {"a": "b"}}), tool("a"))["Service"]["metadata"]["annotations"]

    assert found["a"] == "b"
    assert set(found) == {"a", "mcp.example.com/applied"}


def stranger(kind: str) -> dict[str, Any]:
    name = "main-catalog" if kind == "ConfigMap" else "main-mcp"
    return {"kind": kind, "metadata": {"namespace": "shop", "name": name, "ownerReferences": [{"uid": "other"}]}}


EVERYTHING = {"ConfigMap", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "Deployment",
              "HorizontalPodAutoscaler", "Service", "Ingress"}  # fmt: skip


@pytest.mark.parametrize(
    ("taken", "left_out"),
    [
        ("ConfigMap", EVERYTHING),
        ("Service", {"Service", "Ingress"}),
        ("Ingress", {"Ingress"}),
        ("Deployment", {"Deployment", "HorizontalPodAutoscaler"}),
        ("ServiceAccount", {"ServiceAccount", "RoleBinding", "Deployment"}),
        ("Role", {"Role", "RoleBinding", "Deployment"}),
        ("NetworkPolicy", {"NetworkPolicy", "Deployment"}),
    ],
)
def test_what_does_not_rely_on_a_taken_name_is_written(taken: str, left_out: set[str]) -> None:
    item = server(
        ingress={"host": "a.example.com"}, networkPolicy={"enabled": True}, autoscaling={"maxReplicas": 2},
        sessions={"mode": "Stateless"},
    )  # fmt: skip

    found = stranger(taken)
    if taken == "ConfigMap":
        found |= {"data": {}}
    made = planned(state(item, tool("a"), existing={taken: found}))

    assert {kind for _, kind in kinds(made)} == EVERYTHING - left_out
    assert made.blocked_by is not None
    assert made.blocked_by[0] == "NameTaken"
    assert f"{taken} main-" in made.blocked_by[1]


def test_what_is_left_out_for_a_taken_name_is_not_removed() -> None:
    existing = after(server(), tool("a"))
    existing["ServiceAccount"] = stranger("ServiceAccount")

    assert planned(state(server(), tool("a"), existing=existing)).actions == ()


@pytest.mark.parametrize("kind", ["Deployment", "Service"])
def test_what_somebody_else_has_set_is_taken_away(kind: str) -> None:
    existing = after(server(), tool("a"))

    made = planned(state(server(), tool("a"), existing=existing, edited={kind: "kubectl-edit"}))

    repairs = [action for action in made.actions if isinstance(action, Repair)]
    assert [(each.manifest["kind"], each.editor) for each in repairs] == [(kind, "kubectl-edit")]
    assert all(isinstance(action, Repair | Scale) for action in made.actions)


def test_an_object_of_somebody_else_is_not_repaired() -> None:
    given = state(server(), tool("a"), existing={"Service": stranger("Service")}, edited={"Service": "kubectl-edit"})

    assert not any(isinstance(action, Repair) for action in planned(given).actions)


def test_a_repaired_deployment_has_nothing_of_others_but_its_number_and_its_restarts() -> None:
    desired = after(server(podTemplate={"annotations": {"team": "shop"}}), tool("a"))["Deployment"]
    live = copy.deepcopy(desired)
    live["metadata"] |= {"resourceVersion": "7", "managedFields": [{}], "finalizers": ["x"]}
    live["spec"]["replicas"] = 5
    pod = live["spec"]["template"]
    pod["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now", "team": "other"}
    pod["spec"]["containers"].append({"name": "sidecar", "image": "other"})
    pod["spec"]["containers"][0]["env"] = [{"name": "A", "value": "b"}]
    pod["spec"]["nodeSelector"] = {"disk": "ssd"}

    found = replacement(live, desired)

    assert found["metadata"]["resourceVersion"] == "7"
    assert found["metadata"]["finalizers"] == ["x"]
    assert "managedFields" not in found["metadata"]
    assert found["spec"]["replicas"] == 5
    template = found["spec"]["template"]
    assert template["spec"] == desired["spec"]["template"]["spec"]
    assert template["metadata"]["annotations"] == {"kubectl.kubernetes.io/restartedAt": "now", "team": "shop"}


def test_a_repaired_service_keeps_its_address() -> None:
    desired = after(server(), tool("a"))["Service"]
    live = copy.deepcopy(desired)
    live["spec"] |= {"clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"], "externalIPs": ["1.2.3.4"]}
    live["spec"]["ports"] = [{"name": "http", "port": 81}]

    found = replacement(live, desired)

    assert found["spec"] == {**desired["spec"], "clusterIP": "10.0.0.9", "clusterIPs": ["10.0.0.9"]}


@pytest.mark.parametrize(
    ("kind", "change"),
    [("RoleBinding", {"roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}}),
     ("Deployment", {"spec": {"selector": {"matchLabels": {"app": "other"}}, "template": {"spec": {}}}})],
)  # fmt: skip
def test_what_differs_in_what_cannot_be_changed_is_created_anew(kind: str, change: dict[str, Any]) -> None:
    existing = after(server(), tool("a"))
    existing[kind] |= change

    made = kinds(planned(state(server(), tool("a"), existing=existing)))

    assert made[:2] == [("Remove", kind), ("Apply", kind)]


def test_a_large_catalog_is_compressed_and_reads_the_same() -> None:
    given = state(server(), *(tool(f"t{n}", inputSchema={"type": "object", "title": "x" * 2000}) for n in range(200)))

    stored = planned(given).actions[0].manifest

    payload = gzip.decompress(base64.b64decode(stored["binaryData"][catalogs.GZIP_FILE]))
    assert catalogs.digest(payload) == stored["metadata"]["annotations"][catalogs.DIGEST_ANNOTATION]
    assert len(catalogs.load(payload).tools) == 200


def test_a_catalog_that_cannot_fit_is_not_published() -> None:
    noise = ["".join(chr(0x4E00 + (n * 7919 + i * 104729) % 20000) for i in range(1500)) for n in range(400)]
    given = state(server(), *(tool(f"t{n}", description=text) for n, text in enumerate(noise)))

    made = planned(given)

    assert made.blocked_by is not None
    assert made.blocked_by[0] == "CatalogTooLarge"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"digest":"d"}', ("d", "")),
        (b'{"digest":"d","pins":"2A"}', ("d", "2A")),
        (b'{"digest":"d","pins":["A"]}', ("d", "")),
        (b'{"digest":7}', None),
        (b"[]", None),
        (b"<", None),
    ],
)
def test_a_pod_reports_its_digest_or_nothing(payload: bytes, expected: tuple[str, str] | None) -> None:
    found = report_of(payload)

    assert (found and (found.digest, found.pins)) == expected


def test_what_a_server_with_a_deletion_timestamp_owns_is_removed_by_uid() -> None:
    given = server(ingress={"host": "a.example.com"})
    existing = after(given, tool("a"))
    existing["Service"] = {"kind": "Service", "metadata": {"name": "main-mcp", "ownerReferences": [{"uid": "other"}]}}

    removed = plan_removal(state(given, existing=existing)).actions

    assert {action.manifest["kind"] for action in removed} == set(existing) - {"Service"}
    assert all(isinstance(action, Remove) and action.manifest["metadata"]["uid"] == "x" for action in removed)


def test_a_replacement_takes_the_owner_and_what_pods_are_labelled_with() -> None:
    desired = after(server(), tool("a"))["Deployment"]
    desired["spec"]["template"]["metadata"].pop("annotations", None)
    live = copy.deepcopy(desired)
    live["metadata"]["ownerReferences"] = [{"kind": "Other"}]
    live["metadata"] |= {"labels": None, "annotations": {"theirs": "kept"}}
    live["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}

    found = replacement(live, desired)

    assert found["metadata"]["ownerReferences"] == desired["metadata"]["ownerReferences"]
    assert found["metadata"]["labels"] == desired["metadata"]["labels"]
    assert found["metadata"]["annotations"]["theirs"] == "kept"
    assert found["metadata"]["annotations"].items() >= (desired["metadata"].get("annotations") or {}).items()
    assert found["spec"]["template"]["metadata"] == {
        **desired["spec"]["template"]["metadata"],
        "annotations": {"kubectl.kubernetes.io/restartedAt": "now"},
    }
    assert (found["apiVersion"], found["kind"]) == ("apps/v1", "Deployment")
    del live["spec"]["template"]["metadata"]["annotations"]
    assert replacement(live, desired)["spec"]["template"]["metadata"]["annotations"] == {}
