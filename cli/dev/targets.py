"""PURE. Which address on this machine answers for a Service of the cluster (``--service``)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crd import addresses
from crd.facts import ServiceFact
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from crd.facts import Fact

__all__ = ["complete", "parse", "service_of"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_EXAMPLE = "such as shop/orders=http://127.0.0.1:9000"
_AUTHORITY = re.compile(rf"(?:{'|'.join(map(re.escape, LOOPBACK))}):[0-9]{{1,5}}")


def parse(option: str) -> tuple[Ref, str]:
    """The Service and the URL, without a final slash, of ``namespace/name=URL``. Raises ValueError for anything else.

    The address must be on this machine: the runtime calls nothing else that is not a Service.
    """
    service, separator, url = option.partition("=")
    namespace, slash, name = service.partition("/")
    if not separator or not slash or not addresses.is_label(namespace) or not addresses.is_label(name):
        raise ValueError(f'must be namespace/name=URL {_EXAMPLE}, got "{option}"')
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise ValueError(f'must have an http or https URL without a query {_EXAMPLE}, got "{url}"')
    if not _AUTHORITY.fullmatch(parts.netloc) or int(parts.netloc.rpartition(":")[2]) not in range(1, 65536):
        raise ValueError(
            f'must have a loopback address with a port {_EXAMPLE}, got "{url}"; forward a port of this machine to '
            "reach another one (kubectl port-forward, ssh -L)"
        )
    return Ref(Kind.SERVICE, namespace, name), url.rstrip("/")


def service_of(base: str) -> Ref:
    """The Service in a URL that the runtime wrote. Raises ValueError if there is none."""
    host = base.partition("://")[2].rpartition(":")[0]
    if not addresses.is_service(host, "cluster.local"):
        raise ValueError(f"{host} is not a Service")
    name, namespace = host.split(".")[:2]
    return Ref(Kind.SERVICE, namespace, name)


def complete(facts: Iterable[Fact], given: Iterable[Ref], backends: Iterable[tuple[Ref, int | str]]) -> Iterator[Fact]:
    """The facts of the files, and of each ``given`` Service that is in no file: it has every port that is called.

    A port that is only named is port 80 then; the request goes to the URL of the option in any case.
    """
    known: Mapping[Ref, Fact] = {fact.ref: fact for fact in facts}
    ports: dict[Ref, dict[tuple[str, int], None]] = {ref: {} for ref in given if ref not in known}
    for service, port in backends:
        if service in ports:
            ports[service][("", port) if isinstance(port, int) else (port, 80)] = None
    yield from known.values()
    yield from (ServiceFact(ref, "ClusterIP", tuple(found)) for ref, found in ports.items())
