"""Which web pages may use the server."""

from __future__ import annotations

import pytest

from runtime.http import origins


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:8080", True),
        ("https://shop.example.com", True),
        ("https://shop.example.com:8443", True),
        ("https://app.example.com", True),
        ("https://app.example.com:8443", False),
        ("http://app.example.com", False),
        ("https://evil.example.com", False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("ftp://localhost", False),
    ],
)
def test_an_origin_is_allowed_if_it_is_local_ours_or_listed(origin: str | None, allowed: bool) -> None:
    assert origins.is_allowed(origin, ["shop.example.com"], ["https://app.example.com"]) is allowed


def test_without_allowed_origins_there_are_no_cors_headers() -> None:
    assert origins.cors("https://app.example.com", ()) == {}
    assert "Access-Control-Allow-Headers" not in origins.preflight(None)
