"""Addresses in every notation that reaches a pod, a node or the metadata service of a cloud."""

from __future__ import annotations

import pytest

from crd import addresses

METADATA = (
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::169.254.169.254",
    "64:ff9b:1:a9fe:a9:fe00::",
    "2002:a9fe:a9fe::1",
    "fe80::5efe:169.254.169.254",
    "2001:db8::5efe:a9fe:a9fe",
    "2001:db8::200:5efe:a9fe:a9fe",
    "2001:0:5601:5601::1",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "100.100.100.200",
    "::ffff:100.100.100.200",
    "64:ff9b::100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
)
LOCAL = (
    "127.0.0.1",
    "127.255.255.254",
    "::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "::ffff:0.0.0.0",
    "fe80::1",
    "fe80::1%eth0",
    "169.254.1.1",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "ff02::1",
    "64:ff9b::224.0.0.1",
    "2002:e000:1::",
)
SERVICES = (
    "10.96.0.10",
    "172.20.4.4",
    "192.168.1.9",
    "100.64.0.7",
    "100.100.100.201",
    "203.0.113.5",
    "fd00:10:96::a",
    "fd00:ec20::254",
    "2001:db8::10",
    "::ffff:10.96.0.10",
    "64:ff9b::10.96.0.10",
    "2002:a60:a::1",
)


@pytest.mark.parametrize("address", [*METADATA, *LOCAL])
def test_an_address_that_no_service_has_is_refused(address: str) -> None:
    assert addresses.find_fault(address)


@pytest.mark.parametrize("address", SERVICES)
def test_the_address_of_a_service_is_allowed(address: str) -> None:
    assert addresses.find_fault(address) is None


@pytest.mark.parametrize("address", ["", "localhost", "127.1", "2130706433", "0x7f000001", "127.0.0.1.", "[::1]"])
def test_what_is_not_an_address_is_refused(address: str) -> None:
    assert addresses.find_fault(address, allow_loopback=True) == "not an IP address"


def test_the_switch_for_loopback_allows_nothing_else() -> None:
    assert addresses.find_fault("127.0.0.1", allow_loopback=True) is None
    assert addresses.find_fault("::1", allow_loopback=True) is None
    for address in (*METADATA, "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0", "::", "fe80::1"):
        assert addresses.find_fault(address, allow_loopback=True), address


@pytest.mark.parametrize("host", ["orders.shop.svc", "orders.shop.svc.cluster.local", "a.b.svc"])
def test_hosts_of_services(host: str) -> None:
    assert addresses.is_service(host, "cluster.local")
    assert addresses.absolute_name(host, "cluster.local").endswith(".svc.cluster.local.")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "svc",
        "shop.svc",
        "x.orders.shop.svc",
        "orders.shop.svc.example.com",
        "orders.shop.svc.cluster.local.example.com",
        "orders.shop.svc.cluster.local.",
        "orders.shop.svc.",
        "orders..svc",
        "-a.b.svc",
        "Orders.Shop.SVC",
        "orders.shop.svc\n",
        "169.254.169.254",
        "::1",
        "metadata.google.internal",
        "localhost",
        f"{'a' * 64}.shop.svc",
    ],
)
def test_other_hosts(host: str) -> None:
    assert not addresses.is_service(host, "cluster.local")


def test_the_cluster_domain_is_a_setting() -> None:
    assert addresses.is_service("orders.shop.svc.corp.example", "corp.example")
    assert not addresses.is_service("orders.shop.svc.cluster.local", "corp.example")
    assert addresses.absolute_name("orders.shop.svc", "corp.example") == "orders.shop.svc.corp.example."


def slice_of(*addresses: str, kind: str = "IPv6") -> dict[str, object]:
    return {"addressType": kind, "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": list(addresses)}]}


@pytest.mark.parametrize("address", [*METADATA, *LOCAL])
def test_an_endpoint_at_a_refused_address_is_found(address: str) -> None:
    assert addresses.forbidden_endpoint(slice_of(address)).startswith(f"{address} (a")


def test_an_endpoint_at_a_host_name_is_found() -> None:
    assert addresses.forbidden_endpoint({"addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}]}) == (
        "a.example (a host name)"
    )


@pytest.mark.parametrize("raw", [{}, {"endpoints": None}, {"endpoints": [{}]}, slice_of("10.0.0.2", kind="IPv4")])
def test_other_endpoints_are_allowed(raw: dict[str, object]) -> None:
    assert addresses.forbidden_endpoint(raw) == ""
