"""Which keys of paths the webhook accepts: those of the Secret, and for a while those that are no longer in it."""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from certs.paths import PathKeys

__all__ = ["GRACE", "AcceptedKeys"]

# A key that somebody removes by mistake is registered until the controller has repaired the Secret.
GRACE = timedelta(seconds=30)


class AcceptedKeys:
    """None before the first `update`. Paths without a key are accepted until the Secret holds one."""

    def __init__(self) -> None:
        # Until when; None while the Secret holds it.
        self._keys: dict[bytes, datetime | None] = {}

    def update(self, held: PathKeys, now: datetime) -> None:
        """Take up the keys of the Secret. One without any changes nothing once there was a key: it is damaged."""
        found = {key.encode() for key in held.accepted}
        if not any(found) and any(self._keys):
            return
        kept = {key: now + GRACE if until is None else until for key, until in self._keys.items()}
        self._keys = {key: until for key, until in kept.items() if now < until} | dict.fromkeys(found)

    def accepts(self, key: str) -> bool:
        """Whether this is one of them. Takes as long for every key of one length."""
        offered = key.encode(errors="replace")
        return any([hmac.compare_digest(offered, each) for each in self._keys])  # noqa: C419 -- compares every key
