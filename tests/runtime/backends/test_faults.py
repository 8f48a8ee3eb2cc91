"""Which fault a backend's status is, and what it reports."""

from __future__ import annotations

import pytest

from runtime.backends import faults
from runtime.backends.faults import CallError


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "invalid_request", False), (422, "invalid_request", False), (418, "invalid_request", False),
        (401, "upstream_denied", False), (403, "upstream_denied", False), (404, "not_found", False),
        (410, "not_found", False), (409, "conflict", False), (412, "conflict", False), (429, "upstream_busy", True),
        (500, "upstream_error", True), (503, "upstream_error", True), (302, "upstream_error", False),
    ],
)  # fmt: skip
def test_each_status_maps_to_one_fault(status: int, code: str, retryable: bool) -> None:
    found = faults.from_status(status, b'{"title":"No","detail":"because"}', idempotent=True, retry_after="3")

    assert (found.code, found.retryable, found.http_status) == (code, retryable, status)
    assert ("because" in found.to_json("r")) is (code not in ("upstream_denied", "upstream_error"))
    assert found.retry_after == (3 if retryable else None)


def test_a_call_that_is_not_idempotent_is_never_retryable() -> None:
    assert not faults.from_status(503, b"", idempotent=False).retryable


def test_a_detail_is_text_of_bounded_length_without_control_characters() -> None:
    found = faults.from_status(400, b"\x1b[31mred\x00" + b"x" * 9000, idempotent=True)

    assert found.detail is not None
    assert "\x1b" not in found.detail
    assert len(found.detail) == 4096


@pytest.mark.parametrize(("code", "status"), [("timeout", 504), ("unreachable", 502), ("strange", 502)])
def test_a_fault_without_a_backend_status_has_its_own_http_status(code: str, status: int) -> None:
    assert CallError(code, "x").http_status == status
