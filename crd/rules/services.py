"""PURE. The Services that an object calls are there. Absence warns: files may be applied in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.finding import Finding, Reason, dotted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.catalog import Catalog
    from crd.facts import MemberFact

__all__ = ["missing_services"]


def missing_services(catalog: Catalog, member: MemberFact) -> Iterator[Finding]:
    """Backends that are not there yet."""
    for backend in member.backends:
        if catalog.service(backend.service) is None:
            message = (
                f"{backend.service} does not exist; calls fail until it does; "
                f"create it, or correct {dotted(backend.path)}"
            )
            yield Finding.of(
                Reason.SERVICE_MISSING,
                member.ref,
                message,
                subject=(backend.service.key,),
                path=backend.path,
                related=(backend.service,),
            )
