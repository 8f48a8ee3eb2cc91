"""PURE. Fields that are immutable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.finding import Finding, Reason
from crd.models.server import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.manifest import Object

__all__ = ["immutable_fields"]


def immutable_fields(old: Object, new: Object) -> Iterator[Finding]:
    """A change of the prefix of a server's Redis keys, which would lose all sessions and rate limits."""
    if not isinstance(old.spec, ServerSpec) or not isinstance(new.spec, ServerSpec):
        return
    before, after = old.spec.redis, new.spec.redis
    if before and after and before.key_prefix and before.key_prefix != after.key_prefix:
        now = f'"{after.key_prefix}"' if after.key_prefix else "nothing"
        message = (
            f'keyPrefix is immutable: changing it from "{before.key_prefix}" to {now} would lose all sessions and rate '
            "limits; restore it or create a new MCPServer"
        )
        yield Finding.of(Reason.IMMUTABLE_FIELD, new.ref, message, path=("spec", "redis", "keyPrefix"))
