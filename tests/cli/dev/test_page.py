"""The page of `mcp-operator dev`: in a real Chromium with keyboard, screen reader, both colour schemes and 400 px."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from cli.dev import targets
from tests.cli.dev.browser import Page, opened
from tests.cli.dev.conftest import SECRET, TOOL, Running, started

ROOT = Path(__file__).parents[3]
STYLE = (ROOT / "cli" / "dev" / "page" / "style.css").read_text()
SCRIPT = (ROOT / "cli" / "dev" / "page" / "page.js").read_text()
HOSTILE = TOOL.replace("find-orders", "odd").replace("name: find_orders", "name: odd").replace(
    "Lists the orders of the shop that have a given status.", "\"<img src=x onerror='document.title=1'><b>bold</b>\""
)  # fmt: skip
NESTED = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPTool
metadata: {name: nested, namespace: shop, labels: {app: shop}}
spec:
  name: add_order
  description: Adds an order to the shop, with an address and a list of articles.
  service: {name: orders, port: http}
  inputSchema:
    type: object
    properties:
      address:
        type: object
        properties: {city: {type: string}, floor: {type: integer}}
        required: [city]
      articles: {type: array, items: {type: string}}
      gift: {type: boolean}
    required: [address]
"""


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("index", [0, 1], ids=["light", "dark"])
def test_every_text_has_a_contrast_of_at_least_four_and_a_half(index: int) -> None:
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[index]))

    assert len(colours) == 10
    for text in ("text", "quiet", "accent", "error", "warning", "good"):
        for ground in ("ground", "raised"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5


def test_the_script_writes_no_html() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", SCRIPT)


async def choose(page: Page, name: str) -> None:
    await page.until(f"[...document.querySelectorAll('nav li button')].some(b => b.textContent.startsWith('{name}'))")
    await page.value(
        f"[...document.querySelectorAll('nav li button')].find(b => b.textContent.startsWith('{name}')).click()"
    )
    await page.until("document.querySelector('main form')")


@pytest.mark.long
async def test_the_page_in_a_browser(folder: Path, backend: Any, tmp_path: Path) -> None:
    (folder / "nested.yaml").write_text(NESTED)
    services = dict([targets.parse(f"shop/orders={backend[0]}")])
    environment = {"MCP_SECRET_SHOP_CRM_TOKEN": SECRET}
    async with started(folder, services=services, environment=environment) as running, opened(tmp_path) as page:
        await page.size(1280, 900)
        await page.open(f"{running.base}/#token={running.token}")
        await call_with_the_keyboard(page)
        await explain_and_fill_in(page)
        await see_findings_and_calls(page, running)
        await be_narrow_and_dark(page)
        await be_read_aloud(page)
        assert page.problems == []


async def call_with_the_keyboard(page: Page) -> None:
    """Search, choose, fill in and call without a mouse; the token does not stay in the address."""
    await page.until("document.querySelectorAll('nav li button').length === 4")
    assert await page.value("location.hash") == ""
    assert await page.value("document.getElementById('status').textContent") == "1 server, 0 errors, 0 warnings"
    await page.press("/", 191, "/")
    assert await page.value("document.activeElement.id") == "search"
    for letter in "orders find":
        await page.press(letter, ord(letter.upper()), letter)
    await page.until("document.querySelectorAll('nav li button').length === 1")
    assert await page.value("document.getElementById('matches').textContent") == "1 entry found"
    await page.press("Tab", 9)
    assert await page.value("document.activeElement.textContent.startsWith('find_orders')")
    await page.press("Enter", 13, "\r")
    await page.until("document.activeElement.id === 'entry'")
    await page.press("Tab", 9)
    assert await page.value("document.activeElement.name") == "status"
    await page.press("o", 79, "o")
    await page.press("Tab", 9)
    assert await page.value("document.activeElement.name") == "limit"
    await page.press("7", 55, "7")
    await page.press("Enter", 13, "\r")
    await page.until("document.querySelector('#output strong')")
    shown = await page.value("document.getElementById('output').textContent")
    assert "Result after" in shown
    assert "GET http://orders.shop.svc:80/orders/open?limit=7" in shown
    assert "Authorization: Bearer <Secret shop/crm key token>" in shown
    assert '"id": "o-1"' in shown
    assert SECRET not in await page.value("document.documentElement.textContent")
    await page.value("document.getElementById('search').value = ''; showServers()")


async def explain_and_fill_in(page: Page) -> None:
    """The explanation is a table; a nested schema becomes nested fields."""
    await choose(page, "find_orders")
    await page.value("document.querySelector('main select').value = 1")
    await page.value(
        "[...document.querySelectorAll('main button')].find(b => b.textContent.startsWith('Explain')).click()"
    )
    await page.until("document.querySelector('#output table')")
    rows = await page.value("[...document.querySelectorAll('#output tbody tr')].map(row => row.textContent)")
    assert any("/orders/shipped" in row and "spec.http.path" in row and "argument status" in row for row in rows)
    await choose(page, "add_order")
    names = await page.value("[...document.querySelectorAll('main [name]')].map(input => input.name)")
    assert names == ["city", "floor", "articles", "gift"]
    for name, value in (("city", "Oslo"), ("floor", "4"), ("articles", '["a"]'), ("gift", "0")):
        await page.value(f"document.querySelector('main [name={name}]').value = {value!r}")
    await page.value(
        "[...document.querySelectorAll('main button')].find(b => b.textContent.startsWith('Explain')).click()"
    )
    await page.until("document.querySelector('#output table')")
    body = '{"address":{"city":"Oslo","floor":4},"articles":["a"],"gift":true}'
    assert body in await page.value("document.getElementById('output').textContent")
    await page.value("document.querySelector('main [name=articles]').value = '['")
    await page.value("document.querySelector('main form').requestSubmit()")
    await page.until("document.querySelector('#output [role=alert]')")
    assert await page.value("document.activeElement.getAttribute('aria-invalid')") == "true"


async def see_findings_and_calls(page: Page, running: Running) -> None:
    """A save shows its finding with the line; a call of a client is in the log; text is never HTML."""
    async with Client(running.mcp) as client:
        await client.call_tool("find_orders", {"status": "open"})
    await page.until("document.getElementById('log').textContent.includes('tools/call find_orders')")
    (running.folder / "odd.yaml").write_text(HOSTILE)
    await page.until("[...document.querySelectorAll('nav li button')].some(b => b.textContent.startsWith('odd'))")
    await choose(page, "odd")
    assert await page.value("document.querySelectorAll('main img, main b').length") == 0
    assert "<img src=x" in await page.value("document.querySelector('main').textContent")
    (running.folder / "tool.yaml").write_text(TOOL.replace("{status}", "{staus}"))
    await page.until("document.querySelector('#findings mark')")
    assert "{staus}" in await page.value("document.querySelector('#findings mark').textContent")
    link = await page.value("document.querySelector('#findings a').href")
    assert re.fullmatch(rf"vscode://file{running.folder}/tool\.yaml:\d+:\d+", link)


async def be_narrow_and_dark(page: Page) -> None:
    """Nothing is wider than 400 px, and the ground follows the colour scheme."""
    await page.scheme("light")
    assert await page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    await page.scheme("dark")
    assert await page.value("getComputedStyle(document.body).backgroundColor") == "rgb(16, 22, 29)"
    await page.size(400, 800)
    await choose(page, "find_orders")
    await page.value("document.querySelector('main select').value = 1")
    await page.value(
        "[...document.querySelectorAll('main button')].find(b => b.textContent.startsWith('Explain')).click()"
    )
    await page.until("document.querySelector('#output table')")
    assert await page.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


async def be_read_aloud(page: Page) -> None:
    """Every control has a name, and the regions are landmarks."""
    nodes = await page.accessible()
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node}
    controls = {"button", "textbox", "searchbox", "combobox", "link"}
    assert {role for role, name in named if role in controls and not name} == set()
    assert {"navigation", "main", "log"} <= {role for role, _ in named}
    assert ("combobox", "status (required)") in named
    assert ("searchbox", "Search") in named
