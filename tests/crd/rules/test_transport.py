"""What goes with a request: headers, retries, TLS; and how a reply is read."""

from __future__ import annotations

from typing import Any

import pytest

from crd.rules import transport
from tests.crd.rules.documents import SERVICE, broken, findings_of, operations, prompt, resource, server, tool

HTTPS = {**SERVICE, "scheme": "https"}


def read(**spec: Any) -> Any:
    return resource(**{"uri": "urn:a", "service": SERVICE, "http": {}, **spec})


RETRIED = (
    "error UnsafeRetry: spec.retries: a retried {0} request may take effect twice; remove "
    "spec.retries or, if the backend handles repeated requests, set "
    "annotations.idempotentHint to true"
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"method": "POST", "retries": {"attempts": 1}}, [RETRIED.format("POST")]),
        ({"method": "PATCH", "retries": {"attempts": 5}}, [RETRIED.format("PATCH")]),
        (
            {"method": "POST", "retries": {"attempts": 1}, "annotations": {"idempotentHint": False}},
            [RETRIED.format("POST")],
        ),
        ({"method": "POST", "retries": {"attempts": 1}, "annotations": {}}, [RETRIED.format("POST")]),
        ({"method": "POST", "retries": {"attempts": 1}, "annotations": {"idempotentHint": True}}, []),
        ({"method": "POST", "retries": {"attempts": 0}}, []),
        ({"method": "POST", "retries": {}}, []),
        ({"method": "POST"}, []),
        *(({"method": method, "retries": {"attempts": 1}}, []) for method in ("GET", "PUT", "DELETE")),
    ],
)
def test_a_call_that_is_sent_again(spec: dict[str, Any], expected: list[str]) -> None:
    assert findings_of(transport.unsafe_retries(tool(**spec))) == expected


UNSEEN = (
    "warning InsecureTLS: spec.tls.insecureSkipVerify: certificates are not verified, so "
    "calls can be intercepted; remove this and set tls.caSecretName"
)


def test_a_certificate_that_nobody_looks_at() -> None:
    tls = {"insecureSkipVerify": True}
    assert findings_of(transport.insecure_tls(tool(service=HTTPS, tls=tls))) == [UNSEEN]
    assert findings_of(transport.insecure_tls(read(service=HTTPS, tls=tls))) == [UNSEEN]
    for item in (tool(), tool(service=HTTPS, tls={}), tool(service=HTTPS, tls={"caSecretName": "ca"}), prompt()):
        assert findings_of(transport.insecure_tls(item)) == []


NEVER = (
    "Host",
    "Content-Type",
    "content-length",
    "Transfer-Encoding",
    "Connection",
    "Keep-Alive",
    "TE",
    "Trailer",
    "Upgrade",
    "Expect",
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "Set-Cookie",
    "Forwarded",
    "X-Forwarded-For",
    "Mcp-Session-Id",
    "Traceparent",
    "Tracestate",
)
OPEN = ("X-Host", "Hostess", "Contents", "X-Authorization", "Accept", "Te-X", "X-Mcp", "Set-Cookie2", "Expected")


def headers(item: Any) -> list[str]:
    return findings_of(transport.unsafe_headers(item))


@pytest.mark.parametrize("name", NEVER)
def test_a_header_that_a_mapping_must_not_set(name: str) -> None:
    http = {"headers": [{"name": "X-A", "value": "a"}, {"name": name, "value": "a"}]}
    line = (
        f'error UnsafeHeader: spec.http.headers[1].name: "{name}" must not be set by a mapping; '
        "remove it or, for credentials, use headersFrom"
    )
    assert headers(tool(http=http)) == [line]
    assert headers(read(http=http)) == [line]


@pytest.mark.parametrize("name", NEVER)
def test_a_header_that_is_never_passed_on(name: str) -> None:
    assert headers(tool(forwardHeaders=[{"name": name}])) == [
        f'error UnsafeHeader: spec.forwardHeaders[0].name: "{name}" must not be forwarded; remove it'
    ]
    assert headers(tool(forwardHeaders=[{"name": "X-A"}, {"name": "X-B", "backendHeader": name}])) == [
        (
            f'error UnsafeHeader: spec.forwardHeaders[1].backendHeader: "{name}" must not be set from '
            "a client header; choose another name"
        )
    ]


@pytest.mark.parametrize("name", NEVER)
def test_a_header_that_no_parameter_sets(name: str) -> None:
    listed = [{"name": "X-A", "in": "header"}, {"name": name, "in": "header"}]
    item = operations({}, {"ingressPath": "/b", "parameters": listed})
    assert headers(item) == [
        (
            f'error UnsafeHeader: spec.operations[1].parameters[1].name: "{name}" must not be set by '
            "a parameter; remove it"
        )
    ]
    assert headers(operations({"parameters": [{"name": name, "in": "query"}]})) == []


@pytest.mark.parametrize("name", OPEN)
def test_a_header_that_may_be_set(name: str) -> None:
    assert headers(tool(http={"headers": [{"name": name, "value": "a"}]})) == []
    assert headers(tool(forwardHeaders=[{"name": name}])) == []
    assert headers(tool(forwardHeaders=[{"name": "X-B", "backendHeader": name}])) == []
    assert headers(operations({"parameters": [{"name": name, "in": "header"}]})) == []


def mounted(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "secretKeyRef": {"name": "s", "key": "k"}} for name in names]


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Content-Type",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Mcp-Name",
    ],
)
def test_a_header_that_frames_a_message_comes_from_no_secret(name: str) -> None:
    line = f'error UnsafeHeader: spec.headersFrom[1].name: "{name}" is set by the MCP server itself; remove it'
    assert headers(tool(headersFrom=mounted("X-A", name))) == [line]
    assert headers(read(headersFrom=mounted("X-A", name))) == [line]


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Proxy-Authorization", "X-API-Key", "Forwarded"])
def test_credentials_come_from_a_secret(name: str) -> None:
    assert headers(tool(headersFrom=mounted(name))) == []


@pytest.mark.parametrize(
    ("value", "sound"),
    [
        ("", True),
        ("a", True),
        ("!", True),
        ("~", True),
        ("a b", True),
        (" a", False),
        ("a ", False),
        (" ", False),
        ("a\tb", False),
        ("a\nb", False),
        ("\u00fc", False),
        ("a\u00fcb", False),
        ("a\x7f", False),
    ],
)
def test_the_value_of_a_header(value: str, sound: bool) -> None:
    line = (
        "error UnsafeHeader: spec.http.headers[0].value: must be printable ASCII without leading "
        f'or trailing spaces, got "{value}"'
    )
    assert headers(tool(http={"headers": [{"name": "X-A", "value": value}]})) == ([] if sound else [line])


def test_a_header_without_a_value_of_its_own_has_none_to_be_wrong() -> None:
    assert headers(tool(http={"headers": [{"name": "X-A", "argument": "a"}, {"name": "X-B", "claim": "sub"}]})) == []


def twice(path: str, name: str) -> str:
    return (
        f'error DuplicateEntry: spec.{path}: header "{name}" is already set by an earlier entry; remove one of the two'
    )


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param(
            tool(http={"headers": [{"name": "X-A", "value": "a"}, {"name": "x-a", "value": "b"}]}),
            [twice("http.headers[1].name", "x-a")],
            id="twice in a mapping",
        ),
        pytest.param(
            tool(http={"headers": [{"name": "X-A", "value": "a"}]}, headersFrom=mounted("X-B", "x-A")),
            [twice("headersFrom[1].name", "x-A")],
            id="in a mapping and out of a Secret",
        ),
        pytest.param(
            tool(headersFrom=mounted("X-A"), forwardHeaders=[{"name": "X-B"}, {"name": "X-A"}]),
            [twice("forwardHeaders[1]", "X-A")],
            id="out of a Secret and passed on",
        ),
        pytest.param(
            tool(headersFrom=mounted("X-A"), forwardHeaders=[{"name": "X-B", "backendHeader": "X-a"}]),
            [twice("forwardHeaders[0]", "X-a")],
            id="passed on under another name",
        ),
        pytest.param(
            tool(headersFrom=mounted("X-A"), forwardHeaders=[{"name": "X-A", "backendHeader": "X-B"}]),
            [],
            id="passed on under a name that is free",
        ),
        pytest.param(
            tool(headersFrom=mounted("X-A", "x-a", "X-a")),
            [twice("headersFrom[1].name", "x-a"), twice("headersFrom[2].name", "X-a")],
            id="three times",
        ),
        pytest.param(
            read(http={"headers": [{"name": "X-A", "value": "a"}]}, headersFrom=mounted("X-A")),
            [twice("headersFrom[0].name", "X-A")],
            id="for a resource",
        ),
    ],
)
def test_one_header_has_one_source(item: Any, expected: list[str]) -> None:
    assert headers(item) == expected


def test_what_sends_no_headers_has_none_to_be_unsafe() -> None:
    for item in (prompt(), server(), tool(), broken("MCPTool", {})):
        assert headers(item) == []


SCHEMA = {"type": "object"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"response": {"format": "Json", "select": "/a"}, "outputSchema": SCHEMA}, []),
        ({"response": {"format": "Auto", "select": "/a"}, "outputSchema": SCHEMA}, []),
        ({"response": {"format": "Text"}}, []),
        ({"response": {"format": "Binary", "onTooLarge": "Truncate"}}, []),
        ({"outputSchema": SCHEMA}, []),
        ({"outputSchema": SCHEMA, "response": {"onTooLarge": "Error"}}, []),
        ({"response": {"expectStatus": ["2xx", "404", "500", "5xx"]}}, []),
        ({"response": {"headers": ["ETag", "Set-Cookies"]}}, []),
        *(
            (
                {"response": {"format": shape, "select": "/a"}},
                [
                    (
                        f"error InvalidMapping: spec.response.select: select requires format Json, got {shape}; "
                        "set format to Json or remove select"
                    )
                ],
            )
            for shape in ("Text", "Binary")
        ),
        (
            {"response": {"format": "Text", "select": ""}},
            [
                (
                    "error InvalidMapping: spec.response.select: select requires format Json, got Text; set "
                    "format to Json or remove select"
                )
            ],
        ),
        *(
            (
                {"response": {"format": shape}, "outputSchema": SCHEMA},
                [
                    (
                        f"error InvalidMapping: spec.response.format: outputSchema requires format Json, got {shape}"
                        "; set Json or remove outputSchema"
                    )
                ],
            )
            for shape in ("Text", "Binary")
        ),
        (
            {"response": {"onTooLarge": "Truncate"}, "outputSchema": SCHEMA},
            [
                (
                    "error InvalidMapping: spec.response.onTooLarge: outputSchema does not allow truncated "
                    "replies; set onTooLarge to Error or remove outputSchema"
                )
            ],
        ),
        (
            {"response": {"expectStatus": ["2xx", "301", "1xx", "3xx"]}},
            [
                (
                    f"error InvalidMapping: spec.response.expectStatus[{i}]: must be a 2xx, 4xx or 5xx status, got "
                    f'"{s}"; redirects are not followed, so remove it'
                )
                for i, s in ((1, "301"), (2, "1xx"), (3, "3xx"))
            ],
        ),
        (
            {"response": {"headers": ["ETag", "Set-Cookie", "set-cookie2", "WWW-Authenticate", "Proxy-Authenticate"]}},
            [
                f'error UnsafeHeader: spec.response.headers[{i}]: "{h}" must not be passed to clients; remove it'
                for i, h in ((1, "Set-Cookie"), (2, "set-cookie2"), (3, "WWW-Authenticate"), (4, "Proxy-Authenticate"))
            ],
        ),
    ],
)
def test_how_a_reply_is_read(spec: dict[str, Any], expected: list[str]) -> None:
    assert findings_of(transport.invalid_response(tool(**spec))) == expected
    if "outputSchema" not in spec:
        assert findings_of(transport.invalid_response(read(**spec))) == expected


def test_what_reads_no_reply_has_none_to_misread() -> None:
    for item in (prompt(), server(), tool(), read()):
        assert findings_of(transport.invalid_response(item)) == []
    assert findings_of(transport.unsafe_retries(prompt())) == []
