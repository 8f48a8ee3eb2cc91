"""What the status of each kind says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller import kept
from controller.planning.state import MemberState, Pod, Rollout, ServerReadiness, ServerState
from controller.status import member as member_status
from controller.status import server as server_status
from crd import extraction, manifest
from crd.clients import tokens
from crd.compiler.compilation import Compilation
from crd.compiler.known_tools import KnownTools
from crd.models.prompt import PromptStatus
from crd.models.resource import ResourceStatus
from crd.models.server import ServerStatus
from crd.models.tool import ToolStatus
from crd.published.pins import AS_PINNED, VANISHED, Verdict
from crd.ref import Kind
from crd.snapshot import Snapshot
from tests.controller.states import (
    LATER,
    NOW,
    grant,
    planned,
    prompt,
    resource,
    secret,
    server,
    service,
    state,
    tool,
)

STATUSES = {
    Kind.SERVER: ServerStatus,
    Kind.TOOL: ToolStatus,
    Kind.PROMPT: PromptStatus,
    Kind.RESOURCE: ResourceStatus,
}


def reported_by(given: ServerState, *, settled: bool = True) -> dict[str, Any]:
    """The status of a server; ``settled`` means that there is nothing left to write."""
    plan = planned(given)
    return checked(given.server, server_status.status(given, replace(plan, actions=()) if settled else plan))


def checked(item: manifest.Object, wanted: dict[str, Any]) -> dict[str, Any]:
    """What is said is what the schema of the kind allows, member by member."""
    model = STATUSES[item.ref.kind]
    read = model.model_validate(wanted["status"], strict=False)
    names = {field.alias for field in model.model_fields.values()}
    assert set(wanted["status"]) <= names
    assert len(read.conditions) == len(wanted["status"]["conditions"])
    return dict(wanted["status"])


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


def message(status: dict[str, Any], which: str) -> str:
    return str(next(c["message"] for c in status["conditions"] if c["type"] == which))


def digest(item: manifest.Object | None = None) -> str:
    return planned(state(item or server(), tool("a"))).digest


def serving_pod(item: manifest.Object | None = None) -> Pod:
    return Pod("p", True, digest(item))


@pytest.mark.parametrize(
    ("pods", "programmed", "ready"),
    [
        ((), ("False", "NoReadyPods"), ("False", "RolloutInProgress")),
        ((Pod("p", False, None),), ("False", "NoReadyPods"), ("False", "NoReadyPods")),
        ((Pod("p", True, None),), ("False", "Pending"), ("False", "Pending")),
        ((Pod("p", True, "sha256:old"),), ("False", "Pending"), ("False", "Pending")),
        ((serving_pod(), Pod("q", True, "sha256:old")), ("False", "Pending"), ("False", "Pending")),
        ((serving_pod(),), ("True", "Programmed"), ("True", "Ready")),
    ],
    ids=["no pod", "none ready", "silent", "an older catalog", "one of two", "the published catalog"],
)
def test_programmed_means_that_every_ready_pod_serves_the_published_catalog(
    pods: tuple[Pod, ...], programmed: tuple[str, str], ready: tuple[str, str]
) -> None:
    found = conditions(reported_by(state(server(), tool("a"), pods=pods)))

    assert (found["Programmed"], found["Ready"]) == (programmed, ready)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"replicas": 2}, ("False", "RolloutInProgress")),
        ({"autoscaling": {"minReplicas": 2, "maxReplicas": 3}}, ("False", "RolloutInProgress")),
        ({"autoscaling": {"maxReplicas": 3}}, ("True", "Ready")),
        ({"replicas": 1}, ("True", "Ready")),
    ],
)
def test_ready_means_that_as_many_pods_serve_as_are_wished_at_least(
    spec: dict[str, Any], expected: tuple[str, str]
) -> None:
    given = server(**spec)

    assert conditions(reported_by(state(given, tool("a"), pods=(serving_pod(given),))))["Ready"] == expected


def test_a_server_that_is_scaled_to_zero_is_as_desired() -> None:
    found = conditions(reported_by(state(server(replicas=0), tool("a"))))

    assert found["Programmed"] == ("True", "ScaledToZero")
    assert found["Ready"] == ("True", "ScaledToZero")
    assert not {"Reconciling", "Stalled"} & found.keys()


def test_a_server_with_pods_that_are_still_to_go_is_not_scaled_to_zero_yet() -> None:
    given = server(replicas=0)

    found = conditions(reported_by(state(given, tool("a"), pods=(serving_pod(given),))))

    assert found["Ready"][0] == "False"
    assert "Reconciling" in found


def stored(item: manifest.Object, generation: int = 3, **truths: str) -> manifest.Object:
    """The server with conditions of a former status."""
    listed = [
        {"type": kind, "status": truth, "observedGeneration": generation, "lastTransitionTime": NOW}
        for kind, truth in truths.items()
    ]
    return manifest.decode({**item.raw, "status": {"conditions": listed}})


BEFORE = {"Programmed": "True", "Ready": "True"}
OLD = Pod("p", True, "sha256:old")


@pytest.mark.parametrize(
    ("generation", "behind", "programmed", "ready"),
    [
        (3, False, "True", "True"),
        (3, True, "False", "False"),
        (2, False, "False", "False"),
    ],
    ids=["a swap", "a swap that takes too long", "a new spec"],
)
def test_a_new_catalog_changes_no_condition_while_pods_load_it(
    generation: int, behind: bool, programmed: str, ready: str
) -> None:
    given = state(stored(server(), generation, **BEFORE), tool("a"), pods=(OLD,), is_behind=behind)

    found = reported_by(given)

    truths = {kind: truth for kind, (truth, _) in conditions(found).items()}
    assert (truths["Programmed"], truths["Ready"]) == (programmed, ready)
    assert found["syncedReplicas"] == 0
    assert ("Reconciling" in truths) == (ready == "False")


# Two of the former template serve, and one of the new one cannot start.
REPLACING = Rollout(True, total=3, updated=1, available=2, is_late=False)


def two_and(item: manifest.Object, trouble: str) -> tuple[Pod, ...]:
    serving = digest(item)
    return (Pod("p", True, serving), Pod("q", True, serving), Pod("r", False, None, trouble=trouble))


@pytest.mark.parametrize(
    ("generation", "trouble", "late", "ready", "further"),
    [
        (2, "", False, ("False", "RolloutInProgress"), ("Reconciling", "RolloutInProgress")),
        (2, "Unschedulable", False, ("False", "RolloutInProgress"), ("Reconciling", "RolloutInProgress")),
        (2, "ImagePullBackOff", False, ("False", "ImagePullBackOff"), ("Stalled", "ImagePullBackOff")),
        (2, "", True, ("False", "RolloutLate"), ("Stalled", "RolloutLate")),
        (3, "", False, ("True", "Ready"), ("Reconciling", "RolloutInProgress")),
        (3, "ImagePullBackOff", False, ("True", "Ready"), ("Stalled", "ImagePullBackOff")),
    ],
)
def test_a_new_spec_is_ready_when_its_pods_are(
    generation: int, trouble: str, late: bool, ready: tuple[str, str], further: tuple[str, str]
) -> None:
    item = server(replicas=2)
    rollout = replace(REPLACING, is_late=late)
    given = state(stored(item, generation, **BEFORE), tool("a"), pods=two_and(item, trouble), rollout=rollout)

    found = conditions(reported_by(given))

    assert found["Ready"] == ready
    assert {each: found.get(each, (None, None))[1] for each in ("Reconciling", "Stalled") if each in found} == {
        further[0]: further[1]
    }
    told = {each["type"]: each["message"] for each in reported_by(given)["conditions"]}
    if further[1] == "RolloutInProgress" and ready[0] == "True":
        assert told["Reconciling"] == "pods are being replaced"


def test_a_deployment_that_is_about_to_be_written_is_not_rolled_out() -> None:
    given = state(stored(server(), 2, **BEFORE), tool("a"), pods=(serving_pod(),))

    assert conditions(reported_by(given))["Ready"] == ("True", "Ready")
    assert conditions(reported_by(given, settled=False))["Ready"] == ("False", "RolloutInProgress")


def test_too_few_ready_pods_say_why() -> None:
    item = server(replicas=2)
    pods = (serving_pod(item), Pod("q", False, None, trouble="Unschedulable"))

    found = reported_by(state(stored(item, **BEFORE), tool("a"), pods=pods))

    assert conditions(found)["Ready"] == ("False", "Unschedulable")
    assert "pod q" in message(found, "Ready")


def test_a_taken_name_keeps_a_server_from_being_ready() -> None:
    given = state(server(), tool("a"), pods=(serving_pod(),), existing={"Service": service("main-mcp")})

    found = conditions(reported_by(given))

    assert found["Ready"] == ("False", "NameTaken")
    assert found["Stalled"] == ("True", "NameTaken")


def test_a_server_says_what_it_serves_and_how_many_pods_serve_it() -> None:
    members = (
        tool("b", name="bee"),
        tool("a"),
        prompt("p"),
        resource("r", content={"uri": "mcp://r", "text": "x"}),
        resource("h", uriTemplate="mcp://h/{id}", service={"name": "orders", "port": 8080}, http={"path": "/{id}"}),
        resource(
            "o",
            operations=[
                {"ingressPath": "/o", "service": {"name": "orders", "port": 8080}},
                {"method": "POST", "ingressPath": "/o", "service": {"name": "orders", "port": 8080}},
            ],
        ),
    )
    given = server(naming={"prefix": "x_"}, service={"port": 8080})
    pods = (Pod("p", True, planned(state(given, *members)).digest), Pod("q", True, "old"), Pod("r", False, None))

    found = reported_by(state(given, *members, pods=pods))

    assert found["url"] == "http://main-mcp.shop.svc:8080/mcp"
    assert (found["replicas"], found["readyReplicas"], found["syncedReplicas"]) == (3, 2, 1)
    assert (found["toolCount"], found["promptCount"], found["resourceCount"]) == (2, 1, 3)
    assert found["serving"] == {
        "tools": ["x_a", "x_bee"],
        "prompts": ["x_p"],
        "resources": ["mcp://h/{id}", "mcp://o/o", "mcp://r"],
    }
    assert found["catalogDigest"].startswith("sha256:")
    assert found["observedGeneration"] == 3


def test_of_many_names_the_first_two_hundred_are_reported() -> None:
    found = reported_by(state(server(), *(tool(f"t{number:03}") for number in range(250))))

    assert found["toolCount"] == 250
    assert found["serving"]["tools"] == [f"t{number:03}" for number in range(200)]


def test_the_bytes_that_a_model_reads_are_those_of_the_list_of_tools() -> None:
    listed = (
        '{"tools":[{"name":"a","inputSchema":{"type":"object","properties":{}},"title":"T","outputSchema":{"type":"object"},'
        '"annotations":{"readOnlyHint":true},"description":"What it does."}]}'
    )
    given = tool(
        "a", title="T", description="What it does.", outputSchema={"type": "object"}, annotations={"readOnlyHint": True}
    )

    assert reported_by(state(server(), given))["contextBytes"] == len(listed)
    tool_alone = listed.removeprefix('{"tools":[').removesuffix("]}")
    assert reported_by(state(server(), given))["contextTokens"] == pytest.approx(
        tokens.estimate(tool_alone.encode()), abs=1
    )
    assert reported_by(state(server()))["contextTokens"] == 0
    assert reported_by(state(server()))["contextBytes"] == len('{"tools":[]}')


def test_a_tool_reports_what_a_model_reads_of_it() -> None:
    listed = b'{"name":"a","inputSchema":{"type":"object","properties":{}},"description":"What it does."}'
    found = reported(tool("a", description="What it does."))

    assert found["contextBytes"] == len(listed)
    assert found["contextTokens"] == pytest.approx(tokens.estimate(listed), abs=1)
    assert "contextBytes" not in reported(tool("a", enabled=False))


def test_a_tool_that_does_not_fit_into_the_budget_says_so() -> None:
    small, large = tool("a", description="What it does."), tool("b", description="What it does. " * 40)
    given = server(contextBudget=100)
    published = state(given, small, large).compilation

    found = conditions(reported(large, published, budget=100))

    assert found["Accepted"] == ("False", "ContextBudgetExceeded")
    assert found["Ready"] == ("False", "ContextBudgetExceeded")
    of_server = reported_by(state(given, small, large))
    assert conditions(of_server)["Accepted"] == ("True", "Accepted")
    assert message(of_server, "Accepted").startswith("partially served: shop/b; ")
    assert "more than its contextBudget of 100" in message(of_server, "Accepted")


def test_a_server_with_a_fault_is_not_accepted_and_nothing_is_done() -> None:
    given = state(server(replicas="many"), tool("a"))

    assert planned(given).actions == ()
    found = reported_by(given)
    assert conditions(found)["Accepted"] == ("False", "InvalidField")
    assert conditions(found)["Programmed"] == ("False", "NotAccepted")
    assert conditions(found)["Ready"] == ("False", "InvalidField")
    assert "url" not in found


def test_advice_is_told_and_nobody_is_turned_down_for_it() -> None:
    found = reported_by(state(server(ingress={"host": "a.example.com"}), tool("a")))

    assert conditions(found)["Accepted"] == ("True", "Accepted")
    assert "PublicWithoutAuth" in message(found, "Accepted")


def test_a_host_that_an_elder_server_has_is_a_fault() -> None:
    door = {"ingress": {"host": "a.example.com"}}

    found = reported_by(state(server(**door), tool("a"), others=(server("elder", **door),)))

    assert conditions(found)["Accepted"] == ("False", "IngressTaken")
    assert "MCPServer shop/elder" in message(found, "Accepted")


def test_the_losers_are_named() -> None:
    losers = (tool(f"l{n:02}", name="a") for n in range(12))
    found = reported_by(state(server(), tool("a"), tool("b", name="a"), *losers))

    assert message(found, "Accepted").startswith("partially served: shop/b, shop/l00, ")
    assert message(found, "Accepted").endswith(", …")


@pytest.mark.parametrize(
    ("item", "member", "services", "reason"),
    [
        (server(redis={"serviceName": "redis"}), tool("a"), (service("orders"),), "ServiceMissing"),
        (server(redis={"serviceName": "redis", "port": 1}), tool("a"), (service("orders"), service("redis")),
         "ServicePortMissing"),
        (server(), tool("a"), (), "ServiceMissing"),
        (server(), tool("a", service={"name": "orders", "port": 1}), (service("orders"),), "ServicePortMissing"),
        (server(), tool("a"), (service("orders", type="ExternalName"),), "ServiceExternalName"),
        (server(), tool("a", service={"name": "orders", "namespace": "other", "port": 8080}),
         (service("orders", "other"),), "CrossNamespaceDenied"),
    ],
)  # fmt: skip
def test_what_a_server_and_its_members_point_at_has_to_be_there(
    item: Any, member: Any, services: Any, reason: str
) -> None:
    assert conditions(reported_by(state(item, member, services=services)))["ResolvedRefs"] == ("False", reason)


def test_what_nobody_may_look_up_is_never_claimed_to_be_missing() -> None:
    keys = {"auth": {"type": "APIKey", "apiKey": {"secretName": "keys"}}}
    given = tool("a", headersFrom=[{"name": "X-Key", "secretKeyRef": {"name": "nowhere", "key": "k"}}])

    found = reported_by(state(server(**keys), given))

    assert conditions(found)["ResolvedRefs"] == ("True", "ResolvedRefs")


def test_many_missing_things_are_summed_up() -> None:
    members = [tool(f"t{n}", service={"name": f"s{n}", "port": 80}) for n in range(5)]

    assert message(reported_by(state(server(), *members, services=())), "ResolvedRefs").endswith("; and 2 more")


def serving(*members: manifest.Object, item: manifest.Object | None = None) -> Compilation:
    compilation = state(item or server(), *members).compilation
    assert compilation is not None
    return compilation


def reported(
    item: manifest.Object,
    *published: Compilation | None,
    services: tuple[Any, ...] = (service("orders"),),
    prefix: str = "",
    unmounted: bool = False,
    grants: tuple[Any, ...] = (),
    serving_states: tuple[ServerReadiness, ...] = (),
    deserted: bool = False,
    budget: int | None = None,
    verdict: Verdict | None = None,
) -> dict[str, Any]:
    names = [f"s{number}" for number in range(len(published))]
    more = {} if budget is None else {"contextBudget": budget}
    selecting = [server(name, naming={"prefix": prefix}, **more) for name in names]
    facts = [f.fact for f in (item, *selecting) if f.fact]
    others = [extraction.facts_of_foreign(raw) for raw in (*services, *grants)]
    snapshot = Snapshot.of([*facts, *(fact for fact in others if fact)]).mark_unknown(Kind.SECRET, Kind.CONFIG_MAP)
    refs = {s.ref: made.holders if made else None for s, made in zip(selecting, published, strict=True)}
    missing = {selecting[0].ref: (secret("key"),)} if unmounted else {}
    member = kept.keep_member(dict(item.raw), None, KnownTools())
    states = dict(zip(refs, serving_states or (ServerReadiness.READY,) * len(refs), strict=True))
    without = (extraction.service_fact(services[0]).ref,) if deserted else ()
    state = MemberState(member, snapshot, refs, missing, states, without, NOW, verdict)
    return checked(item, member_status.status(state))


def test_a_served_tool_is_ready_and_says_where_it_calls() -> None:
    found = reported(tool("a"), serving(tool("a")))

    assert conditions(found)["Ready"] == ("True", "Ready")
    assert found["servers"] == [{"name": "s0", "servedName": "a", "accepted": True}]
    assert found["resolvedEndpoint"] == "http://orders.shop.svc:8080/"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"service": {"name": "orders", "port": 8080, "path": "/v1/orders"}}, "http://orders.shop.svc:8080/v1/orders"),
        ({"http": {"path": "/{id}"}, "service": {"name": "orders", "port": "http", "path": "/v1"}},
         "http://orders.shop.svc:8080/v1/{id}"),
        ({"mcp": {}}, "http://orders.shop.svc:8080/mcp"),
        ({"service": {"name": "orders", "port": "http", "scheme": "https"}}, "https://orders.shop.svc:8080/"),
        ({"service": {"name": "orders", "port": "odd"}}, "http://orders.shop.svc:odd/"),
        ({"service": {"name": "else", "namespace": "other", "port": 1}}, "http://else.other.svc:1/"),
    ],
)  # fmt: skip
def test_the_endpoint_of_a_tool(spec: dict[str, Any], expected: str) -> None:
    assert reported(tool("a", **spec))["resolvedEndpoint"] == expected


def test_the_hash_of_the_schemas_changes_with_either_and_with_nothing_else() -> None:
    plain = {"type": "object", "title": "x"}
    specs = [
        {"inputSchema": plain},
        {"inputSchema": dict(reversed(plain.items())), "description": "other"},
        {"inputSchema": {"type": "object"}},
        {"inputSchema": plain, "outputSchema": plain},
    ]

    hashes = [reported(tool("a", **spec))["schemaHash"] for spec in specs]

    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_names_are_told_with_the_prefix_of_each_server() -> None:
    given = server(naming={"prefix": "x_"})

    for item, name in ((tool("a"), "x_a"), (prompt("p"), "x_p")):
        found = reported(item, serving(item, item=given), prefix="x_")
        assert found["servers"] == [{"name": "s0", "servedName": name, "accepted": True}]


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (prompt("p"), "p"),
        (resource("r", content={"uri": "mcp://r", "text": "x"}), "mcp://r"),
        (resource("h", uri="mcp://h", service={"name": "orders", "port": 8080}, http={}), "mcp://h"),
        (resource("o", operations=[{"ingressPath": "/o", "service": {"name": "orders", "port": 8080}}]), "mcp://o/o"),
        (resource("d", operations=[
            {"method": "POST", "ingressPath": "/d", "service": {"name": "orders", "port": 8080}}]), "POST /d"),
    ],
)  # fmt: skip
def test_prompts_and_resources_say_who_serves_them(item: manifest.Object, name: str) -> None:
    found = reported(item, serving(item))

    assert found["servers"] == [{"name": "s0", "servedName": name, "accepted": True}]
    assert conditions(found)["Ready"] == ("True", "Ready")
    assert "resolvedEndpoint" not in found


def test_a_disabled_tool_says_so_wherever_it_is_selected() -> None:
    off = tool("a", enabled=False)

    found = reported(off, serving(off), None)

    assert conditions(found)["Accepted"] == ("True", "Disabled")
    assert "spec.enabled" in message(found, "Accepted")
    assert conditions(found).keys() == {"Accepted", "ResolvedRefs"}
    assert [entry["accepted"] for entry in found["servers"]] == [False, False]


FAR = {"service": {"name": "orders", "namespace": "other", "port": 8080}}
DOOR = {"ingressPath": "/x"}


@pytest.mark.parametrize(
    ("item", "servers", "services", "condition", "expected"),
    [
        (tool("a"), (), ("orders",), "Accepted", ("True", "NotSelected")),
        (tool("a"), (), ("orders",), "Ready", None),
        (tool("a"), (), (), "Ready", None),
        (tool("a", enabled=False), (), ("orders",), "Ready", None),
        (tool("a", enabled=False, inputSchema={"type": "array"}), (), (), "Ready", ("False", "InvalidSchema")),
        (tool("a", enabled=False, inputSchema={"type": "array"}), (), (), "Stalled", ("True", "InvalidSchema")),
        (tool("a"), (serving(tool("a")),), ("orders",), "Stalled", None),
        (tool("a"), (None,), ("orders",), "Accepted", ("Unknown", "Pending")),
        (tool("a"), (None,), ("orders",), "Ready", ("False", "Pending")),
        (tool("a"), (serving(),), ("orders",), "Accepted", ("Unknown", "Pending")),
        (tool("b", name="a"), (serving(tool("a")),), ("orders",), "Accepted", ("False", "NameConflict")),
        (tool("b", **DOOR), (serving(tool("a", **DOOR), tool("b", **DOOR)),), ("orders",), "Accepted",
         ("False", "NameConflict")),
        (tool("a"), (serving(tool("a")),), (), "ResolvedRefs", ("False", "ServiceMissing")),
        (tool("a"), (serving(tool("a")),), (), "Ready", ("False", "ServiceMissing")),
        (tool("a", **FAR), (serving(),), (), "Accepted", ("False", "CrossNamespaceDenied")),
        (tool("a", **FAR), (serving(),), (), "ResolvedRefs", ("False", "CrossNamespaceDenied")),
        (tool("a", inputSchema={"type": "array"}), (serving(),), ("orders",), "Accepted", ("False", "InvalidSchema")),
        (tool("a", method="FETCH"), (), ("orders",), "Accepted", ("False", "InvalidField")),
        (tool("a", method="FETCH"), (None,), ("orders",), "Ready", ("False", "InvalidField")),
    ],
)  # fmt: skip
def test_a_member_says_what_keeps_it_from_being_used(
    item: Any, servers: Any, services: Any, condition: str, expected: tuple[str, str]
) -> None:
    found = reported(item, *servers, services=tuple(map(service, services)))

    assert conditions(found).get(condition) == expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((ServerReadiness.NOT_READY,), ("False", "ServerNotReady")),
        ((ServerReadiness.NOT_READY, ServerReadiness.SCALED_TO_ZERO), ("False", "ServerNotReady")),
        ((ServerReadiness.NOT_READY, ServerReadiness.READY), ("True", "Ready")),
        ((ServerReadiness.SCALED_TO_ZERO,), None),
    ],
)
def test_a_tool_is_ready_with_a_ready_server(
    states: tuple[ServerReadiness, ...], expected: tuple[str, str] | None
) -> None:
    published = (serving(tool("a")),) * len(states)

    assert conditions(reported(tool("a"), *published, serving_states=states)).get("Ready") == expected


def test_a_tool_whose_service_has_no_endpoint_is_not_ready() -> None:
    found = reported(tool("a"), serving(tool("a")), deserted=True)

    assert conditions(found)["Ready"] == ("False", "NoEndpoints")
    assert "Service shop/orders" in message(found, "Ready")


def test_a_lost_door_is_told_and_the_name_stays_served() -> None:
    a, b = tool("a", **DOOR), tool("b", **DOOR)

    found = reported(b, serving(a, b))

    assert found["servers"][0]["accepted"]
    assert 'MCPTool shop/a serves "POST /x" on MCPServer shop/s0' in message(found, "Accepted")


def test_a_grant_opens_the_way_into_another_namespace() -> None:
    found = reported(tool("a", **FAR), services=(service("orders", "other"),), grants=(grant("other"),))

    assert conditions(found)["ResolvedRefs"] == ("True", "ResolvedRefs")


def test_a_tool_waits_until_every_pod_has_what_it_reads() -> None:
    found = reported(tool("a"), serving(tool("a")), unmounted=True)

    assert conditions(found)["Ready"] == ("False", "Pending")
    assert "Secret shop/key" in message(found, "Ready")


def test_the_time_of_a_condition_stays_while_its_status_does() -> None:
    raw = dict(tool("a").raw)
    first = member_status.status(
        MemberState(kept.keep_member(raw, None, KnownTools()), Snapshot(), {}, {}, {}, (), NOW)
    )
    again = kept.keep_member({**raw, "status": first["status"]}, None, KnownTools())

    assert member_status.status(MemberState(again, Snapshot(), {}, {}, {}, (), LATER)) == first


def test_a_served_name_is_reported_with_the_prefix_that_the_server_has_now() -> None:
    given = server(naming={"prefix": "x_"})
    a, b = tool("a", name="n"), tool("b", name="n")

    found = reported(b, serving(a, b, item=given), prefix="x_")

    assert 'MCPTool shop/a serves "x_n" on MCPServer shop/s0' in message(found, "Accepted")


DIGEST = f"sha256:{'0' * 64}"


def pinned(*, refuse: bool = False, generation: int = 3, status: dict[str, Any] | None = None) -> manifest.Object:
    mcp = {"toolName": "a", "pin": {"inputSchema": DIGEST}, **({"onDrift": "Refuse"} if refuse else {})}
    raw = dict(tool("a", mcp=mcp).raw)
    raw["metadata"] = {**raw["metadata"], "generation": generation}
    return manifest.decode({**raw, "status": status or {}})


@pytest.mark.parametrize(
    ("verdict", "expected", "text"),
    [
        (AS_PINNED, ("False", "AsPinned"), "as it was reviewed"),
        (VANISHED, ("True", "Vanished"), "no longer lists the tool; run mcp-operator import mcp again"),
        (Verdict(("description", "inputSchema")), ("True", "Changed"), "changed description, inputSchema of the tool"),
        (None, ("Unknown", "NotCompared"), "no pod has compared"),
    ],
)
def test_a_pinned_tool_says_whether_it_has_drifted(
    verdict: Verdict | None, expected: tuple[str, str], text: str
) -> None:
    found = reported(pinned(), serving(pinned()), verdict=verdict)

    assert conditions(found)["Drifted"] == expected
    assert text in next(each["message"] for each in found["conditions"] if each["type"] == "Drifted")
    assert conditions(found)["Ready"] == ("True", "Ready")


def test_a_tool_without_a_pin_and_one_that_nobody_serves_say_nothing_of_drift() -> None:
    assert "Drifted" not in conditions(reported(tool("a", mcp={}), serving(tool("a", mcp={}))))
    assert "Drifted" not in conditions(reported(pinned()))


def test_the_last_verdict_stays_while_nobody_compares_and_the_spec_is_the_same() -> None:
    status = reported(pinned(), serving(pinned()), verdict=Verdict(("title",)))
    same, other = pinned(status=status), pinned(status=status, generation=4)

    assert conditions(reported(same, serving(same)))["Drifted"] == ("True", "Changed")
    assert conditions(reported(other, serving(other)))["Drifted"] == ("Unknown", "NotCompared")


def test_a_drifted_tool_whose_calls_are_refused_is_not_ready() -> None:
    item = pinned(refuse=True)

    assert conditions(reported(item, serving(item), verdict=VANISHED))["Ready"] == ("False", "Drifted")
    assert conditions(reported(item, serving(item), verdict=AS_PINNED))["Ready"] == ("True", "Ready")
