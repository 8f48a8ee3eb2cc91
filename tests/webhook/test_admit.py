"""From a review and a snapshot to a decision, function by function."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from crd import extraction, integrity, manifest
from crd.facts import MemberFact
from crd.finding import Finding, Level, Reason, Verdict
from crd.manifest import Object
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot
from webhook import admit
from webhook.admit import Decision, JudgedObject
from webhook.object_cache import ObjectCache
from webhook.review import Operation, Review

GOOD = "Find the orders of the shop by their state."


def raw(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "shop"}, **metadata},
        "spec": spec,
    }


def tool(
    name: str = "a", served: str = "get", /, spec: dict[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    service = {"name": "orders", "port": 80, "namespace": "shop"}
    return raw("MCPTool", name, {"name": served, "description": GOOD, "service": service, **(spec or {})}, **metadata)


def server(name: str = "main", app: str = "shop", **spec: Any) -> dict[str, Any]:
    return raw("MCPServer", name, {"toolSelector": {"matchLabels": {"app": app}}, **spec})


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "orders", "namespace": "shop"},
    "spec": {"ports": [{"port": 80}], "selector": {"app": "orders"}},
}


def applied(spec: dict[str, Any]) -> dict[str, str]:
    """The annotation with which kubectl remembers what it has applied."""
    return {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({**tool(), "spec": spec})}


def fact(item: dict[str, Any]) -> Any:
    found = manifest.decode(item).fact
    assert found is not None
    return found


def snapshot(*items: dict[str, Any], service: bool = True) -> Snapshot:
    services = [extraction.service_fact(SERVICE)] if service else []
    return Snapshot.of([*services, *map(fact, items)]).mark_unknown(Kind.SECRET, Kind.CONFIG_MAP)


def review(new: Any, old: Any = None) -> Review:
    shown = new or old or {"kind": "MCPTool"}
    metadata = shown.get("metadata") or {}
    operation = Operation.DELETE if new is None else Operation.UPDATE if old else Operation.CREATE
    return Review("u", operation, shown["kind"], metadata.get("namespace", ""), metadata.get("name", ""), new, old)


def judged(new: Any, old: Any = None) -> JudgedObject:
    found = admit.judge_object(review(new, old), ObjectCache())
    assert found is not None
    return found


def reasons(decision: Decision | None) -> list[str]:
    return [finding.reason for finding in decision.verdict] if decision is not None else []


# What becomes of a change.


def test_a_creation_that_nothing_is_said_about() -> None:
    before = snapshot(server())
    decision = admit.decide(before, (), judged(tool()))

    assert (decision.allowed, decision.verdict.findings, decision.warnings) == (True, (), ())
    assert (decision.message, decision.causes, decision.blamed) == ("", (), frozenset())
    assert decision.audit == {"verdict": "allowed"}
    assert decision.after.member(Ref(Kind.TOOL, "shop", "a")) == fact(tool())
    assert before.get(Ref(Kind.TOOL, "shop", "a")) is None
    assert decision.change.new is not None
    assert decision.change.old is None


def test_a_creation_with_warnings() -> None:
    noted = judged(tool(annotations=applied({"unheard": 1})))
    noted = replace(noted, warnings=(*noted.warnings, *noted.warnings))
    decision = admit.decide(snapshot(server(), service=False), (), noted)

    assert decision.allowed
    first, second = decision.warnings
    assert first.startswith("ServiceMissing: spec.service")
    assert second == 'UnknownField: spec.unheard: unknown field "unheard" was dropped; remove it'
    assert decision.audit == {"verdict": "allowed", "reasons": "ServiceMissing"}
    assert decision.after.get(Ref(Kind.TOOL, "shop", "a")) is not None


def test_a_warning_about_a_dropped_field_alone() -> None:
    noted = judged(tool(annotations=applied({"descripton": 1})))
    decision = admit.decide(snapshot(server()), (), noted)

    assert decision.verdict.findings == ()
    assert decision.warnings == (
        'UnknownField: spec.descripton: unknown field "descripton" was dropped; did you mean "description"?',
    )


def test_a_refusal_names_the_other_object_and_previews_nothing() -> None:
    decision = admit.decide(snapshot(server(), tool("b")), (), judged(tool()))

    assert not decision.allowed
    assert reasons(decision) == ["DuplicateName"]
    assert decision.message.startswith("\n- DuplicateName: spec.name: MCPTool shop/b already serves")
    assert Ref(Kind.TOOL, "shop", "b") in decision.blamed
    assert decision.audit["verdict"] == "denied"
    assert decision.audit["reasons"] == "DuplicateName"
    assert decision.audit["related"].split(", ")[0] in ("MCPTool shop/b", "MCPServer shop/main")
    (cause,) = decision.causes
    assert cause == {"reason": "DuplicateName", "message": decision.verdict.errors[0].message, "field": "spec.name"}
    relabelled = tool("a", "get", labels={"app": "else"})
    refused = admit.decide(
        snapshot(server(), server("other", "else"), tool("b", labels={"app": "else"})), (), judged(relabelled, tool())
    )
    assert not refused.allowed
    assert not any("no longer served" in line for line in refused.warnings)


def test_an_update_says_which_servers_lose_the_object() -> None:
    decision = admit.decide(snapshot(server(), tool()), (), judged(tool(labels={}), tool()))

    assert decision.allowed
    assert "MCPTool shop/a is no longer served by shop/main" in decision.warnings
    assert decision.after.member(Ref(Kind.TOOL, "shop", "a")) == fact(tool(labels={}))


def test_the_states_that_others_may_also_have_are_judged_by() -> None:
    before = snapshot(server(), tool("b", "put"))
    pending: Any = fact(tool("b", "get"))

    assert admit.decide(before, (), judged(tool())).allowed
    refused = admit.decide(before, (pending,), judged(tool()))
    assert (refused.allowed, reasons(refused)) == (False, ["DuplicateName"])
    # The one that refuses is kept, whatever the next one would say.
    harmless: Any = fact(tool("b", "get", labels={}))
    assert not admit.decide(before, (pending, harmless), judged(tool())).allowed
    assert not admit.decide(before, (harmless, pending), judged(tool())).allowed
    assert admit.decide(before, (harmless,), judged(tool())).allowed
    # Another state of the object itself is not in its own way.
    assert admit.decide(before, (fact(tool("a", "get")),), judged(tool())).allowed
    # Nor is a state without a common claim.
    assert admit.decide(before, (fact(tool("b", "patch")),), judged(tool())).allowed


def test_a_server_may_come_to_select_what_clashes() -> None:
    before = snapshot(server(app="else"), tool("b"))

    assert admit.decide(before, (fact(tool("c", "put")),), judged(tool())).allowed
    refused = admit.decide(before, (fact(server()),), judged(tool()))
    assert reasons(refused) == ["DuplicateName"]
    # And a server is judged beside what members may become.
    widened = admit.decide(snapshot(tool("b")), (fact(tool("c", "get")),), judged(server()))
    assert "DuplicateName" in reasons(widened)


def test_whether_states_may_clash() -> None:
    def may_clash(one: dict[str, Any], new: Any, old: Any = None) -> bool:
        return admit._may_clash(fact(one), judged(new, old).change)

    assert may_clash(tool("b"), tool())
    assert not may_clash(tool("b", "put"), tool())
    assert may_clash(server(), tool())
    assert may_clash(tool("b", "put"), server())
    assert may_clash(tool("b", "put"), None, tool())


def test_a_budget_counts_the_dearer_states() -> None:
    small, large = tool("b", "put"), tool("b", "put", spec={"description": GOOD * 20})
    limited = server(contextBudget=fact(tool()).tokens + fact(small).tokens)
    before = snapshot(limited, small)

    assert admit.decide(before, (), judged(tool())).allowed
    assert admit.decide(before, (), judged(tool()), lambda: [fact(small)]).allowed
    refused = admit.decide(before, (), judged(tool()), lambda: [fact(large)])
    assert reasons(refused) == ["ContextBudgetExceeded"]
    # Also beside a state that others may have.
    other: Any = fact(tool("c", "get", labels={}))
    assert admit.decide(before, (other,), judged(tool())).allowed
    refused = admit.decide(before, (other,), judged(tool()), lambda: [fact(large)])
    assert reasons(refused) == ["ContextBudgetExceeded"]


def test_a_warning_is_one_line_of_a_length_that_clients_print() -> None:
    assert admit._cut(" a \n b\t\tc ") == "a b c"
    assert admit._cut("x" * admit.WARNING_LENGTH) == "x" * admit.WARNING_LENGTH
    assert admit._cut("x" * (admit.WARNING_LENGTH + 1)) == "x" * (admit.WARNING_LENGTH - 1) + "…"


def test_further_findings_speak_against_a_change() -> None:
    decision = admit.decide(snapshot(server(), service=False), (), judged(tool()))
    further = Finding.of(Reason.DUPLICATE_NAME, decision.change.ref, "it is taken", path=("spec", "name"))
    found = admit.with_findings(decision, (further,))

    assert not found.allowed
    assert reasons(found) == ["DuplicateName", "ServiceMissing"]
    assert (found.warnings, found.after, found.change) == (decision.warnings, decision.after, decision.change)


# What is admitted and not stored yet.


def finding(*related: Ref, level: Level = Level.ERROR) -> Finding:
    return Finding.of(Reason.DUPLICATE_NAME, Ref(Kind.TOOL, "shop", "a"), "no", related=related, level=level)


B, C = Ref(Kind.TOOL, "shop", "b"), Ref(Kind.TOOL, "bank", "c")


@pytest.mark.parametrize(
    ("related", "since", "note"),
    [
        ((), {}, ""),
        ((B,), {}, ""),
        ((B,), {B: 5.4}, "; MCPTool shop/b was admitted 5 s ago and is not stored yet; try again in 60 s"),
        ((B,), {B: 65.0}, "; MCPTool shop/b was admitted 65 s ago and is not stored yet; try again in 1 s"),
        ((C,), {C: 0.0}, "; the other object was admitted 0 s ago and is not stored yet; try again in 65 s"),
        ((C, B), {B: 1.0}, "; MCPTool shop/b was admitted 1 s ago and is not stored yet; try again in 64 s"),
        ((B, C), {B: 1.0, C: 2.0}, "; MCPTool shop/b was admitted 1 s ago and is not stored yet; try again in 64 s"),
    ],
)
def test_a_finding_says_that_the_other_object_is_not_stored(
    related: tuple[Ref, ...], since: dict[Ref, float], note: str
) -> None:
    decision = admit.decide(snapshot(), (), judged(tool()))
    given = replace(decision, verdict=Verdict.of((finding(*related), finding(*related, level=Level.WARNING))))
    error, warning = admit.worded_as_pending(given, since.get, 65.0).verdict

    assert error.message == f"no{note}"
    assert warning.message == "no"


# Objects that are being deleted.


DYING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, tool(**DYING), False),
        (tool(**DYING), None, False),
        (tool(), tool(), False),
        (tool(**DYING, finalizers=["a"]), tool(**DYING), True),
        ({**tool(**DYING), "status": {"a": 1}}, tool(**DYING), True),
        (tool(**DYING), tool("a", "put", **DYING), False),
        (tool(**DYING), {**tool(**DYING), "extra": 1}, False),
        ({**tool(**DYING), "extra": 1}, tool(**DYING), False),
        ({**tool(), "metadata": None}, tool(), False),
        (tool(), tool(**DYING), False),
    ],
)
def test_what_is_being_deleted_may_change_its_metadata(old: Any, new: Any, expected: bool) -> None:
    assert admit.is_being_deleted(review(new, old)) is expected


def test_a_review_names_its_object() -> None:
    named = Review("u", Operation.DELETE, "MCPPrompt", "shop", "p", None, None)

    assert admit.ref_of(named) == Ref(Kind.PROMPT, "shop", "p")
    assert admit.ref_of(replace(named, name="")) is None
    assert admit.ref_of(replace(named, kind="Service")) is None
    assert admit.ref_of(replace(named, kind="Pod")) is None


def test_a_deletion_is_previewed_as_far_as_the_snapshot_knows() -> None:
    ref = Ref(Kind.TOOL, "shop", "a")
    known = snapshot(server(), tool())

    assert admit.preview_deletion(known, ref) == ("MCPTool shop/a is no longer served by shop/main",)
    assert admit.preview_deletion(snapshot(server()), ref) == ()
    assert admit.preview_deletion(known, Ref(Kind.SERVER, "shop", "main")) == ()


# The object alone.


def test_without_an_object_there_is_nothing_to_judge() -> None:
    with pytest.raises(ValueError, match=r"^the review holds neither object nor oldObject$"):
        admit.judge_object(review(None), ObjectCache())


def test_what_may_not_take_long_is_left_out_unless_it_is_known() -> None:
    cache = ObjectCache()
    assert admit.judge_object(review(tool()), cache, lambda: False) is None
    first = admit.judge_object(review(tool()), cache)
    again = admit.judge_object(review(tool()), cache, lambda: False)
    assert again is not None
    assert first is not None
    assert again.change.new is not None
    assert again.change.new.fact == fact(tool())
    # A deletion has no new state.
    gone = admit.judge_object(review(None, tool()), cache, lambda: False)
    assert gone is not None
    assert (gone.change.new, gone.change.ref) == (None, Ref(Kind.TOOL, "shop", "a"))
    assert gone.change.old is not None
    assert gone.findings.own == ()


def test_the_rules_are_asked_once_for_each_content(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    find_own = integrity.find_own

    def count(item: Object | None) -> Any:
        asked.append(item)
        return find_own(item)

    monkeypatch.setattr(integrity, "find_own", count)
    cache = ObjectCache()
    broken = tool(spec={"inputSchema": {"type": "array"}})
    for _ in range(2):
        found = admit.judge_object(review(broken), cache)
        assert found is not None
        assert "InvalidSchema" in [each.reason for each in found.findings.own]

    # Once for the new state, and each time for the old one, of which there is none.
    assert len([item for item in asked if item is not None]) == 1


def test_an_update_is_compared_with_the_old_object() -> None:
    broken = {"inputSchema": {"type": "array"}}
    found = judged(tool(spec={**broken, "title": "x"}), tool(spec=broken))

    assert found.change.old is not None
    assert found.change.new is not None
    assert [each.reason for each in found.findings.own] == [each.reason for each in found.findings.former]
    assert admit.decide(snapshot(server()), (), found).allowed


def test_what_else_there_is_to_ask_is_found() -> None:
    secret = {"headersFrom": [{"name": "X-Key", "secretKeyRef": {"name": "keys", "key": "k"}}]}
    hosted = {"host": "a.example.com", "annotations": {"nginx.ingress.kubernetes.io/rewrite-target": "/"}}
    plain, mounting, reached = judged(tool()), judged(tool(spec=secret)), judged(server(ingress=hosted))

    assert (plain.demands, plain.annotations, plain.host) == ((), (), "")
    assert [right.resource for demand in mounting.demands for right in demand.rights] == ["secrets", "secrets"]
    assert (mounting.annotations, mounting.host) == ((), "")
    assert [right.resource for demand in reached.demands for right in demand.rights] == ["ingresses"]
    assert [each.path[-1] for each in reached.annotations] == ["nginx.ingress.kubernetes.io/rewrite-target"]
    assert reached.host == "a.example.com"


def test_a_judgement_is_sent_without_its_manifests() -> None:
    old, new = tool(uid="u", resourceVersion="7"), tool("a", "put", uid="u", generation=2)
    whole = judged(new, old)
    sent = admit.without_manifests(whole)

    for before, after, metadata in (
        (whole.change.old, sent.change.old, {"uid": "u", "resourceVersion": "7"}),
        (whole.change.new, sent.change.new, {"uid": "u"}),
    ):
        assert before is not None
        assert after is not None
        assert (after.ref, after.fact, after.spec, after.raw) == (before.ref, before.fact, None, {"metadata": metadata})
    assert (sent.change.ref, sent.findings) == (whole.change.ref, whole.findings)
    assert admit.without_manifests(judged(new)).change.old is None
    assert admit.without_manifests(judged(None, old)).change.new is None
    # The decision is the same.
    assert isinstance(fact(new), MemberFact)
    for each in (whole, sent):
        assert admit.decide(snapshot(server(), old), (), each).allowed


# What the mutating webhook says.


def test_defaults_are_added_and_nothing_else() -> None:
    bare = {**tool(), "spec": {"service": {"name": "orders", "port": 80}}}

    assert admit.defaulting_patch(review(bare)) == [
        {"op": "add", "path": "/spec/name", "value": "a"},
        {"op": "add", "path": "/spec/service/namespace", "value": "shop"},
    ]
    assert admit.defaulting_patch(review(tool())) == []
    assert admit.defaulting_patch(review(None, bare)) == []


def test_only_what_the_schema_refuses_is_refused_before_it() -> None:
    cache = ObjectCache()
    broken = tool(spec={"timeout": "1d"})
    # What no schema finds is for the validating webhook.
    unsound = tool(spec={"inputSchema": {"type": "array"}})

    refused = admit.refusal_of_unsound(review(broken), cache)
    assert refused is not None
    assert not refused.allowed
    assert reasons(refused) == ["InvalidField"]
    assert admit.refusal_of_unsound(review(tool()), cache) is None
    assert admit.refusal_of_unsound(review(unsound), cache) is None
    assert admit.refusal_of_unsound(review(None, broken), cache) is None
    # A fault that was there before is not refused, nor is the last step of a deletion.
    later = copy.deepcopy(broken)
    later["spec"]["title"] = "A"
    assert admit.refusal_of_unsound(review(later, broken), cache) is None
    assert admit.refusal_of_unsound(review(later, tool()), cache) is not None
    dying, released = tool(spec={"timeout": "1d"}, **DYING, finalizers=["a"]), tool(spec={"timeout": "1d"}, **DYING)
    assert admit.refusal_of_unsound(review(released, dying), cache) is None
    nameless = copy.deepcopy(broken)
    del nameless["metadata"]["name"]
    assert admit.refusal_of_unsound(review(nameless), cache) is None
