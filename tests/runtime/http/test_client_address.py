"""Who a client without authentication is, when it forges X-Forwarded-For or has a network of its own."""

from __future__ import annotations

import pytest

from runtime.http.client_address import identify

PROXIES = ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "client"),
    [
        ("192.0.2.1", [], (), "192.0.2.1"),
        ("192.0.2.1", ["6.6.6.6"], (), "192.0.2.1"),
        ("192.0.2.1", ["6.6.6.6"], PROXIES, "192.0.2.1"),
        ("10.0.0.1", ["6.6.6.6"], PROXIES, "6.6.6.6"),
        ("10.0.0.1", ["1.1.1.1, 6.6.6.6"], PROXIES, "6.6.6.6"),
        ("10.0.0.1", ["1.1.1.1", "6.6.6.6, 10.0.0.2"], PROXIES, "6.6.6.6"),
        ("10.0.0.1", ["6.6.6.6, 10.0.0.3, 10.0.0.2"], PROXIES, "6.6.6.6"),
        ("10.0.0.1", [], PROXIES, "10.0.0.1"),
        ("10.0.0.1", [""], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, unknown"], PROXIES, "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, unknown, 10.0.0.2"], PROXIES, "10.0.0.2"),
        ("10.0.0.1", ["10.0.0.3"], PROXIES, "10.0.0.3"),
        ("10.0.0.1", [", ".join(["10.0.0.2"] * 5000)], PROXIES, "10.0.0.2"),
        ("::ffff:10.0.0.1", ["6.6.6.6"], PROXIES, "6.6.6.6"),
        ("::ffff:192.0.2.1", [], (), "192.0.2.1"),
        ("2001:db8:1:2::1", [], (), "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", [], (), "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", [], (), "2001:db8:1:3::/64"),
        ("fd00::1", ["2001:DB8:1:2:0:0:0:7"], PROXIES, "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], (), "fe80::/64"),
        ("", ["6.6.6.6"], PROXIES, ""),
        ("unix", [], PROXIES, "unix"),
    ],
)
def test_the_client_of_a_request(peer: str, forwarded: list[str], trusted: tuple[str, ...], client: str) -> None:
    assert identify(peer, forwarded, trusted) == client
