"""How conditions are stored."""

from __future__ import annotations

from controller.status.conditions import Condition, merged

OLD = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "A", "message": "a"}


def test_the_time_of_a_condition_is_when_its_status_changed() -> None:
    now = "2026-02-02T00:00:00Z"
    same, other = Condition("Ready", "True", "B", "b"), Condition("Ready", "False", "B", "b")

    assert merged([same], [OLD], 7, now) == [
        {
            "type": "Ready", "status": "True", "observedGeneration": 7, "lastTransitionTime": OLD["lastTransitionTime"],
            "reason": "B", "message": "b",
        }
    ]  # fmt: skip
    for stored in ([OLD], [], [{**OLD, "type": "Accepted"}], [{"type": "Ready", "status": "False"}]):
        assert merged([other], stored, 7, now)[0]["lastTransitionTime"] == now


def test_a_message_has_the_length_that_the_api_allows() -> None:
    (found,) = merged([Condition("Ready", "True", "B", "x" * 40_000)], [], 1, "2026-02-02T00:00:00Z")

    assert len(found["message"]) == 32_768
