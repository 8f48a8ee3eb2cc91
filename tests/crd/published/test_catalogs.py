"""The catalog of the pods: what is written is read, and nothing else is."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import orjson
import pytest

from crd.published import catalogs, entries, policy, settings
from crd.published.catalogs import Catalog, InvalidCatalogError
from crd.published.entries import (
    Backend,
    HttpResource,
    InlineResource,
    Message,
    Operation,
    Parameter,
    Prompt,
    Tool,
    Variable,
)
from crd.published.settings import Settings

BACKEND = Backend("orders.shop.svc", 80, "/a")
MAPPED = Tool(
    "t",
    "shop/t",
    "POST",
    BACKEND,
    {"type": "object", "b": 1, "a": [None]},
    description="d",
    annotations={"readOnlyHint": False},
    output_schema={"type": "object"},
    http=entries.Http(
        "/{a}",
        query=(entries.ParameterEntry("q", argument="a"), entries.ParameterEntry("v", value="")),
        body=entries.Body("Fields", fields=(entries.BodyField("f", claim="sub"),)),
        pagination=entries.Pagination("cursor", "page", next_link=True, max_size=5),
    ),
    policy=policy.Policy(
        timeout=2.5,
        retries=policy.Retries(2, ("connect", "5xx")),
        breaker=policy.Breaker(3),
        headers_from=(policy.HeaderFrom("Authorization", "Secret", "s", "k", "Bearer "),),
        response=policy.Response(max_bytes=0, expect_status=("2xx", "404")),
    ),
    rate_limit=policy.Bucket(5, 60.0),
    ingress_path="/t",
)
PASSED_ON = Tool("u", "shop/u", "POST", BACKEND, {"type": "object"}, mcp=entries.Mcp("/mcp", "u"))
FULL = Catalog(
    server="shop/main",
    settings=Settings(
        hosts=("a.example.com",),
        sessions="Redis",
        session_ttl=60.0,
        auth=settings.Auth("JWT", jwt=settings.Jwt("https://i", ("a",), "https://i/keys")),
        limits=settings.Limits(policy.Bucket(1, 1.0, 2), tools=(settings.ToolLimit("t", policy.Bucket(1, 2.0)),)),
    ),
    tools=(MAPPED, PASSED_ON),
    prompts=(
        Prompt(
            "p",
            "shop/p",
            (Message("user", "{{v}}"), Message("assistant", resource="urn:a")),
            variables=(Variable("v", "t", "d", False, ""), Variable("w", required=True, enum=("x",))),
        ),
    ),
    resources=(InlineResource("urn:a", "r", "shop/r", text="a"), InlineResource("urn:b", "r", "shop/r", blob="YQ==")),
    http_resources=(HttpResource("shop://h/{a}", "h", "shop/h", BACKEND, annotations={"priority": 0.5}),),
    operations=(
        Operation("o", "shop/o", "GET", "/o/{a}", BACKEND, "shop://o/{a}", parameters=(Parameter("a", "path", True),)),
    ),
)


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(catalogs.dump(FULL))
    return loaded


@pytest.mark.parametrize("catalog", [FULL, Catalog(server="shop/empty")])
def test_what_is_written_is_read(catalog: Catalog) -> None:
    assert catalogs.load(catalogs.dump(catalog)) == catalog


def test_members_of_an_input_schema_keep_their_order() -> None:
    tool, _ = catalogs.load(catalogs.dump(FULL)).tools
    assert list(tool.input_schema) == ["type", "b", "a"]


def test_what_a_later_version_adds_is_ignored() -> None:
    raw = document()
    raw["later"] = 1
    raw["tools"][0]["later"] = {"a": 1}
    raw["tools"][0]["backend"]["later"] = 2
    assert catalogs.load(orjson.dumps(raw)) == FULL


def broken(**members: Any) -> bytes:
    return orjson.dumps({**document(), **members})


def test_what_says_nothing_is_not_written() -> None:
    raw = document()
    assert raw["format"] == 2
    assert raw["tools"][1] == {
        "name": "u",
        "source": "shop/u",
        "method": "POST",
        "backend": {"host": "orders.shop.svc", "port": 80, "path": "/a"},
        "input_schema": {"type": "object"},
        "mcp": {"path": "/mcp", "tool": "u"},
    }
    assert raw["tools"][0]["http"]["query"] == [{"name": "q", "argument": "a"}, {"name": "v", "value": ""}]
    assert raw["tools"][0]["policy"]["response"] == {"max_bytes": 0, "expect_status": ["2xx", "404"]}


def test_the_weight_of_a_spec_grows_with_what_it_says_and_not_with_what_it_repeats() -> None:
    plain = catalogs.weight(b'{"description":"a tool"}')
    assert 0 < plain < catalogs.weight(b'{"description":"a tool that finds orders by customer"}')
    assert catalogs.weight(b"x" * 10_000) < catalogs.weight("".join(map(str, range(2000))).encode())


def test_a_bucket_holds_as_many_as_requests_unless_a_burst_says_otherwise() -> None:
    assert (policy.Bucket(5, 60.0).capacity, policy.Bucket(5, 60.0, 7).capacity) == (5, 7)


@pytest.mark.parametrize(
    ("method", "annotations", "idempotent"),
    [
        ("GET", {}, True),
        ("PUT", {}, True),
        ("DELETE", {}, True),
        ("POST", {}, False),
        ("PATCH", {}, False),
        ("POST", {"idempotentHint": True}, True),
        ("POST", {"idempotentHint": False}, False),
        ("POST", {"idempotentHint": 1}, False),
    ],
)
def test_what_may_be_sent_again(method: str, annotations: dict[str, Any], idempotent: bool) -> None:
    assert Tool("t", "s", method, BACKEND, {}, annotations=annotations).idempotent is idempotent


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        pytest.param(b"", "not a catalog: JSONDecodeError", id="nothing"),
        pytest.param(b"[]", "not a catalog: TypeError", id="a list"),
        pytest.param(b"{}", "not a catalog: KeyError: 'format'", id="an empty object"),
        pytest.param(broken(format=1), "format is 1, this version reads 2", id="another format"),
        pytest.param(broken(tools=[{}]), "not a catalog: TypeError: .*'backend'", id="a tool without a backend"),
        pytest.param(broken(prompts=[{"variables": []}]), "not a catalog: TypeError", id="a prompt without a name"),
        pytest.param(broken(settings={"hosts": None}), "not a catalog: TypeError", id="settings without hosts"),
        pytest.param(broken(resources=["a"]), "not a catalog: AttributeError", id="text for a resource"),
    ],
)
def test_anything_else_is_no_catalog(payload: bytes, message: str) -> None:
    with pytest.raises(InvalidCatalogError, match=message):
        catalogs.load(payload)


def test_the_digest_is_made_of_the_digests_of_the_lines() -> None:
    lines = [hashlib.sha256(line).digest() for line in (b"abc", b"de", b"")]
    assert catalogs.digest(b"abc\nde\n") == catalogs.digest_of_lines(lines)
    assert catalogs.digest(b"abc") == f"sha256:{hashlib.sha256(lines[0]).hexdigest()}"
    assert len({catalogs.digest(text) for text in (b"abc", b"ab\nc", b"abc\n", b"\nabc")}) == 4


@pytest.mark.parametrize(
    ("data", "binary"),
    [
        pytest.param({"catalog.json": "{ü}"}, {}, id="text"),
        pytest.param({}, {"catalog.json.gz": gzip.compress("{ü}".encode())}, id="gzipped"),
        pytest.param(
            {}, {"catalog.json.gz": gzip.compress(b"{") + gzip.compress("ü}".encode())}, id="a gzip of two members"
        ),
        pytest.param({"catalog.json": "{ü}"}, {"catalog.json.gz": b"x"}, id="text before gzipped"),
    ],
)
def test_the_bytes_in_a_config_map(data: dict[str, str], binary: dict[str, bytes]) -> None:
    assert catalogs.unpack(data, binary) == "{ü}".encode()


@pytest.mark.parametrize(
    ("binary", "message"),
    [
        pytest.param({}, "neither catalog.json nor catalog.json.gz is there", id="neither"),
        pytest.param({"catalog.json.gz": b"x"}, "does not decompress", id="no gzip"),
        pytest.param({"catalog.json.gz": gzip.compress(b"abc")[:-9]}, "does not decompress", id="cut short"),
        pytest.param({"catalog.json.gz": gzip.compress(b"")[:10] + b"\xff" * 9}, "does not decompress", id="garbled"),
        pytest.param(
            {"catalog.json.gz": gzip.compress(b"a") + gzip.compress(b" " * (catalogs.INFLATED_LIMIT))},
            f"inflates to more than {catalogs.INFLATED_LIMIT} bytes",
            id="too large",
        ),
    ],
)
def test_a_config_map_without_a_catalog(binary: dict[str, bytes], message: str) -> None:
    with pytest.raises(InvalidCatalogError, match=message):
        catalogs.unpack({"other": "x"}, binary)
