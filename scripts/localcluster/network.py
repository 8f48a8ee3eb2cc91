"""The network of a cluster with a node: a namespace, a veth pair to the host, routes to pods and Services."""

from __future__ import annotations

import ipaddress
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Network", "free", "loopback", "unused"]

SLOTS = 200


@dataclass(frozen=True, slots=True)
class Network:
    """The addresses of one cluster. Without a ``namespace`` it has only a control plane, on loopback."""

    slot: int
    namespace: str | None

    @property
    def node(self) -> str:
        """The address of the node, and of the API server."""
        return f"10.111.{self.slot}.2" if self.namespace else "127.0.0.1"

    @property
    def host(self) -> str:
        """The address of the host as seen from the cluster; processes that listen there are reachable."""
        return f"10.111.{self.slot}.1" if self.namespace else "127.0.0.1"

    @property
    def link(self) -> str:
        """The subnet of node and host."""
        return f"10.111.{self.slot}.0/30"

    @property
    def pods(self) -> str:
        """The subnet of the pods."""
        return f"10.112.{self.slot}.0/24"

    @property
    def services(self) -> str:
        """The subnet of the Services."""
        return f"10.113.{self.slot}.0/24"

    @property
    def service_api(self) -> str:
        """The Service address of the API server: the first of the subnet."""
        return f"10.113.{self.slot}.1"

    @property
    def dns(self) -> str:
        """The Service address of the cluster's DNS."""
        return f"10.113.{self.slot}.10"

    @property
    def outer(self) -> str:
        """The interface on the host."""
        return f"mcplc{self.slot}o"

    def create(self) -> None:
        """Create namespace, interfaces and routes. Raises RuntimeError with the error of ``ip``."""
        if self.namespace is None:
            return
        inner, inside = f"mcplc{self.slot}i", ("netns", "exec", self.namespace, "ip")
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self.outer, "type", "veth", "peer", "name", inner)
        _ip("link", "set", inner, "netns", self.namespace)
        _ip("address", "add", f"{self.host}/30", "dev", self.outer)
        _ip("link", "set", self.outer, "up")
        _ip(*inside, "address", "add", f"{self.node}/30", "dev", inner)
        _ip(*inside, "link", "set", inner, "up")
        _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "route", "add", "default", "via", self.host)
        # `add` fails where the host has such a route; `replace` would take it away.
        for subnet in (self.pods, self.services):
            _ip("route", "add", subnet, "via", self.node)

    def remove(self) -> None:
        """Remove what `create` made, if it exists. Interfaces, routes and packet filters vanish with the namespace."""
        if self.namespace is not None:
            for command in (("link", "delete", self.outer), ("netns", "delete", self.namespace)):
                subprocess.run(["ip", *command], capture_output=True, check=False)


def loopback() -> Network:
    """The network of a cluster without a node."""
    return Network(0, None)


def free(name: str) -> Network:
    """An unused network. Call and create it under the same lock. Raises RuntimeError if there is none."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    routes = subprocess.run(["ip", "-o", "route"], capture_output=True, text=True, check=True).stdout
    return unused(name, links, routes)


def unused(name: str, links: str, routes: str) -> Network:
    """The first network whose interface does not exist and to whose subnets the host has no route.

    ``links`` and ``routes`` are what ``ip -o link`` and ``ip -o route`` print. A route to a larger subnet stays in
    force for all other addresses of it.
    """
    known = [*_destinations(routes)]
    for slot in range(SLOTS):
        network = Network(slot, f"mcp-{name}")
        own = [ipaddress.IPv4Network(subnet) for subnet in (network.link, network.pods, network.services)]
        if network.outer not in links and not any(other.subnet_of(subnet) for other in known for subnet in own):
            return network
    raise RuntimeError(f"{SLOTS} clusters run on this machine, or the host has routes to their subnets; stop some")


def _destinations(routes: str) -> Iterator[ipaddress.IPv4Network]:
    for line in routes.splitlines():
        words = line.split()
        # A route may begin with its type, as in `blackhole 10.112.0.0/24`.
        for word in words[:2]:
            try:
                yield ipaddress.IPv4Network(word)
            except ValueError:
                continue
            break


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
