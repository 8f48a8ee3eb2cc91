"""Sessions of the era that has them: opened by ``initialize``, valid on every replica, expiring when unused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemorySessions", "Session", "SessionStore", "StoreUnavailableError"]


class StoreUnavailableError(Exception):
    """The store is unavailable. The request can be retried soon."""


@dataclass(frozen=True, slots=True)
class Session:
    """The state of a client. ``principal`` opened the session; for any other principal it does not exist."""

    version: str
    principal: str = ""


class SessionStore(Protocol):
    """A store of sessions. Every method may raise StoreUnavailableError. ``ttl``: seconds since the last use."""

    async def create(self, identifier: str, session: Session, ttl: float) -> None:
        """Store a new session."""
        ...

    async def use(self, identifier: str, principal: str, ttl: float) -> Session | None:
        """The principal's session, and renew its ttl. None if there is none or it has expired."""
        ...

    async def end(self, identifier: str, principal: str) -> bool:
        """Delete a session of the principal. Whether there was one."""
        ...


class MemorySessions:
    """A `SessionStore` of one replica. ``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float], limit: int = 100_000) -> None:
        self._sessions: dict[tuple[str, str], tuple[Session, float]] = {}
        self._monotonic = monotonic
        self._limit = limit

    async def create(self, identifier: str, session: Session, ttl: float) -> None:
        """See `SessionStore.create`."""
        now = self._monotonic()
        if len(self._sessions) >= self._limit:
            self._sessions = {key: value for key, value in self._sessions.items() if value[1] > now}
        if len(self._sessions) >= self._limit:
            raise StoreUnavailableError(f"{self._limit} sessions are open, which is the limit")
        self._sessions[identifier, session.principal] = (session, now + ttl)

    async def use(self, identifier: str, principal: str, ttl: float) -> Session | None:
        """See `SessionStore.use`."""
        now = self._monotonic()
        session, until = self._sessions.pop((identifier, principal), (None, now))
        if session is None or until <= now:
            return None
        self._sessions[identifier, principal] = (session, now + ttl)
        return session

    async def end(self, identifier: str, principal: str) -> bool:
        """See `SessionStore.end`."""
        return self._sessions.pop((identifier, principal), None) is not None
