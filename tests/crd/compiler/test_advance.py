"""A compilation in steps: what members bring is counted, what they leave is given up, and pauses are short."""

from __future__ import annotations

from typing import Any

import pytest

from crd.compiler import compilation, members
from crd.compiler.compilation import Compilation, Incumbents, advance, finish
from crd.facts import Claim, Space
from crd.finding import Reason
from crd.manifest import Object
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot
from tests.crd.compiler.test_compilation import NEW, SERVICES, content, prompt, server, tool

ORDERS = Ref(Kind.SERVICE, "shop", "orders")
MOUNTED = {"headersFrom": [{"name": "Authorization", "secretKeyRef": {"name": "s", "key": "k"}}]}
SECRET = Ref(Kind.SECRET, "shop", "s")


def step(
    before: Compilation | None, *there: Object, server_: Object | None = None, services: Snapshot = SERVICES
) -> Compilation:
    """The compilation of these members that follows another one; it equals that of the whole."""
    main = server_ or server()
    items = {item.ref: members.compile_member(item) for item in there}
    held = before.published() if before else Incumbents()
    known = {*before.members, *(finding.ref for finding in before.rejected)} if before else set()
    changed = [*items, *sorted(known - items.keys())]
    found = finish(advance(before, main, changed, items.get, services, held))
    whole = finish(advance(None, main, list(items), items.get, services, held))
    assert seen(found) == seen(whole)
    return found


def seen(made: Compilation) -> dict[str, Any]:
    """Everything that a compilation says."""
    claimants = {claim: sorted(refs) for claim, refs in made.claimants.items()}
    return {
        "text": made.text(),
        "members": sorted(made.members),
        "claimants": claimants,
        **{
            name: getattr(made, name)
            for name in ("holders", "moved", "backends", "mounts", "context", "tokens", "rejected", "unresolved")
        },
    }


def test_backends_and_mounts_are_counted_as_members_come_and_go() -> None:
    a, b = tool("a", **MOUNTED), tool("b", NEW, **MOUNTED)
    elsewhere = tool("b", NEW, service={"name": "stock", "port": 1})

    one = step(None, a)
    assert (one.backends, one.mounts) == ({(ORDERS, "http"): 1}, {SECRET: 1})
    two = step(one, a, b)
    assert (two.backends, two.mounts) == ({(ORDERS, "http"): 2}, {SECRET: 2})
    moved = step(two, a, elsewhere)
    assert moved.backends == {(ORDERS, "http"): 1, (Ref(Kind.SERVICE, "shop", "stock"), 1): 1}
    assert moved.mounts == {SECRET: 1}
    none = step(moved)
    assert (none.backends, none.mounts, none.context, none.tokens) == ({}, {}, 0, 0)
    assert none.members == set()


def test_the_context_of_a_server_is_that_of_its_tools() -> None:
    a, b = tool("a", description="A"), tool("b", NEW, description="What it does")
    alone = [step(None, each).context for each in (a, b)]

    both = step(step(None, a), a, b)
    assert both.context == sum(alone)
    assert step(both, b).context == alone[1]
    assert step(both, a, tool("b", NEW, description="B")).context < both.context


def test_findings_go_with_their_member() -> None:
    missing = tool("a", service={"name": "nowhere", "port": 80})
    made = step(None, missing)
    assert [finding.reason for finding in made.unresolved] == [Reason.SERVICE_MISSING]
    assert step(made, tool("a")).unresolved == ()
    assert step(made).unresolved == ()

    faulty = step(None, tool("a", method="FETCH"))
    assert [finding.ref.name for finding in faulty.rejected] == ["a"]
    assert step(faulty, tool("a")).rejected == ()
    assert step(faulty).rejected == ()

    lost = step(None, tool("a", name="x"), tool("b", NEW, name="x"))
    assert [finding.ref.name for finding in lost.rejected] == ["b"]
    assert step(lost, tool("a", name="x")).rejected == ()
    assert step(lost, tool("b", NEW, name="x")).rejected == ()
    assert step(lost, tool("a", name="x"), tool("b", NEW, name="y")).rejected == ()


def test_a_lost_conflict_names_the_winner_the_server_and_the_claim() -> None:
    (finding,) = step(None, content("a", "urn:x"), content("b", "urn:x", NEW)).rejected
    assert finding.reason is Reason.NAME_CONFLICT
    assert finding.subject == ("shop/main", "URI", "urn:x")
    assert finding.related == (Ref(Kind.RESOURCE, "shop", "a"), Ref(Kind.SERVER, "shop", "main"))


def test_of_a_member_that_loses_several_claims_the_name_comes_first() -> None:
    held = tool("a", name="x", ingressPath="/x")
    (finding,) = step(None, held, tool("b", NEW, name="x", ingressPath="/x")).rejected
    assert finding.subject[1:] == (Space.TOOL_NAME.value, "x")
    (finding,) = step(None, held, tool("b", NEW, name="y", ingressPath="/x")).rejected
    assert finding.subject[1:] == (Space.REST_PATH.value, "POST /x")


LONG = "What this tool does, and when a model should use it. " * 9


def test_a_tool_that_gets_over_the_budget_loses_its_findings_and_its_names() -> None:
    """The tool that is over the budget is the one that is reported, and nothing else is said of it."""
    old, rival = tool("old", name="x", description=LONG), tool("rival", NEW, name="x", description=LONG)
    missing = tool("missing", NEW, service={"name": "nowhere", "port": 80}, description=LONG)
    wide = step(None, old, rival, missing)
    assert {(f.ref.name, f.reason) for f in (*wide.rejected, *wide.unresolved)} == {
        ("rival", Reason.NAME_CONFLICT),
        ("missing", Reason.SERVICE_MISSING),
    }

    items = {each.ref: members.compile_member(each) for each in (old, rival, missing)}

    def under(before: Compilation | None, main: Object) -> Compilation:
        changed = () if before else list(items)
        return finish(advance(before, main, changed, items.get, SERVICES, Incumbents()))

    free = under(None, server())
    whole, followed = (under(before, server(contextBudget=100)) for before in (None, free))
    assert seen(followed) == seen(whole)
    assert seen(under(followed, server())) == seen(free)
    assert {finding.reason for finding in whole.rejected} == {Reason.CONTEXT_BUDGET_EXCEEDED}
    assert (whole.unresolved, whole.claimants, whole.holders, whole.tokens, whole.context) == ((), {}, {}, 0, 0)


def test_a_tool_over_the_budget_that_goes_makes_no_room() -> None:
    tools = [tool(f"t{number}", f"2026-01-0{number + 1}T00:00:00Z", description=LONG) for number in range(4)]
    budget = server(contextBudget=step(None, *tools[:2]).tokens)
    first = step(None, *tools, server_=budget)
    assert first.keys("tools") == ["t0", "t1"]
    second = step(first, *tools[:3], server_=budget)
    assert second.keys("tools") == ["t0", "t1"]
    assert [finding.ref.name for finding in second.rejected] == ["t2"]
    third = step(second, tools[0], tools[2], server_=budget)
    assert (third.keys("tools"), third.rejected) == (["t0", "t2"], ())
    # Prompts and resources take no room.
    fourth = step(third, tools[0], tools[2], prompt("p"), content("c", "urn:c"), server_=budget)
    assert fourth.keys("prompts") == ["p"]
    assert fourth.rejected == ()


@pytest.mark.parametrize("budget", [None, 100])
@pytest.mark.parametrize("count", [1, compilation.SLICE - 1, compilation.SLICE, 3 * compilation.SLICE + 1])
def test_each_walk_over_the_members_pauses_after_a_slice(count: int, budget: int | None) -> None:
    items = {
        each.ref: members.compile_member(each) for each in (tool(f"t{n:03}", description=LONG) for n in range(count))
    }
    taken: list[int] = [0]

    def selected(ref: Ref) -> members.CompiledMember | None:
        taken[-1] += 1
        return items.get(ref)

    main = server(**({"contextBudget": budget} if budget else {}))
    made: list[Compilation] = []

    def walk() -> compilation.Steps[None]:
        made.append((yield from advance(None, main, list(items), selected, SERVICES, Incumbents())))

    taken.extend(0 for _ in walk())

    # They are entered, their claims decided, their conflicts found, and they are placed; or they are entered, their
    # size is added up, the youngest are left out, and their claims are decided. Each chunk of a list is a pause, too.
    chunks = len(made[0].sections.get("tools", ()))
    assert len(taken) - 1 == 4 * (count // compilation.SLICE) + chunks
    assert max(taken) < 2 * compilation.SLICE


def test_the_pinned_tools_are_found_whatever_the_prefix() -> None:
    pin = {"inputSchema": "sha256:" + "0" * 64}
    pinned = tool("b", service={"name": "orders", "port": "http"}, mcp={"pin": pin, "onDrift": "Refuse"})
    for naming in ({}, {"prefix": "shop_"}):
        made = step(None, tool("a"), pinned, prompt("b"), server_=server(naming=naming))
        assert made.pinned() == (pinned.ref,)
    assert step(None, tool("a")).pinned() == ()


def test_claims_of_the_incumbents_that_nobody_has_any_more_have_moved() -> None:
    claim = Claim(Space.TOOL_NAME, "gone")
    held = Incumbents({claim: Ref(Kind.TOOL, "shop", "gone")})
    made = finish(advance(None, server(), [], lambda _ref: None, SERVICES, held))
    assert made.moved == {claim}
    assert made.affected() == {Ref(Kind.TOOL, "shop", "gone")}


def test_only_a_server_can_be_compiled() -> None:
    with pytest.raises(ValueError, match="MCPTool shop/a cannot be compiled"):
        finish(advance(None, tool("a"), [], lambda _ref: None, SERVICES, Incumbents()))
