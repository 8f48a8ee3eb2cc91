"""Clients that listen for changes of lists, and listen again when a stream ends, as agents do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp

from runtime.mcp.eras import MODERN
from tests.runtime.raw_http import INITIALIZE, rpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["Listener", "listening"]

SESSIONS = "2025-11-25"
META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
# Seconds for which a connection is kept that is not used: as by clients in Go. Others keep it shorter.
KEPT = 90.0
# Seconds until who could not listen tries again.
AGAIN = 0.5


class BusyError(Exception):
    """The pod has so much to do that the client is to come back after this time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


class Listener:
    """A client of either era. It lists its tools whenever it has begun to listen.

    ``is_open``: it listens. ``opened`` counts its streams, ``ends`` how they ended: "complete" is the documented end.
    ``heard`` counts what it was notified of, ``waits`` how often it was told to come back later, as it does. With
    ``keeps`` it has one pool of connections for streams and calls, as the SDKs do; else it closes the connection of a
    call.
    """

    def __init__(self, url: str, key: str, number: int, *, modern: bool, keeps: bool) -> None:
        self._url = url
        self._key = key
        self._id = f"listener-{number}"
        self._modern = modern
        self._keeps = keeps
        self._session: dict[str, str] = {}
        self.is_open = False
        self.opened = 0
        self.waits = 0
        self.ends = Counter[str]()
        self.heard = Counter[str]()

    async def run(self) -> None:
        """Listen until cancelled."""
        connector = aiohttp.TCPConnector(**({"keepalive_timeout": KEPT} if self._keeps else {"force_close": True}))
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "application/json, text/event-stream"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=120)
        async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as http:
            while True:
                try:
                    if not self._modern and not self._session:
                        await self._initialize(http)
                    end = await self._listen(http)
                except BusyError as error:
                    self.waits += 1
                    await asyncio.sleep(error.seconds)
                    continue
                except (TimeoutError, aiohttp.ClientError, ValueError) as error:
                    end = f"{'cut' if self.is_open else 'not opened'}: {error!r}"
                self.is_open = False
                self.ends[end] += 1
                if end != "complete":
                    await asyncio.sleep(AGAIN)

    async def _initialize(self, http: aiohttp.ClientSession) -> None:
        async with http.post(self._url, json=INITIALIZE) as answer:
            answer.raise_for_status()
            self._session = {"Mcp-Session-Id": answer.headers["Mcp-Session-Id"], "MCP-Protocol-Version": SESSIONS}
        async with http.post(self._url, json=rpc("notifications/initialized", None), headers=self._session) as answer:
            answer.raise_for_status()

    async def _listen(self, http: aiohttp.ClientSession) -> str:
        """Have one stream; how it ended."""
        async with self._ask(http) as stream:
            _let_wait(stream)
            if stream.status != 200:
                return f"refused: {stream.status}: {await stream.text()}"
            last: Any = None
            async for line in stream.content:
                if not self.is_open and line.strip():
                    # What comes first says that the server listens to changes for this client.
                    self.is_open = True
                    self.opened += 1
                    await self._list_patiently(http)
                if line.startswith(b"data: "):
                    last = json.loads(line[6:])
                    if "method" in last:
                        self.heard[last["method"]] += 1
        return "complete" if not self._modern or _is_result(last, self._id) else f"without a result: {last}"

    def _ask(self, http: aiohttp.ClientSession) -> Any:
        if not self._modern:
            return http.get(self._url, headers=self._session)
        method, filter_ = "subscriptions/listen", {"toolsListChanged": True}
        body = {**rpc(method, None, notifications=filter_, _meta=META), "id": self._id}
        return http.post(self._url, json=body, headers={"MCP-Protocol-Version": MODERN, "Mcp-Method": method})

    async def _list_patiently(self, http: aiohttp.ClientSession) -> None:
        while True:
            try:
                return await self._list(http)
            except BusyError as error:
                self.waits += 1
                await asyncio.sleep(error.seconds)

    async def _list(self, http: aiohttp.ClientSession) -> None:
        modern = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/list"}
        body = rpc("tools/list", 2, **({"_meta": META} if self._modern else {}))
        async with http.post(self._url, json=body, headers=modern if self._modern else self._session) as answer:
            text = await answer.text()
            _let_wait(answer)
            if answer.status != 200 or not json.loads(text)["result"]["tools"]:
                raise ValueError(f"tools/list: {answer.status}: {text[:200]}")


def _let_wait(answer: aiohttp.ClientResponse) -> None:
    if answer.status == 503 and "Retry-After" in answer.headers:
        raise BusyError(float(answer.headers["Retry-After"]))


def _is_result(message: Any, identifier: str) -> bool:
    expected = {"resultType": "complete", "_meta": {"io.modelcontextprotocol/subscriptionId": identifier}}
    return bool(message == {"jsonrpc": "2.0", "id": identifier, "result": expected})


@contextlib.asynccontextmanager
async def listening(url: str, keys: Sequence[str], number: int, keeping: int) -> AsyncIterator[list[Listener]]:
    """So many listeners, half of them of each era; ``keeping`` of them keep the connections of their calls."""
    listeners = [
        Listener(url, keys[i // 2 % len(keys)], i, modern=i % 2 == 0, keeps=i < keeping) for i in range(number)
    ]
    tasks: list[asyncio.Task[None]] = []
    try:
        for each in listeners:
            # Not all at once: in a cluster, too, they have come one after the other.
            tasks.append(asyncio.create_task(each.run()))
            await asyncio.sleep(0.005)
        yield listeners
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
