"""The snapshot finds what it was given, and a change leaves the old snapshot as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crd.facts import Claim, Fact, MemberFact, ServerFact, ServiceFact, Space
from crd.ref import Kind, Ref
from crd.selector import Operator, Requirement, Selector
from crd.snapshot import ServerView, Snapshot

MAIN = Ref(Kind.SERVER, "shop", "main")
ORDERS = ServiceFact(Ref(Kind.SERVICE, "shop", "orders"), "ClusterIP", (("http", 80),))
NAME = Claim(Space.TOOL_NAME, "search")
APP = Requirement("app", Operator.IN, frozenset({"shop"}))


def tool(name: str, namespace: str = "shop", claim: Claim = NAME, **labels: str) -> MemberFact:
    return MemberFact(Ref(Kind.TOOL, namespace, name), labels or {"app": "shop"}, f"uid-{name}", "", (claim,), ())


def server(*requirements: Requirement, name: str = "main", select_all: bool = False) -> ServerFact:
    return ServerFact(Ref(Kind.SERVER, "shop", name), Selector(requirements, select_all))


def members(snapshot: Snapshot) -> set[str]:
    return {ref.name for ref in snapshot.view(MAIN).members}


def test_a_fact_is_found_by_its_kind_only() -> None:
    snapshot = Snapshot.of([tool("a"), server(APP), ORDERS])
    assert len(snapshot) == 3
    assert {fact.ref for fact in snapshot} == {tool("a").ref, MAIN, ORDERS.ref}
    assert snapshot.get(MAIN) == server(APP)
    assert (snapshot.member(tool("a").ref), snapshot.server(MAIN), snapshot.service(ORDERS.ref)) == (
        tool("a"),
        server(APP),
        ORDERS,
    )
    assert (snapshot.member(MAIN), snapshot.server(ORDERS.ref), snapshot.service(tool("a").ref)) == (None, None, None)
    assert snapshot.get(tool("b").ref) is None
    assert list(snapshot.refs(Kind.TOOL, "shop")) == [tool("a").ref]
    assert list(snapshot.refs(Kind.TOOL, "other")) == []


@pytest.mark.parametrize("facts", [[tool("a"), server(APP)], [server(APP), tool("a")]])
def test_a_server_sees_a_member_whichever_came_first(facts: list[Fact]) -> None:
    snapshot = Snapshot.of(facts)
    assert members(snapshot) == {"a"}
    assert dict(snapshot.view(MAIN).claimants) == {NAME: (tool("a").ref,)}


def test_a_server_sees_its_own_namespace_only() -> None:
    assert members(Snapshot.of([server(APP), tool("a", namespace="other")])) == set()


@pytest.mark.parametrize(
    ("requirements", "select_all", "seen"),
    [
        pytest.param([APP], False, {"shop"}, id="by a value"),
        pytest.param([Requirement("tier", Operator.EXISTS)], False, {"tiered"}, id="by a key"),
        pytest.param([Requirement("tier", Operator.DOES_NOT_EXIST)], False, {"shop", "other"}, id="by what is absent"),
        pytest.param([], True, {"shop", "other", "tiered"}, id="all"),
        pytest.param([], False, set(), id="none"),
        pytest.param([Requirement("app", Operator.IN)], False, set(), id="by no value"),
    ],
)
def test_each_kind_of_selector(requirements: list[Requirement], select_all: bool, seen: set[str]) -> None:
    facts = [tool("shop"), tool("other", app="other"), tool("tiered", tier="web")]
    early = Snapshot.of(facts).put(server(*requirements, select_all=select_all))
    late = Snapshot.of([server(*requirements, select_all=select_all), *facts])
    assert members(early) == members(late) == seen


def test_a_change_of_labels_moves_a_member() -> None:
    snapshot = Snapshot.of([server(APP), tool("a")]).put(tool("a", app="other"))
    assert members(snapshot) == set()
    assert members(snapshot.put(tool("a"))) == {"a"}


def test_a_change_of_name_moves_a_claim() -> None:
    other = Claim(Space.TOOL_NAME, "find")
    snapshot = Snapshot.of([server(APP), tool("a"), tool("b")])
    assert snapshot.view(MAIN).claimants[NAME] == (tool("a").ref, tool("b").ref)
    snapshot = snapshot.put(tool("a", claim=other))
    assert dict(snapshot.view(MAIN).claimants) == {NAME: (tool("b").ref,), other: (tool("a").ref,)}


def test_a_change_of_the_selector_changes_the_view() -> None:
    snapshot = Snapshot.of([server(APP), tool("a"), tool("b", app="other")])
    changed = snapshot.put(server(Requirement("app", Operator.NOT_IN, frozenset({"shop"}))))
    assert members(changed) == {"b"}
    assert members(changed.put(tool("c", app="other"))) == {"b", "c"}


def test_what_is_dropped_is_gone() -> None:
    snapshot = Snapshot.of([server(APP), tool("a"), ORDERS])
    empty = snapshot.drop(tool("a").ref).drop(MAIN).drop(ORDERS.ref)
    assert empty == Snapshot()
    assert empty.view(MAIN) == ServerView(MAIN)
    assert list(empty.selecting(Kind.TOOL, "shop", {"app": "shop"})) == []


def test_a_change_leaves_the_old_catalog_as_it_was() -> None:
    snapshot = Snapshot.of([server(APP), tool("a")])
    snapshot.put(tool("b"))
    snapshot.drop(tool("a").ref)
    assert members(snapshot) == {"a"}


def test_nothing_new_is_the_same_catalog() -> None:
    snapshot = Snapshot.of([tool("a")])
    assert snapshot.put(tool("a")) is snapshot
    assert snapshot.drop(tool("b").ref) is snapshot


def test_an_operation_that_moves_is_told_where_it_is_now() -> None:
    """Two claims of one value are one, and still the later place is the one to name."""
    moved = MemberFact(tool("a").ref, {"app": "shop"}, "uid-a", "", (NAME,), (), (("spec", "name"),))
    assert Snapshot.of([tool("a"), moved]).member(tool("a").ref) is moved


@pytest.mark.parametrize(("port", "number"), [(80, 80), ("http", 80), ("grpc", None), (81, None)])
def test_a_port_of_a_service(port: int | str, number: int | None) -> None:
    assert ORDERS.port_number(port) == number


def test_answers_about_servers_follow_their_changes() -> None:
    """They are remembered as long as no server changes."""
    found, strict, everything = server(APP), replace(server(APP), strict=True), server(select_all=True)
    labels = {"app": "shop"}
    known = Snapshot().put(found)
    assert known.strict_servers("shop") == ()
    assert known.selecting(Kind.TOOL, "shop", labels) == (found.ref,)
    assert known.put(strict).strict_servers("shop") == (strict,)
    assert known.put(strict).drop(found.ref).strict_servers("shop") == ()
    assert known.drop(found.ref).selecting(Kind.TOOL, "shop", labels) == ()
    assert known.selecting(Kind.TOOL, "shop", {}) == ()
    assert known.put(everything).selecting(Kind.TOOL, "shop", {}) == (found.ref,)
    empty = known.drop(found.ref)
    assert empty.strict_servers("shop") == ()
    assert empty.put(strict).strict_servers("shop") == (strict,)
    assert known.strict_servers("shop") == ()
