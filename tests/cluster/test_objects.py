from __future__ import annotations

from typing import Any

import pytest

from cluster import objects, resources
from cluster.kubeconfig import read_body
from cluster.transport import (
    EVENT_LIMIT,
    ApiError,
    LongAnswerError,
    LongEventError,
    error_of,
    events_of,
)

LABELS = "/api/v1/namespaces/shop/services"


async def test_what_is_not_there_is_none(script: Any) -> None:
    api = script([ApiError(404, "NotFound", "no")])

    assert await objects.get(api, resources.SERVICES, "shop", "a") is None


@pytest.mark.parametrize("verb", ["get", "delete"])
async def test_other_answers_are_errors(script: Any, verb: str) -> None:
    with pytest.raises(ApiError, match="403 Forbidden"):
        await getattr(objects, verb)(script([ApiError(403, "Forbidden", "no")]), resources.SERVICES, "shop", "a")


async def test_all_pages_are_read(script: Any) -> None:
    api = script([{"items": [1], "metadata": {"continue": "x"}}, {"items": [2], "metadata": {}}])

    assert await objects.list_all(api, resources.SERVICES, "shop", labelSelector="a=b") == [1, 2]
    assert [query.get("continue") for _, _, query, _ in api.asked] == [None, "x"]
    assert api.asked[0][2]["labelSelector"] == "a=b"


async def test_a_deletion_of_what_is_gone_is_fine_and_names_the_incarnation(script: Any) -> None:
    api = script([ApiError(404, "NotFound", "no")])

    await objects.delete(api, resources.SERVICES, "shop", "a", uid="u")

    assert api.asked[0][3]["preconditions"] == {"uid": "u"}


async def test_server_side_apply_names_its_manager(script: Any) -> None:
    api = script([{}])

    await objects.apply_status(
        api, {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "a"}}, manager="m"
    )

    assert api.asked[0][:3] == ("PATCH", f"{LABELS}/a/status", {"fieldManager": "m", "force": "true"})


async def test_each_verb_has_its_path_and_says_who_writes(script: Any) -> None:
    api = script([{}, {}, {}, {}])
    item = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "a"}}

    await objects.create(api, item)
    await objects.create(api, item, manager="m", dry_run=True)
    await objects.replace(api, item)
    await objects.replace(api, item, manager="m")

    assert api.asked == [
        ("POST", LABELS, {}, item),
        ("POST", LABELS, {"dryRun": "All", "fieldManager": "m"}, item),
        ("PUT", f"{LABELS}/a", {}, item),
        ("PUT", f"{LABELS}/a", {"fieldManager": "m"}, item),
    ]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"reason":"Conflict","message":"old"}', "409 Conflict: old"),
        (b"<html>", "409 Unknown: <html>"),
        (b"[]", "409 Unknown: []"),
    ],
)
def test_an_error_says_what_the_answer_says(payload: bytes, expected: str) -> None:
    assert str(error_of(409, payload)) == expected


async def test_events_are_read_however_the_bytes_are_cut() -> None:
    async def chunks() -> Any:
        for chunk in (b'{"a"', b":1}\n", b'\n{"a":2}\n{"a":3}\n'):
            yield chunk

    assert [event["a"] async for event in events_of(chunks())] == [1, 2, 3]


@pytest.mark.parametrize("end", [b"", b'"}\n'])
async def test_an_event_that_is_too_long_ends_the_watch(end: bytes) -> None:
    size, taken = 1024 * 1024, 0

    async def chunks() -> Any:
        nonlocal taken
        yield b'{"a":1}\n' + b'{"a":"' + b"x" * (EVENT_LIMIT - 8) + b'"}\n{"a":"'
        while taken <= EVENT_LIMIT:
            taken += size
            yield b"x" * size + (end if taken > EVENT_LIMIT else b"")

    events = events_of(chunks())
    assert await anext(events) == {"a": 1}
    assert len((await anext(events))["a"]) == EVENT_LIMIT - 8
    with pytest.raises(LongEventError, match="longer than 8388608 bytes"):
        await anext(events)
    assert taken <= EVENT_LIMIT + size


@pytest.mark.parametrize("cut", [1, 5, 100])
async def test_events_have_a_size_and_no_more(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    monkeypatch.setattr("cluster.transport.EVENT_LIMIT", 10)

    async def chunks(whole: bytes) -> Any:
        for start in range(0, len(whole), cut):
            yield whole[start : start + cut]

    assert [event["a"] async for event in events_of(chunks(b'{"a": 123}\n{"a": 456}\n\n{"a": 789}\n'))] == [
        123,
        456,
        789,
    ]
    events = events_of(chunks(b'{"a": 123}\n{"a": 4567}\n'))
    assert await anext(events) == {"a": 123}
    with pytest.raises(LongEventError, match="longer than 10 bytes"):
        await anext(events)


def test_a_type_that_is_unknown_is_an_error() -> None:
    with pytest.raises(KeyError):
        resources.of({"apiVersion": "v1", "kind": "Nonsense"})


def test_cluster_scoped_resources_have_no_namespace_in_their_path() -> None:
    assert resources.CLUSTER_ROLES.path("shop", "a") == "/apis/rbac.authorization.k8s.io/v1/clusterroles/a"


class Recording:
    """Remembers how it was asked, with all that was said."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def request(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        self.calls.append((*arguments, {name: value for name, value in options.items() if value is not None}))
        return {"items": [], "metadata": {}}


async def test_what_each_verb_sends() -> None:
    api: Any = Recording()
    item = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": "a"}}

    await objects.get(api, resources.SERVICES, "shop", "a")
    await objects.list_all(api, resources.SERVICES)
    await objects.list_all(api, resources.SERVICES, "shop", accept=objects.METADATA, labelSelector="a=b")
    await objects.delete(api, resources.SERVICES, "shop", "a")
    await objects.delete(api, resources.SERVICES, "shop", "a", uid="u")
    await objects.apply(api, item, manager="m")
    await objects.apply(api, item, manager="m", force=False, subresource="scale")
    await objects.apply_status(api, item, manager="m")

    forced, held = {"fieldManager": "m", "force": "true"}, {"fieldManager": "m", "force": "false"}
    content_type = "application/apply-patch+yaml"
    assert api.calls == [
        ("GET", f"{LABELS}/a", {}),
        ("GET", "/api/v1/services", {"query": {"limit": "500"}, "accept": "application/json"}),
        ("GET", LABELS, {"query": {"limit": "500", "labelSelector": "a=b"}, "accept": objects.METADATA}),
        ("DELETE", f"{LABELS}/a", {"body": {"propagationPolicy": "Background"}}),
        ("DELETE", f"{LABELS}/a", {"body": {"propagationPolicy": "Background", "preconditions": {"uid": "u"}}}),
        ("PATCH", f"{LABELS}/a", {"query": forced, "body": item, "content_type": content_type}),
        ("PATCH", f"{LABELS}/a/scale", {"query": held, "body": item, "content_type": content_type}),
        ("PATCH", f"{LABELS}/a/status", {"query": forced, "body": item, "content_type": content_type}),
    ]


async def test_a_list_without_items_is_empty(script: Any) -> None:
    assert await objects.list_all(script([{}]), resources.SERVICES) == []
    assert await objects.list_all(script([{"items": None, "metadata": {}}]), resources.SERVICES) == []


def test_an_error_keeps_what_the_api_server_said() -> None:
    found = error_of(422, b'{"reason":"Invalid","message":"no","details":{"causes":[]}}')
    assert (found.status, found.reason, found.message) == (422, "Invalid", "no")
    assert found.body == {"reason": "Invalid", "message": "no", "details": {"causes": []}}
    bare = error_of(503, b"{}")
    assert (bare.status, bare.reason, bare.message, bare.body) == (503, "Unknown", "", {})
    page = error_of(502, b"\xff" + b"x" * 300)
    assert (page.reason, page.message, page.body) == ("Unknown", "\ufffd" + "x" * 199, {})


class Answer:
    """A response of aiohttp, as far as its body goes."""

    def __init__(self, *chunks: bytes, encoding: str | None = None) -> None:
        self.headers = {} if encoding is None else {"Content-Encoding": encoding}
        self.closed = False
        self.content = self
        self._chunks = chunks

    async def iter_any(self) -> Any:
        for chunk in self._chunks:
            yield chunk

    async def read(self) -> bytes:
        return b"".join(self._chunks)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("encoding", [None, "identity", " Identity "])
async def test_a_body_is_read_up_to_a_limit(encoding: str | None) -> None:
    whole: Any = Answer(b"ab", b"cd", encoding=encoding)
    assert await read_body(whole, 4) == b"abcd"
    assert not whole.closed
    long: Any = Answer(b"ab", b"cde", encoding=encoding)
    with pytest.raises(LongAnswerError, match=r"^the answer is longer than 4 bytes$"):
        await read_body(long, 4)
    assert long.closed
    assert await read_body(Answer(b"ab", b"cde", encoding="gzip"), None) == b"abcde"  # type: ignore[arg-type]


async def test_a_compressed_body_is_not_read() -> None:
    packed: Any = Answer(b"ab", encoding="gzip")
    with pytest.raises(LongAnswerError, match=r"^the answer is compressed, which was not asked for$"):
        await read_body(packed, 4)
    assert packed.closed
