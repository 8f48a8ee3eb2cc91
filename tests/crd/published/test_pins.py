"""What a pin tells apart, and how verdicts are written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crd.published import pins
from crd.published.pins import AS_PINNED, PARTS, UNREADABLE, VANISHED, Verdict

TOOL: dict[str, Any] = {
    "name": "find",
    "title": "Find",
    "description": "Finds an order.",
    "inputSchema": {
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {"type": ["string", "null"], "maxLength": 3}, "b": {"enum": [1, 2.5, "x"]}},
        "dependentRequired": {"a": ["b", "c"]},
    },
    "outputSchema": {"type": "object", "properties": {"required": {"type": "array", "default": ["y", "x"]}}},
    "annotations": {"readOnlyHint": True, "title": "Find"},
}


def changed(**parts: Any) -> dict[str, Any]:
    return {**TOOL, **parts}


def schema(**parts: Any) -> dict[str, Any]:
    return {**TOOL["inputSchema"], **parts}


@pytest.mark.parametrize(
    "same",
    [
        dict(reversed(TOOL.items())),
        changed(inputSchema=dict(reversed(TOOL["inputSchema"].items()))),
        changed(inputSchema=schema(required=["b", "a"])),
        changed(inputSchema=schema(dependentRequired={"a": ["c", "b"]})),
        changed(
            inputSchema=schema(
                properties={"b": {"enum": ["x", 2.5, 1.0]}, "a": {"maxLength": 3.0, "type": ["null", "string"]}}
            )
        ),
        changed(annotations={"title": "Find", "readOnlyHint": True, "destructiveHint": True, "openWorldHint": True}),
        changed(annotations={"title": "Find", "readOnlyHint": True, "idempotentHint": None, "x-more": {"a": 1}}),
        changed(_meta={"a": 1}, icons=[{"src": "x"}], execution={"taskSupport": "optional"}, more=None),
    ],
)
def test_what_means_the_same_has_one_pin(same: dict[str, Any]) -> None:
    assert pins.pin_of(same) == pins.pin_of(TOOL)
    assert pins.compare(pins.pin_of(TOOL), [pins.pin_of(same)]) == AS_PINNED


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        (changed(title="Found"), ("title",)),
        (changed(title=None), ("title",)),
        (changed(description="Finds an order. "), ("description",)),
        (changed(description=""), ("description",)),
        (changed(inputSchema=schema(required=["a"])), ("inputSchema",)),
        (changed(inputSchema=schema(properties={})), ("inputSchema",)),
        (changed(inputSchema=schema(description="now evil")), ("inputSchema",)),
        (changed(inputSchema=schema(maxProperties=1.5)), ("inputSchema",)),
        (changed(inputSchema=None), ("inputSchema",)),
        (changed(outputSchema=None), ("outputSchema",)),
        (
            changed(outputSchema={**TOOL["outputSchema"], "properties": {"required": {"default": ["x", "y"]}}}),
            ("outputSchema",),
        ),
        (changed(annotations={"title": "Find"}), ("annotations",)),
        (changed(annotations={"title": "Find", "readOnlyHint": 1}), ("annotations",)),
        (changed(annotations="x"), ("annotations",)),
        (changed(annotations=None, description="Other."), ("description", "annotations")),
    ],
)
def test_what_has_changed_is_named(other: dict[str, Any], parts: tuple[str, ...]) -> None:
    assert pins.compare(pins.pin_of(TOOL), [pins.pin_of(other)]) == Verdict(parts)


def test_a_tool_that_is_listed_no_more_has_vanished_and_one_of_two_of_a_name_may_have_changed() -> None:
    pin = pins.pin_of(TOOL)

    assert pins.compare(pin, []) == VANISHED
    assert pins.compare(pin, [pin, pins.pin_of(changed(title="Found"))]) == Verdict(("title",))
    assert pins.compare(pin, [pin, pin]) == AS_PINNED


def test_a_part_that_is_too_deep_or_too_large_is_not_as_pinned() -> None:
    deep: Any = {}
    for _ in range(900):
        deep = {"not": deep}
    large = {"type": "object", "description": "x" * pins.MAX_BYTES}

    for hostile in (deep, large, {"default": deep}, {"items": [deep]}):
        assert pins.pin_of(changed(inputSchema=hostile)).input_schema == UNREADABLE
        assert pins.compare(pins.pin_of(TOOL), [pins.pin_of(changed(inputSchema=hostile))]) == Verdict(("inputSchema",))


CHANGES = st.sets(st.sampled_from(PARTS)).map(lambda found: Verdict(tuple(part for part in PARTS if part in found)))
VERDICTS = st.lists(st.none() | st.just(VANISHED) | CHANGES, max_size=60)


@given(VERDICTS)
def test_verdicts_are_read_as_they_were_written(verdicts: list[Verdict | None]) -> None:
    assert pins.decode(pins.encode(verdicts, 4096), len(verdicts)) == tuple(verdicts)


@given(VERDICTS, st.integers(0, 60))
def test_what_does_not_fit_is_unknown(verdicts: list[Verdict | None], room: int) -> None:
    written = pins.encode(verdicts, room)

    assert len(written) <= room
    read = pins.decode(written, len(verdicts))
    if read is not None:
        assert all(found in (None, verdict) for found, verdict in zip(read, verdicts, strict=True))
    else:
        assert room < 4


@given(st.text(alphabet="0123456789ABCxz?\x1b", max_size=12), st.integers(0, 30))
def test_any_text_is_read_within_bounds(text: str, count: int) -> None:
    read = pins.decode(text, count)

    assert read is None or len(read) == count
