"""Questions about rights, and how long answers count."""

from __future__ import annotations

from typing import Any

import pytest

from cluster import access
from cluster.access import CACHE_SECONDS, AccessReviews
from cluster.transport import ApiError
from crd.access import Demand, Requester, Right

GET, USE = (Right(verb, "", "secrets", "shop", "keys") for verb in ("get", "use"))
SECRET = Demand((GET, USE), ("spec", "x"))
JANE = Requester("jane", "u-1", ("authors", "system:authenticated"), {"scopes": ("a", "b")})
YES, NO = {"status": {"allowed": True}}, {"status": {"allowed": False}}


def reviews(api: Any, at: list[float], **more: Any) -> AccessReviews:
    return AccessReviews(api, now=lambda: at[0], **more)


async def test_the_question_holds_the_whole_user_and_the_right(script: Any) -> None:
    api = script([YES])

    assert await reviews(api, [0.0]).meets(JANE, SECRET, 1.0)

    (method, path, _, body) = api.asked[0]
    assert (method, path) == ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews")
    assert (body["kind"], body["apiVersion"]) == ("SubjectAccessReview", "authorization.k8s.io/v1")
    assert body["metadata"] == {}
    assert body["spec"] == {
        "user": "jane",
        "uid": "u-1",
        "groups": ("authors", "system:authenticated"),
        "extra": {"scopes": ["a", "b"]},
        "resourceAttributes": {
            "verb": "get", "group": "", "resource": "secrets", "namespace": "shop", "name": "keys",
        },
    }  # fmt: skip


async def test_a_local_question_is_asked_in_the_namespace_of_the_right(script: Any) -> None:
    api = script([YES])

    assert await reviews(api, [0.0], local=True).meets(JANE, SECRET, 1.0)

    (_, path, _, body) = api.asked[0]
    assert path == "/apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews"
    assert (body["kind"], body["metadata"]) == ("LocalSubjectAccessReview", {"namespace": "shop"})


@pytest.mark.parametrize(
    ("answers", "met"), [([NO, YES], True), ([NO, NO], False), ([NO, {}], False), ([{"status": "x"}, YES], True)]
)
async def test_one_of_the_rights_suffices(script: Any, answers: list[Any], met: bool) -> None:
    api = script(answers)

    assert await reviews(api, [0.0]).meets(JANE, SECRET, 1.0) is met
    verbs = [body["spec"]["resourceAttributes"]["verb"] for *_, body in api.asked]
    assert verbs == ["get", "use"]


async def test_an_answer_counts_for_seconds(script: Any) -> None:
    at = [0.0]
    asking = reviews(script([NO, NO, YES]), at)

    assert not await asking.meets(JANE, SECRET, 1.0)
    at[0] = CACHE_SECONDS - 0.1
    assert not await asking.meets(JANE, SECRET, 1.0)
    at[0] = CACHE_SECONDS
    assert await asking.meets(JANE, SECRET, 1.0)


@pytest.mark.parametrize(
    "other",
    [
        Requester("june", JANE.uid, JANE.groups, JANE.extra),
        Requester(JANE.user, "u-2", JANE.groups, JANE.extra),
        Requester(JANE.user, JANE.uid, (), JANE.extra),
        Requester(JANE.user, JANE.uid, JANE.groups, {}),
    ],
)
async def test_an_answer_counts_for_nobody_else(script: Any, other: Requester) -> None:
    asking = reviews(script([YES, NO, NO]), [0.0])

    assert await asking.meets(JANE, SECRET, 1.0)
    assert not await asking.meets(other, SECRET, 1.0)


async def test_few_answers_are_kept(script: Any) -> None:
    api = script([YES, YES, YES, YES])
    asking = reviews(api, [0.0], cached=2)
    a, b, c = (Demand((Right("get", "", "secrets", "shop", name),), ()) for name in "abc")

    for demand in (a, b, a, c, a, b):
        assert await asking.meets(JANE, demand, 1.0)

    assert [body["spec"]["resourceAttributes"]["name"] for *_, body in api.asked] == ["a", "b", "c", "b"]


async def test_an_error_is_no_answer_and_is_not_kept(script: Any) -> None:
    asking = reviews(script([ApiError(403, "Forbidden", "no"), YES]), [0.0])

    with pytest.raises(ApiError):
        await asking.meets(JANE, SECRET, 1.0)
    assert await asking.meets(JANE, SECRET, 1.0)


def test_all_questions_together_have_a_deadline(script: Any, simulate: Any) -> None:
    with pytest.raises(TimeoutError):
        simulate(reviews(script([NO]), [0.0]).meets(JANE, SECRET, 1.0))


@pytest.mark.parametrize(("answers", "may"), [([NO, YES], True), ([NO, NO], False)])
async def test_a_command_asks_about_itself(script: Any, answers: list[Any], may: bool) -> None:
    api = script(answers)

    assert await access.may_self(api, SECRET) is may
    path, body = api.asked[0][1], api.asked[0][3]
    assert path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert ([*body["spec"]], body["metadata"]) == (["resourceAttributes"], {})


async def test_each_question_is_told_the_time_there_is() -> None:
    class Api:
        timeouts: list[float] = []  # noqa: RUF012 -- one instance

        async def request(self, *_: Any, timeout: float, **__: Any) -> Any:
            self.timeouts.append(timeout)
            return NO

    api = Api()
    await reviews(api, [0.0]).meets(JANE, SECRET, 1.5)
    await access.may_self(api, SECRET)  # type: ignore[arg-type]

    assert api.timeouts == [1.5, 1.5, 10.0, 10.0]
