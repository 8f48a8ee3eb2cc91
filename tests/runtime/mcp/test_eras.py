"""The era of a message, and the refusal of a malformed one, in the order of the specification."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from crd.clients import tolerances
from crd.clients.tolerances import Fault
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
            body(),
            {**headers(), "mcp-method": ["tools/list", "tools/call"]},
            400,
            jsonrpc.HEADER_MISMATCH,
            id="a header twice",
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
        pytest.param(body(meta={}), headers(version="2024-11-05"), False, id="the oldest version"),
        pytest.param(
            body("initialize", meta={}), headers(version="2031-01-01"), False, id="initialize of a later time"
        ),
        pytest.param(body(meta={}), headers(version="2025-11-25, 2025-11-25"), False, id="a header twice in one line"),
        pytest.param(
            body(meta={}), {"mcp-protocol-version": ["2025-11-25", "2025-11-25"]}, False, id="a header in two lines"
        ),
        pytest.param(body(), {**headers(), "mcp-method": ["tools/list"] * 2}, True, id="a modern header in two lines"),
        pytest.param(
            body("tools/call", name="a,b"), headers("tools/call", mcp_name="a,b, a,b"), True, id="a name with a comma"
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


@pytest.mark.parametrize(
    ("method", "version", "code", "words"),
    [
        ("tools/list", "2024-10-07", jsonrpc.UNSUPPORTED_VERSION, 'Unsupported protocol version "2024-10-07"'),
        ("tools/list", "2031-01-01", jsonrpc.UNSUPPORTED_VERSION, 'Unsupported protocol version "2031-01-01"'),
        ("tools/list", "\udcff", jsonrpc.UNSUPPORTED_VERSION, 'Unsupported protocol version "\ufffd"'),
        (
            "tools/list",
            "2025-11-25, 2025-06-18",
            jsonrpc.INVALID_REQUEST,
            "MCP-Protocol-Version is sent with different",
        ),
        ("initialize", MODERN, jsonrpc.INVALID_PARAMS, f"{MODERN} has no initialize; send server/discover"),
    ],
)
def test_the_refusal_of_a_version_names_the_cause(method: str, version: str, code: int, words: str) -> None:
    found = eras.classify(body(method, meta={}), {"mcp-protocol-version": [version]})

    assert isinstance(found, Refusal)
    assert (found.status, found.code) == (400, code)
    assert words in found.message
    assert found.body


@pytest.mark.parametrize(
    ("message", "params", "identifier"),
    [
        ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": None}, {}, 1),
        ({"jsonrpc": "2.0", "method": "notifications/initialized", "params": None}, {}, None),
        ({"jsonrpc": "2.0", "id": None, "method": "notifications/initialized"}, {}, None),
        ({"jsonrpc": "2.0", "id": "", "method": "tools/call", "params": {"name": "a", "arguments": None}},
         {"name": "a"}, ""),
    ],
)  # fmt: skip
def test_null_is_absent_where_the_protocol_has_no_null(message: Any, params: Any, identifier: Any) -> None:
    found = eras.classify(message, {})

    assert isinstance(found, Call)
    assert (found.params, found.id) == (params, identifier)


FAULTY = {
    Fault.NULL_MEMBER: ({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": None}, {}),
    Fault.REPEATED_HEADER: (body(), {**headers(), "mcp-method": ["tools/list"] * 2}),
    Fault.LEGACY_VERSION_HEADER: (body(), headers(version="2025-11-25")),
}


@pytest.mark.parametrize("fault", list(FAULTY))
def test_a_known_fault_of_clients_is_tolerated_only_if_the_switch_is_on(fault: Fault) -> None:
    message, given = FAULTY[fault]

    assert isinstance(eras.classify(message, given, frozenset({fault})), Call)
    assert isinstance(eras.classify(message, given, frozenset()), Refusal)
    is_default = next(each.by_default for each in tolerances.TOLERANCES if each.fault is fault)
    assert isinstance(eras.classify(message, given), Call) is is_default


def test_an_empty_cursor_is_that_of_the_first_page() -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"cursor": ""}}

    tolerant, strict = eras.classify(message, {}), eras.classify(message, {}, frozenset())

    assert isinstance(tolerant, Call)
    assert isinstance(strict, Call)
    assert (tolerant.params, strict.params) == ({}, {"cursor": ""})


def test_every_tolerance_has_a_source() -> None:
    assert {each.fault for each in tolerances.TOLERANCES} == set(Fault)
    assert all(each.source and each.what for each in tolerances.TOLERANCES)
