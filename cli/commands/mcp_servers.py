"""Lists the tools of an MCP server that a person names: at a URL, or a program on its standard input and output.

The server is not trusted: every wait has a deadline, every answer a bound, and what it writes is never shown as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson

from runtime.backends import faults
from runtime.backends.faults import CallError, Fate
from runtime.backends.mcp import mcp_wire, tool_pages
from runtime.backends.mcp.client import McpClient, Target
from runtime.backends.mcp.tool_pages import Listing, ToolPages
from runtime.http.exchange import Reply
from runtime.mcp import eras, jsonrpc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crd.published.policy import Tls
    from runtime.http.exchange import Header, Request

__all__ = ["NotStartedError", "list_at", "list_of"]

# Seconds that a program may take to answer a request that it does not know, and to end.
DISCOVERY, ENDING = 5.0, 2.0
# What a program writes to its standard error is read, and of that the end is kept.
KEPT = 2000
# Messages that are not the awaited one, such as logs.
MAX_OTHERS = 10_000


class NotStartedError(Exception):
    """The program of a server cannot be started."""


async def list_at(url: str, headers: tuple[Header, ...], protocol: str, timeout: float) -> Listing:
    """The tools of the server at a URL. Redirects are not followed: they would take the credentials elsewhere."""
    async with aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        client = McpClient(_Sender(session), new_id=lambda: secrets.token_urlsafe(12))
        try:
            return await client.list_tools(Target(url, headers, protocol=protocol), timeout)
        finally:
            await client.close()


class _Sender:
    """`runtime.backends.mcp.client.HttpSender` for any host."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(
        self,
        request: Request,
        timeout: float,
        *,
        tls: Tls | None = None,
        max_bytes: int = tool_pages.MAX_PAGE_BYTES,
        ends: Callable[[bytes], bool] | None = None,
    ) -> Reply:
        """See `HttpSender.send`."""
        try:
            async with self._session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout),
            ) as response:
                is_stream = response.content_type == "text/event-stream"
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > max_bytes:
                        raise CallError("bad_response", f"the reply is larger than {max_bytes} bytes", Fate.UNKNOWN)
                    if is_stream and ends is not None and ends(chunk):
                        break
                found = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, found, bytes(body))
        except TimeoutError as error:
            raise faults.timeout(timeout, idempotent=True) from error
        except aiohttp.ClientConnectorError as error:
            raise faults.unreachable(str(error)) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise faults.disconnected(f"{type(error).__name__}: {error}", idempotent=True) from error


async def list_of(command: Sequence[str], environment: Mapping[str, str], timeout: float) -> Listing:
    """The tools of a program that speaks MCP on its standard input and output; it is ended afterwards.

    Raises NotStartedError.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(environment),
            limit=tool_pages.MAX_PAGE_BYTES,
            # Of a group of its own, so that what it starts is ended with it.
            start_new_session=True,
        )
    except OSError as error:
        message = f"{command[0]} cannot be started: {error.strerror or error}; install it or correct --stdio"
        raise NotStartedError(message) from error
    told = _Tail()
    draining = asyncio.create_task(told.follow(process))
    try:
        listing = await _converse(_Pipe(process), timeout)
    finally:
        await _end(process)
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
    if not listing.fault or not told.text:
        return listing
    return Listing(listing.tools, f"{listing.fault}; it wrote: {told.text}", listing.capabilities)


async def _converse(pipe: _Pipe, timeout: float) -> Listing:
    pages, fault, capabilities = ToolPages(), "", frozenset[str]()
    try:
        async with asyncio.timeout(timeout):
            is_modern, capabilities = await _open(pipe)
            cursor: str | None = ""
            while cursor is not None:
                params: dict[str, Any] = {"cursor": cursor} if cursor else {}
                result, size = await pipe.ask("tools/list", mcp_wire.with_meta(params) if is_modern else params)
                cursor = pages.add(result, size)
    except TimeoutError:
        fault = f"timeout: the list did not end within {timeout:g} s"
    except CallError as error:
        fault = str(error)
    except jsonrpc.RpcError as error:
        fault = f"the server answered with error {error.code}: {error.message}"
    return Listing(tuple(pages.tools), fault, capabilities)


async def _open(pipe: _Pipe) -> tuple[bool, frozenset[str]]:
    """Whether the program speaks the stateless era, and its capabilities."""
    try:
        async with asyncio.timeout(DISCOVERY):
            result, _ = await pipe.ask("server/discover", mcp_wire.with_meta({}))
        versions = result.get("supportedVersions")
        if isinstance(versions, list) and eras.MODERN in versions:
            return True, mcp_wire.capabilities(result)
    except (TimeoutError, jsonrpc.RpcError):
        pass  # a server of the era of sessions does not know the request
    result, _ = await pipe.ask("initialize", mcp_wire.initialize_params(eras.LEGACY[0]))
    version = result.get("protocolVersion")
    if version not in eras.LEGACY:
        message = f"the server speaks MCP version {str(version)[:40]}; supported are {', '.join(eras.SERVED)}"
        raise CallError("bad_response", message)
    await pipe.tell("notifications/initialized")
    return False, mcp_wire.capabilities(result)


class _Pipe:
    """Messages of one line each (MCP, stdio transport)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("the process has no pipes")
        self._in, self._out = process.stdin, process.stdout
        self._count = 0

    async def tell(self, method: str) -> None:
        """Send a notification."""
        await self._write(jsonrpc.request(None, method))

    async def ask(self, method: str, params: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """The result of a request, and its size in bytes. Raises CallError, or RpcError for an error."""
        self._count += 1
        identifier = f"import-{self._count}"
        await self._write(jsonrpc.request(identifier, method, params))
        for _ in range(MAX_OTHERS):
            line = await self._read()
            try:
                message = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue  # some programs write logs to standard output
            if not isinstance(message, dict):
                continue
            if "method" in message and "id" in message:
                await self._refuse(message["id"])
            elif message.get("id") == identifier and isinstance(message.get("error"), dict):
                raise mcp_wire.translate_error(message["error"])
            elif message.get("id") == identifier and isinstance(message.get("result"), dict):
                return message["result"], len(line)
        raise CallError(
            "bad_response", f"more than {MAX_OTHERS} lines, and none of them answers {method}", Fate.UNKNOWN
        )

    async def _refuse(self, identifier: Any) -> None:
        """A request of the server, for what this client never offered."""
        if isinstance(identifier, str | int):
            await self._write(jsonrpc.error(identifier, jsonrpc.METHOD_NOT_FOUND, "Method not found"))

    async def _read(self) -> bytes:
        try:
            line = await self._out.readline()
        except ValueError as error:
            message = f"a line is larger than {tool_pages.MAX_PAGE_BYTES} bytes"
            raise CallError("bad_response", message, Fate.UNKNOWN) from error
        if not line.endswith(b"\n"):
            raise CallError("disconnected", "the program ended without an answer", Fate.UNKNOWN)
        return line

    async def _write(self, message: bytes) -> None:
        try:
            self._in.write(message + b"\n")
            await self._in.drain()
        except (ConnectionError, BrokenPipeError) as error:
            raise CallError("disconnected", "the program closed its standard input", Fate.UNKNOWN) from error


class _Tail:
    """The end of what a program writes to its standard error."""

    def __init__(self) -> None:
        self._kept = b""

    @property
    def text(self) -> str:
        """As text, on one line."""
        return " ".join(self._kept.decode("utf-8", "replace").split())

    async def follow(self, process: asyncio.subprocess.Process) -> None:
        """Read until the program closes it, so that it never waits."""
        while process.stderr is not None and (chunk := await process.stderr.read(65536)):
            self._kept = (self._kept + chunk)[-KEPT:]


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the program and what it has started: by closing its input, then by signals."""
    if process.stdin is not None:
        process.stdin.close()
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), ENDING)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ENDING):
            await process.wait()
            # What is left in the pipe; otherwise it would stay open.
            while process.stdout is not None and await process.stdout.read(65536):
                pass
