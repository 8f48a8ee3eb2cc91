"""The streams on which clients listen for changes of lists: how many there are, what is sent on them, when they end.

All streams of a process hear of the catalogs that this process loads. A stream keeps digests of the lists that its
client is served, and the kinds of which it has yet to be notified: nothing is queued for a client that reads slowly.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from runtime.auth.authenticator import Grant
from runtime.auth.jwks import KeysUnavailableError
from runtime.http import origins
from runtime.mcp import subscriptions
from runtime.mcp.subscriptions import Kind
from runtime.pace import Pace
from runtime.state.sessions import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cluster.message import Channel
    from crd.published.settings import Settings
    from runtime.app.compiled import CompiledCatalog
    from runtime.auth.authenticator import Authenticator
    from runtime.state.sessions import SessionStore

__all__ = ["Ended", "ListenStream", "Listener", "Scope", "SessionKey", "Streams"]

# Streams of a process, and of one client.
MAX_STREAMS, PER_CLIENT = 10_000, 1000
# Seconds without an event after which a comment is sent: less than the 60 s after which common proxies close a
# connection on which nothing is sent.
KEEP_ALIVE = 45.0
# Seconds between two looks at what is due.
TICK = 1.0
# Streams that end in a second when the process is about to, and seconds of the shortest pause between them.
PER_SECOND, TURN = 200, 0.02
# A clock may be set: the longest time, in seconds, for which the expiry of a token is not looked at.
LOOK = 600.0


class Ended(StrEnum):
    """Why a stream ended."""

    CLIENT = "client"
    SLOW = "slow"
    DRAIN = "drain"
    EXPIRED = "expired"
    DENIED = "denied"
    SESSION = "session"
    REPLACED = "replaced"


class Scope(StrEnum):
    """Whose limit of streams is reached."""

    SERVER = "server"
    CLIENT = "client"


class SessionKey(NamedTuple):
    """A session, in the store of a session mode."""

    mode: str
    identifier: str
    principal: str


class Listener(NamedTuple):
    """Who listens: the key of its rate limit, why it was let in, its scopes, and the Origin header of its request.

    In the era of sessions, also the session.
    """

    client: str
    grant: Grant = Grant()
    scopes: frozenset[str] = frozenset()
    origin: str | None = None
    session: SessionKey | None = None


class ListenStream:
    """One stream. ``digests`` are those of the lists of each kind that the client has opted in to.

    ``identifier`` is the id of the request that opened it; in the era of sessions no message does.

    ``on_end`` is called when it has ``ended``. ``sent`` counts bytes, ``notified`` notifications.
    """

    __slots__ = (
        "_channel",
        "_digests",
        "_expiry",
        "_identifier",
        "_pending",
        "_streams",
        "ended",
        "listener",
        "notified",
        "on_end",
        "sent",
        "sent_at",
    )

    def __init__(
        self,
        streams: Streams,
        listener: Listener,
        identifier: str | int | None,
        digests: dict[Kind, tuple[bytes, ...]],
        sent_at: float,
    ) -> None:
        self._streams = streams
        self._identifier = identifier
        self._digests = digests
        self._pending: frozenset[Kind] = frozenset()
        self._channel: Channel | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.listener = listener
        self.ended: Ended | None = None
        self.on_end: Callable[[ListenStream], None] | None = None
        self.notified = 0
        self.sent = 0
        self.sent_at = sent_at

    # What the connection calls.

    def begin(self, channel: Channel) -> None:
        """See `cluster.message.Stream`."""
        self._channel = channel
        if self.ended is not None:
            channel.finish()
            return
        if self._identifier is None:
            self._send(subscriptions.KEEP_ALIVE)
        else:
            self._send(subscriptions.acknowledge(self._identifier, frozenset(self._digests)))
        self._flush()
        self.watch_expiry()

    def drained(self) -> None:
        """See `cluster.message.Stream`."""
        self._flush()

    def lost(self) -> None:
        """See `cluster.message.Stream`."""
        self._close(Ended.SLOW if self._channel is not None and self._channel.is_full else Ended.CLIENT)

    # What the process calls.

    def compare(self, lists: Mapping[tuple[str, bool], bytes]) -> None:
        """Notify the client of each of its lists that has changed, by the digests of all lists that it is served."""
        found = subscriptions.digests_of(lists, self._digests, modern=self._identifier is not None)
        if found != self._digests:
            self._pending |= {kind for kind, digests in found.items() if digests != self._digests[kind]}
            self._digests = found
            self._flush()

    def keep_alive(self) -> None:
        """Send a comment, unless the client has yet to read what was sent."""
        if self._channel is None or self._channel.is_full:
            self._streams.touch(self)
        else:
            self._send(subscriptions.KEEP_ALIVE)

    def watch_expiry(self) -> None:
        """End the stream when the credential of its client expires."""
        self._expiry = None
        left = self._streams.seconds_left(self.listener.grant)
        if left == math.inf or self.ended is not None:
            return
        if left <= 0:
            self.end(Ended.EXPIRED)
        else:
            self._expiry = asyncio.get_running_loop().call_later(min(left, LOOK), self.watch_expiry)

    def end(self, reason: Ended) -> None:
        """Send the result of the request, if one opened the stream, and close the connection."""
        if self.ended is not None:
            return
        if self._channel is not None:
            # Whatever the client has not read yet: this is short, and the last that is sent.
            self._flush(anyway=True)
            if self._identifier is not None:
                self._send(subscriptions.complete(self._identifier))
            self._channel.finish()
        self._close(reason)

    def _flush(self, *, anyway: bool = False) -> None:
        """Send what is pending, each kind once."""
        if self._pending and self._channel is not None and (anyway or not self._channel.is_full):
            pending, self._pending = self._pending, frozenset()
            self.notified += len(pending)
            self._streams.count(pending)
            events = [subscriptions.notify_change(kind, self._identifier) for kind in Kind if kind in pending]
            self._send(b"".join(events))

    def _send(self, part: bytes) -> None:
        if self._channel is not None:
            self._channel.send(part)
            self.sent += len(part)
            self._streams.touch(self)

    def _close(self, reason: Ended) -> None:
        if self.ended is None:
            self.ended = reason
            if self._expiry is not None:
                self._expiry.cancel()
            self._streams.forget(self)
            if self.on_end is not None:
                self.on_end(self)


class Streams:
    """The streams of a process: at most ``limit``, and ``per_client`` of each client. A session has one.

    ``stores`` holds session stores by session mode.
    ``now`` is the Unix time, ``monotonic`` gives seconds. ``on_notify`` is called for each notification that is sent.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        stores: Mapping[str, SessionStore],
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_notify: Callable[[Kind], None] = lambda _: None,
        limit: int = MAX_STREAMS,
        per_client: int = PER_CLIENT,
    ) -> None:
        self._authenticator = authenticator
        self._stores = stores
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._on_notify = on_notify
        self._limit = limit
        self.per_client = per_client
        # The one to which nothing was sent for longest comes first.
        self._open: dict[ListenStream, None] = {}
        self._clients: dict[str, int] = {}
        self._sessions: dict[SessionKey, ListenStream] = {}
        self._compiled: CompiledCatalog | None = None
        self._swapped = asyncio.Event()
        self._opened = asyncio.Event()
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._open)

    def exceeded(self, client: str) -> Scope | None:
        """Whose limit another stream of this client would exceed."""
        if len(self._open) >= self._limit:
            return Scope.SERVER
        return Scope.CLIENT if self._clients.get(client, 0) >= self.per_client else None

    def open(
        self, view: CompiledCatalog, listener: Listener, identifier: str | int | None, kinds: frozenset[Kind]
    ) -> ListenStream:
        """A stream for a client that is served ``view``. No limit may be exceeded.

        It replaces one of the same session, of which the client may know that it is lost before the server does.
        """
        digests = subscriptions.digests_of(view.list_digests, kinds, modern=identifier is not None)
        if listener.session is not None:
            self.end_session(listener.session, Ended.REPLACED)
        stream = ListenStream(self, listener, identifier, digests, self._monotonic())
        self._open[stream] = None
        self._clients[listener.client] = self._clients.get(listener.client, 0) + 1
        if listener.session is not None:
            self._sessions[listener.session] = stream
        self._opened.set()
        return stream

    def end_session(self, session: SessionKey, reason: Ended = Ended.SESSION) -> None:
        """End the stream of a session, if it has one here."""
        stream = self._sessions.get(session)
        if stream is not None:
            stream.end(reason)

    def apply(self, compiled: CompiledCatalog) -> None:
        """Another catalog is in force. `follow` notifies the clients."""
        self._compiled = compiled
        self._swapped.set()

    async def follow(self) -> None:
        """After each `apply`, end the streams that may not stay and notify the others, until cancelled."""
        while True:
            await self._swapped.wait()
            self._swapped.clear()
            compiled = self._compiled
            if compiled is not None:
                await self._notify(compiled)
            # It can be freed when there is another one.
            del compiled

    async def keep_alive(self) -> None:
        """Send comments, and end the streams whose credentials or sessions hold no more, until cancelled."""
        pace = Pace(self._monotonic, self._sleep)
        while True:
            oldest = next(iter(self._open), None)
            if oldest is None:
                self._opened.clear()
                await self._opened.wait()
                continue
            wait = oldest.sent_at + KEEP_ALIVE - self._monotonic()
            if wait > 0:
                # Those of one tick are served together.
                await self._sleep(max(wait, TICK))
                pace.begin()
                continue
            oldest.keep_alive()
            if self._compiled is not None:
                await self._end_unless_allowed(oldest, self._compiled.catalog.settings)
                await self._use_session(oldest, self._compiled.catalog.settings)
            await pace.step()

    async def drain(self, seconds: float = 0.0) -> None:
        """End every stream with its result, one after the other. No further ones may be opened.

        ``PER_SECOND`` of them in a second, or faster, so that it takes no more than ``seconds``: whoever listens again
        does it at once, and all of them at the same moment would be more than the other pods can answer.
        """
        self.is_draining = True
        pace, begun, ending = Pace(self._monotonic, self._sleep), self._monotonic(), list(self._open)
        between = min(1 / PER_SECOND, seconds / max(1, len(ending)))
        for number, stream in enumerate(ending):
            early = begun + number * between - self._monotonic()
            if early >= TURN:
                await self._sleep(early)
                pace.begin()
            stream.end(Ended.DRAIN)
            await pace.step()

    # What streams call.

    def touch(self, stream: ListenStream) -> None:
        """Something was sent, or could not be."""
        if stream in self._open:
            del self._open[stream]
            self._open[stream] = None
            stream.sent_at = self._monotonic()

    def forget(self, stream: ListenStream) -> None:
        """The stream has ended."""
        if stream in self._open:
            del self._open[stream]
            client = stream.listener.client
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
            if stream.listener.session is not None:
                self._sessions.pop(stream.listener.session, None)

    def count(self, kinds: frozenset[Kind]) -> None:
        """A client is notified of these."""
        for kind in kinds:
            self._on_notify(kind)

    def seconds_left(self, grant: Grant) -> float:
        """Until a credential expires."""
        return grant.until - self._now()

    async def _notify(self, compiled: CompiledCatalog) -> None:
        pace = Pace(self._monotonic, self._sleep)
        settings = compiled.catalog.settings
        # Clients with the same scopes have the same lists.
        views: dict[frozenset[str], list[ListenStream]] = {}
        for stream in self._open:
            views.setdefault(stream.listener.scopes & compiled.scopes, []).append(stream)
        for scopes, streams in views.items():
            steps = compiled.view_in_steps(scopes)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    view = end.value
                    break
                await pace.step()
            for stream in streams:
                if self._swapped.is_set():
                    # There is another one already. Those that were notified now come last.
                    return
                await self._end_unless_allowed(stream, settings)
                if stream.ended is None:
                    stream.compare(view.list_digests)
                await pace.step()

    async def _end_unless_allowed(self, stream: ListenStream, settings: Settings) -> None:
        """End a stream whose client would not be let in again."""
        listener = stream.listener
        is_allowed = origins.is_allowed(listener.origin, settings.hosts, settings.allowed_origins)
        # While nobody can be authenticated, who was let in before stays.
        with contextlib.suppress(KeysUnavailableError):
            is_allowed = is_allowed and await self._authenticator.is_granted(settings.auth, listener.grant)
        if not is_allowed:
            stream.end(Ended.DENIED)
        elif listener.session is not None and listener.session.mode != settings.sessions:
            stream.end(Ended.SESSION)

    async def _use_session(self, stream: ListenStream, settings: Settings) -> None:
        """Renew the session of a stream, or end the stream with it. Another replica may have ended the session."""
        session = stream.listener.session
        if session is None or stream.ended is not None:
            return
        with contextlib.suppress(StoreUnavailableError):
            store = self._stores[session.mode]
            if await store.use(session.identifier, session.principal, settings.session_ttl) is None:
                stream.end(Ended.SESSION)
