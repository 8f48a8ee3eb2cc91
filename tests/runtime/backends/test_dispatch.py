"""Calls of real HTTP services under the policies of their entries."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from certs import issuance as authorities
from crd.published import entries
from crd.published.entries import Backend, Http, HttpResource, Operation, Parameter, ParameterEntry, Tool
from crd.published.pins import AS_PINNED, VANISHED, Pin, Verdict
from crd.published.policy import Breaker, ForwardHeader, HeaderFrom, Policy, Response, Retries, Tls
from crd.published.settings import Settings
from runtime import mounted_files
from runtime.auth.jwks import Fetcher
from runtime.backends import resilience
from runtime.backends.dispatch import Dispatcher
from runtime.backends.faults import CallError, Fate
from runtime.backends.http_mapping import mapping
from runtime.backends.resilience import PER_HOST, Breakers, Bulkheads, Protection
from runtime.backends.secret_files import SecretFiles
from runtime.http.client import HttpClient
from runtime.http.exchange import Reply
from runtime.mcp.context import Context
from runtime.mcp.jsonrpc import RpcError
from runtime.mounted_files import LOOK

CONTEXT = Context("r-1", settings=Settings(request_timeout=5.0, max_response_bytes=4096))


class Service:
    """Answers each request with the next of its ``answers``, or if there is none with the request itself."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[dict[str, Any]] = []
        self.answers: list[Callable[[], Any]] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = (await request.read()).decode()
        said = {"method": request.method, "path": request.raw_path, "headers": dict(request.headers), "body": text}
        self.seen.append(said)
        await self.hold.wait()
        if self.answers:
            answer: web.StreamResponse = self.answers.pop(0)()
            return answer
        return web.json_response(said)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    found = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


class Mcp:
    async def call(self, tool: Tool, arguments: Any, context: Context, headers: Any, timeout: float) -> dict[str, Any]:
        return {"content": [], "structuredContent": {"headers": list(headers), "timeout": timeout}}


class Harness:
    """A dispatcher whose clock advances only when it sleeps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.slept: list[float] = []
        self.verdict: Verdict | None = None
        files = SecretFiles(folder / "secrets", folder / "configmaps")
        self.upstream = HttpClient(files, allow_loopback=True)
        clock = {"monotonic": lambda: self.now, "jitter": lambda: 1.0, "sleep": self._sleep}
        self.dispatcher = Dispatcher(
            files, self.upstream, Mcp(), new_id=lambda: "key", verdict=lambda _: self.verdict, **clock
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def secret(self, name: str, key: str, value: str, kind: str = "secrets") -> None:
        path = self.folder / kind / name / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    found = Harness(tmp_path)
    yield found
    await found.dispatcher.close()


def tool(service: Service, method: str = "GET", http: Http | None = None, **policy: Any) -> Tool:
    hints = {"idempotentHint": True} if policy.pop("idempotent", False) else {}
    return Tool(
        "a", "shop/a", method, Backend("127.0.0.1", service.port, "/api"), {}, annotations=hints,
        http=http or Http(), policy=Policy(**policy),
    )  # fmt: skip


def failing(status: int, **headers: str) -> Callable[[], web.Response]:
    return lambda: web.json_response({"title": "no"}, status=status, headers=headers)


async def fault(harness: Harness, given: Tool, context: Context = CONTEXT, **arguments: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        await harness.dispatcher.call(given, arguments, context)
    return caught.value


@pytest.mark.parametrize(
    "value", ["a?x=1#f", "a;b=c", "a:b@c,d+e&f=g", "50%", "%zz", "...", "日本 ü", "12345678901234567890", "A 7"]
)
async def test_a_path_arrives_byte_for_byte_as_it_was_built(harness: Harness, service: Service, value: str) -> None:
    given = tool(service, http=Http("/{id}"))
    await harness.dispatcher.call(given, {"id": value}, CONTEXT)

    sent = mapping.map_tool(given, {"id": value}).url
    assert f"http://127.0.0.1:{service.port}{service.seen[0]['path']}" == sent


async def test_a_call_returns_the_backend_s_reply(harness: Harness, service: Service) -> None:
    result = await harness.dispatcher.call(tool(service, "POST"), {"q": 1}, CONTEXT)

    structured = orjson.loads(orjson.dumps(result["structuredContent"]))
    assert (structured["method"], structured["body"]) == ("POST", '{"q":1}')


async def test_headers_from_files_are_read_at_each_use(harness: Harness, service: Service) -> None:
    given = tool(
        service,
        http=Http(headers=(ParameterEntry("X-Tenant", value="mapped"),)),
        headers_from=(
            HeaderFrom("Authorization", "Secret", "crm", "token", "Bearer "),
            HeaderFrom("X-Tenant", "ConfigMap", "tenant", "name"),
        ),
    )
    harness.secret("crm", "token", "one\n")
    harness.secret("tenant", "name", "shop", "configmaps")
    await harness.dispatcher.call(given, {}, CONTEXT)
    harness.secret("crm", "token", "two")
    await harness.dispatcher.call(given, {}, CONTEXT)

    assert [seen["headers"]["Authorization"] for seen in service.seen] == ["Bearer one", "Bearer two"]
    assert service.seen[0]["headers"]["X-Tenant"] == "shop"


@pytest.mark.parametrize("value", [None, "a\nb", "ü", ""])
async def test_without_usable_credentials_nothing_is_sent(
    harness: Harness, service: Service, value: str | None
) -> None:
    if value is not None:
        harness.secret("crm", "token", value)
    given = tool(service, headers_from=(HeaderFrom("Authorization", "Secret", "crm", "token"),))

    found = await fault(harness, given)

    assert (found.code, service.seen) == ("misconfigured", [])
    assert "crm" not in found.message


async def test_only_listed_headers_of_the_client_are_forwarded(harness: Harness, service: Service) -> None:
    passed = (ForwardHeader("Accept-Language", "X-Lang"), ForwardHeader("X-None", "X-None"))
    given = tool(service, forward_headers=passed)
    context = Context("r", headers={"accept-language": ["de", "en"], "authorization": ["Bearer client"]})

    await harness.dispatcher.call(given, {}, context)

    headers = service.seen[0]["headers"]
    assert headers["X-Lang"] == "de, en"
    assert not {"Authorization", "X-None", "Cookie", "User-Agent"} & set(headers)


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not_found"), (500, "upstream_error"), (302, "upstream_error"), (401, "upstream_denied")]
)
async def test_an_unexpected_status_is_a_fault(harness: Harness, service: Service, status: int, code: str) -> None:
    service.answers = [failing(status, Location="/elsewhere")]

    assert (await fault(harness, tool(service))).code == code
    assert len(service.seen) == 1


async def test_an_expected_status_is_a_reply(harness: Harness, service: Service) -> None:
    service.answers = [failing(404)]

    result = await harness.dispatcher.call(tool(service, response=Response(expect_status=("2xx", "404"))), {}, CONTEXT)

    assert orjson.dumps(result["structuredContent"]) == b'{"title":"no"}'


ON_ALL = Retries(3, ("connect", "5xx", "429"))


async def test_retries_back_off_exponentially(harness: Harness, service: Service) -> None:
    service.answers = [failing(503), failing(500)]

    result = await harness.dispatcher.call(tool(service, retries=ON_ALL), {}, CONTEXT)

    assert "isError" not in result
    assert (len(service.seen), harness.slept) == (3, [0.1, 0.2])


async def test_retry_after_is_respected_within_the_deadline(harness: Harness, service: Service) -> None:
    service.answers = [failing(429, **{"Retry-After": "2"}), failing(429, **{"Retry-After": "60"})]

    found = await fault(harness, tool(service, retries=ON_ALL))

    assert (found.code, found.retry_after) == ("upstream_busy", 60)
    assert (len(service.seen), harness.slept) == (2, [2.0])


@pytest.mark.parametrize(
    ("given", "status", "calls"),
    [
        ({"retries": Retries(3, ("connect", "429"))}, 500, 1),
        ({"retries": Retries(3, ("5xx",))}, 429, 1),
        ({"retries": Retries(2, ("5xx",))}, 500, 3),
        ({"retries": ON_ALL, "method": "POST"}, 500, 1),
        ({"retries": ON_ALL, "method": "POST", "idempotent": True}, 500, 4),
        ({"retries": ON_ALL, "method": "PUT"}, 500, 4),
        ({"retries": ON_ALL}, 400, 1),
    ],
)
async def test_only_idempotent_calls_are_retried_and_only_on_the_listed_conditions(
    harness: Harness, service: Service, given: dict[str, Any], status: int, calls: int
) -> None:
    service.answers = [failing(status)] * 9

    await fault(harness, tool(service, **given))

    assert len(service.seen) == calls


async def test_all_attempts_of_a_post_carry_one_idempotency_key(harness: Harness, service: Service) -> None:
    service.answers = [failing(500)]

    await harness.dispatcher.call(tool(service, "POST", idempotent=True, retries=ON_ALL), {}, CONTEXT)

    assert [seen["headers"]["Idempotency-Key"] for seen in service.seen] == ["key", "key"]
    await harness.dispatcher.call(tool(service, "GET", retries=ON_ALL), {}, CONTEXT)
    assert "Idempotency-Key" not in service.seen[-1]["headers"]


async def test_the_retries_of_all_calls_share_a_budget(harness: Harness, service: Service) -> None:
    service.answers = [failing(500)] * 100

    for _ in range(6):
        await fault(harness, tool(service, retries=ON_ALL, timeout=4.0))

    # Six calls, and ten of their eighteen possible retries.
    assert len(service.seen) == 16


async def test_a_refused_connection_is_unreachable_and_retryable(harness: Harness, service: Service) -> None:
    away = Tool("a", "shop/a", "GET", Backend("127.0.0.1", 1), {}, policy=Policy(retries=Retries(1, ("connect",))))

    found = await fault(harness, away)

    assert (found.code, found.retryable, harness.slept) == ("unreachable", True, [0.1])
    assert found.message == "the connection to 127.0.0.1 failed: ConnectionRefusedError; nothing was sent"


async def test_a_slow_backend_times_out_by_the_tool_or_by_the_server(harness: Harness, service: Service) -> None:
    service.hold.clear()
    short = Context("r", settings=Settings(request_timeout=0.2))

    assert (await fault(harness, tool(service, timeout=0.1))).message == "no reply within 0.1 s"
    assert (await fault(harness, tool(service, timeout=60.0), short)).message == "no reply within 0.2 s"
    service.hold.set()


async def test_an_open_circuit_fails_at_once_and_closes_after_a_successful_trial(
    harness: Harness, service: Service
) -> None:
    given = tool(service, breaker=Breaker(2, 30.0))
    service.answers = [failing(503), failing(502), failing(504)]
    await fault(harness, given)
    await fault(harness, given)

    opened = await fault(harness, given)
    assert (opened.code, opened.retry_after, len(service.seen)) == ("unavailable", 30, 2)

    harness.now += 31
    assert (await fault(harness, given)).code == "upstream_error"
    assert (await fault(harness, given)).code == "unavailable"
    harness.now += 31
    await harness.dispatcher.call(given, {}, CONTEXT)
    await harness.dispatcher.call(given, {}, CONTEXT)
    assert len(service.seen) == 5


@pytest.mark.parametrize("answer", [404, 429, 500, 302])
async def test_an_answer_resets_the_circuit_breaker_also_an_error(
    harness: Harness, service: Service, answer: int
) -> None:
    given = tool(service, breaker=Breaker(2, 30.0))
    service.answers = [failing(503), failing(answer), failing(503)]
    for _ in range(3):
        await fault(harness, given)

    await harness.dispatcher.call(given, {}, CONTEXT)
    assert len(service.seen) == 4


async def test_a_full_bulkhead_rejects_calls_to_its_backend_only(harness: Harness, service: Service) -> None:
    service.hold.clear()
    narrow = tool(service, concurrency=1)
    first = asyncio.create_task(harness.dispatcher.call(narrow, {}, CONTEXT))
    while not service.seen:
        await asyncio.sleep(0.01)

    assert (await fault(harness, narrow)).code == "unavailable"
    other = Tool("b", "shop/b", "GET", narrow.backend, {})
    second = asyncio.create_task(harness.dispatcher.call(other, {}, CONTEXT))
    service.hold.set()
    assert "isError" not in await first
    assert "isError" not in await second
    assert "isError" not in await harness.dispatcher.call(narrow, {}, CONTEXT)


@pytest.mark.parametrize(("concurrency", "requests", "most"), [(None, 8, 6), (1000, 8, 6), (2, 8, 2), (None, 1, 1)])
async def test_a_backend_that_does_not_answer_leaves_requests_to_others(
    harness: Harness, service: Service, concurrency: int | None, requests: int, most: int
) -> None:
    service.hold.clear()
    context = CONTEXT._replace(settings=Settings(max_concurrent_requests=requests))
    dead = tool(service, concurrency=concurrency)
    calls = [asyncio.create_task(harness.dispatcher.call(dead, {}, context)) for _ in range(requests + 1)]
    while len(service.seen) < most:
        await asyncio.sleep(0.01)
    refused = [each for each in calls if each.done()]

    assert len(service.seen) == most
    assert len(refused) == requests + 1 - most
    assert all(f"{most} calls to this backend" in str(each.exception()) for each in refused)
    service.hold.set()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_cancelled_call_frees_its_place(harness: Harness, service: Service) -> None:
    service.hold.clear()
    narrow = tool(service, concurrency=1, breaker=Breaker(1))
    first = asyncio.create_task(harness.dispatcher.call(narrow, {}, CONTEXT))
    while not service.seen:
        await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    service.hold.set()

    assert "isError" not in await harness.dispatcher.call(narrow, {}, CONTEXT)


def large() -> web.Response:
    return web.Response(body=b"x" * 5000, content_type="text/plain")


async def test_a_reply_that_is_too_large_is_rejected_or_truncated(harness: Harness, service: Service) -> None:
    service.answers = [large, large, large]

    assert (await fault(harness, tool(service))).message == "the reply is larger than 4096 bytes; narrow the request"
    cut = tool(service, response=Response(max_bytes=100, on_too_large="Truncate"))
    result = await harness.dispatcher.call(cut, {}, CONTEXT)
    assert len(result["content"][0]["text"]) == 100
    assert result["content"][1]["text"] == "[truncated at 100 of 5000 bytes; narrow the request]"
    wide = tool(service, response=Response(max_bytes=8192))
    assert len((await harness.dispatcher.call(wide, {}, CONTEXT))["content"][0]["text"]) == 5000


async def test_size_is_counted_after_decompression(harness: Harness, service: Service) -> None:
    def bomb() -> web.Response:
        answer = web.Response(body=b"0" * 10_000_000, content_type="text/plain")
        answer.enable_compression(web.ContentCoding.gzip)
        return answer

    service.answers = [bomb]

    assert (await fault(harness, tool(service))).code == "bad_response"


async def test_a_resource_is_read_and_reduced_by_select(harness: Harness, service: Service) -> None:
    service.answers = [lambda: web.json_response({"order": {"id": 7}})]
    resource = HttpResource(
        "o://{id}", "o", "shop/o", Backend("127.0.0.1", service.port, "/api"), http=Http("/{id}"),
        policy=Policy(response=Response(select="/order")),
    )  # fmt: skip

    reply = await harness.dispatcher.read(resource, {"id": "7"}, CONTEXT)

    assert (reply.body, service.seen[0]["path"]) == (b'{"id":7}', "/api/7")


async def test_a_rest_call_relays_a_reply_of_any_status(harness: Harness, service: Service) -> None:
    service.answers = [failing(418), failing(503)]
    operation = Operation(
        "s", "shop/s", "POST", "/s", Backend("127.0.0.1", service.port, "/s"), parameters=(Parameter("q", "query"),)
    )

    assert (await harness.dispatcher.operate(operation, {"q": "1"}, b"{}", CONTEXT)).status == 418
    assert (await harness.dispatcher.forward(tool(service), {}, CONTEXT)).status == 503
    assert service.seen[0]["path"] == "/s?q=1"


async def test_a_backend_that_speaks_mcp_is_called_with_its_credentials(harness: Harness, service: Service) -> None:
    harness.secret("crm", "token", "one")
    policy = Policy(timeout=2.0, headers_from=(HeaderFrom("Authorization", "Secret", "crm", "token"),))
    given = Tool("a", "shop/a", "POST", Backend("h", 80), {}, mcp=entries.Mcp("/mcp", "a"), policy=policy)

    result = await harness.dispatcher.call(given, {}, CONTEXT)

    assert result["structuredContent"] == {"headers": [("Authorization", "one")], "timeout": 2.0}
    assert json.loads((await harness.dispatcher.forward(given, {}, CONTEXT)).body)["content"] == []


async def test_tls_is_verified_by_the_ca_of_a_secret(harness: Harness, tmp_path: Path) -> None:
    now = datetime.now(UTC)  # noqa: TID251 -- the library compares certificates with the day's time
    authority = authorities.authority("test CA", now)
    leaf = authorities.leaf(authority, ("backend.example",), now)
    (tmp_path / "tls.pem").write_bytes(leaf.key + leaf.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    app = web.Application()
    app.router.add_get("/api", _answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    backend = Backend("127.0.0.1", runner.addresses[0][1], "/api", "https")

    def given(tls: Tls) -> Tool:
        return Tool("a", "shop/a", "GET", backend, {}, policy=Policy(tls=tls))

    trusted = given(Tls("ca", "backend.example"))
    assert (await fault(harness, trusted)).code == "misconfigured"
    harness.secret("ca", "ca.crt", "no certificate")
    assert (await fault(harness, trusted)).code == "misconfigured"
    harness.secret("ca", "ca.crt", authority.certificate.decode())
    assert "isError" not in await harness.dispatcher.call(trusted, {}, CONTEXT)
    assert (await fault(harness, given(Tls("ca", "other.example")))).code == "unreachable"
    assert (await fault(harness, given(Tls()))).code == "unreachable"
    assert "isError" not in await harness.dispatcher.call(given(Tls(insecure_skip_verify=True)), {}, CONTEXT)
    await runner.cleanup()


async def _answer(_request: web.Request) -> web.Response:
    return web.json_response({"ok": True})


def test_a_reply_knows_its_media_type() -> None:
    assert Reply(200, {"content-type": "Application/JSON; charset=x"}, b"").is_json


async def test_a_header_that_cannot_be_forwarded_is_not_blamed_on_an_argument(
    harness: Harness, service: Service
) -> None:
    given = tool(service, forward_headers=(ForwardHeader("X-User", "X-User"),))

    found = await fault(harness, given, Context("r", headers={"x-user": "Zoë"}))

    assert (found.code, found.http_status, service.seen) == ("invalid_request", 400, [])
    assert found.message.startswith("the header X-User of the client's request must be visible ASCII")


async def test_a_secret_is_read_once_per_change(
    harness: Harness, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.secret("crm", "token", "one")
    given = tool(service, headers_from=(HeaderFrom("Authorization", "Secret", "crm", "token"),))
    read: list[str] = []
    original = mounted_files.read_key

    def read_key(folder: Path, name: str, key: str) -> bytes:
        read.append(name)
        return original(folder, name, key)

    monkeypatch.setattr(mounted_files, "read_key", read_key)
    for value in ("one", "one", "second"):
        harness.secret("crm", "token", value)
        await harness.dispatcher.call(given, {}, CONTEXT)
        await harness.dispatcher.call(given, {}, CONTEXT)

    assert [each["headers"]["Authorization"] for each in service.seen][-2:] == ["second"] * 2
    assert 2 <= len(read) <= 3


async def test_a_limit_above_that_of_a_host_is_honoured() -> None:
    bulkheads, breakers = Bulkheads(), Breakers(lambda: 0.0)
    limit = PER_HOST + 10
    inside = [Protection(bulkheads, breakers, "host", "tool a", limit, None, 100) for _ in range(PER_HOST + 11)]
    for each in inside[:-1]:
        each.__enter__()

    with pytest.raises(CallError, match=f"{PER_HOST + 10} calls to this backend"):
        inside[-1].__enter__()
    for each in inside[:-1]:
        each.__exit__(None, None, None)
    assert not bulkheads._in_progress


async def test_an_open_circuit_holds_no_place() -> None:
    bulkheads, breakers, breaker = Bulkheads(), Breakers(lambda: 0.0), Breaker(1, 10.0)
    with pytest.raises(CallError), Protection(bulkheads, breakers, "host", "tool a", 1, breaker, 100):
        raise CallError("upstream_error", "no", Fate.UNKNOWN, status=503)
    for _ in range(3):
        again = Protection(bulkheads, breakers, "h", "tool a", 1, breaker, 100)
        with pytest.raises(CallError, match="circuit open"), again:
            raise AssertionError

    assert not bulkheads._in_progress


class HalfOpen:
    """A circuit whose time to try has come."""

    def __init__(self) -> None:
        self.now = 0.0
        self.opened = 0
        self.breaker = Breaker(1, 10.0)
        self.breakers = Breakers(lambda: self.now, self._open)
        self.bulkheads = Bulkheads()
        self.before = self.protection()
        self.before.__enter__()
        failed = self.protection()
        failed.__enter__()
        failed.__exit__(None, CallError("timeout", "late", Fate.UNKNOWN), None)
        self.now = 11.0

    def _open(self) -> None:
        self.opened += 1

    def protection(self) -> Protection:
        return Protection(self.bulkheads, self.breakers, "host", "tool a", 64, self.breaker, 100)

    def passes(self) -> bool:
        call = self.protection()
        try:
            call.__enter__()
        except CallError:
            return False
        call.__exit__(None, asyncio.CancelledError(), None)
        return True


async def test_a_half_open_circuit_lets_one_trial_through() -> None:
    given = HalfOpen()
    assert given.breakers.states() == {"tool a": "half-open"}
    trial = given.protection()
    trial.__enter__()

    assert not given.passes()
    # Neither an answer to a call from before nor its failure is the outcome of the trial.
    given.before.__exit__(None, None, None)
    assert not given.passes()
    trial.__exit__(None, asyncio.CancelledError(), None)
    assert given.passes()
    assert given.opened == 1


@pytest.mark.parametrize(
    ("error", "closes"),
    [
        (None, True),
        (RpcError(-32603, "failed"), True),
        (CallError("upstream_error", "500", Fate.UNKNOWN, status=500), True),
        (CallError("bad_response", "broken", Fate.DONE, status=200), True),
        (CallError("upstream_error", "503", Fate.UNKNOWN, status=503), False),
        (CallError("disconnected", "closed", Fate.UNKNOWN), False),
        (CallError("misconfigured", "no credentials"), False),
        (asyncio.CancelledError(), False),
    ],
)
async def test_any_answer_to_the_trial_closes_the_circuit(error: BaseException | None, closes: bool) -> None:
    given = HalfOpen()
    trial = given.protection()
    trial.__enter__()

    trial.__exit__(None, error, None)

    assert (given.breakers.states() == {}) is closes
    assert not closes or given.breakers._circuits == {}


async def test_what_is_remembered_of_backends_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resilience, "MAX_HOSTS", 10)
    breakers, budget, breaker = Breakers(lambda: 0.0), resilience.RetryBudget(lambda: 0.0), Breaker(1, 10.0)
    for number in range(100):
        call = object()
        breakers.enter(f"tool {number}", breaker, call)
        breakers.leave(f"tool {number}", breaker, call, CallError("timeout", "late", Fate.UNKNOWN))
        budget.record_call(f"host {number}")
        budget.take(f"host {number}")

    assert len(breakers.states()) == 10
    assert (len(budget._calls), len(budget._retries)) == (10, 10)


async def test_a_backend_that_speaks_mcp_is_called_again_by_the_policy(harness: Harness, service: Service) -> None:
    spoken = Tool("a", "shop/a", "POST", Backend("127.0.0.1", 80), {}, mcp=entries.Mcp("/mcp", "a"))
    failures = [CallError("unreachable", "no", is_transient=True), CallError("timeout", "late", Fate.UNKNOWN, True)]
    timeouts: list[float] = []

    async def call(tool: Tool, arguments: Any, context: Context, headers: Any, timeout: float) -> dict[str, Any]:
        timeouts.append(timeout)
        if failures:
            raise failures.pop(0)
        return {"content": []}

    harness.dispatcher._mcp.call = call  # type: ignore[method-assign]
    again = replace(spoken, annotations={"idempotentHint": True}, policy=Policy(retries=Retries(2, ("connect",))))

    with pytest.raises(CallError, match="timeout"):
        await harness.dispatcher.call(again, {}, CONTEXT)
    assert (harness.slept, timeouts) == ([0.1], [5.0, 4.9])
    failures.append(CallError("unreachable", "no", is_transient=True))
    with pytest.raises(CallError, match="unreachable"):
        await harness.dispatcher.call(spoken, {}, CONTEXT)


async def test_all_tools_of_a_host_share_its_limit_and_other_hosts_have_their_own() -> None:
    bulkheads, breakers = Bulkheads(), Breakers(lambda: 0.0)
    inside = [Protection(bulkheads, breakers, "host", f"tool {n}", 5, None, PER_HOST) for n in range(PER_HOST)]
    for each in inside:
        each.__enter__()

    with pytest.raises(CallError, match=f"{PER_HOST} calls to this backend"):
        Protection(bulkheads, breakers, "host", "tool of the same host", 5, None, PER_HOST).__enter__()
    with Protection(bulkheads, breakers, "other", "tool of another host", 5, None, PER_HOST):
        pass
    for each in inside:
        each.__exit__(None, None, None)
    assert not bulkheads._in_progress


async def test_a_backend_sets_no_cookie_for_the_next_caller(harness: Harness, service: Service) -> None:
    service.answers = [lambda: web.json_response({}, headers={"Set-Cookie": "session=of-a-caller; Path=/"})]
    for _ in range(2):
        await harness.dispatcher.call(tool(service), {}, CONTEXT)

    assert [each["headers"].get("Cookie") for each in service.seen] == [None, None]


async def test_no_proxy_of_the_environment_is_used(
    harness: Harness, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    await harness.dispatcher.call(tool(service), {}, CONTEXT)
    fetched = await Fetcher(cluster_domain="cluster.local", allow_http=True, allow_loopback=True).fetch(
        f"http://127.0.0.1:{service.port}/keys"
    )

    assert [each["path"] for each in service.seen] == [service.seen[0]["path"], "/keys"]
    assert b"/keys" in fetched


DRIFTED = Verdict(("description", "inputSchema"))


@pytest.mark.parametrize(
    ("on_drift", "verdict", "is_refused"),
    [
        ("Refuse", DRIFTED, True),
        ("Refuse", VANISHED, True),
        ("Refuse", AS_PINNED, False),
        ("Refuse", None, False),
        ("Report", DRIFTED, False),
    ],
)
async def test_a_drifted_tool_is_refused_if_it_says_so(
    harness: Harness, service: Service, on_drift: str, verdict: Verdict | None, is_refused: bool
) -> None:
    given = replace(tool(service), mcp=entries.Mcp("/mcp", "get", pin=Pin(input_schema="x"), on_drift=on_drift))
    harness.verdict = verdict

    if not is_refused:
        assert "structuredContent" in await harness.dispatcher.call(given, {}, CONTEXT)
        return
    with pytest.raises(CallError) as caught:
        await harness.dispatcher.call(given, {}, CONTEXT)
    fault = caught.value
    assert (fault.code, fault.fate, fault.retryable, fault.http_status) == ("drifted", Fate.NOT_SENT, False, 502)
    assert str(verdict) in fault.message
    assert "runs mcp-operator import mcp again and reviews the difference; nothing was sent" in fault.message


def test_a_header_of_a_secret_is_made_again_when_it_may_have_changed(tmp_path: Path) -> None:
    now, source = 100.0, HeaderFrom("X-Key", "Secret", "crm", "token", "Key ")
    files = SecretFiles(tmp_path, tmp_path, lambda: now)
    (tmp_path / "crm").mkdir()
    (tmp_path / "crm" / "token").write_text("one")
    assert files.header(source) == ("X-Key", "Key one")

    (tmp_path / "crm" / "token").write_text("other")
    assert files.header(source) == ("X-Key", "Key one")
    now += 2 * LOOK
    assert files.header(source) == ("X-Key", "Key other")
    # Another source may be at the address of one that is gone.
    files._headers[id(source)] = (HeaderFrom("X-Other", "Secret", "crm", "token"), now + LOOK, ("X-Other", "wrong"))
    assert files.header(source) == ("X-Key", "Key other")
