"""Law of the catalog: after any changes its indexes are what a computation from nothing gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from crd.catalog import MEMBER_KINDS, Catalog
from crd.facts import Claim, Fact, MemberFact, ServerFact
from tests.laws import worlds

if TYPE_CHECKING:
    from crd.manifest import Object
    from crd.ref import Ref

steps = st.lists(st.tuples(worlds.objects(), st.sampled_from(["put", "put", "drop"])), max_size=20)


def after(taken: list[tuple[Object, str]]) -> tuple[Catalog, dict[Ref, Fact]]:
    """The catalog that came step by step, and the facts that it should hold."""
    catalog, facts = Catalog(), {}
    for item, step in taken:
        if step == "put" and item.fact is not None:
            catalog, facts[item.ref] = catalog.put(item.fact), item.fact
        else:
            catalog = catalog.drop(item.ref)
            facts.pop(item.ref, None)
    return catalog, facts


@worlds.QUICK
@given(steps)
def test_the_way_leaves_no_trace(taken: list[tuple[Object, str]]) -> None:
    catalog, facts = after(taken)
    assert catalog == Catalog.of(facts.values()) == Catalog.of(reversed(facts.values()))
    assert {fact.ref: fact for fact in catalog} == facts


@worlds.QUICK
@given(steps, worlds.labels)
def test_every_answer_is_that_of_a_search_through_all(taken: list[tuple[Object, str]], labels: dict[str, str]) -> None:
    catalog, facts = after(taken)
    members = [fact for fact in facts.values() if isinstance(fact, MemberFact)]
    servers = [fact for fact in facts.values() if isinstance(fact, ServerFact)]
    for server in servers:
        namespace = server.ref.namespace
        selected = [
            m for m in members if m.ref.namespace == namespace and server.selector_of(m.ref.kind).matches(m.labels)
        ]
        view = catalog.view(server.ref)
        assert set(view.members) == {member.ref for member in selected}
        holders: dict[Claim, set[Ref]] = {}
        for member in selected:
            for claim in member.claims:
                holders.setdefault(claim, set()).add(member.ref)
        assert {claim: set(refs) for claim, refs in view.holders.items()} == holders
        for kind in MEMBER_KINDS:
            refs = {ref for ref in view.members if ref.kind is kind}
            found = list(catalog.selected(kind, namespace, server.selector_of(kind)))
            assert ({fact.ref for fact in found}, len(found)) == (refs, len(refs))
            assert view.count(kind) == len(refs)
        assert view.weight == sum(member.weight for member in selected)
    for namespace in ("one", "two"):
        for kind in MEMBER_KINDS:
            there = (server for server in servers if server.ref.namespace == namespace)
            expected = {server.ref for server in there if server.selector_of(kind).matches(labels)}
            selecting = list(catalog.selecting(kind, namespace, labels))
            assert (set(selecting), len(selecting)) == (expected, len(expected))
        for kind in worlds.KINDS:
            refs = {ref for ref in facts if (ref.kind, ref.namespace) == (kind, namespace)}
            assert set(catalog.refs(kind, namespace)) == refs
