"""What is held of request bodies is bounded, in all and for each namespace; nothing that was sent is inflated."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.message import Request
from tests.cluster.conftest import simulated
from tests.webhook.test_server import SERVER, Api, Setup, ask, metrics, review, tool
from webhook import bodies
from webhook.bodies import HEAD, Bodies, Body, RefusedError, uid_of

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


def arriving(*parts: bytes, length: int | None = None, complete: bool = True) -> Request:
    """A request of which these parts have come, each of which is read alone."""
    found = Request("POST", "/validate", {} if length is None else {"content-length": [str(length)]})
    if complete:
        found.put(b"".join(parts))
    for part in () if complete else parts:
        found.feed(part)
    return found


async def refusal(bodies: Bodies, *parts: bytes, length: int | None = None) -> tuple[int, str, str] | None:
    """Why a body is refused, None if it is read; it is released either way."""
    body = Body()
    try:
        await bodies.read(arriving(*parts, length=length), body)
    except RefusedError as error:
        return error.status, str(error), error.uid
    finally:
        bodies.release(body)
    return None


def named(namespace: str, size: int) -> bytes:
    return b'{"uid": "u-1", "namespace": "%b", ' % namespace.encode() + b"x" * (size - 32 - len(namespace))


async def test_bodies_have_limits_and_up_to_these_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.bodies.BODY_LIMIT", 1000)
    bodies = Bodies(limit=900, limit_of_namespace=800)
    too_large = (413, f"the body has more than {7 * 1024 * 1024} bytes", "")
    whole = named("shop", 800)
    assert len(whole) == 800

    assert await refusal(bodies, whole) is None
    assert await refusal(bodies, whole, length=1000) is None
    assert await refusal(bodies, whole, length=1001) == too_large
    assert await refusal(Bodies(), named("shop", 1000)) is None
    assert await refusal(Bodies(), named("shop", 1001)) == too_large
    own = "the reviews of namespace shop in progress take too much memory; try again in a second"
    assert await refusal(bodies, named("shop", 801)) == (429, own, "u-1")
    held = Body()
    await bodies.read(arriving(named("bank", 100)), held)
    assert await refusal(bodies, whole) is None
    more = Body()
    await bodies.read(arriving(named("bank", 50)), more)
    everything = "the reviews in progress take too much memory; try again in a second"
    assert await refusal(bodies, whole) == (429, everything, "u-1")
    assert (bodies.size, bodies.complete) == (150, 2)
    assert held.share is more.share
    assert held.share is not None
    assert (held.share.size, held.share.bodies, held.share.complete) == (150, 2, 2)
    bodies.release(held)
    assert (held.share.size, held.share.bodies, held.share.complete) == (50, 1, 1)
    assert list(bodies._shares) == [b"bank"]
    bodies.release(more)
    assert (bodies.size, bodies.complete, bodies._shares) == (0, 0, {})


async def test_a_namespace_is_found_in_the_head_alone() -> None:
    bodies = Bodies()
    for content, namespace in (
        (b'{"namespace":"shop"}', b"shop"),
        (b'{"namespace": "a-1"}', b"a-1"),
        (b'{"namespace":  "shop"}', b""),
        (b'{"namespace": "Shop"}', b""),
        (b'{"namespace": "%b"}' % (b"x" * 63), b"x" * 63),
        (b'{"namespace": "%b"}' % (b"x" * 64), b""),
        (b"x" * (HEAD - 19) + b'"namespace": "shop"', b"shop"),
        (b"x" * (HEAD - 18) + b'"namespace": "shop"', b""),
        (b"", b""),
    ):
        body = Body()
        await bodies.read(arriving(content), body)
        assert (body.namespace, body.content, body.size, body.complete) == (namespace, content, len(content), True)
        bodies.release(body)
    for content, uid in (
        (b'{"uid":"a"}', "a"),
        (b'{"uid": "\xc3\xa9\xff"}', "\u00e9\ufffd"),
        (b'{"uid": "%b"}' % (b"x" * 253), "x" * 253),
        (b'{"uid": "%b"}' % (b"x" * 254), ""),
        (b'{"uid": "a\\"b"}', ""),
        (b"x" * (HEAD - 10) + b'"uid": "a"', "a"),
        (b"x" * (HEAD - 9) + b'"uid": "a"', ""),
    ):
        assert uid_of(content) == uid


def test_a_body_has_one_deadline_however_it_drips() -> None:
    async def main() -> None:
        loop, bodies, body = asyncio.get_running_loop(), Bodies(read_seconds=3.0), Body()
        request = arriving(complete=False)
        await asyncio.sleep(100)
        began = loop.time()
        reading = asyncio.ensure_future(bodies.read(request, body))
        for _ in range(2):
            await asyncio.sleep(1)
            request.feed(b"x" * 3000)
        await asyncio.sleep(0)
        # It belongs to a namespace as soon as its head is there.
        assert body.share is not None
        assert (bodies.size, bodies.complete, body.share.size) == (6000, 0, 6000)
        with pytest.raises(RefusedError) as raised:
            await reading
        assert loop.time() - began == pytest.approx(3.0)
        assert (raised.value.status, str(raised.value), raised.value.uid) == (408, "the body took more than 3 s", "")
        bodies.release(body)
        assert (bodies.size, bodies.complete, bodies._shares) == (0, 0, {})

    simulated(main())


def test_a_body_in_parts_is_read_whole() -> None:
    async def main() -> None:
        bodies, body = Bodies(), Body()
        request = arriving(named("shop", 5000), complete=False)
        reading = asyncio.ensure_future(bodies.read(request, body))
        await asyncio.sleep(1)
        request.feed(b"more")
        await asyncio.sleep(1)
        request.end()
        await reading
        assert body.content == named("shop", 5000) + b"more"
        assert (body.size, body.namespace, body.complete) == (5004, b"shop", True)
        assert body.share is not None
        assert (body.share.size, body.share.bodies, body.share.complete) == (5004, 1, 1)

    simulated(main())
