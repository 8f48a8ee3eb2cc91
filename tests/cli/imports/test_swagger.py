"""Swagger 2.0 becomes OpenAPI 3.0 before it is imported."""

from __future__ import annotations

from typing import Any

import pytest

from cli.imports import description, objects, swagger
from cli.imports.description import Description, UnusableError
from cli.imports.selection import Placement

OPTIONS = objects.Options(Placement(service="orders", port=8080, namespace="shop"))
ORDER = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "note": {"x-nullable": True}}}


def described(operation: dict[str, Any], path: str = "/orders", method: str = "get", **more: Any) -> dict[str, Any]:
    return {"swagger": "2.0", "info": {"title": "Orders"}, "paths": {path: {method: operation}}, **more}


def one(operation: dict[str, Any], path: str = "/orders", method: str = "get", **more: Any) -> dict[str, Any]:
    """The spec of the only tool that is imported."""
    found = objects.import_description(Description(described(operation, path, method, **more)), OPTIONS)
    assert len(found.objects) == 1, found.outcomes
    return dict(found.objects[0]["spec"])


def test_a_body_is_the_arguments_and_a_reply_the_output_schema() -> None:
    spec = one(
        {
            "operationId": "createOrder",
            "parameters": [
                {"in": "body", "name": "order", "required": True, "schema": {"$ref": "#/definitions/Order"}}
            ],
            "responses": {"201": {"description": "", "schema": {"$ref": "#/definitions/Order"}}},
        },
        method="post",
        definitions={"Order": ORDER},
        basePath="/v1",
        host="api.example.com",
        schemes=["https"],
    )

    assert spec["service"]["path"] == "/v1"
    assert spec["inputSchema"]["required"] == ["id"]
    assert set(spec["inputSchema"]["properties"]) == set(spec["outputSchema"]["properties"]) == {"id", "note"}


@pytest.mark.parametrize(
    ("given", "style"),
    [({}, "Comma"), ({"collectionFormat": "csv"}, "Comma"), ({"collectionFormat": "multi"}, None),
     ({"collectionFormat": "ssv"}, "Space"), ({"collectionFormat": "pipes"}, "Pipe")],
)  # fmt: skip
def test_the_format_of_a_list_is_its_style(given: dict[str, Any], style: str | None) -> None:
    tags = {"in": "query", "name": "tags", "type": "array", "items": {"type": "string"}, **given}
    spec = one({"parameters": [tags], "responses": {}})

    assert spec["http"]["query"] == [{"name": "tags", "argument": "tags", **({"style": style} if style else {})}]
    assert spec["inputSchema"]["properties"]["tags"] == {"type": "array", "items": {"type": "string"}}


def test_a_format_that_no_style_has_is_told() -> None:
    tags = {"in": "query", "name": "tags", "type": "array", "items": {"type": "string"}, "collectionFormat": "tsv"}
    made = swagger.modernize(described({"parameters": [tags]}))

    assert made["paths"]["/orders"]["get"]["parameters"][0]["style"] == "tabDelimited"


def test_parameters_of_the_description_and_of_the_path_count_and_are_replaced() -> None:
    content = described({"parameters": [{"$ref": "#/parameters/page"}], "responses": {}})
    content["parameters"] = {"page": {"in": "query", "name": "page", "type": "integer", "maximum": 9}}
    shared = [{"in": "query", "name": "page", "type": "string"}, {"in": "query", "name": "all", "type": "boolean"}]
    content["paths"]["/orders"]["parameters"] = shared
    found = objects.import_description(Description(content), OPTIONS).objects[0]["spec"]["inputSchema"]["properties"]

    assert found == {"all": {"type": "boolean"}, "page": {"type": "integer", "maximum": 9}}


@pytest.mark.parametrize(
    ("consumes", "kind", "media"),
    [([], "string", "application/x-www-form-urlencoded"), ([], "file", "multipart/form-data"),
     (["multipart/form-data"], "string", "multipart/form-data")],
)  # fmt: skip
def test_fields_of_a_form_are_a_body(consumes: list[str], kind: str, media: str) -> None:
    fields = [
        {"in": "formData", "name": "name", "type": kind, "required": True, "description": "Name of the order."},
        {"in": "formData", "name": "tags", "type": "array", "items": {"type": "string"}, "collectionFormat": "multi"},
    ]
    made = swagger.modernize(described({"parameters": fields, "consumes": consumes}, method="post"))
    body = made["paths"]["/orders"]["post"]["requestBody"]

    assert body["required"] is True
    assert list(body["content"]) == [media]
    form = body["content"][media]["schema"]
    assert form["required"] == ["name"]
    assert form["properties"]["name"]["description"] == "Name of the order."
    assert body["content"][media]["encoding"] == {"tags": {"style": "form", "explode": True}}


def test_media_types_come_from_the_operation_then_from_the_description() -> None:
    body = {"in": "body", "name": "x", "schema": {"type": "object"}}
    reply = {"200": {"description": "", "schema": {"type": "object"}}}
    content = described({"parameters": [body], "responses": reply}, method="post", consumes=["text/xml"])
    content["paths"]["/orders"]["put"] = {"parameters": [body], "responses": reply, "produces": ["text/csv"]}
    made = swagger.modernize(content)["paths"]["/orders"]

    assert list(made["post"]["requestBody"]["content"]) == ["text/xml"]
    assert list(made["post"]["responses"]["200"]["content"]) == ["application/json"]
    assert list(made["put"]["responses"]["200"]["content"]) == ["text/csv"]


def test_credentials_are_headers_from_a_secret() -> None:
    schemes = {
        "basic": {"type": "basic"},
        "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
        "oauth": {"type": "oauth2", "flow": "accessCode", "scopes": {"read": ""}},
    }
    headers = [
        one({"security": [{name: []}], "responses": {}}, securityDefinitions=schemes)["headersFrom"][0]
        for name in schemes
    ]

    assert [(header["name"], header.get("prefix")) for header in headers] == [
        ("Authorization", "Basic "), ("X-Key", None), ("Authorization", "Bearer "),
    ]  # fmt: skip


def test_values_inside_a_schema_stay() -> None:
    node = {"enum": [{"$ref": "#/definitions/A"}], "properties": {"$ref": {"type": "file"}}, "discriminator": "kind"}
    made = swagger.modernize({**described({}), "definitions": {"X": node}})["components"]["schemas"]["X"]

    assert made["enum"] == node["enum"]
    assert made["properties"] == {"$ref": {"type": "string", "format": "binary"}}
    assert made["discriminator"] == {"propertyName": "kind"}


@pytest.mark.parametrize(
    "broken",
    [
        {"paths": {"/x": 1}},
        {"paths": {"/x": {"get": 1, "parameters": 5}}},
        {"paths": {"/x": {"get": {"parameters": [1, {"$ref": "#/parameters/none"}, {"in": "body"}], "responses": 3}}}},
        {"paths": {"/x": {"get": {"responses": {"200": 1, "201": {"$ref": "#/responses/none"}}, "produces": "x"}}}},
        {"definitions": [], "parameters": 1, "securityDefinitions": {"x": 1}, "schemes": {}, "host": 1, "paths": {}},
        {"definitions": {"A": {"$ref": 1}}, "paths": {}},
    ],
)
def test_a_broken_description_is_imported_as_far_as_it_is_sound(broken: dict[str, Any]) -> None:
    found = objects.import_description(Description({"swagger": "2.0", "info": {}, **broken}), OPTIONS)

    assert len(found.outcomes) <= 1


def test_a_deep_schema_ends() -> None:
    node: dict[str, Any] = {}
    for _ in range(5000):
        node = {"items": node}

    assert swagger.modernize({"swagger": "2.0", "definitions": {"X": node}})["openapi"] == "3.0.3"


def test_another_version_is_refused() -> None:
    with pytest.raises(UnusableError, match=r"Swagger 2\.0, got swagger"):
        description.parse(b"swagger: '1.2'")
