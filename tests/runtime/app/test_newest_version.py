"""A pod that starts asks for the version of the newest catalog, and waits for nobody who does not answer."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from cluster.transport import ApiError
from runtime.app import newest_version

NOW = 1_790_000_000.0
MAIN = {"metadata": {"uid": "u"}, "status": {"catalogVersion": "1780000000.1780000000123"}}


class Api:
    """Answers with what it is given, one after another."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.paths: list[str] = []
        self.slept: list[float] = []

    async def request(self, _method: str, path: str, **_: Any) -> dict[str, Any]:
        self.paths.append(path)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def learn(api: Api) -> Any:
    return await newest_version.learn(
        api,  # type: ignore[arg-type]
        namespace="shop",
        server="main",
        uid="u",
        seconds=lambda: NOW,
        sleep=api.sleep,
    )


async def test_it_is_in_the_status_of_the_server() -> None:
    api = Api(MAIN)

    assert await learn(api) == (1_780_000_000, 1_780_000_000_123)
    assert api.paths == ["/apis/mcp.example.com/v1alpha1/namespaces/shop/mcpservers/main"]


@pytest.mark.parametrize(
    "answer",
    [
        {"metadata": {"uid": "u"}},
        {**MAIN, "metadata": {"uid": "another"}},
        {**MAIN, "status": {"catalogVersion": f"1.{2**52}"}},
        {**MAIN, "status": {"catalogVersion": f"{2**52}.1"}},
        {**MAIN, "status": {"catalogVersion": "1.0"}},
        {**MAIN, "status": {"catalogVersion": 7}},
        ApiError(404, "NotFound", "no"),
    ],
)
async def test_a_status_that_says_nothing_usable_demands_nothing(answer: Any) -> None:
    assert await learn(Api(answer)) is None


async def test_it_asks_until_there_is_an_answer_and_says_once_why(caplog: pytest.LogCaptureFixture) -> None:
    failures = [OSError("down")] * 7 + [ApiError(403, "Forbidden", "no")] * 2
    api = Api(*failures, MAIN)

    with caplog.at_level(logging.WARNING):
        assert await learn(api) == (1_780_000_000, 1_780_000_000_123)

    assert api.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(caplog.records) == 2


async def test_each_reason_for_which_nobody_answers_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    api = Api(OSError("no route"), OSError("no route"), TimeoutError("late"), OSError("no route"), MAIN)

    assert await learn(api) is not None

    said = "the newest version of the catalog is not known: {}; asking again"
    reasons = ("OSError: no route", "TimeoutError: late", "OSError: no route")
    assert [record.getMessage() for record in caplog.records] == [said.format(reason) for reason in reasons]
    assert api.slept == [1.0, 2.0, 4.0, 8.0]


async def test_pauses_grow_up_to_a_minute() -> None:
    api = Api(*[OSError("no route")] * 8, MAIN)

    await learn(api)

    assert api.slept == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
