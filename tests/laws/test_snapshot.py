"""Law of the snapshot: after any changes its indexes equal those computed from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from crd.facts import Claim, Fact, MemberFact, ServerFact
from crd.snapshot import MEMBER_KINDS, Snapshot
from tests.laws import states

if TYPE_CHECKING:
    from crd.manifest import Object
    from crd.ref import Ref

steps = st.lists(st.tuples(states.objects(), st.sampled_from(["put", "put", "drop"])), max_size=20)


def after(steps: list[tuple[Object, str]], labels: dict[str, str] | None = None) -> tuple[Snapshot, dict[Ref, Fact]]:
    """The snapshot after the steps, and the facts that it should contain. Before each, it is asked for servers."""
    snapshot, facts = Snapshot(), {}
    for item, step in steps:
        for namespace in ("one", "two") if labels is not None else ():
            snapshot.strict_servers(namespace)
            for kind in MEMBER_KINDS:
                snapshot.selecting(kind, namespace, labels or {})
        if step == "put" and item.fact is not None:
            snapshot, facts[item.ref] = snapshot.put(item.fact), item.fact
        else:
            snapshot = snapshot.drop(item.ref)
            facts.pop(item.ref, None)
    return snapshot, facts


@states.QUICK
@given(steps)
def test_the_order_of_changes_does_not_matter(steps: list[tuple[Object, str]]) -> None:
    snapshot, facts = after(steps)
    assert snapshot == Snapshot.of(facts.values()) == Snapshot.of(reversed(facts.values()))
    assert {fact.ref: fact for fact in snapshot} == facts


@states.QUICK
@given(steps, states.labels)
def test_every_answer_equals_a_full_scan(steps: list[tuple[Object, str]], labels: dict[str, str]) -> None:
    snapshot, facts = after(steps, labels)
    members = [fact for fact in facts.values() if isinstance(fact, MemberFact)]
    servers = [fact for fact in facts.values() if isinstance(fact, ServerFact)]
    for server in servers:
        namespace = server.ref.namespace
        selected = [
            m for m in members if m.ref.namespace == namespace and server.selector_of(m.ref.kind).matches(m.labels)
        ]
        view = snapshot.view(server.ref)
        assert set(view.members) == {member.ref for member in selected}
        holders: dict[Claim, set[Ref]] = {}
        for member in selected:
            for claim in member.claims:
                holders.setdefault(claim, set()).add(member.ref)
        assert {claim: set(refs) for claim, refs in view.claimants.items()} == holders
        for kind in MEMBER_KINDS:
            refs = {ref for ref in view.members if ref.kind is kind}
            found = list(snapshot.selected(kind, namespace, server.selector_of(kind)))
            assert ({fact.ref for fact in found}, len(found)) == (refs, len(refs))
            assert view.count(kind) == len(refs)
        assert view.weight == sum(member.weight for member in selected)
    for namespace in ("one", "two"):
        assert {server.ref: server for server in snapshot.strict_servers(namespace)} == {
            server.ref: server for server in servers if server.ref.namespace == namespace and server.strict
        }
        for kind in MEMBER_KINDS:
            there = (server for server in servers if server.ref.namespace == namespace)
            expected = {server.ref for server in there if server.selector_of(kind).matches(labels)}
            selecting = list(snapshot.selecting(kind, namespace, labels))
            assert (set(selecting), len(selecting)) == (expected, len(expected))
        for kind in states.KINDS:
            refs = {ref for ref in facts if (ref.kind, ref.namespace) == (kind, namespace)}
            assert set(snapshot.refs(kind, namespace)) == refs


@states.QUICK
@given(steps, st.lists(states.objects(), max_size=20))
def test_many_facts_at_once_are_put_as_one_after_the_other(steps: list[tuple[Object, str]], more: list[Object]) -> None:
    snapshot, _ = after(steps)
    facts = [item.fact for item in more if item.fact]
    one_by_one = snapshot
    for fact in facts:
        one_by_one = one_by_one.put(fact)
    at_once = snapshot.put_all(facts)
    assert at_once == one_by_one
    assert at_once.put_all(facts[-1:]) is at_once
