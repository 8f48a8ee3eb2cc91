"""Sessions, for the eras that have them: made at ``initialize``, good on every replica, gone after their time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MemorySessions", "Session", "SessionStore", "StoreUnavailableError"]


class StoreUnavailableError(Exception):
    """The store does not answer; the request may be tried again soon."""


@dataclass(frozen=True, slots=True)
class Session:
    """What is remembered of a client. ``principal`` is who opened it; for anybody else it does not exist."""

    version: str
    principal: str = ""


class SessionStore(Protocol):
    """Where sessions are kept. Any method may raise StoreUnavailableError. ``ttl``: seconds from the last use."""

    async def create(self, identifier: str, session: Session, ttl: float) -> None:
        """Remember a new session."""
        ...

    async def use(self, identifier: str, principal: str, ttl: float) -> Session | None:
        """The principal's session, whose time begins anew; None if there is none (any more)."""
        ...

    async def end(self, identifier: str, principal: str) -> bool:
        """Forget a session of the principal's; whether there was one."""
        ...


class MemorySessions:
    """For one replica. ``monotonic`` gives seconds."""

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
            raise StoreUnavailableError(f"{self._limit} sessions are open")
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
