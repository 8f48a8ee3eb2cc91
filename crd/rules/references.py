"""PURE. Objects that another object refers to exist, and it may use them.

A missing object is only a warning, because files may be applied in any order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.facts import MemberFact
from crd.finding import Finding, Reason, format_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.facts import BackendRef, ServerFact
    from crd.snapshot import Snapshot

__all__ = ["backends", "mounts"]


# What fails of a server without the Service, by the field of the spec that names it.
_EFFECTS: Mapping[str | int, str] = {"redis": "sessions and rate limits fail", "telemetry": "traces are lost"}


def backends(snapshot: Snapshot, fact: MemberFact | ServerFact) -> Iterator[Finding]:
    """Services that do not exist, lack the port, or may not be called, or whose endpoints may not be called."""
    for backend in fact.backends:
        yield from _check_backend(snapshot, fact, backend)


def _check_backend(snapshot: Snapshot, fact: MemberFact | ServerFact, backend: BackendRef) -> Iterator[Finding]:
    subject: tuple[str, ...] = (backend.service.key,)
    at = backend.path
    if isinstance(fact, MemberFact) and not snapshot.granted(fact.ref, backend.service):
        message = (
            f"{backend.service} is in another namespace, and no ReferenceGrant there allows {fact.ref.kind}s of "
            f"namespace {fact.ref.namespace} to call it; create one there or use a Service in {fact.ref.namespace}"
        )
        related = (backend.service,)
        yield Finding.of(
            Reason.CROSS_NAMESPACE_DENIED, fact.ref, message, subject=subject, path=(*at, "namespace"), related=related
        )
        return  # whatever else could be said would tell what exists in the other namespace
    service = snapshot.service(backend.service)
    if service is None:
        what = "calls fail" if isinstance(fact, MemberFact) else _EFFECTS[backend.path[1]]
        message = f"{backend.service} does not exist, so {what}; create it or correct {format_path(backend.path)}"
        yield Finding.of(
            Reason.SERVICE_MISSING, fact.ref, message, subject=subject, path=at, related=(backend.service,)
        )
    elif service.type == "ExternalName":
        message = (
            f"{backend.service} has type ExternalName, which resolves to a host outside the cluster; use a Service "
            "that selects pods"
        )
        yield Finding.of(
            Reason.SERVICE_EXTERNAL_NAME, fact.ref, message, subject=subject, path=at, related=(backend.service,)
        )
    elif service.forbidden:
        message = (
            f"{backend.service} has the endpoint {service.forbidden}, which must not be called; remove it from the "
            "EndpointSlices of the Service"
        )
        yield Finding.of(
            Reason.ENDPOINT_FORBIDDEN, fact.ref, message, subject=subject, path=at, related=(backend.service,)
        )
    elif service.port_number(backend.port) is None:
        ports = ", ".join(f"{number} ({name})" if name else str(number) for name, number in service.ports[:5])
        given = f'"{backend.port}"' if isinstance(backend.port, str) else str(backend.port)
        repair = f"use one of its ports: {ports}" if ports else "it has no ports; add one"
        message = f"{backend.service} has no port {given}; {repair}"
        subject = (*subject, str(backend.port))
        yield Finding.of(
            Reason.SERVICE_PORT_MISSING, fact.ref, message, subject=subject, path=(*at, "port"), related=(service.ref,)
        )


def mounts(snapshot: Snapshot, fact: MemberFact | ServerFact) -> Iterator[Finding]:
    """Secrets and ConfigMaps that do not exist; nothing for kinds that the snapshot does not know."""
    for mount in fact.mounts:
        if snapshot.knows(mount.ref.kind) and snapshot.get(mount.ref) is None:
            message = f"{mount.ref} does not exist, so calls fail; create it or correct {format_path(mount.path)}"
            yield Finding.of(
                Reason.SECRET_MISSING,
                fact.ref,
                message,
                subject=(str(mount.ref),),
                path=mount.path,
                related=(mount.ref,),
            )
