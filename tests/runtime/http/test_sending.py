"""The bytes of a request to a backend, and the fault for each way in which no reply comes."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from crd.published.policy import HeaderFrom, Tls
from runtime.backends import secret_files
from runtime.backends.faults import CallError, Fate
from runtime.backends.secret_files import SecretFiles
from runtime.http import client as module
from runtime.http.client import HttpClient
from runtime.http.exchange import Reply, Request
from runtime.http.pool import LateError, Limits, LostError, MalformedError, NotConnectedError, Origin
from runtime.mounted_files import LOOK

URL = "http://a.shop.svc:8080/x?q=1"


class Exchanges:
    """In place of the pool: answers with ``answer`` and keeps what it was asked."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer or Reply(200, {}, b"{}")
        self.asked: list[tuple[Any, ...]] = []

    async def exchange(self, *words: Any, **more: Any) -> Reply:
        self.asked.append((*words, more))
        if isinstance(self.answer, Exception):
            raise self.answer
        found: Reply = self.answer
        return found

    async def close(self) -> None:
        return


def a_client(folder: Path, answer: Any = None, **more: Any) -> tuple[HttpClient, Exchanges]:
    found, exchanges = HttpClient(SecretFiles(folder, folder), **more), Exchanges(answer)
    found._pool = exchanges  # type: ignore[assignment]
    return found, exchanges


async def test_a_request_is_written_as_it_was_made(tmp_path: Path) -> None:
    client, exchanges = a_client(tmp_path)

    def ends(_: bytes) -> bool:
        return True

    sent = Request("PUT", URL, (("X-A", "ü"),), b"body", True)
    assert await client.send(sent, 2.5, max_bytes=7, cut=True, more=(("X-B", "c"),), ends=ends) is exchanges.answer
    await client.send(Request("GET", URL), 1.0)
    await client.send(Request("GET", URL, (("aCCept", "text/csv"), ("Accept-Encoding", "x"))), 1.0)

    fixed = "Host: a.shop.svc:8080\r\nAccept: application/json, text/*;q=0.9, */*;q=0.5\r\nAccept-Encoding: gzip\r\n"
    head = f"PUT /x?q=1 HTTP/1.1\r\n{fixed}X-A: ü\r\nX-B: c\r\nContent-Length: 4\r\n\r\n"
    (first, second, third) = exchanges.asked
    origin = Origin("a.shop.svc", 8080)
    assert first == (origin, head.encode(), b"body", 2.5, Limits(7, True, ends), {"idempotent": True})
    limits = Limits(1024 * 1024, False, None)
    plain = f"GET /x?q=1 HTTP/1.1\r\n{fixed}\r\n".encode()
    assert second == (origin, plain, None, 1.0, limits, {"idempotent": False})
    assert third[1] == (
        b"GET /x?q=1 HTTP/1.1\r\nHost: a.shop.svc:8080\r\nAccept-Encoding: gzip\r\naCCept: text/csv\r\n"
        b"Accept-Encoding: x\r\n\r\n"
    )
    await client.send(Request("POST", URL, (), b""), 1.0)
    assert exchanges.asked[3][1].endswith(b"Content-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("error", "code", "message", "fate", "is_transient", "status"),
    [
        (NotConnectedError("gone"), "unreachable", "gone; nothing was sent", Fate.NOT_SENT, True, None),
        (
            NotConnectedError("bad", is_permanent=True),
            "unreachable",
            "bad; nothing was sent",
            Fate.NOT_SENT,
            False,
            None,
        ),
        (LateError(None), "timeout", "no reply within 2.5 s", Fate.UNKNOWN, True, None),
        (LateError(200), "timeout", "the reply did not end within 2.5 s", Fate.DONE, True, 200),
        (
            LostError("x"),
            "disconnected",
            "a.shop.svc closed the connection without a reply",
            Fate.UNKNOWN,
            True,
            None,
        ),
        (
            MalformedError("the head is odd"),
            "bad_response",
            "the head is odd (of a.shop.svc)",
            Fate.UNKNOWN,
            False,
            None,
        ),
    ],
)
async def test_why_there_is_no_reply(
    tmp_path: Path, error: Exception, code: str, message: str, fate: Fate, is_transient: bool, status: int | None
) -> None:
    client, _ = a_client(tmp_path, error)

    for idempotent in (False, True):
        with pytest.raises(CallError) as caught:
            await client.send(Request("GET", URL, idempotent=idempotent), 2.5)
        found = caught.value
        assert (found.code, found.message, found.fate, found.status) == (code, message, fate, status)
        assert found.is_transient is is_transient
        assert found.idempotent is (idempotent and code != "unreachable")


LARGE = "the reply is larger than 7 bytes"
DONE = "; the request itself is done, do not repeat it"


@pytest.mark.parametrize(
    ("status", "broken", "idempotent", "message"),
    [
        (200, LARGE, True, f"{LARGE}; narrow the request"),
        (200, LARGE, False, f"{LARGE}{DONE}"),
        (299, "the reply is not valid gzip", True, "the reply is not valid gzip"),
        (200, "", True, None),
        (300, LARGE, True, None),
        (404, LARGE, True, None),
    ],
)
async def test_a_broken_reply_is_a_fault_if_its_status_promises_one(
    tmp_path: Path, status: int, broken: str, idempotent: bool, message: str | None
) -> None:
    for is_incomplete in (False, True):
        reply = Reply(status, {}, b"", broken=broken, is_incomplete=is_incomplete)
        client, _ = a_client(tmp_path, reply)
        sent = Request("GET", URL, idempotent=idempotent)
        if message is None:
            assert await client.send(sent, 1.0) is reply
            continue
        with pytest.raises(CallError) as caught:
            await client.send(sent, 1.0)
        found = caught.value
        assert (found.code, found.message, found.status) == ("bad_response", message, status)
        assert (found.is_transient, found.idempotent) == (is_incomplete, idempotent)


@pytest.mark.parametrize(
    ("host", "local", "is_called"),
    [
        ("a.shop.svc", False, True),
        ("a.shop.svc.cluster.local", False, True),
        ("127.0.0.1", True, True),
        ("localhost", True, True),
        ("127.0.0.1", False, False),
        ("127.0.0.2", True, False),
        ("example.com", True, False),
    ],
)
async def test_only_services_and_locally_this_machine_are_called(
    tmp_path: Path, host: str, local: bool, is_called: bool
) -> None:
    client, exchanges = a_client(tmp_path, allow_loopback=local)

    if is_called:
        await client.send(Request("GET", f"http://{host}:1/"), 1.0)
        assert exchanges.asked[0][0] == Origin(host, 1)
        return
    with pytest.raises(CallError) as caught:
        await client.send(Request("GET", f"http://{host}:1/"), 1.0)
    assert (caught.value.code, caught.value.message) == (
        "misconfigured",
        "the backend of this call is not a Service of the cluster",
    )


async def test_where_urls_lead_is_remembered_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ADDRESSES", 2)
    client, _ = a_client(tmp_path)

    for name in ("a", "b", "a", "c"):
        await client.send(Request("GET", f"http://{name}.shop.svc:1/x"), 1.0)

    assert list(client._addresses) == ["http://b.shop.svc:1", "http://c.shop.svc:1"]


async def test_https_is_verified_as_the_policy_says(tmp_path: Path) -> None:
    client, exchanges = a_client(tmp_path)

    async def context(tls: Tls | None) -> tuple[Any, str | None]:
        await client.send(Request("GET", "https://a.shop.svc:8443/"), 1.0, tls=tls)
        origin = exchanges.asked[-1][0]
        return origin.context, origin.server_name

    usual, name = await context(None)
    assert (usual.verify_mode, usual.check_hostname, name) == (ssl.CERT_REQUIRED, True, None)
    assert (await context(Tls()))[0] is usual
    skipped, name = await context(Tls(insecure_skip_verify=True, server_name="b"))
    assert (skipped.verify_mode, skipped.check_hostname, name) == (ssl.CERT_NONE, False, "b")
    assert (await context(Tls(insecure_skip_verify=True)))[0] is skipped
    (tmp_path / "ca").mkdir()
    for text in ("no certificate", "\u00fc"):
        (tmp_path / "ca" / "ca.crt").write_text(text)
        with pytest.raises(CallError) as caught:
            await context(Tls("ca"))
        assert (caught.value.code, caught.value.message) == (
            "misconfigured",
            "ca.crt of the backend's CA Secret is not a PEM certificate",
        )


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_value_of_a_secret_is_read_without_its_line_break(tmp_path: Path) -> None:
    clock = Clock()
    files = SecretFiles(tmp_path / "secrets", tmp_path / "maps", clock)
    source = HeaderFrom("X-A", "ConfigMap", "crm", "key", "v ")
    (tmp_path / "maps" / "crm").mkdir(parents=True)
    file = tmp_path / "maps" / "crm" / "key"
    for text, value in (("a\n", "a"), ("bc\r\n", "bc"), ("def\n\n", None), ("", None), ("ghij k", "ghij k")):
        file.write_bytes(text.encode())
        clock.now += 2 * LOOK
        if value is not None:
            assert files.header(source) == ("X-A", f"v {value}")
            file.write_bytes(b"changed, and not looked at yet")
            clock.now += LOOK * 0.9
            assert files.header(source) == ("X-A", f"v {value}")
            continue
        with pytest.raises(CallError) as caught:
            files.header(source)
        assert (caught.value.code, caught.value.message) == (
            "misconfigured",
            "the credentials for header X-A are missing or not a header value",
        )


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_what_is_not_mounted_is_named_by_its_kind_alone(tmp_path: Path, kind: str) -> None:
    with pytest.raises(CallError) as caught:
        SecretFiles(tmp_path, tmp_path).value(kind, "crm", "key")

    assert (caught.value.code, caught.value.message) == (
        "misconfigured",
        f"a {kind} that this call needs is not mounted",
    )


def test_the_objects_and_headers_that_are_remembered_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secret_files, "MAX_OBJECTS", 2)
    files = SecretFiles(tmp_path, tmp_path, lambda: 0.0)
    sources = [HeaderFrom("X-A", "Secret", name, "key") for name in ("a", "b", "a", "c")]
    for source in sources:
        (tmp_path / source.object).mkdir(exist_ok=True)
        (tmp_path / source.object / "key").write_text("v")
        files.header(source)

    assert list(files._read) == [("Secret", "b"), ("Secret", "c")]
    assert list(files._headers) == [id(sources[2]), id(sources[3])]
