"""One probe finds each change of a pinned tool, and nothing else, in the lists of the reference servers."""

from __future__ import annotations

import asyncio
import copy
import json
import random  # noqa: TID251 -- seeded by the number of each change
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from crd.published import pins
from crd.published.entries import Backend, Mcp, Tool
from crd.published.pins import AS_PINNED, Verdict
from runtime.backends.mcp.client import McpClient
from runtime.backends.mcp.pin_watch import PinWatch
from runtime.http.exchange import Reply, Request

LISTS = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "lists").glob("*.json"))}
Described = dict[str, Any]


class ListServer:
    """An MCP server that lists tools, in either era, in pages of any size, as JSON or as a stream of events."""

    def __init__(self, tools: list[Described], chance: random.Random) -> None:
        self.tools = tools
        self.page = chance.choice((1, 2, 3, 5, 100))
        self.is_modern = chance.random() < 0.5
        self.streams = chance.random() < 0.5
        self.respell = chance.random() < 0.5

    async def send(self, request: Request, timeout: float, **_: Any) -> Reply:
        message = json.loads(request.body or b"{}")
        cursor = int(message.get("params", {}).get("cursor", 0))
        match message.get("method"):
            case "server/discover" if self.is_modern:
                return self._answer(message, {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
            case "initialize":
                return self._answer(message, {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}})
            case "tools/list":
                result: Described = {"tools": self.tools[cursor : cursor + self.page], "ttlMs": 5, "_meta": {"x/y": 1}}
                if cursor + self.page < len(self.tools):
                    result["nextCursor"] = str(cursor + self.page)
                return self._answer(message, result)
            case "notifications/initialized":
                return Reply(202)
        return Reply(404, {"content-type": "application/json"}, b"{}")

    def _answer(self, message: Described, result: Described) -> Reply:
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}, ensure_ascii=self.respell)
        if not self.streams:
            return Reply(200, {"content-type": "application/json"}, body.encode())
        stream = f": hi\n\nevent: message\ndata: {body}\n\n"
        return Reply(200, {"content-type": "text/event-stream"}, stream.encode())


def pinned(tools: list[Described]) -> list[Tool]:
    def one(name: str, pin: pins.Pin) -> Tool:
        return Tool(name, f"shop/{name}", "POST", Backend("b", 80), {}, mcp=Mcp("/mcp", name, pin=pin))

    return [one(tool["name"], pins.pin_of(tool)) for tool in tools]


async def probed(tools: list[Tool], server: ListServer) -> dict[str, Verdict | None]:
    """The verdicts after one probe."""
    done = asyncio.Event()
    client = McpClient(server, new_id=lambda: "1")
    watch = PinWatch(
        client, lambda _: (), monotonic=asyncio.get_running_loop().time, jitter=lambda: 0.0,
        on_probe=lambda _: done.set(),
    )  # fmt: skip
    watch.keep(tools)
    task = asyncio.create_task(watch.run())
    try:
        await asyncio.wait_for(done.wait(), 10)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return {tool.name: watch.verdict(tool) for tool in tools}


def edited(text: str, chance: random.Random) -> str:
    """A text that reads nearly the same: a letter, a space, an invisible character, a twin of another script."""
    at = chance.randrange(len(text) + 1)
    way = chance.randrange(4)
    if way == 0 and text:
        return text[: max(0, at - 1)] + text[at:] if at else text[1:]
    if way == 1:
        return f"{text[:at]}\u200b{text[at:]}"
    if way == 2 and "a" in text:
        return text.replace("a", "\u0430", 1)
    return f"{text[:at]} {text[at:]}"


def schema_edited(schema: Described, chance: random.Random) -> Described:
    made = copy.deepcopy(schema)
    properties = made.setdefault("properties", {})
    names = list(properties)
    way = chance.randrange(7)
    if way == 0 or not names:
        properties[f"x{chance.randrange(100)}"] = {"type": "string"}
    elif way == 1:
        del properties[chance.choice(names)]
    elif way == 2:
        one = properties[chance.choice(names)]
        one["description"] = edited(str(one.get("description", "")), chance)
    elif way == 3:
        one = properties[chance.choice(names)]
        one["maxLength"] = (one.get("maxLength") or 7) + 0.5 + chance.randrange(9)
    elif way == 4:
        required = made.get("required", [])
        made["required"] = required[1:] if required else [names[0]]
    elif way == 5:
        properties[chance.choice(names)]["default"] = {"required": ["b", "a"], "n": chance.randrange(99)}
    else:
        made["additionalProperties"] = {"type": "null"} if made.get("additionalProperties") is False else False
    return made


def vanishes(tools: list[Described], at: int, chance: random.Random) -> None:
    if chance.random() < 0.5:
        del tools[at]
    else:
        tools[at]["name"] = edited(tools[at]["name"], chance)


def title(tools: list[Described], at: int, chance: random.Random) -> None:
    tools[at]["title"] = edited(tools[at].get("title", "x"), chance)


def description(tools: list[Described], at: int, chance: random.Random) -> None:
    tools[at]["description"] = edited(tools[at]["description"], chance)


def input_schema(tools: list[Described], at: int, chance: random.Random) -> None:
    tools[at]["inputSchema"] = schema_edited(tools[at]["inputSchema"], chance)


def output_schema(tools: list[Described], at: int, chance: random.Random) -> None:
    known = tools[at].get("outputSchema")
    if known is None:
        tools[at]["outputSchema"] = {"type": "object"}
    elif chance.random() < 0.2:
        del tools[at]["outputSchema"]
    else:
        tools[at]["outputSchema"] = schema_edited(known, chance)


def annotations(tools: list[Described], at: int, chance: random.Random) -> None:
    hints = tools[at].setdefault("annotations", {})
    name = chance.choice(("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"))
    hints[name] = not hints.get(name, name in ("destructiveHint", "openWorldHint"))


def twin(tools: list[Described], at: int, chance: random.Random) -> None:
    """Two tools of one name, of which one is as pinned."""
    other = {**tools[at], "description": edited(tools[at]["description"], chance)}
    tools.insert(chance.randrange(len(tools) + 1), other)


CLASSES: dict[Callable[[list[Described], int, random.Random], None], str] = {
    vanishes: "",
    title: "title",
    description: "description",
    input_schema: "inputSchema",
    output_schema: "outputSchema",
    annotations: "annotations",
    twin: "description",
}


def shuffled(value: Any, chance: random.Random, *, named: bool = False) -> Any:
    """A JSON value with its members in another order and its numbers in another spelling; ``required`` is a set."""
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {
            key: chance.sample(each, len(each))
            if not named and key in ("required", "enum", "type") and isinstance(each, list)
            else shuffled(each, chance, named=key in ("properties", "$defs"))
            for key, each in items
        }
    if isinstance(value, list):
        return [shuffled(each, chance) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 and chance.random() < 0.5:
        return float(value)
    return value


def quiet(tools: list[Described], chance: random.Random) -> list[Described]:
    """The same tools as a new version of a server may list them."""
    made = [shuffled(tool, chance) for tool in tools]
    chance.shuffle(made)
    for tool in made:
        if chance.random() < 0.5:
            tool["_meta"] = {"version": chance.randrange(9)}
        if chance.random() < 0.5:
            tool["icons"] = [{"src": f"https://example.com/{chance.randrange(9)}.png"}]
        tool["execution"] = {"taskSupport": chance.choice(("forbidden", "optional"))}
        tool["x-more"] = {"deep": [1, {}]}
        hints = tool.setdefault("annotations", {})
        if chance.random() < 0.5:
            hints.update({k: v for k, v in (("destructiveHint", True), ("openWorldHint", True)) if k not in hints})
            hints["x-unknown"] = chance.random()
        if "outputSchema" not in tool and chance.random() < 0.5:
            tool["outputSchema"] = None
    if chance.random() < 0.3:
        made.insert(chance.randrange(len(made) + 1), {"name": "new", "description": "A new tool.", "inputSchema": {}})
    return made


async def mutations(count: int) -> Counter[str]:
    """How many changes of each class were found, of the right tool, with the right part, and of no other tool."""
    told: Counter[str] = Counter()
    for number in range(count):
        chance = random.Random(number)
        change, part = list(CLASSES.items())[number % len(CLASSES)]
        listed = LISTS[sorted(LISTS)[number // len(CLASSES) % len(LISTS)]]
        at = chance.randrange(len(listed))
        tools = quiet(listed, chance) if chance.random() < 0.3 else copy.deepcopy(listed)
        name = listed[at]["name"]
        change(tools, next(index for index, tool in enumerate(tools) if tool["name"] == name), chance)
        verdicts = await probed(pinned(listed), ListServer(tools, chance))
        own = verdicts.pop(name)
        assert own is not None, number
        assert own.vanished if part == "" else own.changed == (part,), (number, change.__name__, own)
        assert set(verdicts.values()) <= {AS_PINNED}, (number, change.__name__)
        told[change.__name__] += 1
    return told


async def quiet_probes(count: int) -> int:
    """How many probes of lists that mean the same found something."""
    alarms = 0
    for number in range(count):
        chance = random.Random(-number - 1)
        listed = LISTS[sorted(LISTS)[number % len(LISTS)]]
        verdicts = await probed(pinned(listed), ListServer(quiet(listed, chance), chance))
        alarms += set(verdicts.values()) != {AS_PINNED}
    return alarms


async def test_every_change_is_told_by_one_probe() -> None:
    told = await mutations(210)

    assert told == dict.fromkeys((change.__name__ for change in CLASSES), 30)


async def test_a_quiet_probe_tells_nothing() -> None:
    assert await quiet_probes(300) == 0


async def test_the_law_sees_a_pin_that_misses_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pins.pin_of
    monkeypatch.setattr(pins, "pin_of", lambda tool: real({**tool, "annotations": None}))
    with pytest.raises(AssertionError):
        await mutations(14)


async def test_the_law_sees_a_pin_that_is_too_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "_schema", lambda node, depth: orjson.dumps(node).decode())
    assert await quiet_probes(8) > 0


@pytest.mark.long
async def test_a_thousand_changes_are_told_and_ten_thousand_quiet_probes_tell_nothing() -> None:
    told = await mutations(1001)
    alarms = await quiet_probes(10_000)

    print(f"{sum(told.values())} changes in {len(told)} classes: {dict(told)}; {alarms} alarms in 10000 quiet probes")
    assert (sum(told.values()), alarms) == (1001, 0)
