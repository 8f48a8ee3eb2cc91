"""What may reach a backend, and how it is escaped; what may not is refused before anything is sent."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest

from crd.published import Backend, Operation, Parameter, Tool
from runtime import faults, mapping, shaping, uris
from runtime.faults import CallError
from runtime.shaping import Reply

BACKEND = Backend("orders.shop.svc", 8080, "/api/v1")


def tool(method: str = "POST", backend: Backend = BACKEND) -> Tool:
    return Tool("a", "shop/a", method, backend, {"type": "object"})


@pytest.mark.parametrize(
    "value",
    ["..", ".", "%2e%2e", ".%2e", "%252e%252e", "..;a=b", "a/b", "a%2Fb", "x%252f..", "a\\b", "a\r\nb", "a%0d%0ab", "",
     "\ud800", "x" * 1025, "a\x7f"],
)  # fmt: skip
def test_what_could_leave_its_segment_is_refused(value: str) -> None:
    with pytest.raises(CallError) as caught:
        mapping.segment("id", value)

    assert caught.value.code == "invalid_arguments"
    assert value not in caught.value.message or len(value) < 2


@pytest.mark.parametrize(
    "value", ["a?x=1#f", "a;b=c", "a:b@c,d+e&f=g", "50%", "%zz", "...", "日本 ü", "12345678901234567890", "A 7"]
)
def test_every_other_value_arrives_as_it_is(value: str) -> None:
    sent = mapping.segment("id", value)

    assert unquote(sent) == value
    assert not set(sent) & set("/?#; ")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_arguments_are_the_body(method: str) -> None:
    request = mapping.of_tool(tool(method), {"b": [1, None], "a": "ü"})

    assert request.url == "http://orders.shop.svc:8080/api/v1"
    assert request.body == '{"b":[1,null],"a":"ü"}'.encode()
    assert ("Content-Type", "application/json") in request.headers


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_arguments_are_the_query(method: str) -> None:
    request = mapping.of_tool(tool(method), {"q": "tea & milk", "n": [1, True, 1.5], "none": None})

    assert request.url.endswith("?q=tea%20%26%20milk&n=1&n=true&n=1.5")
    assert request.body is None


@pytest.mark.parametrize(
    ("method", "arguments", "place"),
    [
        ("GET", {"filter": {"a": 1}}, "/filter"),
        ("GET", {"q": "\ud800"}, "surrogate"),
        ("GET", {"q": "x" * 9000}, "longer"),
        ("POST", {"a": [{"b": 2**53}]}, "/a/0/b"),
        ("POST", {"a": -(2**53)}, "/a"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_place(method: str, arguments: Any, place: str) -> None:
    with pytest.raises(CallError) as caught:
        mapping.of_tool(tool(method), arguments)

    assert caught.value.code == "invalid_arguments"
    assert place in caught.value.message


def test_a_port_that_is_not_known_is_our_fault() -> None:
    with pytest.raises(CallError) as caught:
        mapping.of_tool(tool(backend=Backend("orders.shop.svc", 0)), {})

    assert caught.value.code == "misconfigured"


def operation(path: str = "/stock/{sku}", method: str = "GET", *parameters: Parameter) -> Operation:
    return Operation(
        "stock", "shop/stock", method, "/stock/{sku}", Backend("s.shop.svc", 80, path), parameters=parameters
    )


SKU = Parameter("sku", "path", required=True)


def test_an_operation_puts_each_parameter_in_its_place() -> None:
    given = operation("/stock/{sku}", "POST", SKU, Parameter("q", "query"), Parameter("X-Shop", "header"))

    request = mapping.of_operation(given, {"sku": "a b", "q": "1&2", "X-Shop": "main"}, b"{}")

    assert request.url == "http://s.shop.svc:80/stock/a%20b?q=1%262"
    assert dict(request.headers) == {"X-Shop": "main", "Content-Type": "application/json"}
    assert not request.idempotent


@pytest.mark.parametrize(
    ("given", "values", "code"),
    [
        (operation("/stock/{sku}", "GET", SKU), {}, "invalid_arguments"),
        (operation("/stock/{sku}", "GET", Parameter("q", "query", required=True)), {}, "invalid_arguments"),
        (operation("/stock/{other}", "GET", SKU), {"sku": "a"}, "misconfigured"),
        (operation("/", "GET", Parameter("Cookie", "header")), {"Cookie": "a"}, "misconfigured"),
        (operation("/", "GET", Parameter("X-A", "header")), {"X-A": "a\r\nb"}, "invalid_arguments"),
        (operation("/", "GET", Parameter("X-A", "header")), {"X-A": " a"}, "invalid_arguments"),
    ],
)
def test_an_operation_refuses_what_has_no_safe_place(given: Operation, values: dict[str, str], code: str) -> None:
    with pytest.raises(CallError) as caught:
        mapping.of_operation(given, values)

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("shop://a", "shop://a", {}),
        ("shop://a", "shop://b", None),
        ("mcp://stock/{sku}", "mcp://stock/a%20b", {"sku": "a b"}),
        ("mcp://stock/{sku}", "mcp://stock/a/b", None),
        ("mcp://stock/{sku}{?w,x}", "mcp://stock/a?w=1&z=2", {"sku": "a", "w": "1"}),
        ("mcp://stock/{sku}{?w}", "mcp://stock/a", {"sku": "a"}),
        ("mcp://{my-id}/x", "mcp://7/x", {"my-id": "7"}),
    ],
)
def test_a_uri_is_matched_and_read(template: str, uri: str, values: dict[str, str] | None) -> None:
    assert uris.match(template, uri) == values


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "invalid_request", False), (422, "invalid_request", False), (418, "invalid_request", False),
        (401, "upstream_denied", False), (403, "upstream_denied", False), (404, "not_found", False),
        (410, "not_found", False), (409, "conflict", False), (412, "conflict", False), (429, "upstream_busy", True),
        (500, "upstream_error", True), (503, "upstream_error", True), (302, "upstream_error", False),
    ],
)  # fmt: skip
def test_a_status_means_one_fault(status: int, code: str, retryable: bool) -> None:
    found = faults.of_status(status, b'{"title":"No","detail":"because"}', idempotent=True, retry_after="3")

    assert (found.code, found.retryable, found.door_status) == (code, retryable, status)
    assert ("because" in found.line("r")) is (code not in ("upstream_denied", "upstream_error"))
    assert found.retry_after == (3 if retryable else None)


def test_a_call_that_may_not_be_repeated_is_never_retryable() -> None:
    assert not faults.of_status(503, b"", idempotent=False).retryable


def test_a_detail_is_text_of_bounded_length_without_control_characters() -> None:
    found = faults.of_status(400, b"\x1b[31mred\x00" + b"x" * 9000, idempotent=True)

    assert found.detail is not None
    assert "\x1b" not in found.detail
    assert len(found.detail) == 4096


@pytest.mark.parametrize(("code", "status"), [("timeout", 504), ("unreachable", 502), ("strange", 502)])
def test_a_door_has_a_status_of_its_own_where_the_backend_gave_none(code: str, status: int) -> None:
    assert CallError(code, "x").door_status == status


def test_json_comes_structured_and_as_text() -> None:
    result = shaping.success(Reply(200, "application/problem+json; charset=utf-8", b'{"a": 1}'), modern=False)

    assert result == {"content": [{"type": "text", "text": '{"a":1}'}], "structuredContent": {"a": 1}}


@pytest.mark.parametrize(("modern", "structured"), [(True, [1]), (False, {"result": [1]})])
def test_json_that_is_no_object_is_wrapped_for_older_clients(modern: bool, structured: Any) -> None:
    assert shaping.success(Reply(200, "application/json", b"[1]"), modern=modern)["structuredContent"] == structured


@pytest.mark.parametrize(
    ("media", "body", "content"),
    [
        ("", b"", {"type": "text", "text": "204 No Content"}),
        ("text/plain", b"hi", {"type": "text", "text": "hi"}),
        ("", b"hi", {"type": "text", "text": "hi"}),
        ("image/png", b"x", {"type": "image", "data": "eA==", "mimeType": "image/png"}),
        ("audio/wav", b"x", {"type": "audio", "data": "eA==", "mimeType": "audio/wav"}),
    ],
)
def test_other_replies_keep_their_kind(media: str, body: bytes, content: Any) -> None:
    assert shaping.success(Reply(200, media, body), modern=True)["content"] == [content]


def test_unknown_bytes_are_a_resource() -> None:
    found = shaping.success(Reply(200, "application/pdf", b"x"), modern=True)["content"][0]["resource"]

    assert (found["mimeType"], found["blob"]) == ("application/pdf", "eA==")


def test_json_that_does_not_parse_is_a_bad_response() -> None:
    with pytest.raises(CallError) as caught:
        shaping.success(Reply(200, "application/json", b"{"), modern=True)

    assert caught.value.code == "bad_response"


def test_contents_are_text_or_base64() -> None:
    assert shaping.contents("u", Reply(200, "application/json", b"{}"), "")[0]["text"] == "{}"
    assert shaping.contents("u", Reply(200, "image/png", b"x"), "")[0]["blob"] == "eA=="
    assert shaping.contents("u", Reply(200, "", b"x"), "")[0]["mimeType"] == "text/plain"
