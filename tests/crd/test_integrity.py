"""The decision: who is refused, for which clash, and who passes whatever stands broken."""

from __future__ import annotations

import contextlib
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from crd import extraction, integrity, manifest
from crd.facts import MemberFact
from crd.finding import Finding, Level, Reason, Verdict, format_path
from crd.integrity import Change
from crd.published import catalogs
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot

SERVICE = {"name": "orders", "port": 80}
ORDERS = extraction.service_fact(
    {"metadata": {"name": "orders", "namespace": "shop"}, "spec": {"ports": [{"port": 80}]}}
)


KEY = {"name": "X-Key", "secretKeyRef": {"name": "keys", "key": "k"}}
DESCRIBED = {"description": "What it gives, and when to use it."}


def item(kind: str, name: str, spec: dict[str, Any], *, created: str = "", **labels: str) -> manifest.Object:
    metadata = {"name": name, "namespace": "shop", "labels": labels or {"app": "shop"}, "creationTimestamp": created}
    if kind != "MCPServer":
        spec = {**DESCRIBED, **spec}
    return manifest.decode({"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})


def tool(
    ref: str, serves: str = "search", *, created: str = "", door: str | None = None, **labels: str
) -> manifest.Object:
    spec = {"name": serves, "service": SERVICE, **({"ingressPath": door} if door else {})}
    return item("MCPTool", ref, spec, created=created, **labels)


def resource(ref: str, *operations: dict[str, Any]) -> manifest.Object:
    return item("MCPResource", ref, {"operations": [{"service": SERVICE, **entry} for entry in operations]})


def server(ref: str = "main", **labels: str) -> manifest.Object:
    return item("MCPServer", ref, {"toolSelector": {"matchLabels": labels or {"app": "shop"}}})


def standing(*items: manifest.Object) -> Snapshot:
    return Snapshot.of([ORDERS, *(each.fact for each in items if each.fact)])


def judged(snapshot: Snapshot, old: manifest.Object | None, new: manifest.Object | None) -> Verdict:
    known = new or old
    assert known is not None
    return integrity.judge(snapshot, Change(known.ref, old, new))


def test_a_second_holder_of_a_name_is_refused() -> None:
    verdict = judged(standing(server(), tool("a", created="2026-01-01T00:00:00Z")), None, tool("b"))
    assert [str(finding) for finding in verdict] == [
        (
            'DuplicateName: spec.name: MCPTool shop/a already serves "search" on MCPServer shop/main; change spec.name '
            "or the labels of one of them"
        )
    ]
    (finding,) = verdict
    assert finding.related == (Ref(Kind.TOOL, "shop", "a"), server().ref)
    assert not verdict.allowed


def test_the_changed_object_is_blamed_though_it_is_the_elder() -> None:
    elder = tool("a", "find", created="2026-01-01T00:00:00Z")
    renamed = tool("a", "search", created="2026-01-01T00:00:00Z")
    snapshot = standing(server(), elder, tool("b", created="2026-06-01T00:00:00Z"))
    (finding,) = judged(snapshot, elder, renamed)
    assert (finding.ref, finding.related[0].name, finding.path) == (elder.ref, "b", ("spec", "name"))


def test_a_clash_by_labels_names_the_labels_and_the_claim() -> None:
    before, after = tool("b", app="other"), tool("b", app="shop")
    (finding,) = judged(standing(server(), tool("a"), before), before, after)
    assert finding.path == ("metadata", "labels")
    assert "change spec.name or the labels" in finding.message


@pytest.mark.parametrize(
    ("new", "reason", "path"),
    [
        pytest.param(
            resource("r", {"ingressPath": "/b"}, {"ingressPath": "/x", "uriTemplate": "shop://a"}),
            Reason.DUPLICATE_URI,
            "spec.operations[1].uriTemplate",
            id="the URI of the second operation",
        ),
        pytest.param(
            resource("r", {"ingressPath": "/b"}, {"ingressPath": "/a", "uriTemplate": "shop://x"}),
            Reason.DUPLICATE_INGRESS_PATH,
            "spec.operations[1].ingressPath",
            id="the door of the second operation",
        ),
        pytest.param(
            item("MCPResource", "r", {"content": {"uri": "shop://a", "text": ""}}),
            Reason.DUPLICATE_URI,
            "spec.content.uri",
            id="the URI of content",
        ),
        pytest.param(
            item("MCPPrompt", "p", {"template": "t", "ingressPath": "/a"}),
            Reason.DUPLICATE_INGRESS_PATH,
            "spec.ingressPath",
            id="the door of a prompt",
        ),
    ],
)
def test_a_clash_names_the_field_that_makes_the_claim(new: manifest.Object, reason: Reason, path: str) -> None:
    old = resource("old", {"ingressPath": "/a", "uriTemplate": "shop://a"})
    (finding,) = judged(standing(server(), old), None, new)
    assert (finding.reason, format_path(finding.path)) == (reason, path)
    assert f"change {path} or the labels" in finding.message


def test_where_a_claim_stands_does_not_make_it_another_fault() -> None:
    first = resource("r", {"ingressPath": "/a", "uriTemplate": "shop://a"})
    moved = resource("r", {"ingressPath": "/b"}, {"ingressPath": "/a", "uriTemplate": "shop://a"})
    elder = resource("a", {"ingressPath": "/a", "uriTemplate": "shop://a"})
    assert judged(standing(server(), elder, first), first, moved).errors == ()


def test_a_tool_and_a_prompt_may_share_a_name() -> None:
    prompt = item("MCPPrompt", "p", {"name": "search", "template": "t"})
    assert judged(standing(server(), tool("a")), None, prompt).findings == ()


def test_two_that_no_server_brings_together_may_share_a_name() -> None:
    snapshot = standing(server("one", app="one"), server("two", app="two"), tool("a", app="one"))
    assert judged(snapshot, None, tool("b", app="two")).findings == ()


def test_a_server_that_brings_two_together_is_refused_and_names_both() -> None:
    (finding,) = judged(standing(tool("a"), tool("b")), None, server())
    assert (finding.ref, finding.path) == (server().ref, ("spec", "toolSelector"))
    assert [ref.name for ref in finding.related] == ["a", "b"]
    assert finding.message == (
        'MCPTool shop/a and MCPTool shop/b would both serve "search" on MCPServer shop/main; narrow spec.toolSelector '
        "or rename one of them"
    )


def prompt(ref: str, serves: str = "report", **labels: str) -> manifest.Object:
    return item("MCPPrompt", ref, {"name": serves, "template": "t"}, **labels)


def choosing(**spec: Any) -> manifest.Object:
    return item("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "shop"}}, **spec})


def test_a_server_that_brings_two_together_is_told_at_the_selector_that_does() -> None:
    everything = {"selectAll": True}
    prompts = standing(tool("t"), prompt("a", app="other"), prompt("b", app="other"))
    (finding,) = judged(prompts, None, choosing(promptSelector=everything, resourceSelector=everything)).errors
    assert format_path(finding.path) == "spec.promptSelector"
    assert "; narrow spec.promptSelector or rename one of them" in finding.message
    content = {"content": {"uri": "urn:a", "text": ""}}
    resources = standing(tool("t"), *(item("MCPResource", name, content, app="other") for name in "ab"))
    (finding,) = judged(resources, None, choosing(promptSelector=everything, resourceSelector=everything)).errors
    assert format_path(finding.path) == "spec.resourceSelector"
    tools = standing(tool("a"), tool("b"))
    (finding,) = judged(tools, None, choosing(promptSelector=everything, resourceSelector=everything)).errors
    assert format_path(finding.path) == "spec.toolSelector"


def test_a_prefix_that_makes_a_name_too_long_is_the_servers_fault() -> None:
    snapshot = standing(tool("a", "n" * 127))
    (finding,) = judged(snapshot, None, choosing(naming={"prefix": "x_"})).errors
    assert str(finding) == (
        f'InvalidName: spec.naming.prefix: "x_{"n" * 127}" must have at most 128 characters, got '
        '129; shorten it or the prefix "x_" of MCPServer shop/main'
    )
    assert finding.ref == server().ref
    (finding,) = judged(standing(choosing(naming={"prefix": "x_"})), None, tool("a", "n" * 127)).errors
    assert (finding.ref.name, format_path(finding.path)) == ("a", "spec.name")


def test_a_prefix_that_only_some_clients_cut_is_told_of_the_member() -> None:
    (finding,) = judged(standing(tool("a", "n" * 64)), None, choosing(naming={"prefix": "x_"}))
    assert (finding.reason, finding.ref.name, finding.level) == (Reason.LONG_NAME, "a", Level.WARNING)


def heavy(ref: str, weight: int) -> manifest.Object:
    whole = tool(ref, ref)
    assert isinstance(whole.fact, MemberFact)
    return replace(whole, fact=replace(whole.fact, weight=weight))


def test_a_member_that_makes_a_catalog_too_large_is_refused() -> None:
    full = heavy("a", catalogs.LIMIT)
    (finding,) = judged(standing(server(), full), None, tool("b", "b")).errors
    assert (finding.reason, finding.ref.name, finding.path) == (Reason.CATALOG_TOO_LARGE, "b", ())
    assert finding.related == (server().ref,)
    (told,) = judged(standing(server()), None, full)
    assert (told.reason, told.ref, told.level) == (Reason.CATALOG_TOO_LARGE, server().ref, Level.WARNING)


def server_with_ingress(ref: str, created: str = "", host: str = "a.example.com") -> manifest.Object:
    spec = {
        "toolSelector": {"selectAll": True},
        "ingress": {"host": host},
        "auth": {"type": "APIKey", "apiKey": {"secretName": "keys"}},
    }
    return item("MCPServer", ref, spec, created=created)


def test_the_server_that_comes_to_a_taken_ingress_is_refused_though_it_is_the_elder() -> None:
    elder = server_with_ingress("z", "2026-01-01T00:00:00Z", "b.example.com")
    moved = server_with_ingress("z", "2026-01-01T00:00:00Z")
    snapshot = standing(tool("t"), server_with_ingress("a", "2026-02-01T00:00:00Z"), elder)
    (finding,) = judged(snapshot, elder, moved).errors
    assert (finding.reason, finding.ref, finding.related) == (
        Reason.INGRESS_TAKEN,
        moved.ref,
        (Ref(Kind.SERVER, "shop", "a"),),
    )
    beside = snapshot.put(manifest_fact(moved))
    assert integrity.standing(beside, moved).errors == ()
    assert [f.reason for f in integrity.standing(beside, server_with_ingress("a", "2026-02-01T00:00:00Z")).errors] == [
        Reason.INGRESS_TAKEN
    ]
    assert judged(beside, moved, moved).findings == ()


def test_a_server_that_prefers_the_incumbent_admits_a_clash_with_a_warning() -> None:
    main = choosing(naming={"onConflict": "PreferIncumbent"})
    verdict = judged(standing(main, tool("a", created="2026-01-01T00:00:00Z")), None, tool("b"))
    assert verdict.allowed
    (finding,) = verdict
    assert (finding.reason, finding.ref.name, finding.level) == (Reason.DUPLICATE_NAME, "b", Level.WARNING)
    strict = judged(standing(main, tool("a"), tool("b")), main, server())
    assert [(f.reason, f.ref, format_path(f.path)) for f in strict.errors] == [
        (Reason.DUPLICATE_NAME, server().ref, "spec.toolSelector")
    ]


def test_a_change_of_what_must_stay_is_refused() -> None:
    before = choosing(redis={"serviceName": "orders", "port": 80, "keyPrefix": "a:"})
    after = choosing(redis={"serviceName": "orders", "port": 80, "keyPrefix": "b:"})
    (finding,) = judged(standing(tool("a"), before), before, after)
    assert (finding.reason, finding.ref) == (Reason.IMMUTABLE_FIELD, after.ref)


def broken() -> tuple[Snapshot, manifest.Object, manifest.Object]:
    """Two tools of one name on a server, as after a time without webhook."""
    elder, younger = tool("a", created="2026-01-01T00:00:00Z"), tool("b", created="2026-02-01T00:00:00Z")
    return standing(server(), elder, younger), elder, younger


def test_an_edit_passes_while_a_clash_stands() -> None:
    snapshot, elder, younger = broken()
    for old in (elder, younger):
        new = tool(old.ref.name, created=str(old.metadata["creationTimestamp"]), door="/new")
        assert judged(snapshot, old, new).findings == ()


def test_a_repair_passes() -> None:
    snapshot, _, younger = broken()
    assert judged(snapshot, younger, tool("b", "find")).findings == ()


def test_another_clash_beside_a_standing_one_is_refused() -> None:
    snapshot, _, younger = broken()
    door = snapshot.put(manifest_fact(tool("c", "other", door="/x")))
    (finding,) = judged(door, younger, tool("b", door="/x"))
    assert finding.reason is Reason.DUPLICATE_INGRESS_PATH


@pytest.mark.parametrize("created", ["", "2025-01-01T00:00:00Z", "2026-01-15T00:00:00Z", "2027-01-01T00:00:00Z"])
def test_a_third_holder_of_a_name_is_refused_whatever_its_age(created: str) -> None:
    snapshot, _, _ = broken()
    third, other = tool("c", created=created), tool("c", "other", created=created)
    for change in (judged(snapshot, None, third), judged(snapshot.put(manifest_fact(other)), other, third)):
        (finding,) = change.errors
        assert (finding.reason, finding.ref.name) == (Reason.DUPLICATE_NAME, "c")
    assert judged(snapshot.put(manifest_fact(third)), third, other).findings == ()


def test_a_server_that_exchanges_one_clash_for_another_is_refused() -> None:
    four = [tool(name, app="one" if name in "ab" else "two") for name in "abcd"]
    before, after = server(app="one"), server(app="two")
    (finding,) = judged(standing(before, *four), before, after).errors
    assert [ref.name for ref in finding.related] == ["c", "d"]


def manifest_fact(each: manifest.Object) -> Any:
    assert each.fact is not None
    return each.fact


def test_a_standing_clash_is_laid_on_the_younger() -> None:
    snapshot, elder, younger = broken()
    assert integrity.standing(snapshot, elder).findings == ()
    (finding,) = integrity.standing(snapshot, younger)
    assert (finding.reason, finding.ref) == (Reason.DUPLICATE_NAME, younger.ref)


def test_a_deletion_warns_of_what_it_leaves_empty_and_never_denies() -> None:
    snapshot = standing(server(), tool("a"))
    (finding,) = judged(snapshot, tool("a"), None)
    assert (finding.reason, finding.ref, finding.level) == (Reason.SELECTS_NOTHING, server().ref, Level.WARNING)
    snapshot, elder, _ = broken()
    assert judged(snapshot, elder, None).findings == ()
    assert judged(snapshot, server(), None).findings == ()


def test_an_object_that_cannot_be_read_claims_nothing() -> None:
    unreadable = item("MCPTool", "b", {"name": "search"})
    verdict = judged(standing(server(), tool("a")), None, unreadable)
    assert [finding.reason for finding in verdict] == [Reason.INVALID_FIELD]


def test_an_object_that_becomes_unreadable_and_readable_again() -> None:
    whole, unreadable = tool("b"), item("MCPTool", "b", {"name": "search"})
    snapshot = standing(server(), tool("a"))
    assert {f.reason for f in judged(snapshot.put(manifest_fact(whole)), whole, unreadable)} == {Reason.INVALID_FIELD}
    assert {f.reason for f in judged(snapshot, unreadable, whole)} == {Reason.DUPLICATE_NAME}


def test_a_selector_that_is_repaired_and_finds_nothing_warns_then() -> None:
    empty = item("MCPServer", "main", {"toolSelector": {}})
    assert {f.reason for f in judged(standing(empty), None, empty)} == {Reason.EMPTY_SELECTOR}
    assert {f.reason for f in judged(standing(empty), empty, server())} == {Reason.SELECTS_NOTHING}


def test_a_broken_selector_is_told_alone_and_another_one_beside_it() -> None:
    half = choosing(promptSelector={"matchLabels": {"-": "x"}}, resourceSelector={})
    verdict = judged(standing(), None, half)
    assert [(finding.reason, format_path(finding.path)) for finding in verdict] == [
        (Reason.EMPTY_SELECTOR, "spec.resourceSelector"),
        (Reason.INVALID_SELECTOR, "spec.promptSelector.matchLabels.-"),
        (Reason.SELECTS_NOTHING, "spec.toolSelector"),
    ]


def test_a_survey_finds_every_fault_of_all_together() -> None:
    items = [
        server(),
        tool("a"),
        tool("b"),
        item("MCPServer", "empty", {"toolSelector": {"matchLabels": {"app": "none"}}}),
        item("MCPTool", "c", {}),
    ]
    verdict = integrity.survey(Snapshot(), items)
    assert [(finding.reason, finding.ref.name) for finding in verdict] == [
        (Reason.DUPLICATE_NAME, "b"),
        (Reason.INVALID_FIELD, "c"),
        (Reason.SELECTS_NOTHING, "empty"),
        (Reason.SERVICE_MISSING, "a"),
        (Reason.SERVICE_MISSING, "b"),
    ]


def test_a_verdict_tells_errors_first_and_each_fault_once() -> None:
    ref = tool("a").ref
    warning = Finding.of(Reason.SERVICE_MISSING, ref, "w")
    error = Finding.of(Reason.DUPLICATE_NAME, ref, "e", path=("spec", "name"))
    again = Finding.of(Reason.DUPLICATE_NAME, ref, "the same in other words", path=("spec", "name"))
    verdict = Verdict.of([warning, error, again])
    assert list(verdict) == [error, warning]
    assert (verdict.errors, verdict.warnings) == ((error,), (warning,))
    assert verdict.findings[0].message == "e"
    assert (error.field_path, str(warning)) == ("spec.name", "ServiceMissing: w")
    assert Verdict().allowed


def test_the_step_between_two_whole_states_is_judged_by_itself() -> None:
    old = tool("a")
    new = item("MCPTool", "a", {"service": SERVICE, "inputSchema": {"type": "object", "required": ["q"]}})
    snapshot = standing(server(), new)

    (found,) = integrity.transition(snapshot, Change(new.ref, old, new))

    assert (found.reason, found.related) == (Reason.BREAKING_SCHEMA_CHANGE, (server().ref,))
    assert list(integrity.transition(snapshot, Change(new.ref, None, new))) == []
    assert list(integrity.transition(snapshot, Change(new.ref, old, None))) == []
    assert list(integrity.transition(Snapshot(), Change(new.ref, old, new))) == []


def test_a_label_that_brings_a_name_under_a_long_prefix_is_judged() -> None:
    long = item("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "shop"}}, "naming": {"prefix": "p" * 64}})
    old, new = tool("a", "s" * 65, app="other"), tool("a", "s" * 65, app="shop")

    found = integrity.judge(standing(long, old), Change(new.ref, old, new))

    assert [(f.reason, f.related) for f in found.errors] == [(Reason.INVALID_NAME, (long.ref,))]


def test_the_findings_of_an_object_cross_a_process_border_and_give_the_same_verdict() -> None:
    old, new = tool("a", "elder"), tool("a", tier="text")
    new = replace(new, spec=new.spec.model_copy(update={"input_schema": {"type": "array"}}))  # type: ignore[union-attr]
    change = Change(new.ref, old, new)
    known = standing(old, tool("b"), server(), server("other", tier="text"))

    crossed = pickle.loads(pickle.dumps(integrity.judge_object(change)))
    facts = Change(new.ref, replace(old, spec=None, raw={}), replace(new, spec=None, raw={}))

    verdict = integrity.judge(known, change)
    assert {finding.reason for finding in verdict} >= {Reason.INVALID_SCHEMA}
    assert list(map(repr, integrity.judge_relations(integrity.place(known, facts), facts, crossed))) == list(
        map(repr, verdict)
    )


def unfilled(count: int, first: int = 0) -> manifest.Object:
    """A prompt with this many placeholders that no variable fills."""
    text = "".join(f"{{{{n{number:04}}}}}" for number in range(first, first + count))
    messages = [{"text": text[at : at + 27_000]} for at in range(0, len(text), 27_000)]
    return item("MCPPrompt", "many", {"messages": messages})


def test_a_hundred_findings_are_listed_and_the_others_counted() -> None:
    verdict = judged(standing(), None, unfilled(150))

    assert len(verdict.findings) == 101
    assert not verdict.allowed
    assert str(verdict.findings[-1]) == (
        "UndeclaredPlaceholder: 50 more findings are not listed; correct the listed ones first"
    )
    assert len(judged(standing(), None, unfilled(100)).findings) == 100


def test_the_number_of_findings_counts_those_that_are_not_even_told() -> None:
    verdict = judged(standing(), None, unfilled(300))

    assert verdict.findings[-1].message.startswith("200 more findings")


def test_no_number_of_warnings_hides_an_error() -> None:
    found = [Finding.of(Reason.WEAK_DESCRIPTION, tool("a").ref, "", subject=(str(n),)) for n in range(200)]
    error = Finding.of(Reason.INVALID_NAME, tool("z").ref, "")
    verdict = Verdict.of([*found, error]).first()

    assert verdict.findings[0] == error
    assert [finding.level for finding in verdict.findings[1:]] == [Level.WARNING] * 100


def test_a_message_is_cut() -> None:
    found = Finding.of(Reason.INVALID_NAME, tool("a").ref, "x" * 2000)

    assert found.message == "x" * 1023 + "…"


def test_a_new_fault_beside_many_known_ones_is_refused() -> None:
    assert not judged(standing(), unfilled(400), unfilled(401)).allowed
    assert judged(standing(), unfilled(401), unfilled(400)).allowed


def test_a_repair_of_more_faults_than_are_compared_passes() -> None:
    most = integrity.MAX_FAULTS

    assert judged(standing(), unfilled(most + 500), unfilled(most + 400, first=100)).allowed


def contradictory(count: int, **members: Any) -> manifest.Object:
    """A tool with this many warnings about its schema."""
    properties = {f"p{number}": {"type": "integer", "minimum": 2, "maximum": 1} for number in range(count)}
    spec = {"service": SERVICE, "description": "Returns one order.", **members}
    return item("MCPTool", "many", {**spec, "inputSchema": {"type": "object", "properties": properties}})


def test_no_number_of_warnings_about_an_object_hides_an_error_in_it() -> None:
    unmapped = {"method": "GET", "http": {"path": "/orders/{missing}"}}

    for count in (10, integrity.MAX_WARNINGS, integrity.MAX_FAULTS + 100):
        verdict = judged(standing(), None, contradictory(count, **unmapped))
        assert [finding.reason for finding in verdict.errors] == ["UndeclaredPlaceholder"]
        assert {finding.reason for finding in verdict.warnings} >= {"UnsatisfiableSchema"}


def test_an_error_that_is_added_beside_more_warnings_than_are_compared_is_refused() -> None:
    many = integrity.MAX_WARNINGS + 50
    broken = contradictory(many, method="GET", http={"path": "/orders/{missing}"})

    assert not judged(standing(), contradictory(many), broken).allowed
    assert judged(standing(), broken, contradictory(many)).allowed
    assert judged(standing(), contradictory(many), contradictory(many + 1)).findings == ()


def test_a_selector_that_stays_faulty_is_not_said_to_select_nothing() -> None:
    faulty = {"toolSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]}}
    old, new = item("MCPServer", "main", faulty), item("MCPServer", "main", {**faulty, "replicas": 2})

    assert {finding.reason for finding in integrity.find_own(new)} == {"InvalidSelector"}
    assert judged(standing(), old, new).findings == ()


def test_a_rule_finds_nothing_in_the_kinds_that_it_is_not_applied_to() -> None:
    paths = sorted((Path(__file__).parents[2] / "manifests" / "examples").rglob("*.yaml"))
    raws: list[Any] = []
    for path in paths:
        with contextlib.suppress(yaml.YAMLError):  # some examples are not YAML
            raws += (raw for raw in yaml.safe_load_all(path.read_text()) if isinstance(raw, dict))
    named = (raw for raw in raws if manifest.kind_of(raw) in manifest.OURS and (raw.get("metadata") or {}).get("name"))
    items = [manifest.decode(raw) for raw in named]
    every = {rule for rules in integrity.OBJECT_RULES.values() for rule in rules}

    assert {each.ref.kind for each in items} == set(manifest.OURS)
    for each in items:
        for rule in every.difference(integrity.OBJECT_RULES[each.ref.kind]):
            assert [*rule(each)] == []


def test_a_new_member_joins_where_no_relation_can_be_at_fault() -> None:
    new = tool("a", "find", door="/find")
    assert isinstance(new.fact, MemberFact)

    joined = integrity.join(standing(server(), server("other"), tool("b", "search")), new.fact)

    assert joined is not None
    after, verdict = joined
    assert verdict.findings == ()
    assert after == standing(server(), server("other"), tool("b", "search"), new)


@pytest.mark.parametrize(
    ("spec", "new"),
    [
        ({}, tool("b", "search")),
        ({}, tool("a", "search", created="1")),
        ({}, tool("c", door="/search")),
        ({}, item("MCPTool", "c", {"service": SERVICE, "timeout": "31s"})),
        ({}, item("MCPTool", "c", {"service": SERVICE, "requiredScopes": ["read"]})),
        ({"naming": {"prefix": "x_"}}, tool("c", "find")),
        ({"rateLimits": {"tools": {"none": {"requests": 1}}}}, tool("c", "find")),
        ({"clients": ["openai-strict"]}, tool("c", "find")),
        ({"promptSelector": {"matchLabels": {"app": "none"}}}, tool("c", "find")),
        ({"resourceSelector": {"matchLabels": {"app": "none"}}}, tool("c", "find")),
    ],
)
def test_a_new_member_does_not_join_where_a_relation_may_be_at_fault(spec: Any, new: manifest.Object) -> None:
    main = item("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "shop"}}, **spec})
    snapshot = standing(main, tool("a", "search", door="/search"))

    assert new.fact is not None
    assert isinstance(new.fact, MemberFact)
    assert integrity.join(snapshot, new.fact) is None


def test_a_new_member_joins_with_its_own_findings_and_those_of_what_it_refers_to() -> None:
    spec = {"service": {**SERVICE, "port": 81}, "headersFrom": [KEY], "description": "short"}
    new = item("MCPTool", "c", spec)
    assert isinstance(new.fact, MemberFact)
    of_object = integrity.judge_object(Change(new.ref, None, new))

    joined = integrity.join(standing(server()), new.fact, of_object)

    assert joined is not None
    assert [finding.reason for finding in joined[1].errors] == []
    assert {finding.reason for finding in joined[1]} == {"ServicePortMissing", "SecretMissing", "WeakDescription"}
    assert joined[1] == integrity.judge(standing(server()), Change(new.ref, None, new))


def test_a_new_member_does_not_join_a_catalog_that_is_nearly_full() -> None:
    new = tool("c", "find").fact
    assert isinstance(new, MemberFact)
    heavy = replace(new, weight=catalogs.LIMIT * 4 // 5)

    assert integrity.join(standing(server()), heavy) is not None
    assert integrity.join(standing(server(), tool("a", "search")), heavy) is None
