"""Replies as real backends send them, byte for byte, and requests whose connection breaks at each point."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from crd.published.entries import Backend, HttpResource, Tool
from crd.published.policy import Policy, Response, Retries
from crd.published.settings import Settings
from runtime.backends.dispatch import Dispatcher
from runtime.backends.faults import CallError, Fate
from runtime.backends.http_mapping import replies
from runtime.backends.secret_files import SecretFiles
from runtime.http.client import HttpClient
from runtime.mcp.context import Context
from runtime.telemetry.metrics import Metrics

CONTEXT = Context("r-1", settings=Settings(request_timeout=5.0))


class RawBackend:
    """Answers the n-th request with the n-th of its ``answers``, byte for byte, and closes the connection.

    The last answer is repeated. None: the connection is reset. ``hold``: the connection stays open instead.
    """

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.seen: list[bytes] = []
        self.hold = False
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append(await reader.readuntil(b"\r\n\r\n"))
        answer = self.answers[min(len(self.seen), len(self.answers)) - 1]
        if answer is None:
            writer.transport.abort()
            return
        writer.write(answer)
        await writer.drain()
        if self.hold:
            await reader.read()
        writer.close()


@pytest.fixture
async def backend() -> AsyncIterator[RawBackend]:
    found = RawBackend()
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


class Harness:
    """A dispatcher whose clock advances only when it sleeps, and the faults that it reports."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.metrics = Metrics()
        files = SecretFiles(folder, folder)
        self.client = HttpClient(files, allow_loopback=True, unix_time=lambda: 1_795_694_400.0)
        self.dispatcher = Dispatcher(
            files, self.client, None, monotonic=lambda: self.now, jitter=lambda: 1.0, new_id=lambda: "key",  # type: ignore[arg-type]
            sleep=self._sleep, on_fault=lambda fault: self.metrics.count_failed_call(fault.code, fault.fate),
        )  # fmt: skip

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    found = Harness(tmp_path)
    yield found
    await found.dispatcher.close()


def http(body: bytes = b"", status: str = "200 OK", media: str | None = "application/json", *lines: str) -> bytes:
    head = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body)}",
        *([f"Content-Type: {media}"] if media else []),
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


def tool(port: int, method: str = "GET", output: dict[str, Any] | None = None, **policy: Any) -> Tool:
    response = Response(**policy.pop("response", {}))
    backend = Backend("127.0.0.1", port, "/api")
    return Tool(
        "a", "shop/a", method, backend, {}, output_schema=output, policy=Policy(response=response, **policy)
    )  # fmt: skip


Call = Callable[..., Any]


@pytest.fixture
def call(harness: Harness, backend: RawBackend) -> Call:
    async def send(*answers: bytes | None, method: str = "GET", **more: Any) -> dict[str, Any]:
        backend.answers = list(answers)
        result = await harness.dispatcher.call(tool(backend.port, method, **more), {}, CONTEXT)
        return dict(json.loads(orjson.dumps(result)))  # as a client reads it

    return send


async def fault(call: Call, *answers: bytes | None, **more: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        await call(*answers, **more)
    return caught.value


@pytest.mark.parametrize(
    ("body", "media", "text"),
    [
        ("Grüße".encode("latin-1"), "text/plain; charset=iso-8859-1", "Grüße"),
        ("Grüße".encode("latin-1"), 'text/plain;format=flowed;charset="ISO-8859-1"', "Grüße"),
        ("€".encode("cp1252"), "text/plain; charset=latin1", "€"),
        ("日本".encode("shift_jis"), "text/html; charset=x-sjis", "日本"),
        ("日本".encode("utf-16"), "text/plain; charset=utf-16", "日本"),
        ("日本".encode("utf-16-le"), "text/plain; charset=utf-16", "日本"),
        ("\ufeffhallo".encode(), "text/plain", "hallo"),
        ("\ufeffhallo".encode("utf-16-be"), "text/plain; charset=utf-8", "hallo"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><a>ü</a>'.encode("latin-1"), "application/xml",
         '<?xml version="1.0" encoding="ISO-8859-1"?><a>ü</a>'),
        ('<p><meta charset="windows-1251">Да'.encode("cp1251"), "text/html", '<p><meta charset="windows-1251">Да'),
        (b'{"name": "Z\xfcrich"}', "application/json; charset=ISO-8859-1", '{"name":"Zürich"}'),
        (b'{"name": "Z\xfcrich"}', "application/json; charset='iso-8859-1'", '{"name":"Zürich"}'),
        ("Zürich".encode(), "text/plain; charset=us-ascii", "Zürich"),
        (b"Z\xfcrich", "text/plain; charset=us-ascii", "Zürich"),
        ('\ufeff{"a": 1}'.encode(), "application/json", '{"a":1}'),
        ('{"a": "ü"}'.encode("utf-16-le"), "application/json", '{"a":"ü"}'),
        (b'{"a": "\\u00fc\\n"}', "application/json", '{"a":"ü\\n"}'),
        (b"a,b\n1,2", "application/csv", "a,b\n1,2"),
        (b"a: 1", "application/yaml", "a: 1"),
        (b"a: 1", "application/x-yaml", "a: 1"),
        (b'{"a":1}\n{"a":2}', "application/x-ndjson", '{"a":1}\n{"a":2}'),
        (b"<a/>", "application/atom+xml; charset=utf-8", "<a/>"),
        (b"<svg/>", "image/svg+xml", "<svg/>"),
        (b"let a", "application/javascript", "let a"),
        (b"hallo", None, "hallo"),
        (b"hallo", "nonsense", "hallo"),
        (b'{"a": 1}', "application/json, application/json", '{"a":1}'),
    ],
)  # fmt: skip
async def test_text_is_read_in_its_charset_and_by_its_media_type(
    call: Call, body: bytes, media: str | None, text: str
) -> None:
    result = await call(http(body, media=media))

    assert result["content"] == [{"type": "text", "text": text}]
    assert "isError" not in result


@pytest.mark.parametrize(
    ("body", "media", "note"),
    [
        (b"a\xff", "text/plain", "[1 character is not valid utf-8 and was replaced]"),
        (b"a", "text/plain; charset=klingon", "[the charset 'klingon' is unknown; read as UTF-8]"),
        (b"a", "text/plain; charset=idna", "[the charset 'idna' is unknown; read as UTF-8]"),
    ],
)
async def test_what_is_lost_or_guessed_is_said(call: Call, body: bytes, media: str, note: str) -> None:
    result = await call(http(body, media=media))

    assert result["content"][1]["text"] == note


async def test_bytes_without_a_media_type_that_are_not_text_are_binary(call: Call) -> None:
    result = await call(http(b"\x89PNG\xff\0", media=None))

    assert result["content"][0]["resource"]["mimeType"] == "application/octet-stream"


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
async def test_a_blank_body_is_an_empty_one(call: Call, body: bytes) -> None:
    result = await call(http(body, "201 Created"), method="POST")

    assert result == {"content": [{"type": "text", "text": "201 No Content"}]}


async def test_a_mislabelled_body_reaches_the_model_and_the_request_is_done(call: Call) -> None:
    result = await call(http(b"OK", "201 Created"), method="POST")

    error = json.loads(result["content"][0]["text"])["error"]
    assert (error["code"], error["request"], error["retryable"]) == ("bad_response", "done", False)
    assert error["message"].endswith("the request itself is done, do not repeat it")
    assert result["content"][1] == {"type": "text", "text": "OK"}


NUMBER = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


@pytest.mark.parametrize("media", ["text/html", "text/plain", "application/octet-stream", None])
async def test_json_under_another_label_satisfies_an_output_schema(call: Call, media: str | None) -> None:
    assert (await call(http(b'{"n": 1}', media=media), output=NUMBER))["structuredContent"] == {"n": 1}
    assert (await call(http(b"<p>", media=media), output=NUMBER))["isError"] is True


EXACT = b'{"wei": 115792089237316195423570985008687907853, "amount": 12345678901234567.89, "price": [1.10, 1E5]}'


@pytest.mark.parametrize(
    ("select", "text"),
    [
        ("", '{"wei":115792089237316195423570985008687907853,"amount":12345678901234567.89,"price":[1.10,1E5]}'),
        ("/wei", "115792089237316195423570985008687907853"),
        ("/price", "[1.10,1E5]"),
        ("/price/0", "1.10"),
    ],
)
async def test_numbers_keep_their_digits_in_the_text(call: Call, select: str, text: str) -> None:
    result = await call(http(EXACT), response={"select": select})

    assert result["content"][0]["text"] == text


async def test_a_selected_resource_keeps_its_digits(harness: Harness, backend: RawBackend) -> None:
    backend.answers = [http(EXACT)]
    policy = Policy(response=Response(select="/price"))
    resource = HttpResource("o://o", "o", "shop/o", Backend("127.0.0.1", backend.port), policy=policy)

    reply = await harness.dispatcher.read(resource, {}, CONTEXT)

    assert replies.resource_contents("u", reply, "")[0]["text"] == "[1.10,1E5]"


async def test_headers_of_64_kib_are_read_and_larger_ones_are_not(call: Call) -> None:
    many = [f"X-{number}: {'x' * 600}" for number in range(100)]

    assert "isError" not in await call(http(b"{}", "200 OK", "application/json", f"X-Large: {'x' * 60_000}"))
    assert "isError" not in await call(http(b"{}", "200 OK", "application/json", *many))
    for lines in ([f"X-Large: {'x' * 70_000}"], many * 2):
        found = await fault(call, http(b"{}", "200 OK", "application/json", *lines), method="POST")
        # The client closes the connection at once; sometimes that is all that is seen of it.
        assert found.code in ("bad_response", "disconnected")
        assert (found.fate is Fate.NOT_SENT, found.retryable) == (False, False)


async def test_interim_responses_are_passed_over(call: Call) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"

    assert (await call(interim + http(b'{"a": 1}')))["structuredContent"] == {"a": 1}


async def test_a_date_in_retry_after_is_respected(call: Call, backend: RawBackend) -> None:
    later = "Retry-After: Thu, 26 Nov 2026 12:02:00 GMT"
    found = await fault(
        call, http(b"{}", "429 Too Many Requests", "application/json", later), retries=Retries(3, ("429",))
    )

    assert (found.retry_after, len(backend.seen)) == (120, 1)


async def test_a_redirect_says_where_it_points(call: Call) -> None:
    found = await fault(call, http(b"", "307 Temporary Redirect", None, "Location: /v2/api"), method="POST")

    assert "points to /v2/api" in found.message
    assert (found.fate, found.retryable) == (Fate.REFUSED, False)


TRUNCATED = http(b'{"a": 1}')[:-3]
CHUNKED = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n'
BROKEN_GZIP = http(gzip.compress(b'{"a": 1}' * 99)[:-9], "200 OK", "application/json", "Content-Encoding: gzip")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("answer", "code", "fate"),
    [
        (None, "disconnected", Fate.UNKNOWN),
        (b"", "disconnected", Fate.UNKNOWN),
        (b"HTTP/1.1 200", "disconnected", Fate.UNKNOWN),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "bad_response", Fate.UNKNOWN),
        (TRUNCATED, "bad_response", Fate.DONE),
        (CHUNKED, "bad_response", Fate.DONE),
        (BROKEN_GZIP, "bad_response", Fate.DONE),
        (http(b"", "503 Service Unavailable"), "upstream_error", Fate.UNKNOWN),
        (http(b"", "429 Too Many Requests"), "upstream_busy", Fate.REFUSED),
        (http(b"", "400 Bad Request"), "invalid_request", Fate.REFUSED),
        (http(b"x", "404 Not Found")[:-1], "not_found", Fate.REFUSED),
    ],
)  # fmt: skip
async def test_a_fault_says_what_became_of_the_request(
    call: Call, harness: Harness, method: str, answer: bytes | None, code: str, fate: Fate
) -> None:
    found = await fault(call, answer, method=method)

    assert (found.code, found.fate) == (code, fate)
    assert "nothing was sent" not in found.message
    if method == "POST":
        assert found.retryable is (fate is Fate.REFUSED and code == "upstream_busy")
    sample = {"code": code, "request": fate.value}
    assert harness.metrics.registry.get_sample_value("mcp_server_backend_call_failures_total", sample) == 1


async def test_unreachable_means_that_nothing_was_sent(harness: Harness, backend: RawBackend) -> None:
    with pytest.raises(CallError) as caught:
        await harness.dispatcher.call(tool(1, "POST"), {}, CONTEXT)

    assert (caught.value.code, caught.value.fate, caught.value.retryable) == ("unreachable", Fate.NOT_SENT, True)
    assert caught.value.message.endswith("nothing was sent")


async def test_a_reply_that_does_not_end_is_a_timeout_of_a_request_that_is_done(
    call: Call, backend: RawBackend
) -> None:
    backend.hold = True

    found = await fault(call, TRUNCATED, method="POST", timeout=0.2)
    assert (found.code, found.fate, found.message) == ("timeout", Fate.DONE, "the reply did not end within 0.2 s")
    found = await fault(call, b"", method="POST", timeout=0.2)
    assert (found.code, found.fate, found.message) == ("timeout", Fate.UNKNOWN, "no reply within 0.2 s")


async def test_a_refused_connection_does_not_hide_an_attempt_that_was_sent(
    harness: Harness, backend: RawBackend
) -> None:
    backend.answers = [None]
    given = tool(backend.port, retries=Retries(1, ("connect",)))
    port, sent = backend.port, harness.client.send

    async def send(request: Any, *arguments: Any, **more: Any) -> Any:
        # The second attempt finds nobody.
        url = request.url.replace(str(port), "1") if backend.seen else request.url
        return await sent(type(request)(request.method, url, request.headers, request.body, True), *arguments, **more)

    harness.client.send = send  # type: ignore[method-assign]
    with pytest.raises(CallError) as caught:
        await harness.dispatcher.call(given, {}, CONTEXT)

    assert (caught.value.code, caught.value.fate) == ("disconnected", Fate.UNKNOWN)
    assert "nothing was sent" not in caught.value.message


HOSTILE = [
    "Content-Type: \xff\xfe", "Content-Type: " + ";" * 5000, "Content-Type: a/b; charset=" + "x" * 5000,
    'Content-Type: a/b; charset="' + "\\" * 3000, "Set-Cookie: " + "a=b; " * 5000, "Set-Cookie: \xff=\xfe",
    "Link: " + "<" * 20000, 'Link: <a>; rel="' + "\\" * 20000, "Location: http://[" + ":" * 5000, "Retry-After: \xb2",
    "Retry-After: " + "9" * 5000, "Retry-After: Thu, 26 Nov 2026 12:02:00 " + "G" * 5000, "Date: \xff",
    "Content-Encoding: \xff", "Content-Encoding: gzip", "ETag: \x80", "Content-Type: text/plain; charset=\xfc",
]  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("status", ["200 OK", "307 X", "400 X", "429 \xff", "503 X", "999 X"])
async def test_every_header_of_a_backend_ends_in_a_result_or_a_fault(call: Call, status: str, line: str) -> None:
    response = {"headers": ("ETag", "Location", "Link", "Content-Type", "Set-Cookie")}
    try:
        written = orjson.dumps(await call(http(b'{"a": 1}', status, None, line), response=response))
    except CallError as error:
        written = error.to_json("r").encode()

    assert orjson.loads(written)
