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


VERSION, CAPABILITIES = META
SUPPORTED = "2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26, 2024-11-05"
NOT_A_MESSAGE = 'the body must be a JSON-RPC 2.0 message: an object with "jsonrpc": "2.0"'
META_FAULT = f'/params/_meta: "{VERSION}" must be a string and "{CAPABILITIES}" an object'
BARE = f'/params/_meta: missing required properties "{VERSION}" and "{CAPABILITIES}"'


@pytest.mark.parametrize(
    ("message", "given", "identifier", "words"),
    [
        ([], {}, None, NOT_A_MESSAGE),
        ({"method": "x", "id": 1}, {}, None, NOT_A_MESSAGE),
        ({**body(), "method": None}, {}, 7, "/method: must be a string"),
        ({**body(), "id": 1.5}, headers(), None, "/id: must be a string or an integer"),
        ({**body(), "id": None}, headers(), None, "/id: must be a string or an integer"),
        ({**body(), "params": 1}, headers(), 7, "/params: must be an object"),
        (body(meta=without("Capabilities")), headers(), 7, META_FAULT),
        (body(meta={**META, CAPABILITIES: []}), headers(), 7, META_FAULT),
        (body(meta={**META, VERSION: 1}), headers(), 7, META_FAULT),
        (body(meta={}), headers(), 7, BARE),
        (
            body("initialize", meta={}),
            headers(),
            7,
            f"{BARE}. 2026-07-28 has no initialize; send server/discover",
        ),
        (
            body(),
            {"mcp-method": ["tools/list"]},
            7,
            'Header mismatch: MCP-Protocol-Version is missing and must be the value in the body, "2026-07-28"',
        ),
        (
            body(),
            headers("x" * 99),
            7,
            f'Header mismatch: Mcp-Method is "{"x" * 80}" and must be the value in the body, "tools/list"',
        ),
        (
            body("y" * 99),
            headers("x"),
            7,
            f'Header mismatch: Mcp-Method is "x" and must be the value in the body, "{"y" * 80}"',
        ),
        (
            body("tools/call", name="a"),
            headers("tools/call", mcp_name="b"),
            7,
            'Header mismatch: Mcp-Name is "b" and must be the value in /params/name, "a"',
        ),
        (
            body("resources/read", uri="a:b"),
            headers("resources/read"),
            7,
            'Header mismatch: Mcp-Name is missing and must be the value in /params/uri, "a:b"',
        ),
        (
            body("prompts/get", name="a"),
            headers("prompts/get"),
            7,
            'Header mismatch: Mcp-Name is missing and must be the value in /params/name, "a"',
        ),
        (
            body(),
            {**headers(), "mcp-method": ["a", "b"]},
            7,
            'Header mismatch: Mcp-Method is sent with different values: "a", "b"',
        ),
        (
            body(),
            {**headers(), "mcp-method": [f"{'d' * 90},a,b", "c,e"]},
            7,
            f'Header mismatch: Mcp-Method is sent with different values: "a", "b", "c", "{"d" * 80}"',
        ),
        (
            body(meta={**META, VERSION: "3" * 99}),
            headers(version="3" * 99),
            7,
            f'Unsupported protocol version "{"3" * 80}"; supported are {SUPPORTED}',
        ),
        (body("ping"), headers("ping"), 7, "Method not found: ping"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_answers_the_request(
    message: Any, given: dict[str, list[str]], identifier: int | None, words: str
) -> None:
    found = eras.classify(message, given)

    assert isinstance(found, Refusal)
    assert (found.message, found.id) == (words, identifier)


@pytest.mark.parametrize(
    ("sent", "expected", "value"),
    [
        ([], None, None),
        ([""], None, ""),
        ([","], None, ""),
        ([" a\t"], None, "a"),
        (["a,, a"], None, "a"),
        (["a", "a"], None, "a"),
        (["a,b"], "a,b", "a,b"),
        (["a,b,a,b"], "a,b", "a,b"),
        (["a,b, a,b"], "a,b", "a,b"),
        (["a,b", "a,b"], "a,b", "a,b"),
        (["a,b,a,b,a,b"], "a,b", "a,b"),
        (["a,b,a"], "a,b", "a,b,a"),
        ([""], "a,b", ""),
        ([" ", ""], "a,b", ""),
        (["a,b"], "a", None),
        (["a,b"], None, None),
        (["a,b", "c"], "a,b", None),
    ],
)
def test_equal_values_of_a_header_are_one_value(sent: list[str], expected: str | None, value: str | None) -> None:
    given = {"mcp-name": sent} if sent else {}
    if sent and value is None:
        with pytest.raises(eras.ConflictingHeaderError, match="Mcp-Name is sent with different values"):
            eras.header(given, "Mcp-Name", expected)
    else:
        assert eras.header(given, "Mcp-Name", expected) == value


@pytest.mark.parametrize(
    ("sent", "value"), [(["a"], "a"), (["a, a"], "a, a"), ([" a "], "a"), ([], None), (["a", "a"], ...)]
)
def test_a_server_that_tolerates_no_repetition_takes_a_header_as_it_is(sent: list[str], value: Any) -> None:
    given = {"mcp-name": sent} if sent else {}
    if value is ...:
        with pytest.raises(eras.ConflictingHeaderError, match=r"^Mcp-Name must be sent once$"):
            eras.header(given, "Mcp-Name", None, frozenset())
    else:
        assert eras.header(given, "Mcp-Name", None, frozenset()) == value


@pytest.mark.parametrize(
    ("method", "name", "sent", "is_read"),
    [
        ("tools/call", 7, None, True),
        ("tools/list", "a", None, True),
        ("tools/call", "größe", "größe", True),
        ("tools/call", "größe", WRAPPED, True),
        ("tools/call", "größe", None, False),
    ],
)
def test_a_name_is_compared_with_its_header(method: str, name: Any, sent: str | None, is_read: bool) -> None:
    given = {**headers(method), **({"mcp-name": [sent]} if sent else {})}

    assert isinstance(eras.classify(body(method, name=name), given), Call) is is_read


def test_an_older_version_in_the_header_is_tolerated_for_the_version_alone() -> None:
    tolerated = frozenset({Fault.LEGACY_VERSION_HEADER})

    assert isinstance(eras.classify(body(), headers(version="2024-11-05"), tolerated), Call)
    assert isinstance(eras.classify(body(), headers(version="2024-10-07"), tolerated), Refusal)
    assert isinstance(eras.classify(body(), headers("2024-11-05"), tolerated), Refusal)


def test_a_call_keeps_its_method_its_params_and_its_id() -> None:
    modern = eras.classify(body("tools/call", name="a", x=1), headers("tools/call", mcp_name="a"))
    legacy = eras.classify({"jsonrpc": "2.0", "id": "i", "method": "ping"}, {})
    answer = eras.classify({"jsonrpc": "2.0", "id": 1, "error": {}}, {})

    assert modern == Call("tools/call", {"_meta": META, "name": "a", "x": 1}, 7, True)
    assert legacy == Call("ping", {}, "i", False)
    assert answer == Call("", {}, None, False)
    null = {"jsonrpc": "2.0", "id": 1, "method": "m", "params": None}
    assert eras.classify(null, {}) == Call("m", {}, 1, False)
    strict = eras.classify(null, {}, frozenset())
    assert isinstance(strict, Refusal)
    assert (strict.code, strict.id) == (jsonrpc.INVALID_PARAMS, 1)
