"""A headless Chromium over the Chrome DevTools Protocol."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["Page", "opened"]

PATIENCE = 20.0


class Page:
    """One tab. ``problems`` are exceptions of scripts, and messages of the console that are errors."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.problems: list[str] = []

    async def send(self, method: str, **params: Any) -> Any:
        """The result of a command."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json(timeout=PATIENCE)
            if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.problems.append(json.dumps(message["params"]))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    async def open(self, url: str) -> None:
        """Go to a page."""
        await self.send("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        """The value of an expression."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(PATIENCE):
            while not await self.value(f"!!({expression})"):
                await asyncio.sleep(0.02)

    async def press(self, key: str, code: int = 0, text: str = "") -> None:
        """A key of the keyboard."""
        await self.send("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, text=text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    async def size(self, width: int, height: int) -> None:
        """The size of the window."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    async def scheme(self, name: str) -> None:
        """Light or dark."""
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    async def accessible(self) -> list[dict[str, Any]]:
        """The nodes that a screen reader has."""
        nodes = (await self.send("Accessibility.getFullAXTree"))["nodes"]
        return [node for node in nodes if not node.get("ignored")]


@asynccontextmanager
async def opened(profile: Path) -> AsyncIterator[Page]:
    """A tab of a new browser."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program is not None, "this test needs Chromium: apt-get install chromium"
    process = await asyncio.create_subprocess_exec(
        program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60.0):
            line = b""
            while b"DevTools listening on" not in line:
                line = await process.stderr.readline()
                assert line, "Chromium ended"
        base = line.decode().strip().rpartition(" ")[2].replace("ws://", "http://").partition("/devtools")[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/json/list") as answer:
                tab = next(each for each in await answer.json() if each["type"] == "page")
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log", "Accessibility"):
                    await page.send(f"{domain}.enable")
                yield page
    finally:
        process.terminate()
        await process.wait()
