"""Each attempt of a call: what is sent, with how much time left, what is recorded, and when there is another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crd.published.entries import Backend, Http, HttpResource, Mcp, Operation, ParameterEntry, Tool
from crd.published.pins import AS_PINNED, VANISHED
from crd.published.policy import Breaker, ForwardHeader, HeaderFrom, Policy, Response, Retries, Tls
from crd.published.settings import Settings
from runtime.backends import dispatch, faults, resilience
from runtime.backends.dispatch import Dispatcher
from runtime.backends.faults import CallError, Fate
from runtime.http.exchange import Reply, Request
from runtime.mcp.context import Context
from runtime.mcp.jsonrpc import RpcError
from runtime.telemetry.call_record import CallRecord

JSON = {"content-type": "application/json"}
SETTINGS = Settings(request_timeout=5.0, max_response_bytes=4096, max_concurrent_requests=8)


class Setup:
    """A clock, backends that answer with the next of ``answers``, and everything that is noticed."""

    def __init__(self) -> None:
        self.now = 100.0
        self.answers: list[Any] = []
        self.takes = 0.0
        self.sent: list[tuple[Request, float, dict[str, Any]]] = []
        self.called: list[tuple[str, Any, tuple[Any, ...], float]] = []
        self.slept: list[float] = []
        self.seen: list[tuple[str, str]] = []
        self.verdict: Any = None
        self.closed = False
        self.record = CallRecord("r-1")
        self.dispatcher = Dispatcher(
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            _Mcp(self),
            monotonic=lambda: self.now,
            jitter=lambda: 0.5,
            new_id=lambda: "key",
            sleep=self.sleep,
            verdict=lambda tool: self.verdict,
            on_fault=lambda fault: self.seen.append(("fault", fault.code)),
            on_retry=lambda fault: self.seen.append(("retry", fault.code)),
            on_open=lambda: self.seen.append(("open", "")),
        )

    def context(self, **more: Any) -> Context:
        return Context("r-1", settings=SETTINGS, record=self.record, **more)

    def header(self, source: HeaderFrom) -> tuple[str, str]:
        return source.name, f"{source.prefix}of {source.object}"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def answer(self) -> Any:
        self.now += self.takes
        found = self.answers.pop(0) if self.answers else Reply(200, JSON, b"{}")
        if isinstance(found, Exception):
            raise found
        return found

    async def send(self, request: Request, timeout: float, **more: Any) -> Reply:
        self.sent.append((request, timeout, more))
        found: Reply = self.answer()
        return found

    async def close(self) -> None:
        self.closed = True


class _Mcp:
    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    async def call(self, tool: Tool, arguments: Any, context: Context, headers: Any, timeout: float) -> dict[str, Any]:
        self.setup.called.append((tool.name, arguments, headers, timeout))
        found: dict[str, Any] = self.setup.answer()
        return found


@pytest.fixture
def setup() -> Setup:
    return Setup()


BACKEND = Backend("a.shop.svc", 8080, "/api")
AGAIN = Retries(3, ("connect", "5xx", "429"))
GONE, LATE = faults.unreachable("gone"), faults.timeout(1.0, idempotent=True)


def tool(method: str = "GET", **policy: Any) -> Tool:
    more = {name: policy.pop(name) for name in ("http", "mcp", "annotations", "backend") if name in policy}
    given = {"backend": BACKEND, **more}
    return Tool("a", "shop/a", method, given.pop("backend"), {}, policy=Policy(**policy), **given)


async def test_a_request_is_sent_as_the_policy_says(setup: Setup) -> None:
    response = Response(max_bytes=77, on_too_large="Truncate")
    headers = (HeaderFrom("Authorization", "Secret", "crm", "token", "Bearer "),)
    forward = (ForwardHeader("X-Tenant", "X-Org"), ForwardHeader("X-None", "X-None"), ForwardHeader("X-Two", "X-Two"))
    mapped = Http(headers=(ParameterEntry("x-org", value="mapped"), ParameterEntry("X-Kept", value="v")))
    tls = Tls("ca")
    given = tool("PUT", http=mapped, headers_from=headers, forward_headers=forward, timeout=2.0, tls=tls,
                 response=response)  # fmt: skip
    sent = {"x-tenant": ["shop"], "x-two": ["1", "2"], "x-other": ["no"]}

    await setup.dispatcher.call(given, {"q": 1}, setup.context(headers=sent))

    ((request, timeout, more),) = setup.sent
    assert request.headers == (
        ("X-Kept", "v"), ("Content-Type", "application/json"), ("X-Org", "shop"), ("X-Two", "1, 2"),
        ("Authorization", "Bearer of crm"),
    )  # fmt: skip
    assert (request.method, request.url, request.body) == ("PUT", "http://a.shop.svc:8080/api", b'{"q":1}')
    assert (request.idempotent, timeout) == (True, 2.0)
    parents = more.pop("more")
    assert more == {"tls": tls, "max_bytes": 77, "cut": True}
    assert [name for name, _ in parents] == ["traceparent"]
    record = setup.record
    assert (record.backend, record.attempts, record.sent, record.received) == ("a.shop.svc:8080", 1, 7, 2)


async def test_the_server_limits_what_the_policy_does_not(setup: Setup) -> None:
    await setup.dispatcher.call(tool(timeout=60.0), {}, setup.context())
    await setup.dispatcher.call(tool(), {}, setup.context())

    assert [(timeout, more["max_bytes"], more["cut"]) for _, timeout, more in setup.sent] == [(5.0, 4096, False)] * 2
    assert [request.headers for request, *_ in setup.sent] == [(), ()]
    assert setup.record.attempts == 2


async def test_a_header_that_cannot_be_forwarded_is_named_by_the_client_s_header(setup: Setup) -> None:
    given = tool(forward_headers=(ForwardHeader("X-Tenant", "X-Org"),))

    with pytest.raises(CallError) as caught:
        await setup.dispatcher.call(given, {}, setup.context(headers={"x-tenant": ["ü"]}))

    assert (caught.value.code, caught.value.message) == (
        "invalid_request",
        (
            "the header X-Tenant of the client's request must be visible ASCII of 1 to 4096 characters to be sent in a "
            "header"
        ),
    )
    assert (setup.sent, setup.seen) == ([], [])


@pytest.mark.parametrize(
    ("attempts", "pauses"), [(0, []), (1, [0.05]), (3, [0.05, 0.1, 0.2]), (7, [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])]
)
async def test_pauses_grow_up_to_a_bound(setup: Setup, attempts: int, pauses: list[float]) -> None:
    setup.answers = [GONE] * 9
    given = tool(retries=Retries(attempts, ("connect",)))

    with pytest.raises(CallError, match="gone"):
        await setup.dispatcher.call(given, {}, setup.context())

    assert setup.slept == pauses
    assert setup.record.attempts == attempts + 1
    assert setup.seen == [("retry", "unreachable")] * attempts + [("fault", "unreachable")]
    left = [timeout for _, timeout, _ in setup.sent]
    assert left == pytest.approx([5.0 - sum(pauses[:number]) for number in range(attempts + 1)])


@pytest.mark.parametrize(
    ("error", "on", "is_repeated"),
    [
        (GONE, ("connect",), True),
        (faults.disconnected("x", idempotent=True), ("connect",), True),
        (GONE, ("5xx", "429"), False),
        (faults.unreachable("x", is_transient=False), ("connect",), False),
        (LATE, ("connect", "5xx", "429"), False),
        (Reply(503), ("5xx",), True),
        (Reply(503), ("connect", "429"), False),
        (Reply(501), ("5xx",), False),
        (Reply(429), ("429",), True),
        (Reply(429), ("5xx", "connect"), False),
        (Reply(408), ("5xx", "429", "connect"), False),
    ],
)
async def test_a_call_is_repeated_on_its_conditions(setup: Setup, error: Any, on: Any, is_repeated: bool) -> None:
    setup.answers = [error]
    given = tool(retries=Retries(1, on))

    if is_repeated:
        await setup.dispatcher.call(given, {}, setup.context())
    else:
        with pytest.raises(CallError):
            await setup.dispatcher.call(given, {}, setup.context())

    assert len(setup.sent) == 1 + is_repeated
    setup.answers = [error]
    with pytest.raises(CallError):
        await setup.dispatcher.call(replace(given, method="POST"), {}, setup.context())


@pytest.mark.parametrize(("retry_after", "slept"), [(None, [0.05]), ("1", [1.0]), ("4", [4.0]), ("5", []), ("60", [])])
async def test_a_pause_is_as_long_as_the_backend_asks_if_there_is_time(
    setup: Setup, retry_after: str | None, slept: list[float]
) -> None:
    setup.answers = [Reply(503, {"retry-after": retry_after} if retry_after else {})]

    try:
        await setup.dispatcher.call(tool(retries=AGAIN), {}, setup.context())
    except CallError as fault:
        expected = int(retry_after or 0)
        assert fault.retry_after == expected  # noqa: PT017 -- whether it is raised depends on the row

    assert setup.slept == slept


async def test_an_attempt_has_what_is_left_of_the_time(setup: Setup) -> None:
    setup.answers, setup.takes = [GONE, GONE], 2.0

    await setup.dispatcher.call(tool(retries=AGAIN), {}, setup.context())

    assert [timeout for _, timeout, _ in setup.sent] == pytest.approx([5.0, 2.95, 0.85])
    assert setup.record.backend_seconds == pytest.approx(6.0)


async def test_no_attempt_has_no_time_at_all(setup: Setup) -> None:
    setup.answers, setup.takes = [GONE], 4.94

    await setup.dispatcher.call(tool(retries=AGAIN), {}, setup.context())

    assert setup.sent[1][1] == pytest.approx(0.01)
    setup.answers, setup.takes = [GONE], 4.95
    with pytest.raises(CallError):
        await setup.dispatcher.call(tool(retries=AGAIN), {}, setup.context())


async def test_a_last_failure_does_not_hide_that_an_earlier_attempt_was_sent(setup: Setup) -> None:
    setup.answers = [Reply(503), GONE, GONE, GONE]
    given = tool(retries=AGAIN)

    with pytest.raises(CallError) as caught:
        await setup.dispatcher.call(given, {}, setup.context())

    assert (caught.value.code, caught.value.fate) == ("disconnected", Fate.UNKNOWN)
    setup.answers = [Reply(429), GONE, GONE, GONE]
    with pytest.raises(CallError) as caught:
        await setup.dispatcher.call(given, {}, setup.context())
    assert (caught.value.code, caught.value.fate) == ("unreachable", Fate.NOT_SENT)


async def test_retries_to_a_host_are_a_share_of_its_calls(setup: Setup) -> None:
    other = tool(retries=Retries(1, ("connect",)), backend=Backend("b.shop.svc", 80))
    for _ in range(100):
        await setup.dispatcher.call(tool(), {}, setup.context())

    async def retries(given: Tool) -> int:
        setup.slept.clear()
        for _ in range(40):
            setup.answers = [GONE, Reply(200, JSON, b"{}")]
            try:
                await setup.dispatcher.call(given, {}, setup.context())
            except CallError:
                assert setup.answers
            setup.now = 100.0
        return len(setup.slept)

    # A fifth of 140 calls to one host; of 40 to the other, as many as every host may have.
    assert await retries(tool(retries=Retries(1, ("connect",)))) == 28
    assert await retries(other) == resilience.MIN_RETRIES


@pytest.mark.parametrize(
    ("method", "hint", "retries", "has_key"),
    [
        ("POST", True, 1, True),
        ("PATCH", True, 1, True),
        ("POST", False, 1, False),
        ("POST", True, 0, False),
        ("PUT", False, 1, False),
        ("GET", True, 1, False),
    ],
)
async def test_one_key_for_all_attempts(setup: Setup, method: str, hint: bool, retries: int, has_key: bool) -> None:
    given = tool(method, retries=Retries(retries, ("connect",)), annotations={"idempotentHint": hint})

    await setup.dispatcher.call(given, {}, setup.context())

    assert (("Idempotency-Key", "key") in setup.sent[0][0].headers) is has_key


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_broken_reply_is_a_fault_also_with_an_expected_error_status(setup: Setup, idempotent: bool) -> None:
    setup.answers = [Reply(404, {}, b"x", broken="the reply is not valid HTTP")]
    given = tool("GET" if idempotent else "POST", response=Response(expect_status=("2xx", "404")))

    with pytest.raises(CallError) as caught:
        await setup.dispatcher.call(given, {}, setup.context())

    assert (caught.value.code, caught.value.status, caught.value.idempotent) == ("bad_response", 404, idempotent)
    assert caught.value.message == "the reply is not valid HTTP"


async def test_a_rest_call_has_the_reply_of_the_last_attempt(setup: Setup) -> None:
    last = Reply(503, JSON, b"last")
    setup.answers = [Reply(503, JSON, b"first"), last]
    given = tool(retries=Retries(1, ("5xx",)))

    assert await setup.dispatcher.forward(given, {}, setup.context()) is last
    setup.answers = [GONE]
    with pytest.raises(CallError, match="gone"):
        await setup.dispatcher.forward(tool(), {}, setup.context())


async def test_a_resource_and_an_operation_have_their_targets(setup: Setup) -> None:
    resource = HttpResource(
        "shop://r", "r", "shop/r", BACKEND, policy=Policy(timeout=1.0, response=Response(select="/a"))
    )
    operation = Operation("o", "shop/o", "PUT", "/o", BACKEND, "")
    setup.answers = [Reply(200, JSON, b'{"a":[1]}'), Reply(418, JSON, b"x")]

    assert (await setup.dispatcher.read(resource, {}, setup.context())).body == b"[1]"
    assert (await setup.dispatcher.operate(operation, {}, b"raw", setup.context())).status == 418

    (read, first, _), (written, second, _) = setup.sent
    assert (read.method, read.url, first) == ("GET", "http://a.shop.svc:8080/api", 1.0)
    assert (written.method, written.body, second) == ("PUT", b"raw", 5.0)
    assert setup.record.sent == 3


async def test_the_circuit_of_a_tool_is_shown_by_its_source_and_each_host_s_last_fault(setup: Setup) -> None:
    setup.answers = [GONE, Reply(500)]
    with pytest.raises(CallError):
        await setup.dispatcher.call(tool(breaker=Breaker(1, 30.0)), {}, setup.context())
    with pytest.raises(CallError):
        await setup.dispatcher.call(tool(backend=Backend("b.shop.svc", 80)), {}, setup.context())
    setup.now += 7.4

    assert setup.dispatcher.open_circuits() == {"tool shop/a": "open"}
    found = setup.dispatcher.last_faults()
    assert list(found.items()) == [
        ("b.shop.svc:80", {"code": "upstream_error", "request": "sent, outcome unknown", "secondsAgo": 7}),
        ("a.shop.svc:8080", {"code": "unreachable", "request": "not sent", "secondsAgo": 7}),
    ]
    assert setup.seen == [("open", ""), ("fault", "unreachable"), ("fault", "upstream_error")]
    await setup.dispatcher.close()
    assert setup.closed


async def test_the_hosts_of_faults_are_bounded_and_the_last_one_is_the_first(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "MAX_HOSTS", 2)
    for host in ("a", "b", "a", "c"):
        setup.answers = [GONE]
        with pytest.raises(CallError):
            await setup.dispatcher.call(tool(backend=Backend(f"{host}.shop.svc", 1)), {}, setup.context())

    assert list(setup.dispatcher.last_faults()) == ["c.shop.svc:1", "a.shop.svc:1"]


async def test_a_call_of_an_mcp_backend_has_the_headers_and_the_time_of_its_policy(setup: Setup) -> None:
    headers = (HeaderFrom("Authorization", "Secret", "crm", "token"),)
    given = tool("POST", mcp=Mcp("/mcp", "theirs"), headers_from=headers, timeout=2.0)
    setup.answers = [{"content": []}, {"content": [], "isError": True}]

    assert await setup.dispatcher.call(given, {"q": 1}, setup.context()) == {"content": []}
    relayed = await setup.dispatcher.forward(given, {}, setup.context())

    assert (relayed.status, relayed.headers, relayed.body) == (200, JSON, b'{"content":[],"isError":true}')
    assert setup.called == [("a", arguments, (("Authorization", "of crm"),), 2.0) for arguments in ({"q": 1}, {})]


@pytest.mark.parametrize(
    ("on_drift", "verdict", "is_refused"),
    [("Refuse", VANISHED, True), ("Refuse", AS_PINNED, False), ("Refuse", None, False), ("Report", VANISHED, False)],
)
async def test_a_tool_that_drifted_is_refused_if_it_says_so(
    setup: Setup, on_drift: str, verdict: Any, is_refused: bool
) -> None:
    setup.verdict, setup.answers = verdict, [{"content": []}]
    given = tool("POST", mcp=Mcp("/mcp", "theirs", on_drift=on_drift))

    if not is_refused:
        await setup.dispatcher.call(given, {}, setup.context())
        return
    with pytest.raises(CallError) as caught:
        await setup.dispatcher.call(given, {}, setup.context())
    assert (caught.value.code, setup.called) == ("drifted", [])
    assert caught.value.message == (
        f"the MCP server of this tool no longer lists it as it was reviewed: {verdict}; calls are refused until an "
        "administrator runs mcp-operator import mcp again and reviews the difference; nothing was sent"
    )


class Sampler:
    """Samples everything."""

    def samples(self, *_: str) -> bool:
        return True

    def export(self, *_: object) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("given", "answer", "seen"),
    [
        (tool(), Reply(200, JSON, b"{}"), ("GET", 200, "")),
        (tool(), Reply(404), ("GET", 404, "not_found")),
        (tool(), GONE, ("GET", None, "unreachable")),
        (tool(), ZeroDivisionError(), ("GET", None, "cancelled")),
        (tool("POST", mcp=Mcp("/mcp", "x")), {"content": []}, ("tools/call", None, "")),
        (tool("POST", mcp=Mcp("/mcp", "x")), {"content": [], "isError": True}, ("tools/call", None, "tool_error")),
        (tool("POST", mcp=Mcp("/mcp", "x")), RpcError(-32602, "no"), ("tools/call", None, "-32602")),
    ],
)
async def test_each_attempt_of_a_sampled_call_is_recorded(setup: Setup, given: Tool, answer: Any, seen: Any) -> None:
    setup.record.tracer = Sampler()  # type: ignore[assignment]
    setup.answers, setup.takes = [answer], 0.5

    try:
        await setup.dispatcher.call(given, {}, setup.context())
    except (CallError, RpcError, ZeroDivisionError):
        assert isinstance(answer, Exception) or answer.status == 404

    (span,) = setup.record.spans
    assert (span.method, span.status, span.error) == seen
    assert (span.number, span.backend, span.started, span.ended) == (0, "a.shop.svc:8080", 100.0, 100.5)


async def test_the_mapping_of_a_tool_is_kept_as_long_as_the_catalog_has_it(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "MAX_MAPPERS", 2)
    tools = [tool() for _ in range(3)]
    for each in (tools[0], tools[0], tools[1], tools[2]):
        await setup.dispatcher.call(each, {}, setup.context())
    assert list(setup.dispatcher._mappers) == [id(tools[1]), id(tools[2])]

    setup.dispatcher.keep_tools({"a": tools[2]})

    assert list(setup.dispatcher._mappers) == [id(tools[2])]


@pytest.mark.parametrize(("concurrency", "most"), [(None, 6), (2, 2), (60, 6)])
async def test_a_backend_has_a_share_of_the_requests_of_a_server(
    setup: Setup, concurrency: int | None, most: int
) -> None:
    target = dispatch._target("tool", tool(), Policy(concurrency=concurrency))

    protection = setup.dispatcher._protect(target, setup.context())

    assert (protection._limit, protection._host_limit) == (most, 6)
    assert (protection._host, protection._source) == ("a.shop.svc:8080", "tool shop/a")
