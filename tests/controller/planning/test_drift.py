"""What stands covers what is wished, in whatever words the API server keeps it."""

from __future__ import annotations

from typing import Any

import pytest

from controller.planning.drift import covers


@pytest.mark.parametrize(
    ("stored", "wanted", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"b": 2}, {"a": 1}, False),
        (None, {"a": 1}, False),
        ({"a": [{"x": 1, "default": 2}]}, {"a": [{"x": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": 1}, {"a": [1]}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "1000m"}}, True),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": 1}}, True),
        ({"limits": {"memory": "1536Mi"}}, {"limits": {"memory": "1.5Gi"}}, True),
        ({"limits": {"memory": "1G"}}, {"limits": {"memory": "1Gi"}}, False),
        ({"limits": {"memory": "1G", "cpu": "1"}}, {"limits": {"memory": "1G"}}, False),
        ({"limits": {"x": "1e3"}}, {"limits": {"x": "1e3"}}, True),
        ({"limits": None}, {"limits": {"x": "1"}}, False),
    ],
)
def test_what_stands_covers_what_is_wished(stored: Any, wanted: Any, expected: bool) -> None:
    assert covers(stored, wanted) is expected
