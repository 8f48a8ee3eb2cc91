"""The contextBudget of a server: who may add tokens, and who may not."""

from __future__ import annotations

from typing import Any

import pytest

from crd import integrity
from crd.clients import tokens
from crd.facts import MemberFact, ServerFact
from crd.finding import Reason
from crd.integrity import Change
from crd.manifest import Object
from crd.ref import Kind
from crd.rules import budgets
from crd.snapshot import Snapshot
from tests.controller import states

SHORT, LONG = "What it does, and for whom.", "What it does, and when it is to be used. " * 6


def tool(name: str, /, description: str = SHORT, **spec: Any) -> Object:
    return states.tool(name, description=description, service={"name": "orders", "port": 80}, **spec)


def fact(item: Object) -> MemberFact:
    assert isinstance(item.fact, MemberFact)
    return item.fact


def cost(*items: Object) -> int:
    return sum(fact(item).tokens for item in items)


def server(budget: int | None = None, **spec: Any) -> Object:
    return states.server(**({} if budget is None else {"contextBudget": budget}), **spec)


def standing(*items: Object) -> Snapshot:
    return Snapshot.of(item.fact for item in items if item.fact is not None)


def refusals(snapshot: Snapshot, old: Object | None, new: Object | None) -> list[str]:
    item = new or old
    assert item is not None
    verdict = integrity.judge(snapshot, Change(item.ref, old, new))
    return [str(finding) for finding in verdict.errors if finding.reason is Reason.CONTEXT_BUDGET_EXCEEDED]


A, B, LARGER = tool("a"), tool("b"), tool("b", LONG)
EXACT = server(cost(A, B))
OTHERS = {"toolSelector": {"matchLabels": {"app": "other"}}}


@pytest.mark.parametrize(
    ("there", "old", "new", "is_refused"),
    [
        pytest.param([EXACT, A], None, B, False, id="a tool that fits"),
        pytest.param([EXACT, A], None, LARGER, True, id="a tool that does not"),
        pytest.param([server(), A], None, LARGER, False, id="no budget"),
        pytest.param([EXACT, A], None, tool("b", LONG, enabled=False), False, id="a tool that is not listed"),
        pytest.param([EXACT, A, B], B, LARGER, True, id="a longer description"),
        pytest.param([server(1), A, B], B, LARGER, True, id="further over the budget"),
        pytest.param([server(1), A, LARGER], LARGER, B, False, id="over the budget, but by less"),
        pytest.param([server(1), A, B], B, B, False, id="over the budget as before"),
        pytest.param([server(1), A, B], B, None, False, id="a deletion"),
        pytest.param([A, B], None, EXACT, False, id="a new server with room"),
        pytest.param([A, B], None, server(cost(A, B) - 1), True, id="a new server without"),
        pytest.param([EXACT, A, B], EXACT, server(cost(A, B) - 1), True, id="a lower budget"),
        pytest.param([server(1), A, B], server(1), server(2), False, id="a higher one that is still too low"),
        pytest.param([server(1), A, B], server(1), server(), False, id="a budget that is removed"),
        pytest.param([server(1, **OTHERS), A], server(1, **OTHERS), server(1), True, id="a wider selector"),
        pytest.param(
            [EXACT, A, B], EXACT, server(cost(A, B), naming={"prefix": "orders_of_the_shop_"}), True, id="a prefix"
        ),
        pytest.param([EXACT, A, tool("c", name="a")], None, B, True, id="a tool whose name another one has counts"),
    ],
)
def test_tokens_are_added_within_the_budget(
    there: list[Object], old: Object | None, new: Object | None, is_refused: bool
) -> None:
    assert bool(refusals(standing(*there), old, new)) == is_refused


def test_a_refusal_names_the_dearest_tools() -> None:
    others = [tool(f"t{number}", "What it does. " * number) for number in range(2, 6)]
    budget = cost(*others)

    (found,) = refusals(standing(server(budget), *others), None, B)

    dearest = ", ".join(f"t{number} ({cost(others[number - 2])})" for number in (5, 4, 3))
    assert found == (
        "ContextBudgetExceeded: the tools of MCPServer shop/main would have about "
        f"{budget + cost(B)} tokens, more than its contextBudget of {budget}; the most expensive are {dearest}; "
        "shorten their descriptions and schemas, select fewer tools or raise spec.contextBudget"
    )


def test_only_of_some_servers_the_dearest_tools_are_looked_for() -> None:
    servers = [states.server(f"s{number}", contextBudget=1) for number in range(20)]

    found = refusals(standing(*servers), None, A)

    assert sum("the most expensive are a" in each for each in found) == integrity.MAX_NAMED
    assert len(found) == 20


def test_a_server_over_its_budget_is_found_where_it_stands() -> None:
    given = server(1)

    (found,) = integrity.standing(standing(given, A), given).errors

    assert (found.reason, found.ref, found.field_path) == (
        Reason.CONTEXT_BUDGET_EXCEEDED,
        given.ref,
        "spec.contextBudget",
    )


def test_a_state_that_a_tool_may_still_have_counts() -> None:
    snapshot = standing(server(cost(A, B, LARGER)), B)
    change = Change(A.ref, None, A)
    placed, of_object = integrity.place(snapshot, change), integrity.judge_object(change)

    assert integrity.judge_relations(placed, change, of_object, lambda: [fact(LARGER)]).allowed
    tight = integrity.place(standing(server(cost(A, LARGER) - 1), B), change)
    assert integrity.judge_relations(tight, change, of_object).allowed
    assert not integrity.judge_relations(tight, change, of_object, lambda: [fact(LARGER)]).allowed
    unselected = fact(states.tool("z", description=LONG))
    elsewhere = MemberFact(unselected.ref, {"app": "z"}, "", "", unselected.claims, (), tokens=unselected.tokens)
    assert integrity.judge_relations(tight, change, of_object, lambda: [elsewhere]).allowed
    assert integrity.judge_relations(tight, change, of_object, lambda: [fact(tool("a", LONG))]).allowed


def test_the_view_of_a_server_has_the_sum_whatever_the_way_to_it() -> None:
    given = server(1, naming={"prefix": "p_"})
    assert isinstance(given.fact, ServerFact)
    once = standing(given, A, LARGER, states.prompt("p"))
    stepwise = standing(given, A).put(fact(B)).put(fact(LARGER)).put(fact(tool("c"))).drop(tool("c").ref)

    expected = cost(A, LARGER) + 2 * tokens.estimate(b"p_")
    assert budgets.total(once, given.fact) == budgets.total(stepwise, given.fact) == expected
    assert budgets.total(once.put(fact(tool("b", LONG, enabled=False))), given.fact) == cost(A) + tokens.estimate(b"p_")
    assert {kind: once.view(given.ref).count(kind) for kind in (Kind.TOOL, Kind.PROMPT)} == {
        Kind.TOOL: 2,
        Kind.PROMPT: 1,
    }
