"""What is held of request bodies is bounded, in all and for each namespace; nothing that was sent is inflated."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.webhook.test_server import SERVER, Api, Setup, ask, metrics, review, tool
from webhook import bodies
from webhook.bodies import Bodies

MIB = 1024 * 1024


class Upload:
    """A body of which the pieces are sent one by one."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.pieces.get():
            yield piece


def head_of(namespace: str, uid: str = "u-1") -> bytes:
    """The beginning of a review, as the API server writes it, with more than the bytes in which it is looked for."""
    head = {"uid": uid, "namespace": namespace, "operation": "CREATE", "object": {"note": "x" * bodies.HEAD}}
    return b'{"request": ' + json.dumps(head).encode()


async def post(client: Any, upload: Upload, path: str = "/validate") -> Any:
    return await client.post(path, data=upload, headers={"Content-Type": "application/json"})


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_flood_of_one_namespace_leaves_the_others_as_they_were(hook_client: Any) -> None:
    held = Bodies(limit=8 * MIB, limit_of_namespace=2 * MIB)
    setup = Setup(Api(SERVER), SERVER, bodies=held)
    client = await hook_client(setup.hook)
    uploads = [Upload() for _ in range(40)]
    senders = [asyncio.create_task(post(client, upload)) for upload in uploads]
    for upload in uploads:
        upload.pieces.put_nowait(head_of("loud") + b"x" * (MIB // 4))

    # Eight fit into the share of the namespace; the others were refused, and hold nothing.
    await until(lambda: sum(task.done() for task in senders) >= 32)
    refused = [await (await task).json() for task in senders if task.done()]
    assert {answer["response"]["status"]["code"] for answer in refused} == {429}
    assert "reviews of namespace loud in progress take too much memory" in refused[0]["response"]["status"]["message"]
    assert held.size <= 2 * MIB
    for name in ("a", "b"):
        status, response = await ask(hook_client, setup, review(tool(name, served=name)))
        assert (status, response["allowed"]) == (200, True)

    for task in senders:
        task.cancel()
    await asyncio.gather(*senders, return_exceptions=True)
    await until(lambda: held.size == 0)
    assert held._shares == {}


async def test_the_sum_of_all_bodies_is_bounded_as_they_are_read(hook_client: Any) -> None:
    held = Bodies(limit=2 * MIB, limit_of_namespace=MIB)
    setup = Setup(Api(), bodies=held)
    client = await hook_client(setup.hook)
    uploads = [Upload() for _ in range(3)]
    senders = [asyncio.create_task(post(client, upload)) for upload in uploads]
    for number, upload in enumerate(uploads[:2]):
        upload.pieces.put_nowait(head_of(f"ns-{number}") + b"x" * (MIB - 8 * 1024))
    await until(lambda: held.size > 2 * (MIB - 8 * 1024))
    assert not any(task.done() for task in senders)

    uploads[2].pieces.put_nowait(head_of("ns-2", "u-3") + b"x" * (64 * 1024))
    answer = (await (await senders[2]).json())["response"]

    assert (answer["uid"], answer["status"]["code"]) == ("u-3", 429)
    assert not any(task.done() for task in senders[:2])
    assert b"mcp_operator_admission_shed_total 1.0" in metrics(setup)
    for task in senders[:2]:
        task.cancel()
    await asyncio.gather(*senders, return_exceptions=True)


async def test_a_slow_body_holds_what_was_read_of_it_and_not_what_it_announces(hook_client: Any) -> None:
    held = Bodies()
    client = await hook_client(Setup(Api(), bodies=held).hook)
    upload = Upload()
    headers = {"Content-Type": "application/json", "Content-Length": str(6 * MIB)}
    sender = asyncio.create_task(client.post("/validate", data=upload, headers=headers))

    upload.pieces.put_nowait(b"{" * 10)
    await until(lambda: held.size == 10)
    assert held.complete == 0

    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    await until(lambda: held.size == 0)


@pytest.mark.parametrize(
    "path", ["/mutate", "/note-deletion"], ids=["its failure is ignored", "a deletion is never denied"]
)
async def test_what_may_fail_is_refused_with_a_status_of_http(hook_client: Any, path: str) -> None:
    setup = Setup(Api(), bodies=Bodies(limit=16, limit_of_namespace=16))

    # A small body is answered at once, and held by nobody.
    large = tool("a", annotations={"note": "x" * 40_000})

    status, _ = await ask(hook_client, setup, review(large), path)

    assert (status, setup.connection) == (429, "close")  # type: ignore[attr-defined]


async def test_a_body_larger_than_any_review_is_not_read(hook_client: Any) -> None:
    held = Bodies()
    setup = Setup(Api(), bodies=held)
    client = await hook_client(setup.hook)
    upload, announced = Upload(), Upload()
    sender = asyncio.create_task(post(client, upload))
    for _ in range(8):
        upload.pieces.put_nowait(b"x" * MIB)
    headers = {"Content-Type": "application/json", "Content-Length": str(bodies.BODY_LIMIT + 1)}
    refused = asyncio.create_task(client.post("/validate", data=announced, headers=headers))
    announced.pieces.put_nowait(b"{")

    assert (await sender).status == 413
    assert (await refused).status == 413
    assert held.size == 0
    for each in (upload, announced):
        each.pieces.put_nowait(b"")


async def test_a_body_that_arrives_too_slowly_is_given_up(hook_client: Any) -> None:
    held = Bodies(read_seconds=0.0)
    client = await hook_client(Setup(Api(), bodies=held).hook)
    upload = Upload()
    upload.pieces.put_nowait(b"{")

    answer = await post(client, upload)

    assert (answer.status, answer.headers["Connection"]) == (408, "close")
    assert held.size == 0


async def test_reviews_in_progress_are_bounded_for_each_namespace(hook_client: Any) -> None:
    """Reviews of one namespace that all wait for something leave room for those of the others."""
    waiting = asyncio.Event()

    class Stuck(Api):
        async def request(self, *_: Any, **__: Any) -> dict[str, Any]:
            await waiting.wait()
            raise TimeoutError

    held = Bodies()
    setup = Setup(Stuck(), SERVER, tool("a", uid="1"), bodies=held, max_in_flight_of_namespace=3)
    client = await hook_client(setup.hook)

    async def same(_hook: Any) -> Any:
        return client

    loud = [asyncio.create_task(ask(same, setup, review(tool(f"b{number}")))) for number in range(5)]
    await until(lambda: sum(task.done() for task in loud) == 2)
    quiet = {**tool("c"), "metadata": {"name": "c", "namespace": "quiet"}}
    quiet["spec"] = {**quiet["spec"], "service": {"name": "orders", "port": 80}}

    status, response = await ask(same, setup, review(quiet))

    assert (status, response["allowed"]) == (200, True)
    waiting.set()
    codes = sorted([(await task)[1]["status"]["code"] for task in loud])
    assert codes == [422, 422, 422, 429, 429]
    assert held.complete == 0


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity"])
async def test_an_encoded_body_is_refused_and_not_inflated(hook_client: Any, encoding: str) -> None:
    """Of 10 KiB that inflate to 10 MiB, nothing is read."""
    bomb = gzip.compress(b"[" * 10 * MIB)
    held = Bodies()
    setup = Setup(Api(), bodies=held)
    client = await hook_client(setup.hook)
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}

    answer = await client.post("/validate", data=iterated(bomb), headers=headers)

    assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "identity")
    assert held.size == 0


async def iterated(content: bytes) -> AsyncIterator[bytes]:
    """aiohttp's client does not encode what is iterated."""
    yield content
