"""Which fault a backend's status is, what it says about the request, and what it reports of the body."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends import error_bodies, faults
from runtime.backends.faults import CallError, Fate
from runtime.http.exchange import Reply

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def fault(status: int, body: bytes = b"", *, idempotent: bool = True, **headers: str) -> CallError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return faults.from_reply(Reply(status, named, body, received_at=NOW.timestamp()), idempotent=idempotent)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "invalid_request", False), (422, "invalid_request", False), (418, "invalid_request", False),
        (401, "upstream_denied", False), (403, "upstream_denied", False), (404, "not_found", False),
        (410, "not_found", False), (409, "conflict", False), (412, "conflict", False), (429, "upstream_busy", True),
        (500, "upstream_error", True), (503, "upstream_error", True), (501, "upstream_error", False),
    ],
)  # fmt: skip
def test_each_status_maps_to_one_fault(status: int, code: str, retryable: bool) -> None:
    found = fault(status, b'{"title":"No","detail":"because"}', retry_after="3")

    assert (found.code, found.retryable, found.http_status) == (code, retryable, status)
    assert ("because" in found.to_json("r")) is (code not in ("upstream_denied", "upstream_error"))
    assert found.retry_after == (3 if retryable else None)


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (101, Fate.UNKNOWN), (200, Fate.DONE), (201, Fate.DONE), (303, Fate.DONE), (302, Fate.UNKNOWN),
        (307, Fate.REFUSED), (308, Fate.REFUSED), (404, Fate.REFUSED), (429, Fate.REFUSED), (500, Fate.UNKNOWN),
        (504, Fate.UNKNOWN), (999, Fate.UNKNOWN),
    ],
)  # fmt: skip
def test_a_status_says_what_became_of_the_request(status: int, fate: Fate) -> None:
    assert fault(status).fate is fate
    assert json.loads(fault(status).to_json("r"))["error"]["request"] == fate.value


@pytest.mark.parametrize("fate", list(Fate))
@pytest.mark.parametrize("is_transient", [False, True])
@pytest.mark.parametrize("idempotent", [False, True])
def test_retryable_follows_from_the_fate_of_the_request(fate: Fate, is_transient: bool, idempotent: bool) -> None:
    found = CallError("timeout", "x", fate, is_transient, idempotent)

    assert found.retryable is (is_transient and (idempotent or fate in (Fate.NOT_SENT, Fate.REFUSED)))


def test_a_call_that_is_not_idempotent_is_retryable_only_if_it_had_no_effect() -> None:
    assert not fault(503, idempotent=False).retryable
    assert not fault(504, idempotent=False).retryable
    assert fault(429, idempotent=False).retryable


@pytest.mark.parametrize("code", ["unreachable", "invalid_arguments", "unavailable"])
@pytest.mark.parametrize("fate", [Fate.UNKNOWN, Fate.REFUSED, Fate.DONE])
def test_only_a_request_that_was_not_sent_is_unreachable(code: str, fate: Fate) -> None:
    with pytest.raises(ValueError, match=code):
        CallError(code, "x", fate)


def test_a_last_attempt_does_not_hide_an_earlier_one() -> None:
    gone = faults.unreachable("the connection to a failed")

    assert faults.after_attempts(gone, Fate.NOT_SENT) is gone
    found = faults.after_attempts(gone, Fate.UNKNOWN)
    assert (found.code, found.fate) == ("disconnected", Fate.UNKNOWN)
    assert found.message == ("the connection to a failed; an earlier attempt was sent, and its outcome is unknown")
    assert faults.after_attempts(fault(409), Fate.UNKNOWN).fate is Fate.UNKNOWN
    done = faults.bad_response(200, "x")
    assert faults.after_attempts(done, Fate.UNKNOWN) is done


def test_a_redirect_says_where_it_points() -> None:
    found = fault(307, location="http://u:p@orders.shop.svc/v2/x?token=secret#f")

    assert found.message == (
        "the backend answered 307 Temporary Redirect, which points to http://orders.shop.svc/v2/x?…; redirects are not"
        " followed"
    )
    assert fault(308, location="/x/").message.count("which points to /x/;") == 1
    assert fault(302).message == "the backend answered 302 Found"
    assert fault(302, location="http://[").message.endswith("which points to an invalid URL")
    assert fault(302, location="/\x1b[31m").message.count("\x1b") == 0


def test_a_detail_is_text_of_bounded_length_without_control_characters() -> None:
    found = fault(400, b"\x1b[31mred\x00" + b"x" * 9000)

    assert found.detail is not None
    assert "\x1b" not in found.detail
    assert len(found.detail) == 4096


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        # RFC 9457 with an extension, as ASP.NET sends it.
        ({"title": "Invalid", "status": 400, "errors": {"Qty": ["must be positive"]}}, ...),
        # FastAPI
        ({"detail": [{"loc": ["query", "limit"], "msg": "not an integer"}]}, [{"loc": ["query", "limit"],
                                                                              "msg": "not an integer"}]),
        ({"detail": "No such order"}, "No such order"),
        # Spring
        ({"timestamp": "2026", "status": 400, "error": "Bad Request", "path": "/x", "trace": "at a.b.C",
          "errors": [{"field": "qty", "defaultMessage": "must be positive"}]},
         {"status": 400, "error": "Bad Request", "path": "/x",
          "errors": [{"field": "qty", "defaultMessage": "must be positive"}]}),
        # Rails, Django REST, JSON:API, Google
        ({"errors": {"qty": ["must be greater than 0"]}}, ...),
        ({"qty": ["A valid integer is required."]}, ...),
        ({"errors": [{"source": {"pointer": "/data/qty"}, "title": "Invalid"}]}, ...),
        ({"error": {"code": 3, "message": "bad", "details": [{"field": "qty"}]}}, ...),
        (["qty: too small"], ...),
        ("just text", "just text"),
        ({}, None),
        ({"trace": "only"}, {"trace": "only"}),
    ],
)  # fmt: skip
def test_an_error_body_in_json_stays_json(body: Any, detail: Any) -> None:
    found = fault(400, json.dumps(body).encode(), content_type="application/problem+json")

    assert found.detail == (body if detail is ... else detail)
    assert json.loads(found.to_json("r"))["error"].get("detail") == found.detail


def test_the_most_telling_members_of_a_large_error_body_are_kept() -> None:
    body = {"log": "x" * 5000, "a": 1, "errors": {"qty": "bad"}, "title": "Invalid"}

    assert fault(400, json.dumps(body).encode()).detail == {"title": "Invalid", "errors": {"qty": "bad"}, "a": 1}
    assert len(fault(400, json.dumps({"errors": "x" * 5000}).encode()).detail) == 4096
    assert len(fault(400, json.dumps(["x" * 5000]).encode()).detail) == 4096


def test_an_error_body_is_read_in_its_charset_and_within_bounds() -> None:
    latin = "Größe fehlt".encode("latin-1")
    assert fault(400, latin, content_type="text/plain; charset=iso-8859-1").detail == "Größe fehlt"
    assert isinstance(fault(400, b"[" * 5000 + b"]" * 5000).detail, str)
    assert isinstance(fault(400, b"[" * 300 + b"]" * 300).detail, str)
    assert fault(400, b'["' + b"x" * 100_000 + b'"]').detail.startswith('["xxx')


@pytest.mark.parametrize(("code", "status"), [("timeout", 504), ("unreachable", 502), ("strange", 502)])
def test_a_fault_without_a_backend_status_has_its_own_http_status(code: str, status: int) -> None:
    assert CallError(code, "x").http_status == status


def test_a_fault_after_a_successful_status_is_not_reported_as_success() -> None:
    assert faults.bad_response(200, "x").http_status == 502
    assert fault(302).http_status == 502


@pytest.mark.parametrize("value", ["²", "-1", "1,5", "", "٣", "soon", "Wed, 99 Oct 2026 07:28:00 GMT",
                                   "Wed, 21 Xxx 2026 07:28:00 GMT", "Wed, 21 Oct 2026 99:28:00 GMT"])  # fmt: skip
def test_a_retry_after_that_cannot_be_read_is_ignored(value: str) -> None:
    assert fault(503, retry_after=value).retry_after is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1.5", 2),
        ("2.0", 2),
        ("0.25", 1),
        ("120", 120), ("0", 0), ("9" * 5000, 999_999), ("0000000", 999_999),
        ("Thu, 26 Nov 2026 12:02:00 GMT", 120),
        ("Thursday, 26-Nov-26 12:02:00 GMT", 120),
        ("Thu Nov 26 12:02:00 2026", 120),
        ("Thu, 26 Nov 2026 12:02:00 +0000", 120),
        ("Thu, 26 Nov 2026 12:00:60 GMT", 59),
        ("Wed, 25 Nov 2026 12:00:00 GMT", 0),
        ("Thu, 26 Nov 9999 12:00:00 GMT", 999_999),
    ],
)  # fmt: skip
def test_a_retry_after_is_seconds_or_a_date(value: str, seconds: int) -> None:
    assert fault(429, retry_after=value).retry_after == seconds


def test_a_date_is_compared_with_the_clock_of_the_backend() -> None:
    theirs = NOW - timedelta(hours=1)
    until = format_datetime(theirs + timedelta(seconds=90), usegmt=True)

    assert fault(429, retry_after=until, date=format_datetime(theirs, usegmt=True)).retry_after == 90
    assert fault(429, retry_after=until, date="yesterday").retry_after == 0


@given(st.integers(100, 999), st.binary(max_size=200), st.dictionaries(
    st.sampled_from(["retry-after", "date", "location", "content-type"]), st.text(max_size=80)))  # fmt: skip
def test_every_reply_becomes_a_fault_that_can_be_written(status: int, body: bytes, headers: dict[str, str]) -> None:
    safe = {name: value.encode(errors="replace").decode() for name, value in headers.items()}
    found = faults.from_reply(Reply(status, safe, body), idempotent=True)

    assert json.loads(found.to_json("r"))["error"]["status"] == status
    assert found.retry_after is None or 0 <= found.retry_after <= faults.MAX_RETRY_AFTER


@pytest.mark.parametrize(("levels", "is_json"), [(8, True), (9, False)])
def test_a_detail_is_json_down_to_a_depth(monkeypatch: pytest.MonkeyPatch, levels: int, is_json: bool) -> None:
    monkeypatch.setattr(error_bodies, "_MAX_DEPTH", 8)
    body = b"[" * levels + b"1" + b"]" * levels

    found = fault(400, body).detail

    assert found == (json.loads(body) if is_json else body.decode())
