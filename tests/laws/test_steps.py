"""The law of check --since: the verdict on each step is that of the webhook on the same step."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cli.changes import steps
from cli.manifests.transaction import Transaction
from crd.manifest import Object
from crd.snapshot import Snapshot
from tests.laws import states
from webhook import admit


def transaction(objects: list[Object]) -> Transaction:
    last = {item.ref: item for item in objects}
    return Transaction(tuple(last.values()), (), {}, frozenset(), ())


@states.QUICK
@given(st.data())
def test_each_step_has_the_verdict_of_the_webhook(data: st.DataObject) -> None:
    before, after = (transaction(data.draw(states.lists)) for _ in range(2))
    snapshot = Snapshot.of(item.fact for item in before.objects if item.fact is not None)
    taken = [*steps.steps(before, after)]

    for step in taken:
        judged = admit.JudgedObject(step.change, admit.integrity.judge_object(step.change), ())
        decision = admit.decide(snapshot, (), judged)
        assert decision.verdict == step.verdict
        assert {*step.lost} <= {*decision.warnings}
        snapshot = decision.after
    deleted = [step.change.new is None for step in taken]
    assert deleted == sorted(deleted)
    assert {fact.ref: fact for fact in snapshot} == {item.ref: item.fact for item in after.objects if item.fact}
