"""What exactly a client gets when its request is refused: the status, the headers and the words."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from cluster.message import Request
from crd.published.policy import Bucket
from crd.published.settings import Auth, Jwt, Limits
from runtime.auth.oauth_metadata import DeniedError, Resource
from runtime.http import endpoint, responses
from runtime.mcp.eras import MODERN
from runtime.state.limits import Verdict
from tests.runtime.raw_http import INITIALIZE, modern, rpc, send

SESSION = {"Mcp-Session-Id": "s"}
VERSIONS = "2025-11-25, 2025-06-18, 2025-03-26, 2024-11-05"


def error(code: int, message: str, identifier: Any = 1) -> dict[str, Any]:
    """A JSON-RPC error."""
    own = {} if identifier is None else {"id": identifier}
    return {"jsonrpc": "2.0", **own, "error": {"code": code, "message": message}}


@pytest.mark.parametrize(
    ("method", "headers", "body", "status", "said"),
    [
        ("GET", {}, None, 405, "MCP messages are sent by POST; this endpoint has no stream for GET\n"),
        ("POST", {"Content-Type": "text/plain"}, b"{}", 415, "Content-Type must be application/json\n"),
        (
            "POST",
            {"Content-Encoding": "gzip"},
            b"{}",
            415,
            "a compressed body is not accepted; send it without Content-Encoding\n",
        ),
        (
            "POST",
            {},
            rpc("ping"),
            400,
            error(-32600, "missing header Mcp-Session-Id; send initialize to open a session"),
        ),
        ("POST", SESSION, rpc("ping"), 404, error(-32600, "Session not found; send initialize to open a new one")),
        (
            "DELETE",
            {},
            None,
            400,
            error(-32600, "missing header Mcp-Session-Id; send initialize to open a session", None),
        ),
        ("DELETE", SESSION, None, 404, ""),
        (
            "DELETE",
            {"Mcp-Session-Id": "a, b"},
            None,
            400,
            error(-32600, 'Header mismatch: Mcp-Session-Id is sent with different values: "a", "b"', None),
        ),
        (
            "POST",
            {"Mcp-Session-Id": "a, b"},
            rpc("ping"),
            400,
            error(-32600, 'Header mismatch: Mcp-Session-Id is sent with different values: "a", "b"'),
        ),
        (
            "POST",
            {**SESSION, "MCP-Protocol-Version": "1" * 99},
            [rpc("ping")],
            400,
            error(-32600, f'MCP-Protocol-Version "{"1" * 80}" is not supported; use one of {VERSIONS}', None),
        ),
        ("POST", SESSION, [], 400, error(-32600, "a batch must hold 1 to 50 messages", None)),
        ("POST", SESSION, [rpc("ping")] * 51, 400, error(-32600, "a batch must hold 1 to 50 messages", None)),
        (
            "POST",
            SESSION,
            [rpc("ping")] * 50,
            404,
            error(-32600, "Session not found; send initialize to open a new one", None),
        ),
        (
            "POST",
            SESSION,
            [rpc("ping"), INITIALIZE],
            400,
            error(-32600, f"a batch must not hold initialize or messages of {MODERN}; send each one alone", None),
        ),
        ("POST", {"Origin": "https://evil.example"}, INITIALIZE, 403, 'Origin "https://evil.example" is not allowed\n'),
    ],
)
async def test_a_request_that_is_refused(
    replicas: Any, catalog_of: Any, method: str, headers: dict[str, str], body: Any, status: int, said: Any
) -> None:
    replica = await replicas.start(catalog_of())

    found = await send(replica.mcp, method, body, **headers)

    assert (found[0], found[2]) == (status, said)
    wanted = {"Allow": "POST, DELETE"} if status == 405 else {}
    wanted |= {"Accept-Encoding": "identity"} if "Content-Encoding" in headers else {}
    assert {name: found[1].get(name) for name in ("Allow", "Accept-Encoding") if name in found[1]} == wanted


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/mcp/" + "x" * 2043, 404, None),
        ("GET", "/mcp/" + "x" * 2044, 414, "the path must have at most 2048 characters\n"),
        ("GET", "/mcpx", 404, "not found; the MCP endpoint is /mcp\n"),
        ("GET", "/.well-known/oauth-protected-resource", 404, "no protected resource has this path\n"),
        ("POST", "/.well-known/oauth-protected-resource", 404, "not found; the MCP endpoint is /mcp\n"),
    ],
)
async def test_a_path_that_is_not_served(
    replicas: Any, catalog_of: Any, method: str, path: str, status: int, said: str | None
) -> None:
    replica = await replicas.start(catalog_of())

    async def rest(*_: Any) -> Any:
        return responses.text_response(404, "rest")

    replica.app._rest = rest
    found = await send(f"{replica.url}{path}", method)

    assert (found[0], found[2]) == (status, said or "rest")


async def test_a_version_without_batches_answers_none(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(sessions="Stateless"))
    newer = {"MCP-Protocol-Version": "2025-06-18"}

    assert (await send(replica.mcp, body=[rpc("ping")]))[0] == 200
    status, _, said = await send(replica.mcp, body=[rpc("ping")], **newer)
    assert (status, said) == (
        400,
        error(-32600, "protocol version 2025-06-18 has no batches; send one message per request", None),
    )


async def test_a_stateless_server_ends_no_sessions(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(sessions="Stateless"))

    status, headers, said = await send(replica.mcp, "DELETE", **SESSION)

    assert (status, headers["Allow"], said) == (405, "POST", "")


async def test_a_store_that_this_pod_lacks_is_unavailable(
    replicas: Any, catalog_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    replica = await replicas.start(catalog_of(sessions="Redis"))

    status, headers, said = await send(replica.mcp, body=rpc("ping"), **SESSION)

    message = "sessions or rate limits are unavailable at the moment; retry in 1 s"
    assert (status, headers["Retry-After"], said) == (503, "1", error(503, message, None))
    assert "this pod has no connection to Redis; it is about to be replaced" in caplog.text


@pytest.mark.parametrize("scope", ["server", "client"])
@pytest.mark.parametrize("what", ["initialize", "call", "guess", "end", "rest"])
async def test_a_limit_that_is_reached_is_told_and_counted(
    replicas: Any, catalog_of: Any, scope: str, what: str
) -> None:
    bucket = Bucket(1, 3600)
    limits = Limits(server=bucket) if scope == "server" else Limits(per_client=bucket)
    replica = await replicas.start(catalog_of(limits=limits))

    async def ask() -> tuple[int, Any, Any]:
        match what:
            case "initialize":
                return await send(replica.mcp, body=INITIALIZE)
            case "call":
                return await modern(replica.mcp, "tools/call", name="echo", arguments={})
            case "guess":
                return await send(replica.mcp, body=rpc("ping"), **SESSION)
            case "end":
                return await send(replica.mcp, "DELETE", **SESSION)
        return await send(f"{replica.mcp}/echo", body={})

    assert (await ask())[0] in (200, 404)
    status, headers, said = await ask()

    identifier = None if what in ("end", "rest") else 1
    message = f"the rate limit of this {scope} is exceeded; retry in 3600 s"
    assert (status, headers["Retry-After"], said) == (429, "3600", error(429, message, identifier))
    assert replica.count("mcp_server_rate_limited_total", scope=scope) == 1


async def test_the_limit_of_a_tool_holds_for_its_rest_path(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of())

    assert (await send(f"{replica.mcp}/rare", body={}))[0] == 200
    status, _, said = await send(f"{replica.mcp}/rare", body={})
    assert (status, said["error"]["message"]) == (429, "the rate limit of this tool is exceeded; retry in 3600 s")
    assert (await send(f"{replica.mcp}/rare", "GET"))[0] == 200
    assert replica.count("mcp_server_rate_limited_total", scope="tool") == 1


async def test_a_server_that_is_busy_says_so(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(max_concurrent_requests=1))
    replica.app.in_progress = 1

    status, headers, said = await send(replica.mcp, body=INITIALIZE)

    message = "1 requests are in progress, which is the limit; retry in 1 s"
    assert (status, headers["Retry-After"], said) == (503, "1", error(503, message, None))
    assert (replica.count("mcp_server_shed_total"), replica.app.in_progress) == (1, 1)
    replica.app.in_progress = 0
    assert (await send(replica.mcp, body=INITIALIZE))[0] == 200
    assert replica.app.in_progress == replica.app.open_requests == 0


async def test_before_there_is_a_catalog_every_connection_is_closed(replicas: Any) -> None:
    replica = await replicas.start(None)

    status, headers, said = await send(replica.mcp, body=INITIALIZE)

    assert (status, headers["Connection"], headers["Retry-After"]) == (503, "close", "1")
    assert said == error(503, "no catalog is loaded yet; retry in 1 s", None)


async def test_a_body_that_is_too_large_closes_the_connection(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(max_request_bytes=64))

    status, headers, said = await send(replica.mcp, body=b"x" * 65)

    assert (status, headers["Connection"], said) == (413, "close", "the request body must have at most 64 bytes\n")
    assert (await send(replica.mcp, body=b"x" * 64))[0] == 400


async def test_what_is_not_json_is_a_parse_error_without_an_id(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of())

    status, _, said = await send(replica.mcp, body=b"{")

    assert (status, said.keys(), said["error"]["code"]) == (400, {"jsonrpc", "error"}, -32700)
    assert said["error"]["message"].startswith("Parse error: unexpected end of data")


@pytest.mark.parametrize(
    ("method", "params", "path"),
    [
        ("tools/call", '{"name": VALUE}', "/params/name"),
        ("prompts/get", '{"name": VALUE}', "/params/name"),
        ("resources/read", '{"uri": VALUE}', "/params/uri"),
        ("completion/complete", '{"ref": {"type": "ref/prompt", "name": VALUE}, "argument": ARG}', "/params/ref/name"),
        ("completion/complete", '{"ref": {"type": "ref/resource", "uri": VALUE}, "argument": ARG}', "/params/ref/uri"),
    ],
)
async def test_a_name_that_is_nested_deeply_is_refused_like_any_that_is_no_string(
    replicas: Any, catalog_of: Any, method: str, params: str, path: str
) -> None:
    replica = await replicas.start(catalog_of(sessions="Stateless"))
    deep = params.replace("VALUE", "[" * 1000 + "]" * 1000).replace("ARG", '{"name": "a", "value": "b"}')
    body = f'{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {deep}}}'.encode()

    status, _, said = await send(replica.mcp, body=body)

    assert (status, said) == (200, error(-32602, f"{path}: must be a string", 1))


async def test_a_call_that_fails_unexpectedly_has_the_id_of_its_log_line(
    replicas: Any, catalog_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    replica = await replicas.start(catalog_of(sessions="Stateless"))

    status, _, said = await send(replica.mcp, body=rpc("tools/call", 9, name="bug"))

    request_id = said["error"]["message"].split()[4]
    assert (status, said) == (500, error(-32603, f"Internal error; see request {request_id} in the server log", 9))
    assert f"request {request_id} failed with an unexpected exception" in caplog.text
    assert replica.count("mcp_server_unexpected_errors_total") == 1


async def test_an_argument_that_differs_from_its_header_names_the_header(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of())

    status, _, said = await modern(replica.mcp, "tools/call", name="region", arguments={"region": "eu"})

    message = "Header mismatch: mcp-param-region must be sent once, with the value of its argument"
    assert (status, said) == (400, error(-32020, message))


@pytest.mark.parametrize(
    ("method", "params", "operation", "logged"),
    [
        ("tools/call", {"name": "echo"}, "tools/call", "tools/call echo"),
        ("tools/list", {}, "tools/list", "tools/list"),
        ("tools/call", {"name": "x" * 200}, "tools/call", ("tools/call " + "x" * 200)[:128]),
    ],
)
async def test_a_call_is_logged_by_its_name(
    replicas: Any, catalog_of: Any, method: str, params: dict[str, Any], operation: str, logged: str
) -> None:
    replica = await replicas.start(catalog_of(sessions="Stateless"))
    logging.getLogger("access").setLevel(logging.INFO)

    await send(replica.mcp, body=rpc(method, **params))
    replica.app.access_log.flush()

    assert f'"method":"POST","operation":"{logged}","status":200,'.encode() in b"".join(replicas.log)
    kept = [
        sample.labels["mcp_method_name"]
        for family in replica.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "mcp_server_operation_duration_seconds_count"
    ]
    assert kept == [operation]


@pytest.mark.parametrize(
    ("response", "status", "body", "headers"),
    [
        (responses.json_response(b"{}"), 200, b"{}", {}),
        (responses.json_response(b"{}", 418, {"A": "b"}), 418, b"{}", {"A": "b"}),
        (responses.text_response(404, "\udcff"), 404, b"?", {}),
        (responses.empty_response(204, {"A": "b"}), 204, b"", {"A": "b"}),
        (
            responses.too_many_attempts(9),
            429,
            (
                b'{"jsonrpc":"2.0","error":{"code":429,"message":"too many failed attempts to authenticate; '
                b'retry in 9 s"}}'
            ),
            {"Retry-After": "9"},
        ),
        (
            responses.too_many_requests("a", Verdict("client", 2_001)),
            429,
            (
                b'{"jsonrpc":"2.0","id":"a","error":{"code":429,"message":"the rate limit of this client is exceeded; '
                b'retry in 3 s"}}'
            ),
            {"Retry-After": "3"},
        ),
    ],
)
def test_a_response_has_its_parts(response: Any, status: int, body: bytes, headers: dict[str, str]) -> None:
    assert (response.status, response.body, response.headers, response.close) == (status, body, headers, False)
    is_json = body.startswith(b"{")
    assert (response.content_type == "application/json; charset=utf-8") is is_json
    assert (response.content_type == "") is (body == b"")


@pytest.mark.parametrize(
    ("denied", "body", "challenge"),
    [
        (
            DeniedError(401, "", "no token"),
            b'{"error":"unauthorized","error_description":"no token"}',
            'Bearer scope="a b", resource_metadata="https://m"',
        ),
        (
            DeniedError(403, "insufficient_scope", 'a "b"'),
            b'{"error":"insufficient_scope","error_description":"a \\"b\\""}',
            (
                'Bearer error="insufficient_scope", error_description="a \\"b\\"", scope="a b", '
                'resource_metadata="https://m"'
            ),
        ),
    ],
)
def test_a_client_that_is_denied_access_is_told_how_to_get_it(denied: DeniedError, body: bytes, challenge: str) -> None:
    auth = Auth("JWT", jwt=Jwt("https://i", ("shop",), required_scopes=("a", "b")))

    found = responses.access_denied(denied, auth, Resource("https://r", "https://m", ()))

    assert (found.status, found.body, found.headers) == (denied.status, body, {"WWW-Authenticate": challenge})


async def test_a_client_behind_an_ingress_is_told_the_url_that_it_knows(replicas: Any, catalog_of: Any) -> None:
    auth = Auth("JWT", jwt=Jwt("https://i", ("shop",)))
    replica = await replicas.start(catalog_of(auth=auth))
    paths = ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp")

    for forwarded, scheme in (("https", "https"), ("http", "http"), ("HTTPS", "http"), (None, "http")):
        sent = {"Host": "shop.example:8443", **({"X-Forwarded-Proto": forwarded} if forwarded else {})}
        status, headers, _ = await send(replica.mcp, body=INITIALIZE, **sent)
        url = f"{scheme}://shop.example:8443/.well-known/oauth-protected-resource/mcp"
        assert (status, headers["WWW-Authenticate"]) == (401, f'Bearer resource_metadata="{url}"')
        for path in paths:
            status, _, said = await send(f"{replica.url}{path}", "GET", **sent)
            assert (status, said["resource"]) == (200, f"{scheme}://shop.example:8443/mcp")
    assert (await send(f"{replica.url}{paths[0]}/other", "GET"))[0] == 404
    assert replica.count("mcp_server_denied_total", http_response_status_code="401") == 4


async def test_a_pod_that_drains_closes_after_every_answer(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of())
    request = Request("GET", "/mcp", {}, "127.0.0.1")
    request.put(b"")

    assert (await replica.app.handle(request)).close is False
    replica.draining = True
    assert (await replica.app.handle(request)).close is True


TRACES = ("a" * 32, "b" * 32)


async def test_the_trace_of_a_call_is_that_of_its_meta_and_else_that_of_its_headers(
    replicas: Any, catalog_of: Any
) -> None:
    replica = await replicas.start(catalog_of(sessions="Stateless"))
    logging.getLogger("access").setLevel(logging.INFO)
    header, member = (f"00-{trace}-{'1' * 16}-00" for trace in TRACES)

    for meta in ({}, {"_meta": {"traceparent": member}}, {"_meta": {"traceparent": 7}}, {"_meta": [member]}):
        await send(replica.mcp, body=rpc("tools/call", name="echo", **meta), traceparent=header)
    replica.app.access_log.flush()

    lines = [json.loads(line) for line in b"".join(replicas.log).splitlines()]
    assert [line["traceId"] for line in lines] == [TRACES[0], TRACES[1], TRACES[0], TRACES[0]]


async def test_a_batch_makes_no_calls_after_the_limit_of_its_answers(
    replicas: Any, catalog_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty replies of a megabyte each would be in memory at once."""
    monkeypatch.setattr(endpoint, "MAX_BATCH_ANSWER", 1000)
    replica = await replicas.start(catalog_of(sessions="Stateless"))
    call = {"name": "echo", "arguments": {"q": "x" * 600}}

    _, _, answers = await send(replica.mcp, body=[rpc("tools/call", number, **call) for number in range(4)])

    assert [each["id"] for each in answers] == [0, 1, 2, 3]
    assert ["result" in each for each in answers] == [True, False, False, False]
    assert answers[1]["error"] == {
        "code": 429,
        "message": "not called: the answers before have more than 1000 bytes; send it in another batch",
    }
    assert len(replica.backends.contexts) == 1


async def test_a_batch_is_counted_as_one_request_and_as_its_calls(replicas: Any, catalog_of: Any) -> None:
    replica = await replicas.start(catalog_of(sessions="Stateless"))

    await send(replica.mcp, body=[rpc("ping", 1), rpc("tools/call", 2, name="nothing")])

    counted = {
        (sample.labels["mcp_method_name"], sample.labels["http_response_status_code"], sample.labels["error_type"])
        for family in replica.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "mcp_server_operation_duration_seconds_count"
    }
    assert counted == {("batch", "200", ""), ("ping", "200", ""), ("tools/call", "200", "-32602")}
