"""The words of AdmissionReview v1: what is read of a question, and what an answer looks like."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from crd.access import Requester
from webhook import review
from webhook.review import InvalidReviewError, Operation, Review

REQUEST: dict[str, Any] = {
    "uid": "u-1",
    "kind": {"group": "mcp.example.com", "version": "v1alpha1", "kind": "MCPTool"},
    "operation": "UPDATE",
    "namespace": "shop",
    "name": "a",
    "object": {"metadata": {"name": "a"}},
    "oldObject": {"metadata": {"name": "b"}},
    "dryRun": True,
    "userInfo": {"username": "jane", "uid": "7", "groups": ["a", "b"]},
}


def asked(**members: Any) -> Review:
    request = {name: value for name, value in {**REQUEST, **members}.items() if value is not ...}
    return review.parse(
        json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
    )


def test_every_member_of_a_question_is_read() -> None:
    new, old = REQUEST["object"], REQUEST["oldObject"]
    jane = Requester("jane", "7", ("a", "b"))

    assert asked() == Review("u-1", Operation.UPDATE, "MCPTool", "shop", "a", new, old, True, jane)


def test_what_a_question_lacks_is_empty() -> None:
    found = asked(namespace=..., name=..., object=..., oldObject=None, dryRun=..., userInfo=..., operation="DELETE")

    assert found == Review("u-1", Operation.DELETE, "MCPTool", "", "", None, None, False, Requester())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"username": "jane", "groups": ["a"]}, Requester("jane", "", ("a",))),
        ({"username": "jane"}, Requester("jane")),
        ({"username": None, "uid": None, "groups": None, "extra": None}, Requester()),
        ({"uid": "7", "extra": {"scopes": ["x", "y"]}}, Requester("", "7", (), {"scopes": ("x", "y")})),
        ({"username": "jane", "groups": ["a"], "extra": {"k": []}}, Requester("jane", "", ("a",), {"k": ()})),
    ],
)
def test_the_requester_is_read(given: dict[str, Any], expected: Requester) -> None:
    assert asked(userInfo=given).requester == expected


@pytest.mark.parametrize("extra", [{}, {"extra": {"k": ["x"]}}])
@pytest.mark.parametrize("room", [0, 1])
def test_a_requester_has_a_size(room: int, extra: dict[str, Any]) -> None:
    size = sum(len(key) + sum(map(len, values)) for key, values in extra.get("extra", {}).items())
    user = {"username": "u", "uid": "i", "groups": ["g" * (review.MAX_REQUESTER_BYTES - 1 - size - room)], **extra}

    if room:
        assert asked(userInfo=user).requester.user == "u"
    else:
        with pytest.raises(InvalidReviewError, match=r"^userInfo has more than 256 KiB$"):
            asked(userInfo=user)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON: "),
        (b"7", "the body is not an AdmissionReview of admission.k8s.io/v1"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}', "the body is not an AdmissionReview"),
        (b'{"apiVersion": "v1", "kind": "AdmissionReview", "request": {}}', "the body is not an AdmissionReview"),
        (b'{"apiVersion": "admission.k8s.io/v1", "kind": "x", "request": {}}', "the body is not an AdmissionReview"),
    ],
)
def test_other_bodies_are_no_question(body: bytes, message: str) -> None:
    with pytest.raises(InvalidReviewError, match=f"^{message}"):
        review.parse(body)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"uid": ""}, "the request lacks uid or kind"),
        ({"uid": 7}, "the request lacks uid or kind"),
        ({"kind": "MCPTool"}, "the request lacks uid or kind"),
        ({"operation": "CONNECT"}, "operation 'CONNECT' is not one we are registered for"),
        ({"operation": []}, "operation .* is not one we are registered for"),
        ({"object": "x"}, "object is not an object"),
        ({"oldObject": []}, "oldObject is not an object"),
        ({"userInfo": []}, "userInfo is not an object"),
        ({"userInfo": {"groups": ["a", 7]}}, "userInfo is malformed"),
        ({"userInfo": {"username": "u", "groups": ["a", 7]}}, "userInfo is malformed"),
        ({"userInfo": {"username": 7}}, "userInfo is malformed"),
        ({"userInfo": {"extra": []}}, ""),
        ({"userInfo": {"extra": "x"}}, "userInfo is malformed"),
        ({"userInfo": {"extra": {"k": "v"}}}, "userInfo is malformed"),
    ],
)
def test_a_malformed_question_says_what_is_wrong(members: dict[str, Any], message: str) -> None:
    if message:
        with pytest.raises(InvalidReviewError, match=f"^{message}$"):
            asked(**members)
    else:
        assert asked(**members).requester == Requester()


def response(answer: bytes) -> dict[str, Any]:
    whole = json.loads(answer)
    assert (whole.pop("apiVersion"), whole.pop("kind")) == ("admission.k8s.io/v1", "AdmissionReview")
    assert list(whole) == ["response"]
    found: dict[str, Any] = whole["response"]
    return found


def test_a_yes() -> None:
    patch = [{"op": "add", "path": "/spec", "value": {}}]
    found = response(review.allowed("u-1", warnings=("careful",), patch=patch, audit={"verdict": "allowed"}))

    assert json.loads(base64.b64decode(found.pop("patch"))) == patch
    assert found == {
        "uid": "u-1",
        "allowed": True,
        "patchType": "JSONPatch",
        "warnings": ["careful"],
        "auditAnnotations": {"verdict": "allowed"},
    }
    assert response(review.allowed("u-1")) == {"uid": "u-1", "allowed": True}
    # With the audit annotations that most answers have.
    allowed = {"uid": "u-1", "allowed": True, "auditAnnotations": {"verdict": "allowed"}}
    assert response(review.allowed("u-1", audit=review.ALLOWED)) == allowed
    assert response(review.allowed("u-1", audit=review.ALLOWED, warnings=("careful",))) == {
        **allowed,
        "warnings": ["careful"],
    }
    found = response(review.allowed("u-1", audit=review.ALLOWED, patch=patch))
    assert json.loads(base64.b64decode(found["patch"])) == patch


def test_a_no() -> None:
    cause = {"reason": "X", "message": "m", "field": "spec"}
    found = response(
        review.denied("u-1", "no", reason="X", causes=[cause], warnings=["careful"], audit={"verdict": "denied"})
    )

    assert found == {
        "uid": "u-1",
        "allowed": False,
        "status": {"status": "Failure", "code": 422, "reason": "X", "message": "no", "details": {"causes": [cause]}},
        "warnings": ["careful"],
        "auditAnnotations": {"verdict": "denied"},
    }


def test_a_failure_has_no_causes() -> None:
    assert response(review.failed("u-1", 503, "later")) == {
        "uid": "u-1",
        "allowed": False,
        "status": {"status": "Failure", "code": 503, "reason": "InternalError", "message": "later"},
    }
