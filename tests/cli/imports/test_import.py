"""From a description to objects: what becomes of parameters, bodies, replies and credentials."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from cli.commands import imports
from cli.imports import description, objects, texts
from cli.imports.description import Description, UnusableError
from cli.imports.outcomes import Why
from cli.imports.selection import Placement

OPTIONS = objects.Options(Placement(service="orders", port=8080, namespace="shop"))
STRING = {"type": "string"}


def api(operation: dict[str, Any], path: str = "/orders", method: str = "get", **more: Any) -> Description:
    return Description({"openapi": "3.0.3", "info": {"title": "Orders"}, "paths": {path: {method: operation}}, **more})


def one(operation: dict[str, Any], path: str = "/orders", method: str = "get", **more: Any) -> dict[str, Any]:
    """The spec of the only tool that is imported."""
    found = objects.import_description(api(operation, path, method, **more), OPTIONS)
    assert len(found.objects) == 1, found.outcomes
    return dict(found.objects[0]["spec"])


def notes(operation: dict[str, Any], path: str = "/orders", method: str = "get", **more: Any) -> tuple[str, ...]:
    return objects.import_description(api(operation, path, method, **more), OPTIONS).outcomes[0].notes


def query(name: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, **more}


def json_body(schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def reply(schema: dict[str, Any]) -> dict[str, Any]:
    return {"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}


@pytest.mark.parametrize(
    ("parameter", "entry"),
    [
        (query("a", STRING), {"name": "a", "argument": "a"}),
        (query("a", {"type": "array", "items": STRING}), {"name": "a", "argument": "a"}),
        (
            query("a", {"type": "array", "items": STRING}, explode=False),
            {"name": "a", "argument": "a", "style": "Comma"},
        ),
        (
            query("a", {"type": "array", "items": STRING}, style="pipeDelimited"),
            {"name": "a", "argument": "a", "style": "Pipe"},
        ),
        (
            query("f", {"type": "object", "properties": {"x": STRING}}, style="deepObject"),
            {"name": "f", "argument": "f", "style": "DeepObject"},
        ),
        (query("f", {"type": "object", "properties": {"x/y": STRING}}), {"name": "x/y", "argument": "/f/x~1y"}),
        (query("$top", {"type": "integer"}), {"name": "$top", "argument": "top"}),
        (query("v", {"type": "string", "enum": ["2"]}, required=True), {"name": "v", "value": "2"}),
        (
            {"name": "j", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
            {"name": "j", "argument": "j", "style": "Json"},
        ),
    ],
)
def test_a_query_parameter_by_style(parameter: dict[str, Any], entry: dict[str, Any]) -> None:
    assert one({"parameters": [parameter]})["http"]["query"] == [entry]


def test_a_required_list_of_the_query_is_not_empty() -> None:
    """An empty one would not be sent."""
    given = {"type": "array", "items": STRING}
    parameters = [
        query("a", given, required=True),
        query("b", given),
        query("c", {**given, "minItems": 2}, required=True),
    ]
    properties = one({"parameters": parameters})["inputSchema"]["properties"]

    assert {name: each.get("minItems") for name, each in properties.items()} == {"a": 1, "b": None, "c": 2}


def test_path_parameters_are_required_texts() -> None:
    spec = one({"parameters": [{"name": "order id", "in": "path", "schema": {"type": "string", "nullable": True}}]},
               "/orders/{order id}/lines/{line}")  # fmt: skip

    assert spec["http"]["path"] == "/orders/{order_id}/lines/{line}"
    assert spec["inputSchema"]["required"] == ["order_id", "line"]
    assert spec["inputSchema"]["properties"]["order_id"]["type"] == "string"


def test_headers_that_are_not_the_authors_are_told() -> None:
    parameters = [{"name": name, "in": "header", "schema": STRING} for name in ("X-Trace", "Host", "Accept")]

    assert one({"parameters": parameters})["http"]["headers"] == [{"name": "X-Trace", "argument": "X-Trace"}]
    assert any('"Host" is left out' in note for note in notes({"parameters": parameters}))


def test_the_members_of_a_body_are_arguments() -> None:
    properties = {"id": {"type": "string", "readOnly": True}, "name": {"type": "string", "default": "x"}}
    schema = {"type": "object", "required": ["id", "name"], "properties": properties}
    spec = one(json_body(schema), method="post")

    assert spec["http"]["body"] == {"mode": "Arguments"}
    assert spec["inputSchema"]["properties"] == {"name": {"type": "string", "description": "Default: x."}}
    assert spec["inputSchema"]["required"] == ["name"]
    assert spec["inputSchema"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "object"}, {"type": "array", "items": STRING}]},
        {"type": "array", "items": STRING},
        {"type": "object"},
    ],
)
def test_any_other_body_is_one_argument(schema: dict[str, Any]) -> None:
    spec = one(json_body(schema), method="post")

    assert spec["http"]["body"] == {"mode": "Argument", "argument": "body"}
    assert spec["inputSchema"]["required"] == ["body"]
    assert spec["inputSchema"]["properties"]["body"]["description"] == "The body of the request."


def test_members_with_the_name_of_a_parameter_become_fields() -> None:
    body = json_body({"type": "object", "properties": {"id": STRING, "@type": STRING}})
    spec = one({"parameters": [query("id", STRING)], **body}, method="post")

    fields = spec["http"]["body"]["fields"]
    assert [field["name"] for field in fields] == ["id", "@type"]
    assert len({"id", *(field["argument"] for field in fields)}) == 3


def test_a_multipart_body_has_base64_and_json_parts() -> None:
    schema = {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary"}, "meta": {"type": "object"}},
    }
    spec = one({"requestBody": {"content": {"multipart/form-data": {"schema": schema}}}}, method="post")

    file, meta = spec["http"]["body"]["fields"]
    assert (file["encoding"], meta["mediaType"], meta["style"]) == ("Base64", "application/json", "Json")
    assert spec["inputSchema"]["properties"]["meta"]["type"] == "object"


def form(properties: dict[str, Any], kind: str = "application/x-www-form-urlencoded", **more: Any) -> dict[str, Any]:
    """An operation with a form."""
    encoding = more.pop("encoding", {})
    schema = {"type": "object", "properties": properties, **more}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema, "encoding": encoding}}}}


LIST: dict[str, Any] = {"type": "array", "items": STRING}
POINT: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "encoding", "style"),
    [
        (LIST, {}, None),
        (LIST, {"explode": True}, None),
        (LIST, {"explode": False}, "Comma"),
        (LIST, {"style": "form", "explode": False}, "Comma"),
        (LIST, {"style": "spaceDelimited"}, "Space"),
        (LIST, {"style": "pipeDelimited"}, "Pipe"),
        (LIST, {"contentType": "application/json"}, "Json"),
        (POINT, {}, "Json"),
        (POINT, {"contentType": "application/json"}, "Json"),
        (POINT, {"style": "deepObject", "explode": True}, "DeepObject"),
        ({"anyOf": [POINT, {"type": "string", "enum": [""]}]}, {"style": "deepObject"}, "DeepObject"),
    ],
)
def test_lists_and_objects_of_a_form_have_a_style(
    schema: dict[str, Any], encoding: dict[str, Any], style: str | None
) -> None:
    spec = one(form({"a": schema}, encoding={"a": encoding}, required=["a"]), method="post")

    more = {"style": style} if style else {}
    assert spec["http"]["body"] == {"mode": "Form", "fields": [{"name": "a", "argument": "a", **more}]}
    found = spec["inputSchema"]["properties"]["a"]
    wanted = {"minItems": 1} if schema is LIST and style != "Json" else {}
    assert {key: value for key, value in found.items() if key != "description"} == {**schema, **wanted}


def test_what_a_form_has_no_style_for_is_left_out_and_told() -> None:
    operation = form({"a": STRING, "b": POINT}, encoding={"b": {"style": "form"}})

    assert one(operation, method="post")["http"]["body"] == {"mode": "Form", "fields": [{"name": "a", "argument": "a"}]}
    assert 'the field "b" of the form is left out: an object needs style deepObject, or no style' in notes(
        operation, method="post"
    )


def test_a_list_in_a_multipart_body_is_a_part_for_each_item() -> None:
    data = {"type": "string", "format": "binary"}
    fields = {
        "files": {"type": "array", "items": data},
        "tags": LIST,
        "points": {"type": "array", "items": POINT},
        "whole": LIST,
    }
    encoding = {"whole": {"contentType": "application/json"}}
    spec = one(form(fields, "multipart/form-data", encoding=encoding, required=["files", "tags"]), method="post")

    assert spec["http"]["body"]["fields"] == [
        {"name": "files", "argument": "files", "fileName": "files", "encoding": "Base64"},
        {"name": "tags", "argument": "tags"},
        {"name": "points", "argument": "points", "mediaType": "application/json"},
        {"name": "whole", "argument": "whole", "mediaType": "application/json", "style": "Json"},
    ]
    found = spec["inputSchema"]["properties"]
    assert found["files"] == {
        "type": "array", "items": STRING, "minItems": 1, "description": "The content as base64."
    }  # fmt: skip
    assert (found["tags"]["minItems"], "minItems" in found["points"]) == (1, False)


def test_other_bodies_are_text_or_base64() -> None:
    xml = one({"requestBody": {"content": {"application/xml": {}}}}, method="put")
    data = one({"requestBody": {"content": {"image/png": {}}}}, method="put")

    assert xml["http"]["body"] == {"mode": "Raw", "argument": "body", "contentType": "application/xml"}
    assert data["http"]["body"]["encoding"] == "Base64"


def test_a_post_without_a_body_sends_none() -> None:
    assert one({}, method="post")["http"]["body"] == {"mode": "None"}


@pytest.mark.parametrize(
    ("operation", "method", "message"),
    [
        (json_body(STRING), "get", "a GET request with a required body"),
        ({"responses": {}}, "head", "no method HEAD"),
        ({"parameters": [{"name": "c", "in": "cookie", "required": True}]}, "get", 'the cookie "c" is required'),
        ({"parameters": [{"name": "Host", "in": "header", "required": True}]}, "get", '"Host" is required'),
    ],
)
def test_what_no_tool_can_call_is_listed(operation: dict[str, Any], method: str, message: str) -> None:
    found = objects.import_description(api(operation, method=method), OPTIONS)

    assert found.objects == ()
    assert found.outcomes[0].why is Why.NOT_SUPPORTED
    assert message in found.outcomes[0].message


def test_recursive_schemas_stay_recursive() -> None:
    node = {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}}},
    }
    components = {"schemas": {"Node": node}}
    spec = one({**json_body({"$ref": "#/components/schemas/Node"}), **reply({"$ref": "#/components/schemas/Node"})},
               method="post", components=components)  # fmt: skip

    for schema in (spec["inputSchema"], spec["outputSchema"]):
        assert schema["type"] == "object"
        assert schema["$defs"]["Node"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}


def test_keywords_of_openapi_3_0_become_those_of_json_schema() -> None:
    schema = {"type": "integer", "nullable": True, "minimum": 1, "exclusiveMinimum": True, "xml": {}, "example": 3}
    spec = one(json_body({"type": "object", "properties": {"n": schema}}), method="post")

    assert spec["inputSchema"]["properties"]["n"] == {"type": ["integer", "null"], "exclusiveMinimum": 1}


def test_what_a_rule_refuses_is_left_out_and_told() -> None:
    parameters = [
        query("a", {"type": "string", "pattern": "(?=x)"}),
        query("b", {"type": "string", "minLength": 5, "maxLength": 2}),
    ]
    spec = one({"parameters": parameters})

    assert spec["inputSchema"]["properties"] == {"a": STRING, "b": STRING}
    told = notes({"parameters": parameters})
    assert any("the pattern '(?=x)' is left out" in note for note in told)
    assert any("minLength 5 is greater than maxLength 2" in note for note in told)


def test_a_reference_that_leads_nowhere_accepts_anything() -> None:
    operation = json_body({"type": "object", "properties": {"a": {"$ref": "#/components/schemas/Gone"}}})

    assert one(operation, method="post")["inputSchema"]["properties"] == {"a": {}}
    assert any("leads nowhere" in note for note in notes(operation, method="post"))


def test_an_output_schema_needs_one_object() -> None:
    assert one(reply({"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}}))["outputSchema"] == {
        "type": "object",
        "properties": {"a": STRING},
    }
    assert "outputSchema" not in one(reply({"type": "array", "items": STRING}))
    assert any("a reply is array" in note for note in notes(reply({"type": "array", "items": STRING})))


@pytest.mark.parametrize(
    ("scheme", "header"),
    [
        ({"type": "http", "scheme": "bearer"}, {"name": "Authorization", "prefix": "Bearer "}),
        ({"type": "http", "scheme": "Basic"}, {"name": "Authorization", "prefix": "Basic "}),
        ({"type": "oauth2"}, {"name": "Authorization", "prefix": "Bearer "}),
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, {"name": "X-Key"}),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, {"name": "Cookie", "prefix": "sid="}),
    ],
)
def test_credentials_come_from_a_secret(scheme: dict[str, Any], header: dict[str, Any]) -> None:
    parameters = [{"name": "X-Key", "in": "header", "schema": STRING}]
    spec = one({"security": [{"main": []}], "parameters": parameters}, components={"securitySchemes": {"main": scheme}})

    assert spec["headersFrom"] == [{**header, "secretKeyRef": {"name": "orders-credentials", "key": "main"}}]


@pytest.mark.parametrize("security", [[], [{"main": []}], [{}, {"main": []}]])
def test_a_required_header_that_is_a_key_is_sent_whatever_the_operation_demands(security: list[dict[str, Any]]) -> None:
    schemes = {
        "main": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "consumer": {"type": "apiKey", "in": "header", "name": "X-Consumer"},
        "other": {"type": "apiKey", "in": "header", "name": "X-Other"},
    }
    parameters = [
        {"name": "x-consumer", "in": "header", "required": True, "schema": STRING},
        {"name": "X-Other", "in": "header", "schema": STRING},
    ]
    spec = one({"security": security, "parameters": parameters}, components={"securitySchemes": schemes})

    sent = [(each["name"], each["secretKeyRef"]["key"]) for each in spec["headersFrom"]]
    demanded = [("X-Key", "main")] if security == [{"main": []}] else []
    assert sent == [*demanded, ("X-Consumer", "consumer")]
    assert spec["inputSchema"]["properties"] == {}


def test_a_key_in_the_query_is_told_and_no_argument() -> None:
    schemes = {"securitySchemes": {"main": {"type": "apiKey", "in": "query", "name": "key"}}}
    operation = {"security": [{"main": []}], "parameters": [query("key", STRING)]}

    assert one(operation, components=schemes)["inputSchema"]["properties"] == {}
    assert any("a Secret fills headers only" in note for note in notes(operation, components=schemes))


def test_large_schemas_are_cut_and_accept_more() -> None:
    members = {f"m{index}": {"$ref": f"#/components/schemas/S{index}"} for index in range(200)}
    inner = {"type": "object", "properties": {f"field{number}": {"type": "string"} for number in range(20)}}
    components = {"schemas": {f"S{index}": inner for index in range(200)}}
    spec = one(json_body({"type": "object", "properties": members}), method="post", components=components)

    assert spec["inputSchema"]["properties"]["m7"] == {"type": "object"}


def test_a_web_of_references_is_cut_and_not_unfolded() -> None:
    """Each schema refers to all others, and they are too large together: written in place, they would never end."""
    names = [f"S{index}" for index in range(12)]
    members = {name: {"$ref": f"#/components/schemas/{name}"} for name in names}
    fields = {f"f{index}": {"type": "string", "enum": ["x" * 60]} for index in range(20)}
    components = {"schemas": {name: {"type": "object", "properties": {**members, **fields}} for name in names}}
    spec = one(json_body({"$ref": "#/components/schemas/S0"}), method="post", components=components)

    assert len(str(spec["inputSchema"])) < 20_000
    assert {"S0", "S11", "f0"} <= spec["inputSchema"]["properties"].keys()


def test_a_budget_takes_each_tag_in_turn() -> None:
    paths = {
        f"/{tag}/{number}": {"get": {"tags": [tag], "summary": "Reads a thing of the shop"}}
        for tag in "ab"
        for number in range(9)
    }
    described = Description({"openapi": "3.1.0", "paths": paths})
    everything = objects.import_description(described, OPTIONS)
    cost = everything.outcomes[0].tokens
    found = objects.import_description(described, objects.Options(Placement("orders", 8080), budget=cost * 4 + 2))

    assert [each.operation[5] for each in found.outcomes if each.why is None] == ["a", "a", "b", "b"]
    assert sum(each.why is Why.OVER_BUDGET for each in found.outcomes) == 14
    assert f"do not fit into what is left of --budget {cost * 4 + 2}" in found.outcomes[-1].message


def test_an_abbreviation_ends_no_sentence() -> None:
    text = "Takes a place, e.g. a city. It also takes coordinates, i.e. " + "a latitude " * 40

    assert texts.shorten(text, 70) == "Takes a place, e.g. a city."
    assert texts.shorten("Takes the latitude and the longitude of a place, i.e. " + "two numbers " * 20).endswith("…")


def test_names_are_unique_and_short() -> None:
    paths = {
        "/a": {"get": {"operationId": "get thing"}},
        "/b": {"get": {"operationId": "get/thing"}},
        "/" + "c" * 90: {"get": {}},
    }
    found = objects.import_description(Description({"openapi": "3.1.0", "paths": paths}), OPTIONS)
    names = [raw["spec"]["name"] for raw in found.objects]

    assert names[0] == "get_thing"
    assert len(set(names)) == 3
    assert max(map(len, names)) <= 64


def test_a_get_of_texts_can_be_a_resource() -> None:
    options = objects.Options(Placement("orders", 8080), resources=True)
    parameters = [{"name": "id", "in": "path", "required": True, "schema": STRING}, query("full", {"type": "boolean"})]
    found = objects.import_description(api({"parameters": parameters}, "/orders/{id}"), options)

    assert found.objects[0]["kind"] == "MCPResource"
    assert found.objects[0]["spec"]["uriTemplate"] == "orders://orders/{id}{?full}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"openapi: 4.0.0", "must be OpenAPI 3.0 or 3.1"),
        (b"[]", "must hold one object"),
        (b"a: [", "line 1"),
        (b"openapi: 3.0.0\npaths: []", "paths must be"),
        (b"a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n" + b"".join(
            b"%c: &%c [%s]\n" % (name, name, b",".join([b"*%c" % (name - 1)] * 8)) for name in range(ord("c"), ord("m"))
        ), "aliases unfold"),
    ],
)  # fmt: skip
def test_what_is_not_a_description_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(UnusableError, match=message):
        description.parse(data)


@pytest.mark.parametrize(
    ("description", "title"), [("The newest comes first.", "List orders."), ("list orders", None), ("", None)]
)
def test_a_title_that_the_description_repeats_is_left_out(description: str, title: str | None) -> None:
    operation = {"operationId": "a", "summary": "List orders.", "description": description, "responses": {}}

    assert one(operation).get("title") == title


@pytest.mark.parametrize(
    ("port", "scheme", "is_told"), [(443, "http", True), (443, "https", False), (80, "http", False)]
)
def test_http_on_the_port_of_https_is_told(tmp_path: Path, port: int, scheme: str, is_told: bool) -> None:
    file = tmp_path / "api.json"
    file.write_text(json.dumps({"openapi": "3.0.3", "info": {"title": "A"}, "paths": {"/a": {"get": {}}}}))
    err = io.StringIO()
    options = imports.Options(str(file), objects.Options(Placement("orders", port, scheme), base_path=""))

    # An empty path is that of the root.
    assert imports.run(options, stdin=io.BytesIO(), out=io.StringIO(), err=err) == 0
    assert ("add --scheme https" in err.getvalue()) is is_told


def test_words_that_only_yaml_1_1_reads_as_booleans_are_words() -> None:
    """OpenAPI is YAML 1.2: y is a coordinate, and on is a word. The manifests are read by kubectl, as YAML 1.1."""
    text = b"""
openapi: 3.0.3
info: {title: Points, version: 1.0.0}
paths:
  /points/{n}:
    post:
      parameters: [{name: n, in: path, required: true, schema: {type: string, enum: [on, off]}}]
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [y], properties: {x: {type: number}, y: {type: number}}}
      responses: {200: {description: done}}
"""
    found = objects.import_description(description.parse(text), OPTIONS)

    schema = found.objects[0]["spec"]["inputSchema"]
    assert list(schema["properties"]) == ["n", "x", "y"]
    assert schema["properties"]["n"]["enum"] == ["on", "off"]
    assert schema["required"] == ["n", "y"]
