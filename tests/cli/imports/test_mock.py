"""What `make openapi-mock` counts as accepted, as refused, and as a limit of the mock."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.prism.__main__ import ACCEPTED, LIMITS, Relay, Tally, judge, render

QUERY = {"location": ["query"], "message": "Request query must have required property 'number'"}
HEADER = {"location": ["header"], "message": "Request header must have required property 'content-type'"}
ERRORS = "https://stoplight.io/prism/errors#"


@pytest.mark.parametrize(
    ("status", "problem", "outcome"),
    [
        (200, {}, ACCEPTED),
        (302, {}, ACCEPTED),
        (0, {}, None),
        (-1, {}, LIMITS["broken"]),
        (200, {"validation": [QUERY]}, None),
        (422, {"type": f"{ERRORS}UNPROCESSABLE_ENTITY", "validation": [QUERY, HEADER]}, None),
        (422, {"type": f"{ERRORS}UNPROCESSABLE_ENTITY", "validation": [HEADER]}, LIMITS["header"]),
        (404, {"type": f"{ERRORS}NO_PATH_MATCHED_ERROR"}, None),
        (401, {"type": f"{ERRORS}UNAUTHORIZED"}, LIMITS["credentials"]),
        (500, {"type": f"{ERRORS}NO_RESPONSE_DEFINED"}, LIMITS["mock"]),
    ],
)
def test_the_outcome_of_a_call(status: int, problem: dict[str, Any], outcome: str | None) -> None:
    assert judge(Relay("", status, problem)) == outcome


@pytest.mark.parametrize(
    ("operation", "status", "outcome"),
    [("POST /#Target=Get", 404, LIMITS["fragment"]), ("POST /get", 404, None), ("POST /#Target=Get", 200, ACCEPTED)],
)
def test_the_mock_does_not_know_paths_with_a_fragment(operation: str, status: int, outcome: str | None) -> None:
    problem = {"type": f"{ERRORS}NO_PATH_MATCHED_ERROR"} if status == 404 else {}

    assert judge(Relay("", status, problem, operation=operation)) == outcome


def test_the_table_counts_the_calls_and_lists_what_was_refused() -> None:
    tally = Tally(2)
    tally.outcomes.update({ACCEPTED: 3, "refused": 1})
    tally.refusals["api", "Route not resolved"] = 1

    page = render(tally, 5)
    assert "4 calls of the tools of 2 descriptions, at most 5 tools of each" in page
    assert f"| {ACCEPTED} | 3 | 75.0% |" in page
    assert "| api | Route not resolved | 1 |" in page
