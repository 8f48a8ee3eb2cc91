"""What a backend's reply becomes, in both eras and under the policy of its tool."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import orjson
import pytest

from crd.published.entries import Backend, Http, Pagination, Tool
from crd.published.policy import Policy, Response
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import replies
from runtime.http.exchange import Reply


def tool(
    response: Response | None = None, output: dict[str, Any] | None = None, pages: Pagination | None = None
) -> Tool:
    policy = Policy(response=response or Response())
    http = Http(pagination=pages)
    return Tool("a", "shop/a", "GET", Backend("s", 80), {}, output_schema=output, policy=policy, http=http)


def shaped(reply: Reply, given: Tool | None = None, *, modern: bool = True) -> dict[str, Any]:
    # As a client reads it.
    result = replies.tool_result(reply, given or tool(), modern=modern, request_id="r")
    return dict(json.loads(orjson.dumps(result)))


def as_json(value: Any, **headers: str) -> Reply:
    return Reply(200, {"content-type": "application/json", **headers}, json.dumps(value).encode())


def test_json_is_returned_structured_and_as_text() -> None:
    reply = Reply(200, {"content-type": "application/problem+json; charset=utf-8"}, b'{"a": 1}')

    assert shaped(reply) == {"content": [{"type": "text", "text": '{"a":1}'}], "structuredContent": {"a": 1}}


@pytest.mark.parametrize(("modern", "structured"), [(True, [1]), (False, {"result": [1]})])
def test_json_that_is_not_an_object_is_wrapped_for_older_clients(modern: bool, structured: Any) -> None:
    assert shaped(as_json([1]), modern=modern)["structuredContent"] == structured


@pytest.mark.parametrize(
    ("form", "media", "body", "content"),
    [
        ("Auto", "", b"", {"type": "text", "text": "200 No Content"}),
        ("Auto", "text/plain", b"hi", {"type": "text", "text": "hi"}),
        ("Auto", "", b"hi", {"type": "text", "text": "hi"}),
        ("Auto", "image/png", b"x", {"type": "image", "data": "eA==", "mimeType": "image/png"}),
        ("Auto", "audio/wav", b"x", {"type": "audio", "data": "eA==", "mimeType": "audio/wav"}),
        ("Text", "application/json", b'{"a":1}', {"type": "text", "text": '{"a":1}'}),
        ("Json", "text/plain", b"[1]", {"type": "text", "text": "[1]"}),
        ("Binary", "image/png", b"x", {"type": "image", "data": "eA==", "mimeType": "image/png"}),
        ("Binary", "text/plain", b"x",
         {"type": "resource", "resource": {"uri": "mcp://reply", "mimeType": "text/plain", "blob": "eA=="}}),
        ("Auto", "application/pdf", b"x",
         {"type": "resource", "resource": {"uri": "mcp://reply", "mimeType": "application/pdf", "blob": "eA=="}}),
    ],
)  # fmt: skip
def test_a_reply_is_read_as_its_format_says(form: str, media: str, body: bytes, content: Any) -> None:
    assert shaped(Reply(200, {"content-type": media}, body), tool(Response(form)))["content"] == [content]


@pytest.mark.parametrize(
    ("body", "kept"), [(b"{", "{"), (b"OK", "OK"), (b"\xff", "\ufffd"), (b"[" * 40 + b"]" * 40, "[" * 40 + "]" * 40)]
)
def test_json_that_does_not_parse_or_nests_too_deep_reaches_the_model(body: bytes, kept: str) -> None:
    result = shaped(Reply(201, {"content-type": "application/json"}, body))

    error, text = result["content"][:2]
    assert result["isError"] is True
    assert json.loads(error["text"])["error"]["request"] == "done"
    assert text["text"] == kept
    observed = shaped(
        Reply(201, {"content-type": "application/json"}, body), tool(Response(on_schema_mismatch="Observe"))
    )
    assert observed["content"][0]["text"] == kept


def test_json_that_lost_characters_says_so() -> None:
    result = shaped(Reply(200, {"content-type": "application/json"}, b'{"a":"Z\xfcrich"}'))

    assert [each["text"] for each in result["content"]] == [
        '{"a":"Z\ufffdrich"}',
        "[1 character is not valid utf-8 and was replaced]",
    ]


def test_a_number_of_too_many_digits_is_not_called_invalid_json() -> None:
    body = b'{"a":%s}' % (b"1" * 401)
    result = shaped(Reply(200, {"content-type": "application/json"}, body))

    assert "the reply has a number of more than 400 digits: line 1 column" in result["content"][0]["text"]
    assert result["content"][1]["text"] == body.decode()


DIGITS = (
    '{"n":115792089237316195423570985008687907853,"amount":12345678901234567.89,"price":1.10,"huge":1E400,"zero":-0,'
    '"tiny":-1e-7,"int":1.0E+2,"id":9007199254740993}'
)


@pytest.mark.parametrize("output", [None, {"type": "object", "properties": {"n": {"type": "integer"}}}])
@pytest.mark.parametrize("pointer", ["", "/data"])
@pytest.mark.parametrize("modern", [True, False])
def test_both_forms_of_a_result_have_the_digits_of_the_backend(output: Any, pointer: str, modern: bool) -> None:
    given = tool(Response(select=pointer), output)
    body = f'{{"data": {DIGITS}}}' if pointer else DIGITS.replace(",", " ,\n")
    reply = Reply(200, {"content-type": "application/json"}, body.encode())

    written = orjson.dumps(replies.tool_result(reply, given, modern=modern, request_id="r")).decode()

    assert f'"structuredContent":{DIGITS}' in written
    assert json.loads(written, parse_float=str, parse_int=str)["content"][0]["text"] == DIGITS


def test_a_value_that_is_no_object_has_its_digits_too() -> None:
    reply = Reply(200, {"content-type": "application/json"}, b'{"data": [1.10, 1E400]}')
    given = tool(Response(select="/data"))

    for modern, expected in ((True, "[1.10,1E400]"), (False, '{"result":[1.10,1E400]}')):
        written = orjson.dumps(replies.tool_result(reply, given, modern=modern, request_id="r")).decode()
        assert f'"structuredContent":{expected}' in written


@pytest.mark.parametrize(
    ("value", "schema", "is_valid"),
    [
        ("1E400", {"type": "integer"}, True),
        ("1E999999999", {"type": "integer"}, True),
        ("-1E999999999", {"type": "number", "minimum": 0}, False),
        ("1E400", {"maximum": 1e308}, False),
        ("115792089237316195423570985008687907853", {"multipleOf": 2}, False),
        ("115792089237316195423570985008687907852", {"multipleOf": 2}, True),
        ("9007199254740993", {"maximum": 9007199254740992}, False),
        ("0.30000000000000004441", {"type": "integer"}, False),
    ],
)
def test_an_output_schema_is_held_against_every_digit(value: str, schema: Any, is_valid: bool) -> None:
    output = {"type": "object", "properties": {"a": schema}}
    reply = Reply(200, {"content-type": "application/json"}, f'{{"a":{value}}}'.encode())

    assert ("isError" not in shaped_text(reply, tool(output=output))) is is_valid


@pytest.mark.parametrize("body", [b'{"a":1e400,"b":NaN}', b'{"a":1e400,"b":"\\ud800"}', b'{"a":1e400,}', b"[1e400"])
def test_a_large_number_does_not_hide_what_is_no_json(body: bytes) -> None:
    assert shaped(Reply(200, {"content-type": "application/json"}, body))["isError"]


def shaped_text(reply: Reply, given: Tool) -> str:
    return orjson.dumps(replies.tool_result(reply, given, modern=True, request_id="r")).decode()


NUMBER = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


def test_select_reduces_the_reply() -> None:
    assert shaped(as_json({"ticket": {"n": 1}}), tool(Response(select="/ticket"), NUMBER))["structuredContent"] == {
        "n": 1
    }


@pytest.mark.parametrize(
    ("reply", "given", "why"),
    [
        (as_json({"n": "x"}), tool(output=NUMBER), "the reply does not match the outputSchema: /n: must be an integer"),
        (as_json({}), tool(Response(select="/ticket")), "the reply has no value at /ticket"),
        (
            Reply(200, {"content-type": "text/plain"}, b"hi"),
            tool(output=NUMBER),
            "the reply must be JSON, as the outputSchema says, but is text/plain",
        ),
        (
            Reply(204, {"content-type": ""}, b""),
            tool(output=NUMBER),
            'the reply is empty and does not match the outputSchema: missing required property "n"',
        ),
    ],
)
def test_a_mismatch_is_an_error_that_keeps_the_reply(reply: Reply, given: Tool, why: str) -> None:
    result = shaped(reply, given)

    error, kept = result["content"]
    assert result["isError"] is True
    assert "structuredContent" not in result
    assert (
        json.loads(error["text"])["error"] | {"code": "bad_response", "message": why, "requestId": "r"}
        == (json.loads(error["text"])["error"])
    )
    assert kept["text"] == reply.body.decode()


def test_with_observe_a_mismatch_is_passed_on_as_text() -> None:
    given = tool(Response(on_schema_mismatch="Observe"), NUMBER)

    assert shaped(as_json({"n": "x"}), given) == {"content": [{"type": "text", "text": '{"n": "x"}'}]}
    assert replies.listed_output_schema(given, True) is None


def test_an_empty_reply_may_satisfy_the_schema() -> None:
    assert shaped(Reply(204, {"content-type": ""}, b""), tool(output={"type": "object"}))["structuredContent"] == {}


def test_exposed_headers_are_in_meta() -> None:
    reply = as_json({}, location="/a", etag="x")

    assert shaped(reply, tool(Response(headers=("Location", "X-None"))))["_meta"] == {
        "mcp.example.com/headers": {"Location": "/a"}
    }


@pytest.mark.parametrize(("cut", "said"), [(900, "3 of 900 bytes"), (0, "3 bytes")])
def test_a_long_reply_is_truncated_between_characters(cut: int, said: str) -> None:
    result = shaped(Reply(200, {"content-type": "text/plain"}, "aü€".encode()[:5], cut=cut))

    assert [block["text"] for block in result["content"]] == ["aü", f"[truncated at {said}; narrow the request]"]
    assert "structuredContent" not in shaped(Reply(200, {"content-type": "application/json"}, b'{"a": 1', cut=cut))


def test_binary_content_cannot_be_truncated() -> None:
    with pytest.raises(CallError):
        shaped(Reply(200, {"content-type": "image/png"}, b"x", cut=9))


POINTER = Pagination("cursor", "page", "/next")
LINK = Pagination("cursor", "page", next_link=True)


@pytest.mark.parametrize(
    ("pages", "reply", "cursor"),
    [
        (POINTER, as_json({"items": [1], "next": "n2"}), "n2"),
        (POINTER, as_json({"items": [1], "next": 7}), "7"),
        (POINTER, as_json({"items": [1], "next": None}), None),
        (POINTER, as_json({"items": [1], "next": ""}), None),
        (POINTER, as_json({"items": [1]}), None),
        (LINK, as_json({"items": [1]}, link='<http://x/?page=9&a=1>; rel="next"'), "9"),
        (
            LINK,
            as_json({"items": [1]}, link="<http://x/?page=0>; rel=prev, </y?page=a%20b>; rel=next"),
            "a b",
        ),
        (LINK, as_json({"items": [1]}, link='<http://x/?page=0>; rel="prev"'), None),
        (LINK, as_json({"items": [1]}, link="<http://x/?other=1>; rel=next"), None),
        (LINK, as_json({"items": [1]}), None),
    ],
)
def test_a_page_contains_the_cursor_of_the_next_one(pages: Pagination, reply: Reply, cursor: str | None) -> None:
    result = shaped(reply, tool(Response(select="/items"), pages=pages), modern=False)

    assert result["structuredContent"] == {"result": [1]} | ({"nextCursor": cursor} if cursor else {})
    assert len(result["content"]) == (2 if cursor else 1)


ARRAY = {"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}


def test_results_satisfy_the_listed_output_schema() -> None:
    assert replies.listed_output_schema(tool(), True) is None
    assert replies.listed_output_schema(tool(output=ARRAY), True) is ARRAY
    assert replies.listed_output_schema(tool(output=NUMBER), False) is NUMBER
    wrapped = replies.listed_output_schema(tool(output=ARRAY), False)
    assert wrapped is not None
    import jsonschema_rs

    validator = jsonschema_rs.Draft202012Validator(wrapped)
    assert validator.is_valid({"result": [1]})
    assert not validator.is_valid({"result": ["x"]})
    paged = replies.listed_output_schema(tool(output=ARRAY, pages=POINTER), True)
    assert paged is not None
    assert "nextCursor" in paged["properties"]


def test_contents_are_text_or_base64() -> None:
    assert (
        replies.resource_contents("u", Reply(200, {"content-type": "application/json"}, b"{}"), "")[0]["text"] == "{}"
    )
    assert replies.resource_contents("u", Reply(200, {"content-type": "image/png"}, b"x"), "")[0]["blob"] == "eA=="
    assert replies.resource_contents("u", Reply(200, {"content-type": ""}, b"x"), "")[0]["mimeType"] == "text/plain"


def test_select_reduces_a_resource() -> None:
    assert replies.select(as_json({"a": [1]}), Response(select="/a")).body == b"[1]"
    assert replies.select(as_json({"a": [1]}), Response()).body == b'{"a": [1]}'
    with pytest.raises(CallError):
        replies.select(as_json({}), Response(select="/a"))


@pytest.mark.parametrize(
    ("status", "wanted", "fine"),
    [(200, ("2xx",), True), (404, ("2xx", "404"), True), (404, ("2xx",), False), (302, ("3xx",), True)],
)
def test_statuses_are_expected_by_code_and_class(status: int, wanted: tuple[str, ...], fine: bool) -> None:
    assert replies.is_expected(status, wanted) is fine


@pytest.mark.parametrize(("kind", "words"), [("string", "Pass nextCursor as"), ("integer", "Pass the number 7 as")])
def test_the_advice_about_the_next_page_satisfies_the_input_schema(kind: str, words: str) -> None:
    paged = dataclasses.replace(tool(pages=POINTER), input_schema={"properties": {"cursor": {"type": kind}}})

    assert words in shaped(as_json({"next": 7}), paged)["content"][1]["text"]


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def blob(media: str) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": "mcp://reply", "mimeType": media, "blob": "eP8="}}


ODD = b"x\xff"


@pytest.mark.parametrize(
    ("form", "media", "body", "content"),
    [
        ("Auto", "image/png", ODD, {"type": "image", "data": "eP8=", "mimeType": "image/png"}),
        ("Auto", "audio/ogg", ODD, {"type": "audio", "data": "eP8=", "mimeType": "audio/ogg"}),
        ("Auto", "video/mp4", ODD, blob("video/mp4")),
        ("Auto", "", ODD, blob("application/octet-stream")),
        ("Auto", "application/pdf", ODD, blob("application/pdf")),
        ("Auto", "text/plain", b"hi", text("hi")),
        ("Auto", "image/svg+xml", b"<svg/>", text("<svg/>")),
        ("Auto", "application/octet-stream", b"{}", blob("application/octet-stream") | {}),
        ("Text", "image/png", b"hi", text("hi")),
        ("Binary", "text/plain", ODD, blob("text/plain")),
        ("Binary", "application/json", ODD, blob("application/json")),
        ("Binary", "image/png", ODD, {"type": "image", "data": "eP8=", "mimeType": "image/png"}),
        ("Json", "text/plain", b"[1]", text("[1]")),
        ("Auto", "text/plain", b" \n", text("200 No Content")),
        ("Json", "image/png", b" ", text("200 No Content")),
        ("Auto", "image/png", b"", text("200 No Content")),
        ("Binary", "text/plain", b"", text("200 No Content")),
    ],
)
def test_each_format_makes_its_content(form: str, media: str, body: bytes, content: dict[str, Any]) -> None:
    found = shaped(Reply(200, {"content-type": media}, body), tool(Response(format=form)))

    if body == b"{}":
        content = {**content, "resource": {**content["resource"], "blob": "e30="}}
    assert found["content"] == [content]
    assert found.keys() == {"content", "structuredContent"} if form == "Json" and body == b"[1]" else {"content"}


@pytest.mark.parametrize("form", ["Auto", "Binary"])
def test_blank_bytes_are_no_empty_reply_of_another_kind(form: str) -> None:
    found = shaped(Reply(201, {"content-type": "image/png"}, b" "), tool(Response(format=form)))

    assert found["content"][0]["type"] == "image"


@pytest.mark.parametrize(
    ("reply", "given", "message", "status"),
    [
        (
            Reply(200, {"content-type": ""}, ODD),
            tool(output=NUMBER),
            "the reply must be JSON, as the outputSchema says, but is application/octet-stream",
            200,
        ),
        (as_json({}), tool(Response(select="/a/b")), "the reply has no value at /a/b", 200),
        (
            Reply(201, {"content-type": "application/json"}, b"[" * 33 + b"]" * 33),
            tool(),
            "the reply is nested deeper than 32 levels",
            201,
        ),
        (
            Reply(200, {"content-type": "application/json"}, b"[1,\n  " + b"1" * 401 + b"]"),
            tool(),
            "the reply has a number of more than 400 digits: line 2 column 3",
            200,
        ),
    ],
)
def test_a_mismatch_says_what_is_wrong(reply: Reply, given: Tool, message: str, status: int) -> None:
    for observe in (False, True):
        response = dataclasses.replace(
            given.policy.response, on_schema_mismatch="Observe" if observe else "Error", headers=("X-A",)
        )
        asked = dataclasses.replace(given, policy=Policy(response=response))
        found = shaped(reply._replace(headers={**reply.headers, "x-a": "b"}), asked)
        assert found["_meta"] == {"mcp.example.com/headers": {"X-A": "b"}}
        assert ("isError" in found) is not observe
        if not observe:
            error = json.loads(found["content"][0]["text"])["error"]
            assert (error["code"], error["status"], error["requestId"]) == ("bad_response", status, "r")
            assert error["message"] == message
            assert error["request"] == "done"


def test_a_call_that_must_not_be_repeated_says_so_in_its_mismatch() -> None:
    once = dataclasses.replace(tool(output=NUMBER), method="POST")

    error = json.loads(shaped(as_json({}), once)["content"][0]["text"])["error"]

    assert error["message"].endswith("; the request itself is done, do not repeat it")
    with pytest.raises(CallError, match="do not repeat it") as caught:
        shaped(Reply(200, {"content-type": "image/png"}, b"x", cut=9), dataclasses.replace(tool(), method="POST"))
    assert caught.value.message.startswith("the reply is too large, and image/png cannot be truncated")


def test_as_deep_as_is_allowed_is_read() -> None:
    deep = b"[" * 32 + b"]" * 32

    assert shaped(Reply(200, {"content-type": "application/json"}, deep))["content"] == [text(deep.decode())]
    assert [replies.depth(value) for value in (1, [], {}, [[]], {"a": [{"b": 1}]}, [1, [2]])] == [0, 1, 1, 2, 3, 2]


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("cursor", ["n2", None])
def test_a_page_is_text_and_structure(modern: bool, cursor: str | None) -> None:
    found = shaped(
        as_json({"items": [1], "next": cursor}), tool(Response(select="/items"), pages=POINTER), modern=modern
    )

    more = [text("There are more results. Pass nextCursor as cursor.")] if cursor else []
    written = '{"result":[1],"nextCursor":"n2"}' if cursor else '{"result":[1]}'
    assert found["content"] == [text(written), *more]


@pytest.mark.parametrize(
    ("declared", "cursor", "words"),
    [
        ({"type": "integer"}, 7, "the number 7"),
        ({"type": "number"}, "8", "the number 8"),
        ({"type": "integer"}, "a8", "nextCursor"),
        ({"type": "string"}, 7, "nextCursor"),
        (True, 7, "nextCursor"),
        (None, 7, "nextCursor"),
    ],
)
def test_the_next_page_is_asked_for_as_the_argument_is_declared(declared: Any, cursor: Any, words: str) -> None:
    schema = {"properties": {"cursor": declared}} if declared is not None else {}
    paged = dataclasses.replace(tool(pages=POINTER), input_schema=schema)

    assert shaped(as_json({"next": cursor}), paged)["content"][1] == text(
        f"There are more results. Pass {words} as cursor."
    )


@pytest.mark.parametrize("next_cursor", [True, 1.5, [1], {"a": 1}, None, ""])
def test_what_is_no_cursor_ends_the_pages(next_cursor: Any) -> None:
    found = shaped(as_json({"next": next_cursor}), tool(pages=POINTER))

    assert "nextCursor" not in found["structuredContent"] or next_cursor == 1.5
    assert found["structuredContent"]["result"] == {"next": next_cursor}


@pytest.mark.parametrize(
    ("media", "declared", "body", "found"),
    [
        ("application/json", "", b"{}", {"mimeType": "application/json", "text": "{}"}),
        ("image/png", "", b"x", {"mimeType": "image/png", "blob": "eA=="}),
        ("", "", b"x", {"mimeType": "text/plain", "text": "x"}),
        ("", "", ODD, {"mimeType": "application/octet-stream", "blob": "eP8="}),
        ("image/png", "text/csv", b"a,b", {"mimeType": "text/csv", "text": "a,b"}),
        ("text/plain", "image/png", b"x", {"mimeType": "image/png", "blob": "eA=="}),
        ("application/json", "image/png", b"{}", {"mimeType": "image/png", "text": "{}"}),
    ],
)
def test_contents_have_the_media_type_of_the_author_or_of_the_reply(
    media: str, declared: str, body: bytes, found: dict[str, str]
) -> None:
    given = Reply(200, {"content-type": media}, body)

    assert replies.resource_contents("u:v", given, declared) == [{"uri": "u:v", **found}]


def test_a_resource_that_cannot_be_reduced_says_why() -> None:
    for body, message in ((b"{", "the reply is not valid JSON: "), (b"{}", "the reply has no value at /a")):
        with pytest.raises(CallError) as caught:
            replies.select(Reply(200, {"content-type": "application/json"}, body), Response(select="/a"))
        assert (caught.value.code, caught.value.idempotent) == ("bad_response", True)
        assert caught.value.message.startswith(message)
    reduced = replies.select(Reply(200, {"content-type": "", "x-a": "b"}, b'{"a":1.10}'), Response(select="/a"))
    assert (reduced.body, dict(reduced.headers)) == (b"1.10", {"content-type": "application/json", "x-a": "b"})
    labelled = replies.select(Reply(200, {"content-type": "Text/X; a=b"}, b'{"a":1}'), Response(select="/a"))
    assert labelled.headers["content-type"] == "text/x"


@pytest.mark.parametrize(
    ("status", "wanted", "fine"),
    [
        (199, ("2xx",), False),
        (299, ("2xx",), True),
        (300, ("2xx",), False),
        (404, ("4xx", "2xx"), True),
        (404, ("404",), True),
        (404, ("40",), False),
        (200, ("404",), False),
        (500, ("4xx", "3xx"), False),
        (200, (), False),
    ],
)
def test_a_status_is_expected_or_not(status: int, wanted: tuple[str, ...], fine: bool) -> None:
    assert replies.is_expected(status, wanted) is fine


@pytest.mark.parametrize(
    ("output", "pages", "observe", "modern", "listed"),
    [
        (NUMBER, None, True, True, None),
        (NUMBER, None, False, False, NUMBER),
        ({"type": "array"}, None, False, True, {"type": "array"}),
        (
            {"type": "array"},
            None,
            False,
            False,
            {"type": "object", "properties": {"result": {"type": "array"}}, "required": ["result"]},
        ),
        (
            NUMBER,
            POINTER,
            False,
            True,
            {
                "type": "object",
                "properties": {"result": NUMBER, "nextCursor": {"type": "string"}},
                "required": ["result"],
            },
        ),
        (
            ARRAY,
            None,
            False,
            False,
            {
                "type": "object",
                "properties": {"result": {"$id": "urn:mcp:result", **ARRAY}},
                "required": ["result"],
            },
        ),
    ],
)
def test_the_listed_schema_is_that_of_what_clients_get(
    output: Any, pages: Any, observe: bool, modern: bool, listed: Any
) -> None:
    response = Response(on_schema_mismatch="Observe" if observe else "Error")

    assert replies.listed_output_schema(tool(response, output, pages), modern) == listed
    assert listed is None or list(listed) == list(
        replies.listed_output_schema(tool(response, output, pages), modern) or {}
    )
