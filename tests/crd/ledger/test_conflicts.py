"""What may join the writes that are being admitted, and what becomes of an intent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crd import manifest
from crd.facts import MemberFact
from crd.finding import Level, Reason
from crd.integrity import Change
from crd.ledger import conflicts, intent
from crd.ledger.conflicts import Conflict, Grant
from crd.ledger.intent import KEEP, LEASE
from crd.manifest import Object
from crd.ref import Kind
from crd.snapshot import Snapshot

NOW = 1_000_000.0


def item(kind: Kind, name: str, labels: dict[str, str], uid: str, version: str, /, **spec: Any) -> Object:
    metadata: dict[str, Any] = {"name": name, "namespace": "shop", "labels": labels, "uid": uid}
    if version:
        metadata["resourceVersion"] = version
    return manifest.decode(
        {"apiVersion": "mcp.example.com/v1alpha1", "kind": kind.value, "metadata": metadata, "spec": spec}
    )


def tool(
    name: str, served: str = "get", /, app: str = "shop", *, uid: str = "", version: str = "", **spec: Any
) -> Object:
    spec = {"name": served, "service": {"name": "orders", "port": 80}, **spec}
    return item(Kind.TOOL, name, {"app": app}, uid or f"uid-{name}", version, **spec)


def prompt(name: str, /, **spec: Any) -> Object:
    return item(Kind.PROMPT, name, {"app": "shop"}, f"uid-{name}", "", template="text", **spec)


def text(name: str, uri: str) -> Object:
    return item(Kind.RESOURCE, name, {"app": "shop"}, f"uid-{name}", "", content={"uri": uri, "text": "x"})


def server(*apps: str, version: str = "", integrity: str = "Strict", **spec: Any) -> Object:
    wanted = {"matchExpressions": [{"key": "app", "operator": "In", "values": list(apps or ("shop",))}]}
    return item(Kind.SERVER, "main", {}, "uid-main", version, toolSelector=wanted, integrity=integrity, **spec)


STRICT, STANDARD = server(version="1"), server(version="1", integrity="Standard")
PREFERRING = server(version="1", naming={"onConflict": "PreferIncumbent"})


def snapshot(*items: Object) -> Snapshot:
    return Snapshot.of(item.fact for item in items if item.fact)


def made(new: Object) -> Change:
    return Change(new.ref, None, new)


def noted(*changes: Change, at: float = NOW - 1) -> conflicts.Intents:
    return tuple(entry for entry in (intent.of(change, at) for change in changes) if entry)


def clashing(outcome: Grant | Conflict) -> set[tuple[str, ...]]:
    if isinstance(outcome, Grant):
        return set()
    return {(*(ref.name for ref in clash.claimants), clash.claim.value) for clash in outcome.clashes}


ROWS = {
    "of two tools of one name the second is refused": (
        [STRICT], [made(tool("a"))], made(tool("b")), {("a", "get")}),
    "another name is granted": (
        [STRICT], [made(tool("a"))], made(tool("b", "put")), set()),
    "a tool that the server does not select is granted": (
        [STRICT], [made(tool("a"))], made(tool("b", app="other")), set()),
    "a standard server is none of the ledger's business": (
        [STANDARD], [made(tool("a"))], made(tool("b")), set()),
    "a server that prefers the incumbent lets both in": (
        [PREFERRING], [made(tool("a"))], made(tool("b")), set()),
    "an object does not clash with what it was to be before": (
        [STRICT], [made(tool("a"))], made(tool("a", uid="another")), set()),
    "a name that is being given up is taken until that is stored": (
        [STRICT], [made(tool("a")), Change(tool("a").ref, tool("a"), tool("a", "put"))], made(tool("b")),
        {("a", "get")}),
    "prompts clash with prompts": (
        [STRICT], [made(prompt("p", name="ask"))], made(prompt("q", name="ask")), {("p", "ask")}),
    "URIs clash": (
        [STRICT], [made(text("r", "urn:x"))], made(text("s", "urn:x")), {("r", "urn:x")}),
    "doors clash": (
        [STRICT], [made(tool("a", ingressPath="/x"))], made(tool("b", "put", ingressPath="/x")), {("a", "POST /x")}),
    "of two names and two doors only the names clash": (
        [STRICT], [made(tool("a", ingressPath="/x"))], made(tool("b", ingressPath="/y")), {("a", "get")}),
    "a tool and a prompt of one name do not clash": (
        [STRICT], [made(prompt("p", name="get"))], made(tool("b")), set()),
    "a known tool under a server that is being widened": (
        [STRICT, tool("a")], [Change(STRICT.ref, STRICT, server("shop", "new"))], made(tool("b", app="new")),
        {("a", "get")}),
    "a server that is being widened over others": (
        [STRICT, tool("a", app="new")], [Change(STRICT.ref, STRICT, server("new"))], made(tool("b", app="else")),
        set()),
    "two new tools under a server that is being widened": (
        [STRICT], [Change(STRICT.ref, STRICT, server("shop", "new")), made(tool("a", app="new"))],
        made(tool("b", app="shop")), {("a", "get")}),
    "a server that is widened over a tool that is being admitted": (
        [STRICT, tool("a")], [made(tool("b", app="new"))],
        Change(STRICT.ref, STRICT, server("shop", "new")), {("a", "b", "get")}),
    "a server that is widened over two tools that are being admitted": (
        [STRICT], [made(tool("a", app="new")), made(tool("b", app="new"))],
        Change(STRICT.ref, STRICT, server("shop", "new")), {("a", "b", "get")}),
    "a tool that is being admitted elsewhere": (
        [STRICT], [made(tool("a", app="else")), made(tool("c", "put", app="else"))], made(tool("b")), set()),
    "a server that is widened over two states of one tool": (
        [STRICT, tool("a")], [made(tool("a", app="new")), made(tool("a", app="new", uid="again"))],
        Change(STRICT.ref, STRICT, server("shop", "new")), set()),
    "a server that is widened over others than are being admitted": (
        [STRICT], [made(tool("a", app="else"))], Change(STRICT.ref, STRICT, server("shop", "new")), set()),
    "a server that prefers the incumbent may widen": (
        [PREFERRING, tool("a")], [made(tool("b"))], Change(PREFERRING.ref, None, PREFERRING), set()),
    "an existing conflict is not a conflict of this change": (
        [STRICT, tool("b")], [made(tool("a"))],
        Change(tool("b").ref, tool("b"), tool("b", ingressPath="/x")), set()),
    "a server may become strict whatever stands": (
        [STANDARD, tool("b")], [made(tool("a"))], Change(STANDARD.ref, STANDARD, STRICT), set()),
    "a deletion clashes with nothing": (
        [STRICT], [made(tool("a"))], Change(tool("a").ref, tool("a"), None), set()),
}  # fmt: skip


def with_budget(over: int, *tools: Object, apps: tuple[str, ...] = (), **spec: Any) -> Object:
    """A Strict server whose budget lacks so many tokens for these tools."""
    needed = sum(each.fact.tokens for each in tools if isinstance(each.fact, MemberFact))
    return server(*apps, version="1", contextBudget=needed - over, **spec)


LONG = {"description": "What this tool does, and when it is to be used instead of the other ones. " * 8}
ONE, TWO, ELSEWHERE = tool("a", "one", **LONG), tool("b", "two", **LONG), tool("c", "three", app="other", **LONG)
FULL, LARGE = with_budget(1, ONE, TWO), with_budget(0, ONE, TWO)


@pytest.mark.parametrize(
    ("there", "before", "change", "is_refused"),
    [
        pytest.param([FULL], [made(ONE)], made(TWO), True, id="the second of two tools"),
        pytest.param([LARGE], [made(ONE)], made(TWO), False, id="two that fit"),
        pytest.param([with_budget(1, ONE, TWO, integrity="Standard")], [made(ONE)], made(TWO), False, id="standard"),
        pytest.param(
            [with_budget(1, ONE, TWO, naming={"onConflict": "PreferIncumbent"})],
            [made(ONE)],
            made(TWO),
            True,
            id="a server that prefers the incumbent of a name",
        ),
        pytest.param([FULL], [made(ELSEWHERE)], made(TWO), False, id="one that the server does not select"),
        pytest.param([FULL], [made(prompt("p"))], made(TWO), False, id="a prompt"),
        pytest.param([], [made(FULL), made(ONE)], made(TWO), True, id="a server that is being admitted"),
        pytest.param([], [made(ONE), made(TWO)], made(FULL), True, id="a server over tools that are being admitted"),
        pytest.param(
            [LARGE, ONE], [made(TWO)], Change(FULL.ref, LARGE, FULL), True, id="a budget that is being lowered"
        ),
        pytest.param([FULL, ONE, TWO], [], Change(TWO.ref, TWO, TWO), False, id="no more than before"),
        pytest.param([FULL, ONE], [made(ONE)], made(prompt("p")), False, id="another kind"),
    ],
)
def test_a_change_keeps_to_the_budgets(
    there: list[Object], before: list[Change], change: Change, is_refused: bool
) -> None:
    outcome = conflicts.decide(snapshot(*there), noted(*before), change, NOW)

    assert isinstance(outcome, Conflict) == is_refused
    if isinstance(outcome, Conflict):
        assert outcome.clashes == ()
        (finding,) = conflicts.findings(outcome, change, {})
        assert (finding.reason, finding.ref) == (Reason.CONTEXT_BUDGET_EXCEEDED, change.ref)
        assert f"retry in {LEASE:.0f} s" in finding.message
        assert {one.ref for one in before} <= outcome.involved(change.ref)


def test_each_state_that_is_intended_for_a_server_has_its_own_selection() -> None:
    alone, both = (with_budget(1, ONE, TWO, apps=apps) for apps in (("shop",), ("shop", "other")))
    other = tool("a", "one", app="other", **LONG)

    outcome = conflicts.decide(snapshot(other), noted(made(alone), made(both)), made(TWO), NOW)

    assert isinstance(outcome, Conflict)
    assert both.fact is not None
    assert [[entry.fact for entry in breach.because] for breach in outcome.breaches] == [[intent.essence(both.fact)]]


def test_an_excess_of_what_is_stored_is_not_worded_as_pending() -> None:
    outcome = conflicts.decide(snapshot(FULL), noted(made(ONE)), made(TWO), NOW)

    assert isinstance(outcome, Conflict)
    (finding,) = conflicts.findings(outcome, made(TWO), {ONE.ref: ONE})
    assert "retry" not in finding.message


def test_a_state_that_a_tool_may_still_have_counts_against_the_budget() -> None:
    short = tool("a", "one", description="Short, and to the point.")
    assert isinstance(ONE.fact, MemberFact)

    assert isinstance(conflicts.decide(snapshot(FULL, short), (), made(TWO), NOW), Grant)
    assert isinstance(conflicts.decide(snapshot(FULL, short), (), made(TWO), NOW, [ONE.fact]), Conflict)


@pytest.mark.parametrize(
    ("there", "change", "is_recorded"),
    [
        pytest.param(FULL, Change(ONE.ref, tool("a", "one"), ONE), True, id="more tokens"),
        pytest.param(FULL, Change(ONE.ref, ONE, tool("a", "one")), False, id="fewer tokens"),
        pytest.param(STRICT, Change(ONE.ref, tool("a", "one"), ONE), False, id="no budget"),
        pytest.param(FULL, Change(ONE.ref, ONE, tool("a", "other", **LONG)), True, id="another name"),
        pytest.param(LARGE, Change(FULL.ref, LARGE, FULL), True, id="another budget"),
        pytest.param(LARGE, Change(LARGE.ref, LARGE, LARGE), False, id="nothing"),
    ],
)
def test_what_may_exceed_a_budget_is_recorded(there: Object, change: Change, is_recorded: bool) -> None:
    assert conflicts.concerns(snapshot(there), change) == is_recorded


CONST = {"inputSchema": {"type": "object", "properties": {"a": {"type": "string", "const": "x"}}}}
WIDER = server("shop", "new", clients=["gemini"])
SPOILT, FINE = tool("a", "one", **CONST), tool("a", "one")
NAMING = server(version="1", clients=["gemini"])
LENIENT = server(version="1", clients=["gemini"], integrity="Standard")


@pytest.mark.parametrize(
    ("there", "before", "change", "place"),
    [
        pytest.param([STRICT], [Change(NAMING.ref, STRICT, NAMING)], made(SPOILT), "tool", id="a tool that comes"),
        pytest.param([STRICT], [made(SPOILT)], Change(NAMING.ref, STRICT, NAMING), "server", id="a client that comes"),
        pytest.param(
            [STRICT, FINE], [Change(NAMING.ref, STRICT, NAMING)], Change(FINE.ref, FINE, SPOILT), "tool", id="a schema"
        ),
        pytest.param([STRICT], [Change(NAMING.ref, STRICT, NAMING)], made(FINE), "", id="a tool that it can use"),
        pytest.param([STRICT], [made(tool("a", "one", app="other", **CONST))], Change(NAMING.ref, STRICT, NAMING), "",
                     id="one that the server does not select"),
        pytest.param([STRICT], [Change(LENIENT.ref, STRICT, LENIENT)], made(SPOILT), "", id="standard"),
        pytest.param([NAMING, FINE], [made(SPOILT)], Change(NAMING.ref, NAMING, WIDER), "", id="what was so before"),
        pytest.param([STRICT], [made(tool("a", "x" * 50))],
                     Change(NAMING.ref, STRICT, server(clients=["cursor"], naming={"prefix": "shop_"})),
                     "server", id="a name that is too long with the prefix"),
    ],
)  # fmt: skip
def test_a_change_keeps_to_the_clients_that_a_server_names(
    there: list[Object], before: list[Change], change: Change, place: str
) -> None:
    outcome = conflicts.decide(snapshot(*there), noted(*before), change, NOW)

    assert isinstance(outcome, Conflict) == bool(place)
    if isinstance(outcome, Conflict):
        (finding,) = conflicts.findings(outcome, change, {})
        assert (finding.reason, finding.ref, finding.level) == (Reason.CLIENT_PORTABILITY, change.ref, Level.ERROR)
        assert finding.field_path == ("spec.inputSchema.properties.a.const" if place == "tool" else "spec.clients")
        assert f"retry in {LEASE:.0f} s" in finding.message
        assert {one.ref for one in before} <= outcome.involved(change.ref)


@pytest.mark.parametrize(
    ("there", "change", "is_recorded"),
    [
        pytest.param(STRICT, Change(FINE.ref, FINE, SPOILT), True, id="a client less, wherever a server is Strict"),
        pytest.param(LENIENT, Change(FINE.ref, FINE, SPOILT), False, id="nobody is Strict"),
        pytest.param(STRICT, Change(FINE.ref, SPOILT, FINE), False, id="a client more"),
        pytest.param(STRICT, Change(NAMING.ref, STRICT, NAMING), True, id="a client that is named"),
        pytest.param(
            PREFERRING,
            Change(NAMING.ref, PREFERRING, server(clients=["gemini"], naming={"onConflict": "PreferIncumbent"})),
            True,
            id="also where names are not held",
        ),
    ],
)
def test_what_a_named_client_may_not_be_able_to_use_is_recorded(
    there: Object, change: Change, is_recorded: bool
) -> None:
    assert conflicts.concerns(snapshot(there), change) == is_recorded


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_change_is_granted_or_clashes(row: Any) -> None:
    there, before, change, expected = row

    assert clashing(conflicts.decide(snapshot(*there), noted(*before), change, NOW)) == expected


def test_what_is_granted_is_noted_once() -> None:
    first = conflicts.decide(snapshot(STRICT), (), made(tool("a")), NOW)
    assert isinstance(first, Grant)
    again = conflicts.decide(snapshot(STRICT), first.intents, made(tool("a")), NOW + 5)

    assert isinstance(again, Grant)
    assert [(entry.fact.ref.name, entry.at) for entry in again.intents] == [("a", NOW + 5)]


def test_an_intent_is_forgotten_when_every_replica_must_have_been_shown_the_write() -> None:
    old = noted(made(tool("a")), at=NOW - KEEP - 1)

    outcome = conflicts.decide(snapshot(STRICT), old, made(tool("b")), NOW)

    assert isinstance(outcome, Grant)
    assert [entry.fact.ref.name for entry in outcome.intents] == ["b"]


CONCERNED = {
    "a new tool": ([STRICT], made(tool("a")), True),
    "a new tool where nobody is strict": ([STANDARD], made(tool("a")), False),
    "a new tool where conflicts are let in": ([PREFERRING], made(tool("a")), False),
    "a tool that is switched off": ([STRICT], made(tool("a", enabled=False)), False),
    "a new description": ([STRICT], Change(tool("a").ref, tool("a"), tool("a", description="Gets.")), False),
    "a new name": ([STRICT], Change(tool("a").ref, tool("a"), tool("a", "put")), True),
    "new labels": ([STRICT], Change(tool("a").ref, tool("a"), tool("a", app="new")), True),
    "a tool that could not be read before": (
        [STRICT], Change(tool("a").ref, replace(tool("a"), spec=None, fact=None), tool("a")), True),
    "a deletion": ([STRICT], Change(tool("a").ref, tool("a"), None), False),
    "a new strict server": ([], made(STRICT), True),
    "a new standard server": ([STRICT], made(STANDARD), False),
    "more replicas": ([STRICT], Change(STRICT.ref, STRICT, server(replicas=2)), False),
    "another selector": ([STRICT], Change(STRICT.ref, STRICT, server("new")), True),
    "a server that becomes strict": ([STANDARD], Change(STRICT.ref, STANDARD, STRICT), True),
}  # fmt: skip


@pytest.mark.parametrize("row", CONCERNED.values(), ids=CONCERNED)
def test_only_what_claims_or_selects_anew_is_noted(row: Any) -> None:
    there, change, expected = row

    assert conflicts.concerns(snapshot(*there), change) is expected


@pytest.mark.parametrize(("there", "expected"), [(STRICT, True), (STANDARD, False)])
def test_a_namespace_is_guarded_where_a_server_is_strict(there: Object, expected: bool) -> None:
    assert conflicts.is_guarded(snapshot(there), "shop") is expected
    assert not conflicts.is_guarded(snapshot(there), "elsewhere")


OLD = tool("a", "old", version="5")
CREATION = noted(made(tool("a", uid="u")))[0]
UPDATE = noted(Change(OLD.ref, OLD, tool("a")))[0]
MOOT = {
    "what is stored counts": (UPDATE, tool("a", version="6"), NOW, False),
    "what is stored counts however old it is": (UPDATE, tool("a", version="6"), NOW + 10 * LEASE, False),
    "an update may still land on what it replaces": (UPDATE, OLD, NOW, False),
    "an update cannot land on another state": (UPDATE, tool("a", "else", version="6"), NOW, True),
    "an update cannot land on nothing": (UPDATE, None, NOW, True),
    "an update cannot land after so long": (UPDATE, OLD, NOW + LEASE, True),
    "a creation may still land on nothing": (CREATION, None, NOW, False),
    "a creation that landed is gone": (replace(CREATION, landed=True), None, NOW, True),
    "a creation cannot land after so long": (CREATION, None, NOW + LEASE, True),
    "a creation that landed was changed": (CREATION, tool("a", "else", uid="u"), NOW, True),
    "a creation may land once another of its name has gone": (CREATION, tool("a", "else", uid="v"), NOW, False),
    "a creation of no known uid may land": (replace(CREATION, uid=""), tool("a", "else", uid="v"), NOW, False),
    "what cannot be read is another state": (UPDATE, replace(OLD, fact=None, raw={}), NOW, True),
}


@pytest.mark.parametrize("row", MOOT.values(), ids=MOOT)
def test_an_intent_counts_until_it_is_not_stored_and_cannot_be(row: Any) -> None:
    entry, stored, now, expected = row

    assert intent.moot(entry, stored, now) is expected
    assert conflicts.drop_moot((entry,), {entry.fact.ref: stored}, now) == (() if expected else (entry,))
    assert conflicts.drop_moot((entry,), {}, now) == (entry,)


def test_changes_that_are_decided_together_see_one_another() -> None:
    changes = [
        (made(tool("a")), False),
        (made(tool("b")), False),
        (made(tool("c", "put")), True),
        (made(tool("d", "put")), False),
    ]

    intents, outcomes = conflicts.decide_all(snapshot(STRICT), (), changes, NOW)

    # A dry run is decided like the others, and leaves nothing.
    assert [outcome is None for outcome in outcomes] == [True, False, True, True]
    assert [entry.fact.ref.name for entry in intents] == ["a", "d"]


def test_a_change_that_was_not_admitted_leaves_the_ledger() -> None:
    both = noted(made(tool("a")), made(tool("b", "put")))

    own = intent.of(made(tool("a")), 0.0)
    assert own is not None
    assert conflicts.without(both, [own]) == both[1:]
    assert conflicts.without(both[1:], [own]) == both[1:]


def findings_of(
    change: Change, there: list[Object], before: conflicts.Intents, *stored: Object
) -> tuple[Reason, str, str]:
    outcome = conflicts.decide(snapshot(*there), before, change, NOW)
    assert isinstance(outcome, Conflict)
    (finding,) = conflicts.findings(outcome, change, {one.ref: one for one in stored})
    return finding.reason, finding.field_path, finding.message


def test_a_holder_that_is_on_its_way_is_named_as_such() -> None:
    reason, path, message = findings_of(made(tool("b")), [STRICT], noted(made(tool("a"))))

    assert (reason, path) == (Reason.DUPLICATE_NAME, "spec.name")
    assert message == (
        'MCPTool shop/a is being admitted right now to serve "get" on MCPServer shop/main; '
        "change spec.name, or retry in 90 s if that write was not stored"
    )


def test_a_holder_that_has_been_stored_is_named_plainly() -> None:
    assert findings_of(made(text("s", "urn:x")), [STRICT], noted(made(text("r", "urn:x"))), text("r", "urn:x")) == (
        Reason.DUPLICATE_URI,
        "spec.content.uri",
        'MCPResource shop/r already serves "urn:x" on MCPServer shop/main; change spec.content.uri',
    )


def test_a_server_that_is_widened_is_told_of_both() -> None:
    widened = Change(STRICT.ref, STRICT, server("shop", "new"))
    before = noted(made(tool("b", app="new")))
    plain = 'MCPTool shop/a and MCPTool shop/b would both serve "get" on MCPServer shop/main'

    _, path, message = findings_of(widened, [STRICT, tool("a")], before)
    assert path == "spec.toolSelector"
    assert message.startswith(f"{plain}, and one of them is being admitted right now; narrow spec.toolSelector")
    _, _, message = findings_of(widened, [STRICT, tool("a")], before, tool("b", app="new"))
    assert message == f"{plain}; narrow spec.toolSelector or rename one of them"


def test_nothing_is_intended_by_what_cannot_be_read() -> None:
    assert intent.of(made(replace(tool("a"), fact=None)), NOW) is None
    granted = conflicts.decide(snapshot(STRICT), (), made(replace(tool("a"), fact=None)), NOW)
    assert granted == Grant(())


def test_a_write_may_land_for_as_long_as_the_api_server_may_store_it() -> None:
    """It gives up on a request after 60 s (--request-timeout); clocks of two replicas differ by some seconds."""
    (entry,) = noted(made(tool("a", uid="1")), at=NOW - 75)

    assert intent.can_land(entry, None, NOW)
    assert not intent.can_land(entry, None, NOW + 3600)
