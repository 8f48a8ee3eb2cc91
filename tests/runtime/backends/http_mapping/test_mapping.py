"""What is sent to a backend, and how it is escaped. Unsafe values are refused before anything is sent."""

from __future__ import annotations

import dataclasses
import json
import re
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crd.published.entries import (
    Backend,
    Body,
    BodyField,
    Http,
    HttpResource,
    Mcp,
    Operation,
    Pagination,
    Parameter,
    ParameterEntry,
    Tool,
)
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping, mapping, values
from runtime.mcp import numbers

BACKEND = Backend("orders.shop.svc", 8080, "/api/v1")
HEADER = Http(headers=(ParameterEntry("X-A", argument="a"),))
BASE = "http://orders.shop.svc:8080/api/v1"


def tool(method: str = "POST", http: Http | None = None, backend: Backend = BACKEND, **more: Any) -> Tool:
    return Tool("a", "shop/a", method, backend, more.pop("schema", {"type": "object"}), http=http or Http(), **more)


def refused(given: Tool, arguments: dict[str, Any], claims: dict[str, Any] | None = None) -> CallError:
    with pytest.raises(CallError) as caught:
        mapping.map_tool(given, arguments, claims or {})
    return caught.value


# The pairs of docs/errors/UnsafePath and of the design's measurements: template, value.
REFUSED = [
    *(("/{id}", value) for value in (
        "..", ".", "%2e%2e", ".%2e", "%252e%252e", "..;a=b", "a/b", "a%2Fb", "x%252f..", "a\\b", "a\r\nb", "a%0d%0ab",
        "", "\ud800", "x" * 1025, "a\x7f",
    )),
    ("/.{id}", "."),
    ("/.{id}", ";a"),
    ("x/{id}", "a"),
    *(("/{id+}", value) for value in ("/a", "a//b", "a/../b", "a%2f..%2fb", "a/", "", "a\\b")),
]  # fmt: skip
SENT = [
    *(("/{id}", value) for value in (
        "a?x=1#f", "a;b=c", "a:b@c,d+e&f=g", "50%", "%zz", "...", "日本 ü", "12345678901234567890", "A 7",
    )),
    ("/x-{id}.json", "a b"),
    ("/{id+}", "a/b c/d"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "value"), REFUSED)
def test_a_value_that_could_leave_its_path_segment_is_refused(template: str, value: str) -> None:
    fault = refused(tool("GET", Http(template)), {"id": value})

    assert fault.code == "invalid_arguments"
    assert value not in fault.message or len(value) < 2


@pytest.mark.parametrize(("template", "value"), SENT)
def test_every_other_value_arrives_unchanged(template: str, value: str) -> None:
    url = mapping.map_tool(tool("GET", Http(template)), {"id": value}).url

    path = url.removeprefix(BASE)
    assert unquote(path) == template.replace("{id+}", "{id}").replace("{id}", value)
    assert not set(path) & set("?#; ")


@given(st.text(max_size=40), st.sampled_from(["/{id}", "/a/{id}/b", "/.{id}", "/{id}.{id}", "/{id+}", "/a{id+}"]))
def test_for_every_value_the_path_stays_below_the_base_path(value: str, template: str) -> None:
    try:
        url = mapping.map_tool(tool("GET", Http(template)), {"id": value}).url
    except CallError:
        assert refused(tool("GET", Http(template)), {"id": value}).code == "invalid_arguments"
        return
    path = url.removeprefix("http://orders.shop.svc:8080")
    assert path.startswith("/api/v1/")
    seen = path
    for _ in range(4):
        assert not {".", ".."} & {part.partition(";")[0] for part in seen.split("/")}
        seen = unquote(seen)
    assert unquote(path) == "/api/v1" + template.replace("{id+}", "{id}").replace("{id}", value)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_arguments_are_the_body(method: str) -> None:
    request = mapping.map_tool(tool(method), {"b": [1, None], "a": "ü"})

    assert request.url == BASE
    assert request.body == '{"b":[1,null],"a":"ü"}'.encode()
    assert ("Content-Type", "application/json") in request.headers


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_arguments_are_the_query(method: str) -> None:
    request = mapping.map_tool(tool(method), {"q": "tea & milk", "n": [1, True, 1.5], "none": None, "/odd": "x"})

    assert request.url == f"{BASE}?q=tea%20%26%20milk&n=1&n=true&n=1.5&%2Fodd=x"
    assert request.body is None


@pytest.mark.parametrize(
    ("given", "arguments", "place"),
    [
        (tool("GET"), {"q": "\ud800"}, "surrogate"),
        (tool("GET"), {"q": "x" * 9000}, "longer"),
        (tool(), {"a": "x" * 2**20}, "larger than 1048576"),
        (tool("GET", Http("/{id}")), {}, 'missing required argument "id"'),
        (tool("GET", Http("/{id}")), {"id": None}, 'missing required argument "id"'),
        (tool("GET", Http("/{id}")), {"id": ["a"]}, "/id: must be a string, a number or a boolean"),
        (tool("GET", HEADER), {"a": "a\r\nb"}, "/a: must be visible ASCII"),
        (tool("GET", HEADER), {"a": " a"}, "/a: must be visible ASCII"),
        (tool("GET", HEADER), {"a": "ü"}, "/a: must be visible ASCII"),
        (
            tool("GET", Http(headers=tuple(ParameterEntry(f"X-{n}", value="x" * 300) for n in range(30)))),
            {},
            "8192 bytes",
        ),
    ],
)
def test_an_argument_that_cannot_be_sent_is_refused_by_pointer(given: Tool, arguments: Any, place: str) -> None:
    fault = refused(given, arguments)

    assert fault.code == "invalid_arguments"
    assert place in fault.message


def test_an_unknown_port_is_a_misconfiguration() -> None:
    assert refused(tool(backend=Backend("orders.shop.svc", 0)), {}).code == "misconfigured"


def query(entry: ParameterEntry, value: Any) -> str:
    return mapping.map_tool(tool("GET", Http(query=(entry,))), {"a": value}).url.removeprefix(BASE)


@pytest.mark.parametrize(
    ("style", "value", "sent"),
    [
        ("Repeat", ["x", 1, None, True], "?q=x&q=1&q=true"),
        ("Comma", ["new", "a,b"], "?q=new,a%2Cb"),
        ("Space", ["a b", "c"], "?q=a%20b%20c"),
        ("Pipe", ["a", "b"], "?q=a%7Cb"),
        ("DeepObject", {"k[": "v&", "n": 1, "none": None}, "?q%5Bk%5B%5D=v%26&q%5Bn%5D=1"),
        ("Json", {"a": [1]}, "?q=%7B%22a%22%3A%5B1%5D%7D"),
        ("Json", "x", "?q=%22x%22"),
        ("DeepObject", {"in": ["x", 1, None]}, "?q%5Bin%5D=x&q%5Bin%5D=1"),
        ("DeepObject", {"at": {"gte": "2026", "to": {"x": 1}}}, "?q%5Bat%5D%5Bgte%5D=2026&q%5Bat%5D%5Bto%5D%5Bx%5D=1"),
        ("DeepObject", {"rows": [{"a": "ü"}]}, "?q%5Brows%5D=%7B%22a%22%3A%22%5Cu00fc%22%7D"),
        ("Repeat", [{"a": 1}, ["b"]], "?q=%7B%22a%22%3A1%7D&q=%5B%22b%22%5D"),
        ("Comma", {"a": 1}, "?q=%7B%22a%22%3A1%7D"),
        ("Space", [["a b"], "c"], "?q=%5B%22a%5Cu0020b%22%5D%20c"),
        ("Repeat", Decimal("12345678901234567.89"), "?q=12345678901234567.89"),
        ("Repeat", 2**63, "?q=9223372036854775808"),
        ("Unknown", ["a", "b"], "?q=a,b"),
        ("Comma", "plain", "?q=plain"),
        ("Repeat", "", ""),
        ("Repeat", [], ""),
        ("Repeat", None, ""),
        ("Repeat", False, "?q=false"),
        ("Repeat", 0, "?q=0"),
    ],
)
def test_a_query_entry_is_written_in_its_style(style: str, value: Any, sent: str) -> None:
    assert query(ParameterEntry("q", argument="a", style=style), value) == sent


def test_an_empty_value_is_sent_without_omit_empty() -> None:
    assert query(ParameterEntry("q", argument="a", omit_empty=False), "") == "?q="


def test_a_claim_is_sent_and_a_missing_one_is_a_misconfiguration() -> None:
    given = tool(
        "GET", Http(query=(ParameterEntry("user", claim="sub"),), headers=(ParameterEntry("X-Org", claim="org"),))
    )

    request = mapping.map_tool(given, {}, {"sub": "u 1", "org": "shop"})

    assert request.url.endswith("?user=u%201")
    assert request.headers == (("X-Org", "shop"),)
    assert refused(given, {}, {"sub": "u"}).code == "misconfigured"


@pytest.mark.parametrize(
    ("style", "value", "sent"),
    [
        ("Comma", ["a", "b"], "a,b"),
        ("Json", {"a": 1}, '{"a":1}'),
        ("Repeat", "x", "x"),
        ("Comma", [{"a": 1}], '{"a":1}'),
        ("Json", "ü😀\x7f", '"\\u00fc\\ud83d\\ude00\\u007f"'),
    ],
)
def test_a_header_is_one_line(style: str, value: Any, sent: str) -> None:
    given = tool("GET", Http(headers=(ParameterEntry("X-A", argument="a", style=style),)))

    assert mapping.map_tool(given, {"a": value}).headers == (("X-A", sent),)


def body(mode: str, arguments: dict[str, Any], http: Http | None = None, **more: Any) -> tuple[str, bytes | None]:
    request = mapping.map_tool(tool("POST", http or Http(body=Body(mode, **more))), arguments, {"sub": "u1"})
    return dict(request.headers).get("Content-Type", ""), request.body


def test_arguments_that_an_entry_names_are_not_in_the_body() -> None:
    http = Http(
        "/{id}", query=(ParameterEntry("q", argument="/filter/q"),), headers=(ParameterEntry("X-A", argument="tag"),)
    )

    given = {"id": "7", "filter": {"q": 1}, "tag": "t", "left": None}

    assert body("Arguments", given, http) == ("application/json", b'{"left":null}')


def test_one_argument_is_the_whole_body() -> None:
    merge = {"content_type": "application/merge-patch+json", "argument": "patch"}

    assert body("Argument", {"patch": {"note": None}}, **merge) == (merge["content_type"], b'{"note":null}')
    assert body("Argument", {}, argument="patch") == ("", None)


def test_fields_build_an_object() -> None:
    fields = (
        BodyField("subject", argument="title"),
        BodyField("/meta/labels", argument="labels"),
        BodyField("/meta/city", argument="/address/city"),
        BodyField("/a~1b", value="x"),
        BodyField("reporter", claim="sub"),
        BodyField("none", argument="absent"),
    )
    given = {"title": 'He said "hi"', "labels": ["x"], "address": {"city": "Oslo"}}

    media, sent = body("Fields", given, fields=fields)

    assert media == "application/json"
    assert json.loads(sent or b"") == {
        "subject": 'He said "hi"', "meta": {"labels": ["x"], "city": "Oslo"}, "a/b": "x", "reporter": "u1",
    }  # fmt: skip


def test_an_absent_raw_argument_is_no_body() -> None:
    assert body("Raw", {}, argument="a", content_type="text/csv") == ("", None)
    assert body("Raw", {"a": None}, argument="a", content_type="text/csv") == ("", None)


@pytest.mark.parametrize("value", ["", [], [None]])
def test_an_empty_header_is_sent_without_omit_empty(value: Any) -> None:
    sent, omitted = (
        tool("GET", Http(headers=(ParameterEntry("X-A", argument="a", style="Comma", omit_empty=omit),)))
        for omit in (False, True)
    )

    assert mapping.map_tool(sent, {"a": value}).headers == (("X-A", ""),)
    assert mapping.map_tool(omitted, {"a": value}).headers == ()


def test_digits_are_kept_in_a_body() -> None:
    given = {"amount": Decimal("12345678901234567.89"), "wei": Decimal(10**30), "id": 2**63}

    assert body("Arguments", given)[1] == (
        b'{"amount":12345678901234567.89,"wei":1000000000000000000000000000000,"id":9223372036854775808}'
    )


def test_what_a_form_has_no_notation_for_is_json() -> None:
    assert body("Form", {"a": {"b": 1}, "c": [[1]]})[1] == b"a=%7B%22b%22%3A1%7D&c=%5B1%5D"


def test_a_pointer_into_a_list_selects_an_item() -> None:
    given = tool("GET", Http(query=(ParameterEntry("q", argument="/list/1"),)))

    assert mapping.map_tool(given, {"list": ["a", "b"]}).url == f"{BASE}?q=b"
    assert mapping.map_tool(given, {"list": ["a"]}).url == BASE


def test_a_form_is_urlencoded() -> None:
    assert body("Form", {"a b": "c&d", "n": [1, 2], "none": None}) == (
        "application/x-www-form-urlencoded", b"a%20b=c%26d&n=1&n=2",
    )  # fmt: skip
    assert body("Form", {"x": "1", "y": "2"}, fields=(BodyField("z", argument="x"),))[1] == b"z=1"


@pytest.mark.parametrize(
    ("style", "value", "sent"),
    [
        ("Repeat", ["a b", None, "c,d"], b"f=a%20b&f=c%2Cd"),
        ("Comma", ["a b", None, "c,d"], b"f=a%20b,c%2Cd"),
        ("Space", ["a", 1], b"f=a%201"),
        ("Pipe", [True, "b"], b"f=true%7Cb"),
        ("Json", ["a", None], b"f=%5B%22a%22%2Cnull%5D"),
        ("Json", {"a": 1}, b"f=%7B%22a%22%3A1%7D"),
        ("Json", [], b"f=%5B%5D"),
        ("DeepObject", {"a": {"b": 1}, "c": ["x", "y"]}, b"f%5Ba%5D%5Bb%5D=1&f%5Bc%5D=x&f%5Bc%5D=y"),
        ("DeepObject", "a", b"f=a"),
        ("Repeat", "", b"f="),
        *((style, [], b"") for style in ("Repeat", "Comma", "Space", "Pipe")),
        *((style, None, b"") for style in ("Repeat", "Comma", "Json", "DeepObject")),
        ("DeepObject", {}, b""),
    ],
)
def test_the_style_of_a_field(style: str, value: Any, sent: bytes) -> None:
    assert body("Form", {"a": value}, fields=(BodyField("f", argument="a", style=style),))[1] == sent


def test_the_items_of_a_joined_field_do_not_have_its_delimiter() -> None:
    for style, pattern in (("Space", "^[^ ]*$"), ("Pipe", "^[^|]*$")):
        http = Http(body=Body("Form", fields=(BodyField("f", argument="a", style=style),)))
        schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}}

        listed = mapping.listed_input_schema(dataclasses.replace(tool("POST", http), input_schema=schema))

        assert listed["properties"]["a"]["items"]["pattern"] == pattern


def test_the_items_of_a_list_are_parts() -> None:
    fields = (
        BodyField("file", argument="files", file_name="a.bin", media_type="a/b", encoding="Base64"),
        BodyField("meta", argument="meta", media_type="application/json", style="Json"),
        BodyField("rows", argument="rows", media_type="application/json"),
    )
    given = {"files": ["AP8=", None, "AA=="], "meta": {"ü": [1]}, "rows": [{"a": 1}, {"b": 2}]}

    media, sent = body("Multipart", given, fields=fields)

    parts = (sent or b"").split(b"--" + media.partition("boundary=")[2].encode())[1:-1]
    assert [part.partition(b'name="')[2].partition(b'"')[0] for part in parts] == [
        b"file", b"file", b"meta", b"rows", b"rows"
    ]  # fmt: skip
    assert [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts] == [
        b"\x00\xff", b"\x00", '{"ü":[1]}'.encode(), b'{"a":1}', b'{"b":2}'
    ]  # fmt: skip
    assert all(b"Content-Type: " in part for part in parts)
    assert (
        "/files: must be base64"
        in refused(tool("POST", Http(body=Body("Multipart", fields=fields))), {"files": ["AA==", "!"]}).message
    )


def test_the_name_of_an_argument_without_a_field_may_begin_with_a_slash() -> None:
    for mode in ("Form", "Multipart"):
        given = tool("POST", Http(body=Body(mode)))
        assert refused(given, {"/a": "\ud800"}).message.startswith("/~1a: ")
        assert refused(given, {"": "\ud800"}).message.startswith("/: ")


def test_raw_text_and_bytes() -> None:
    assert body("Raw", {"a": "ü"}, argument="a", content_type="text/csv") == ("text/csv", "ü".encode())
    raw = {"argument": "a", "content_type": "image/png", "encoding": "Base64"}
    assert body("Raw", {"a": "AP8="}, **raw) == ("image/png", b"\x00\xff")
    assert "/a: must be base64" in refused(tool("POST", Http(body=Body("Raw", **raw))), {"a": "no!"}).message


def test_without_a_body_the_leftovers_go_into_the_query() -> None:
    request = mapping.map_tool(tool("POST", Http(body=Body("None"))), {"a": 1})

    assert (request.url, request.body, request.headers) == (f"{BASE}?a=1", None, ())


def test_the_boundary_of_a_multipart_body_is_in_none_of_its_parts() -> None:
    fields = (
        BodyField("note", argument="note"),
        BodyField("file", argument="data", file_name="a.bin", media_type="application/octet-stream", encoding="Base64"),
        BodyField("none", argument="absent"),
    )

    media, sent = body("Multipart", {"note": "x\r\n--boundary", "data": "AP8="}, fields=fields)

    boundary = media.partition("boundary=")[2].encode()
    first, second, last = (sent or b"").split(b"--" + boundary)[1:]
    assert first == b'\r\nContent-Disposition: form-data; name="note"\r\n\r\nx\r\n--boundary\r\n'
    assert second.endswith(b'filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n\x00\xff\r\n')
    assert last == b"--\r\n"
    assert body("Multipart", {"a": "1"})[1] is not None


PAGES = Pagination("cursor", "page_token", "/next", size_argument="limit", size_parameter="page_size", max_size=50)


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"q": "tea & milk", "limit": 500, "cursor": "abc=="}, "?q=tea%20%26%20milk&page_token=abc%3D%3D&page_size=50"),
        ({"q": "x", "limit": 7}, "?q=x&page_size=7"),
        ({}, ""),
    ],
)
def test_cursor_and_page_size_are_sent(arguments: dict[str, Any], sent: str) -> None:
    http = Http(query=(ParameterEntry("q", argument="q"),), pagination=PAGES)

    assert mapping.map_tool(tool("GET", http), arguments).url == BASE + sent


def test_the_listed_schema_includes_the_cursor() -> None:
    schema = {"type": "object", "properties": {"q": {}}, "additionalProperties": False}

    listed = mapping.listed_input_schema(tool("GET", Http(pagination=PAGES), schema=schema))

    assert list(listed["properties"]) == ["q", "cursor"]
    assert mapping.listed_input_schema(tool(schema=schema)) is schema


def test_the_listed_schema_says_what_a_position_demands_of_strings() -> None:
    text = {"type": "string"}
    schema = {
        "type": "object",
        "properties": {
            "id": text, "path": text, "tag": text, "tags": {"type": "array", "items": text}, "n": {"type": "integer"},
            "at": {"properties": {"x": text}}, "json": {}, "data": text, "q": text,
        },
    }  # fmt: skip
    http = Http(
        "/{id}/{n}/{path+}",
        query=(ParameterEntry("q", argument="q"),),
        headers=(
            ParameterEntry("X-A", argument="tag"), ParameterEntry("X-B", argument="tags", style="Comma"),
            ParameterEntry("X-C", argument="/at/x"), ParameterEntry("X-D", argument="json", style="Json"),
        ),
        body=Body("Raw", "data", content_type="image/png", encoding="Base64"),
    )  # fmt: skip

    given = tool("POST", http, schema=schema)
    listed = mapping.listed_input_schema(given)["properties"]

    assert {name for name, node in listed.items() if node != schema["properties"][name]} == {
        "id", "path", "tag", "tags", "at", "data",
    }  # fmt: skip
    assert "pattern" in listed["tags"]["items"]
    assert "pattern" in listed["at"]["properties"]["x"]
    assert mapping.accepted_input_schema(given) is schema
    assert mapping.listed_input_schema(dataclasses.replace(given, mcp=Mcp("/mcp", "a"))) is schema


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["/{a}", "/x-{a}.json", "/{a+}"]), st.data())
def test_every_string_that_the_listed_schema_allows_in_a_path_is_sent(template: str, data: st.DataObject) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    one = tool("GET", Http(template), schema=schema)
    pattern = mapping.listed_input_schema(one)["properties"]["a"]["pattern"]
    value = data.draw(st.from_regex(re.compile(pattern[:-1] + r"\Z")).filter(lambda text: len(text) <= 1024))

    url = mapping.map_tool(one, {"a": value}).url

    assert unquote(url.removeprefix(BASE)) == template.replace("{a+}", "{a}").replace("{a}", value)


def test_the_worked_example_of_path_and_query() -> None:
    http = Http(
        "/v1/customers/{customer_id}/orders",
        query=(
            ParameterEntry("state", argument="status", style="Comma"),
            ParameterEntry("verbose", argument="verbose"),
            ParameterEntry("source", value="mcp"),
        ),
    )
    given = tool("GET", http, Backend("orders.shop.svc", 8080, "/api"))
    arguments = {"customer_id": "A 7", "status": ["new", "a,b"], "verbose": False}

    assert mapping.map_tool(given, arguments).url == (
        "http://orders.shop.svc:8080/api/v1/customers/A%207/orders?state=new,a%2Cb&verbose=false&source=mcp"
    )
    assert refused(given, {"customer_id": "A/7 ü"}).message == '/customer_id: must not contain "/"'


def test_a_resource_is_read_with_the_variables_of_its_uri() -> None:
    resource = HttpResource(
        "orders://customers/{id}",
        "o",
        "shop/o",
        BACKEND,
        http=Http("/c/{id}", query=(ParameterEntry("limit", value="1"),)),
    )

    assert mapping.map_resource(resource, {"id": "A7"}).url == f"{BASE}/c/A7?limit=1"


def an_operation(path: str = "/stock/{sku}", method: str = "GET", *parameters: Parameter) -> Operation:
    return Operation(
        "stock", "shop/stock", method, "/stock/{sku}", Backend("s.shop.svc", 80, path), parameters=parameters
    )


SKU = Parameter("sku", "path", required=True)


def test_an_operation_puts_each_parameter_in_its_place() -> None:
    given = an_operation("/stock/{sku}", "POST", SKU, Parameter("q", "query"), Parameter("X-Shop", "header"))

    request = mapping.map_operation(given, {"sku": "a b", "q": "1&2", "X-Shop": "main"}, b"{}")

    assert request.url == "http://s.shop.svc:80/stock/a%20b?q=1%262"
    assert dict(request.headers) == {"X-Shop": "main", "Content-Type": "application/json"}
    assert not request.idempotent


@pytest.mark.parametrize(
    ("given", "values", "code"),
    [
        (an_operation("/stock/{sku}", "GET", SKU), {}, "invalid_arguments"),
        (an_operation("/stock/{sku}", "GET", Parameter("q", "query", required=True)), {}, "invalid_arguments"),
        (an_operation("/stock/{other}", "GET", SKU), {"sku": "a"}, "invalid_arguments"),
        (an_operation("/", "GET", Parameter("Cookie", "header")), {"Cookie": "a"}, "misconfigured"),
        (an_operation("/", "GET", Parameter("X-A", "header")), {"X-A": "a\r\nb"}, "invalid_arguments"),
        (an_operation("/.{sku}", "GET", SKU), {"sku": "."}, "invalid_arguments"),
    ],
)
def test_an_operation_refuses_missing_and_unsafe_parameters(
    given: Operation, values: dict[str, str], code: str
) -> None:
    with pytest.raises(CallError) as caught:
        mapping.map_operation(given, values)

    assert caught.value.code == code


def test_json_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(CallError):
        escaping.to_json("\ud800")


def test_all_unsafe_arguments_are_refused_at_once() -> None:
    http = Http(
        "/{a}/{b}",
        query=(ParameterEntry("q", argument="c"),),
        headers=(ParameterEntry("X-D", argument="d"),),
        body=Body("Multipart", fields=(BodyField("upload", argument="e", encoding="Base64"),)),
    )
    given = Tool("t", "shop/t", "POST", Backend("s", 80), {}, http=http)

    with pytest.raises(CallError) as caught:
        mapping.map_tool(given, {"a": "../x", "c": "fine", "d": "ü", "e": "%"})

    assert caught.value.message == (
        '/a: must not contain "/"; missing required argument "b"; '
        "/d: must be visible ASCII of 1 to 4096 characters to be sent in a header; /e: must be base64"
    )


@pytest.mark.parametrize(
    ("entry", "claims", "words"),
    [
        (
            ParameterEntry("X-User", claim="name"),
            {"name": "Zoë"},
            'the claim "name" of the client token cannot be sent as',
        ),
        (ParameterEntry("X-User", value="Zoë"), {}, "a constant of the tool cannot be sent as X-User"),
    ],
)
def test_a_value_that_is_not_an_argument_is_not_blamed_on_one(
    entry: ParameterEntry, claims: dict[str, str], words: str
) -> None:
    given = Tool("t", "shop/t", "GET", Backend("s", 80), {}, http=Http(headers=(entry,)))

    with pytest.raises(CallError, match=words) as caught:
        mapping.map_tool(given, {}, claims)

    assert caught.value.code == "misconfigured"


def test_all_faulty_parameters_of_an_operation_are_refused_at_once() -> None:
    parameters = (Parameter("id", "path", required=True), Parameter("q", "query", required=True),
                  Parameter("X-H", "header"))  # fmt: skip
    operation = Operation("o", "shop/o", "GET", "/o", Backend("s", 80, "/o/{id}"), parameters=parameters)

    with pytest.raises(CallError) as caught:
        mapping.map_operation(operation, {"id": "..", "X-H": "ü"})

    assert [part.partition(" must")[0] for part in caught.value.message.split("; ")] == [
        'missing required parameter "q"', "/X-H:", "/id:",
    ]  # fmt: skip


_ARGUMENTS = st.dictionaries(
    st.sampled_from(["id", "q", "deep", "rest", "n"]),
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=6),
        st.sampled_from(["", ".", "..", "a", "A-7_~", "%2e", "a/b", "a b"]),
        st.lists(st.sampled_from(["a", "", "b c"]), max_size=2),
        st.dictionaries(st.sampled_from(["x", "y"]), st.integers(), max_size=2),
    ),
)
_QUERIES = st.lists(
    st.sampled_from(
        [
            ParameterEntry("q", argument="q"),
            ParameterEntry("n m", argument="n", omit_empty=True),
            ParameterEntry("r", argument="rest", style="Comma"),
            ParameterEntry("d", argument="deep", style="DeepObject"),
        ]
    ),
    max_size=3,
)


@given(
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.sampled_from(["", "/", "/a", "/{id}", "/a/{id}/b", "/.{id}", "x/{id}", "/{id+}", "/a%20b/{id}"]),
    st.sampled_from(["", "/", "/api", "/api/"]),
    _QUERIES,
    _ARGUMENTS,
)
def test_the_short_way_writes_the_same_request(
    method: str, path: str, base: str, query: list[ParameterEntry], arguments: dict[str, Any]
) -> None:
    mapper = mapping.Mapper(
        method, Backend("orders.shop.svc", 80, base), Http(path, query=tuple(query)), idempotent=True
    )
    # As arguments arrive here: integers beyond 64 bits are decimals.
    arguments = numbers.canonical(arguments)
    plain = mapper._map_plain(arguments) if mapper._is_plain else None

    if plain is not None:
        assert plain == mapper._map(values.Sources(arguments, {}), escaping.Refusals())


def test_common_arguments_take_the_short_way() -> None:
    mapper = mapping.Mapper("GET", BACKEND, Http("/{id}", query=(ParameterEntry("n", argument="n"),)), idempotent=True)

    assert mapper._map_plain({"id": "A-7", "n": 5}) is not None
    assert mapper._map_plain({"id": "A 7", "n": 5}) is None


def order_operation(*parameters: Parameter, method: str = "GET", path: str = "/o/{id}", port: int = 8080) -> Operation:
    return Operation("o", "shop/o", method, "/in", Backend("orders.shop.svc", port, path), "", parameters=parameters)


OWN_ID = Parameter("id", "path", required=True)


@pytest.mark.parametrize(
    ("made", "code", "message"),
    [
        (
            lambda: mapping.map_operation(
                order_operation(OWN_ID, Parameter("Host", "header")), {"id": "1", "Host": "x"}
            ),
            "misconfigured",
            "header Host must not be set by a parameter",
        ),
        (
            lambda: mapping.map_operation(order_operation(OWN_ID, Parameter("q", "query", required=True)), {"id": "1"}),
            "invalid_arguments",
            'missing required parameter "q"',
        ),
        (
            lambda: mapping.map_operation(order_operation(OWN_ID), {}),
            "invalid_arguments",
            'missing required argument "id"',
        ),
        (
            lambda: mapping.map_operation(order_operation(OWN_ID, port=0), {"id": "1"}),
            "misconfigured",
            "Service orders.shop.svc has no port of that name; see the conditions of the object",
        ),
        (
            lambda: mapping.map_tool(tool("GET"), {"q": "x" * 9000}),
            "invalid_arguments",
            "the URL would be longer than 8192 characters; shorten the arguments",
        ),
        (
            lambda: mapping.map_tool(
                tool(http=Http(headers=tuple(ParameterEntry(f"X-{n}", value="v") for n in range(32)))), {}
            ),
            "invalid_arguments",
            "the request would have more than 32 headers or 8192 bytes of headers",
        ),
        (
            lambda: mapping.map_tool(tool(), {"a": "x" * (1024 * 1024)}),
            "invalid_arguments",
            "the request body would be larger than 1048576 bytes; send less data",
        ),
        (
            lambda: mapping.map_tool(tool("GET", Http("/{id}")), {"id": None}),
            "invalid_arguments",
            'missing required argument "id"',
        ),
        (
            lambda: mapping.map_tool(tool(http=Http(query=(ParameterEntry("q", claim="org"),))), {}),
            "misconfigured",
            'the client token has no claim "org"',
        ),
        (
            lambda: mapping.map_tool(tool(http=Http(body=Body("Raw", argument="b", encoding="Base64"))), {"b": "%"}),
            "invalid_arguments",
            "/b: must be base64",
        ),
    ],
)
def test_what_cannot_be_sent_is_refused_in_words(made: Any, code: str, message: str) -> None:
    with pytest.raises(CallError) as caught:
        made()

    assert (caught.value.code, caught.value.message) == (code, message)


def test_as_much_as_may_be_sent_is_sent() -> None:
    url = mapping.map_tool(tool("GET"), {"q": "x" * (8192 - len(f"{BASE}?q="))}).url
    assert len(url) == 8192
    http = Http(headers=tuple(ParameterEntry(f"X-{number:02}", value="v" * 200) for number in range(31)))
    assert len(mapping.map_tool(tool(http=http), {}).headers) == 32
    whole = Http(headers=(ParameterEntry("X-A", argument="a"), ParameterEntry("X-B", argument="b")))
    room = 8192 - len("X-AX-B") - 4096
    sent = {"a": "v" * 4096, "b": "v" * room}
    assert len(mapping.map_tool(tool("GET", whole), sent).headers) == 2
    with pytest.raises(CallError, match="8192 bytes of headers"):
        mapping.map_tool(tool("GET", whole), {**sent, "b": "v" * (room + 1)})
    body = mapping.map_tool(tool(), {"a": "x" * (1024 * 1024 - len('{"a":""}'))}).body
    assert len(body or b"") == 1024 * 1024


@pytest.mark.parametrize(
    ("method", "body", "idempotent", "headers"),
    [
        ("GET", None, True, ()),
        ("PUT", b"raw", True, (("Content-Type", "application/json"),)),
        ("DELETE", None, True, ()),
        ("POST", b"", False, (("Content-Type", "application/json"),)),
        ("PATCH", b"raw", False, (("Content-Type", "application/json"),)),
    ],
)
def test_an_operation_is_sent_as_it_came(method: str, body: bytes | None, idempotent: bool, headers: Any) -> None:
    given = order_operation(
        OWN_ID, Parameter("q r", "query"), Parameter("X-A", "header"), method=method, path="/o/{id}/x y"
    )

    found = mapping.map_operation(given, {"id": "a b", "q r": "&"}, body)

    assert found.url == "http://orders.shop.svc:8080/o/a%20b/x%20y?q%20r=%26"
    assert (found.method, found.body, found.idempotent, found.headers) == (method, body, idempotent, headers)
    assert mapping.map_operation(given, {"id": "1", "X-A": "v"}).headers == (("X-A", "v"),)


def test_an_unsafe_name_or_value_of_an_operation_is_named() -> None:
    given = order_operation(OWN_ID, Parameter("q", "query"), Parameter("X-A", "header"))

    with pytest.raises(CallError) as caught:
        mapping.map_operation(given, {"id": "..", "q": "\ud800", "X-A": "ü"})

    assert caught.value.message.split("; ") == [
        "/q: must not contain a lone surrogate (not valid Unicode)",
        "/X-A: must be visible ASCII of 1 to 4096 characters to be sent in a header",
        "/id: must not contain a dot segment",
    ]


SIZED = Pagination("cursor", "page", "/next", size_argument="size", size_parameter="limit", max_size=10)


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, ""),
        ({"cursor": None, "size": None}, ""),
        ({"cursor": "a b"}, "?page=a%20b"),
        ({"cursor": 7}, "?page=7"),
        ({"size": 10}, "?limit=10"),
        ({"size": 11}, "?limit=10"),
        ({"size": 10.5}, "?limit=10"),
        ({"size": Decimal("9.5")}, "?limit=9.5"),
        ({"size": True}, "?limit=true"),
        ({"size": "99"}, "?limit=99"),
        ({"cursor": "c", "size": 1, "q": "x"}, "?page=c&limit=1&q=x"),
    ],
)
def test_a_page_is_asked_for(arguments: dict[str, Any], query: str) -> None:
    assert mapping.map_tool(tool("GET", Http(pagination=SIZED)), arguments).url == BASE + query


def test_a_cursor_or_size_that_cannot_be_sent_is_refused_by_its_argument() -> None:
    for name in ("cursor", "size"):
        for value in ([1], "\ud800"):
            assert refused(tool("GET", Http(pagination=SIZED)), {name: value}).message.startswith(f"/{name}: must ")
    unlimited = Pagination("cursor", "page", "/next", size_argument="size", size_parameter="limit")
    assert mapping.map_tool(tool("GET", Http(pagination=unlimited)), {"size": 99}).url.endswith("?limit=99")
    plain = Pagination("cursor", "page", "/next")
    assert mapping.map_tool(tool("GET", Http(pagination=plain)), {"size": 99}).url.endswith("?size=99")


def test_what_would_be_refused_is_found_without_a_call() -> None:
    given = tool("GET", Http("/{id}"))

    assert mapping.find_refusals(given, {"id": "1"}) == []
    assert mapping.find_refusals(given, {"id": "..", "q": "\ud800"}) == [
        "/id: must not contain a dot segment",
        "/q: must not contain a lone surrogate (not valid Unicode)",
    ]
    no_port = dataclasses.replace(given, backend=dataclasses.replace(BACKEND, port=0))
    assert mapping.find_refusals(no_port, {"id": "1"}) == []


@pytest.mark.parametrize(
    ("schema", "listed"),
    [
        ({}, {"properties": {"cursor": ...}}),
        ({"properties": {"q": True}}, {"properties": {"q": True, "cursor": ...}}),
        ({"properties": {"cursor": {"type": "integer"}}}, {"properties": {"cursor": {"type": "integer"}}}),
    ],
)
def test_a_cursor_is_an_argument_also_where_the_author_declared_none(schema: Any, listed: Any) -> None:
    cursor = {"type": "string", "description": "The nextCursor of the previous page. Omit it for the first page."}
    given = tool("GET", Http(pagination=SIZED), schema=schema)
    properties = {name: cursor if value is ... else value for name, value in listed["properties"].items()}

    assert mapping.accepted_input_schema(given) == {"properties": properties}
    assert mapping.accepted_input_schema(dataclasses.replace(given, mcp=Mcp("/mcp", "x"))) is schema


def test_a_name_that_is_a_pointer_names_its_top_argument() -> None:
    http = Http("/{/a/b}", query=(ParameterEntry("q", argument="/c~1d/e"),), body=Body("Arguments"))

    found = mapping.map_tool(tool(http=http), {"a": {"b": 1}, "c/d": {"e": 2}, "f": 3})

    assert (found.url, found.body) == (f"{BASE}/1?q=2", b'{"f":3}')


@pytest.mark.parametrize("style", ["Repeat", "Comma", "DeepObject", "Json", ""])
@pytest.mark.parametrize("value", ["\ud800", ["\ud800"], {"x": "\ud800"}, {"x": {"y": ["\ud800"]}}])
def test_a_query_value_is_blamed_on_its_argument_and_not_on_its_parameter(style: str, value: Any) -> None:
    http = Http(query=(ParameterEntry("q", argument="a", **({"style": style} if style else {})),))

    message = refused(tool("GET", http), {"a": value}).message

    assert message.startswith(("/a: must not contain a lone surrogate", "the arguments cannot be written as JSON"))
    named = refused(tool("GET", Http(headers=(ParameterEntry("X-A", argument="a"),))), {"a": "ü"})
    assert named.message.startswith("/a: must be visible ASCII")
