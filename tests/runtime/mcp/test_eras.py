"""The era of a message, and the refusal of a malformed one, in the order of the specification."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from runtime.mcp import eras, jsonrpc
from runtime.mcp.eras import MODERN, Call, Refusal

META = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}


def body(method: str = "tools/list", meta: Any = META, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": {"_meta": meta, **params}}


def headers(method: str = "tools/list", version: str = MODERN, **more: str) -> dict[str, list[str]]:
    named = {key.replace("_", "-"): [value] for key, value in more.items()}
    return {"mcp-protocol-version": [version], "mcp-method": [method], **named}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in META.items() if not key.endswith(name)}


@pytest.mark.parametrize(
    ("message", "given", "status", "code"),
    [
        pytest.param([], {}, 400, jsonrpc.INVALID_REQUEST, id="an array"),
        pytest.param("text", {}, 400, jsonrpc.INVALID_REQUEST, id="a string"),
        pytest.param({"jsonrpc": "1.0", "method": "x"}, {}, 400, jsonrpc.INVALID_REQUEST, id="another JSON-RPC"),
        pytest.param({**body(), "id": True}, headers(), 400, jsonrpc.INVALID_REQUEST, id="an id that is a boolean"),
        pytest.param({**body(), "id": None}, headers(), 400, jsonrpc.INVALID_REQUEST, id="an id that is null"),
        pytest.param({**body(), "id": 1.5}, headers(), 400, jsonrpc.INVALID_REQUEST, id="an id that is a fraction"),
        pytest.param(
            {**body(), "method": 7}, headers(), 400, jsonrpc.INVALID_REQUEST, id="a method that is not a string"
        ),
        pytest.param(
            {**body(), "params": []}, headers(), 400, jsonrpc.INVALID_PARAMS, id="params that are not an object"
        ),
        pytest.param(body(meta=without("Capabilities")), headers(), 400, jsonrpc.INVALID_PARAMS, id="no capabilities"),
        pytest.param(body(meta={**META, next(iter(META)): 7}), headers(), 400, jsonrpc.INVALID_PARAMS, id="version 7"),
        pytest.param(body(meta={}), headers(), 400, jsonrpc.INVALID_PARAMS, id="a modern header on a bare body"),
        pytest.param(body(), {}, 400, jsonrpc.HEADER_MISMATCH, id="no headers"),
        pytest.param(body(), headers(version="2025-11-25"), 400, jsonrpc.HEADER_MISMATCH, id="another version"),
        pytest.param(body(), headers("tools/call"), 400, jsonrpc.HEADER_MISMATCH, id="another method"),
        pytest.param(
            body(), {**headers(), "mcp-method": ["tools/list"] * 2}, 400, jsonrpc.HEADER_MISMATCH, id="a header twice"
        ),
        pytest.param(
            body("tools/call", name="a"), headers("tools/call"), 400, jsonrpc.HEADER_MISMATCH, id="no Mcp-Name"
        ),
        pytest.param(
            body("tools/call", name="a"),
            headers("tools/call", mcp_name="b"),
            400,
            jsonrpc.HEADER_MISMATCH,
            id="other name",
        ),
        pytest.param(
            body("tools/call", name="a"),
            headers("tools/call", mcp_name="=?base64?%%%?="),
            400,
            jsonrpc.HEADER_MISMATCH,
            id="a name in broken base64",
        ),
        pytest.param(
            body("tools/call", name="a"),
            headers("tools/call", mcp_name="=?base64?="),
            400,
            jsonrpc.HEADER_MISMATCH,
            id="a wrapping that is too short",
        ),
        pytest.param(
            body(meta={**META, next(iter(META)): "2031-01-01"}),
            headers(version="2031-01-01"),
            400,
            jsonrpc.UNSUPPORTED_VERSION,
            id="a version of the future",
        ),
        pytest.param(body("ping"), headers("ping"), 404, jsonrpc.METHOD_NOT_FOUND, id="a removed method"),
        pytest.param(body("initialize"), headers("initialize"), 404, jsonrpc.METHOD_NOT_FOUND, id="initialize"),
    ],
)
def test_a_malformed_message_is_refused(message: Any, given: dict[str, list[str]], status: int, code: int) -> None:
    found = eras.classify(message, given)

    assert isinstance(found, Refusal)
    assert (found.status, found.code) == (status, code)


def test_the_refusal_of_a_version_lists_the_supported_ones() -> None:
    meta = {**META, next(iter(META)): "2031-01-01"}
    found = eras.classify(body(meta=meta), headers(version="2031-01-01"))

    assert isinstance(found, Refusal)
    assert found.data == {"supported": list(eras.SERVED), "requested": "2031-01-01"}
    assert b'"id":7' in found.body


NAME = "größe"
WRAPPED = f"=?base64?{base64.b64encode(NAME.encode()).decode()}?="


@pytest.mark.parametrize(
    ("message", "given", "modern"),
    [
        pytest.param(body(), headers(), True, id="modern"),
        pytest.param(body(), {**headers(), "mcp-method": [" tools/list\t"]}, True, id="spaces around a header"),
        pytest.param(body("tools/call", name="a"), headers("tools/call", mcp_name="a"), True, id="a call by name"),
        pytest.param(body("tools/call", name=NAME), headers("tools/call", mcp_name=WRAPPED), True, id="a wrapped name"),
        pytest.param(body(meta={}), {}, False, id="no version anywhere"),
        pytest.param(body(meta={}), headers(version="2025-11-25"), False, id="a legacy header"),
        pytest.param(
            body(meta={}), headers(version="2024-01-01"), False, id="an old header, for the legacy side to refuse"
        ),
        pytest.param(body("initialize", meta=7), {}, False, id="a meta that is not an object"),
        pytest.param(
            body(meta={"io.modelcontextprotocol/clientInfo": {}}),
            headers(version="2025-11-25"),
            False,
            id="client info",
        ),
    ],
)
def test_the_body_determines_the_era(message: Any, given: dict[str, list[str]], modern: bool) -> None:
    found = eras.classify(message, given)

    assert isinstance(found, Call)
    assert found.modern is modern


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, {}),
        ({"jsonrpc": "2.0", "method": "notifications/initialized"}, {}),
        ({"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": META}}, {}),
        ({"jsonrpc": "2.0", "method": "notifications/x"}, headers()),
    ],
    ids=["a response", "a notification", "a modern notification", "a notification under a modern header"],
)
def test_a_notification_or_response_has_no_id(message: Any, given: dict[str, list[str]]) -> None:
    found = eras.classify(message, given)

    assert isinstance(found, Call)
    assert found.id is None
