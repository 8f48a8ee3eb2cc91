"""Fields that stay as they are."""

from __future__ import annotations

from typing import Any

import pytest

from crd.rules import changes
from tests.crd.rules.documents import broken, findings_of, server, tool


def redis(**fields: Any) -> Any:
    return server(redis={"serviceName": "redis", **fields})


@pytest.mark.parametrize(
    ("after", "now"),
    [(redis(keyPrefix="b:"), '"b:"'), (redis(), "nothing")],
)
def test_the_prefix_of_keys_stays(after: Any, now: str) -> None:
    assert findings_of(changes.immutable_fields(redis(keyPrefix="a:"), after)) == [
        (
            "error ImmutableField: spec.redis.keyPrefix: keyPrefix is immutable: changing it from "
            f'"a:" to {now} would lose all sessions and rate limits; restore it or create a new '
            "MCPServer"
        )
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(redis(keyPrefix="a:"), redis(keyPrefix="a:", db=3), id="another field"),
        pytest.param(redis(), redis(keyPrefix="a:"), id="set for the first time"),
        pytest.param(redis(), redis(), id="never set"),
        pytest.param(redis(keyPrefix="a:"), server(), id="the Redis given up"),
        pytest.param(server(), redis(keyPrefix="a:"), id="a Redis at last"),
        pytest.param(redis(keyPrefix="a:"), broken("MCPServer", {}, "main"), id="to what cannot be read"),
        pytest.param(broken("MCPServer", {}, "main"), redis(keyPrefix="a:"), id="from what could not be read"),
        pytest.param(tool(), tool(), id="another kind"),
    ],
)
def test_whatever_else_may_change(before: Any, after: Any) -> None:
    assert findings_of(changes.immutable_fields(before, after)) == []
