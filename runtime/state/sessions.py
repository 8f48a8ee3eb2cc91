"""Sessions of the era that has them: opened by ``initialize``, valid on every replica, expiring when unused."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PER_CLIENT", "MemorySessions", "Session", "SessionStore", "StoreUnavailableError"]

PER_CLIENT = 1000
# Sessions that are removed at most, if they have expired, before one is created.
EXPIRED = 16


class StoreUnavailableError(Exception):
    """The store is unavailable. The request can be retried soon."""


@dataclass(frozen=True, slots=True)
class Session:
    """The state of a client. ``principal`` opened the session; for any other principal it does not exist."""

    version: str
    principal: str = ""


class SessionStore(Protocol):
    """A store of sessions. Every method may raise StoreUnavailableError. ``ttl``: seconds since the last use.

    A client has at most `PER_CLIENT` sessions; a new one replaces the one that it has not used for longest.
    """

    async def create(self, identifier: str, session: Session, ttl: float, *, client: str) -> None:
        """Store a new session of a client (`runtime.state.limits.client_key`)."""
        ...

    async def use(self, identifier: str, principal: str, ttl: float) -> Session | None:
        """The principal's session, and renew its ttl. None if there is none or it has expired."""
        ...

    async def end(self, identifier: str, principal: str) -> bool:
        """Delete a session of the principal. Whether there was one."""
        ...


_Key = tuple[str, str]


class MemorySessions:
    """A `SessionStore` of one replica. ``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float], limit: int = 100_000, per_client: int = PER_CLIENT) -> None:
        # Each with the time of its last use, and its client; the least recently used first.
        self._sessions: dict[_Key, tuple[Session, float, str]] = {}
        # The keys of each client's sessions, the least recently used first.
        self._clients: dict[str, dict[_Key, None]] = {}
        self._monotonic = monotonic
        self._limit = limit
        self._per_client = per_client

    async def create(self, identifier: str, session: Session, ttl: float, *, client: str) -> None:
        """See `SessionStore.create`."""
        now = self._monotonic()
        own = self._clients.get(client, {})
        if len(own) >= self._per_client:
            self._remove(next(iter(own)))
        for key in list(islice(self._sessions, EXPIRED)):
            if now - self._sessions[key][1] < ttl:
                break
            self._remove(key)
        if len(self._sessions) >= self._limit:
            raise StoreUnavailableError(f"{self._limit} sessions are open, which is the limit")
        self._add((identifier, session.principal), session, now, client)

    async def use(self, identifier: str, principal: str, ttl: float) -> Session | None:
        """See `SessionStore.use`."""
        now, key = self._monotonic(), (identifier, principal)
        found = self._remove(key)
        if found is None or now - found[1] >= ttl:
            return None
        self._add(key, found[0], now, found[2])
        return found[0]

    async def end(self, identifier: str, principal: str) -> bool:
        """See `SessionStore.end`."""
        return self._remove((identifier, principal)) is not None

    def _add(self, key: _Key, session: Session, used: float, client: str) -> None:
        self._sessions[key] = (session, used, client)
        self._clients.setdefault(client, {})[key] = None

    def _remove(self, key: _Key) -> tuple[Session, float, str] | None:
        found = self._sessions.pop(key, None)
        if found is not None:
            own = self._clients[found[2]]
            del own[key]
            if not own:
                del self._clients[found[2]]
        return found
