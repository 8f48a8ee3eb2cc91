"""A port that accepts connections, over TLS too: how many may be within their handshake, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from cluster.connections import Connections

__all__ = ["Listener"]

logger = logging.getLogger(__name__)

BACKLOG = 512
# TLS handshakes at once, and seconds for one. At the limit, a new one replaces the oldest.
HANDSHAKES = 256
HANDSHAKE_SECONDS = 5.0
# Seconds for which a client may leave the end of a TLS connection unanswered.
TLS_SHUTDOWN_SECONDS = 2.0
# Seconds until the next attempt where no connection could be accepted, as without free file descriptors.
ACCEPT_PAUSE = 0.1


class Listener:
    """The serving port, whose connections are ``connections``."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        # In the order in which they began.
        self._handshakes: dict[asyncio.Task[None], None] = {}

    @property
    def port(self) -> int:
        """The port that is listened on."""
        listening = self._server.sockets[0] if self._server is not None else self._socket
        return 0 if listening is None else int(listening.getsockname()[1])

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen; on any free port if ``port`` is 0."""
        loop = asyncio.get_running_loop()
        if tls is None:
            make = self._connections.make
            self._server = await loop.create_server(make, host, port, backlog=BACKLOG, reuse_address=True)
            return
        # A server of asyncio neither counts nor ends connections within their handshake.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self._accepting = loop.create_task(self._accept(self._socket, tls))

    async def stop_accepting(self) -> None:
        """Stop listening. Connections stay, and so do handshakes."""
        if self._server is not None:
            self._server.close()
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def close(self, timeout: float = 1.0) -> None:
        """Stop listening, wait ``timeout`` seconds for the answers in progress, and close all connections."""
        await self.stop_accepting()
        for handshake in [*self._handshakes]:
            handshake.cancel()
        self._connections.close_waiting()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._connections.empty.wait()
        self._connections.abort_all()

    async def _accept(self, listening: socket.socket, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:
                logger.warning("no connection could be accepted: %s", error)
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            if len(self._handshakes) >= HANDSHAKES:
                oldest = next(iter(self._handshakes))
                self._handshakes.pop(oldest)
                oldest.cancel()
            handshake = loop.create_task(self._shake_hands(accepted, tls))
            self._handshakes[handshake] = None
            handshake.add_done_callback(lambda task: self._handshakes.pop(task, None))

    async def _shake_hands(self, accepted: socket.socket, tls: ssl.SSLContext) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connections.make,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS,
            )
        except OSError as error:
            logger.debug("a TLS handshake failed: %s", error)
