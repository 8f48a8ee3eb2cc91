"""The law of calls: what is admitted works.

A world is a server with a tool, a prompt and a resource. If admission accepts it, an official client lists everything
that it serves, calls the tool with every argument that is valid by the listed schema, gets the prompt, completes its
arguments and reads the resource. The backend receives exactly these arguments where the mapping says, with the
credentials that it wants, and the client gets what the backend answers.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mcp_types import PromptReference

from crd import defaults, integrity, manifest
from crd.finding import Level
from crd.published import catalogs
from crd.published.catalogs import Catalog
from crd.snapshot import Snapshot
from tests.laws import bench as benches
from tests.laws import members, requests, tools
from tests.laws.bench import Answer, Bench, published
from tests.laws.mcp_backend import McpBackend

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mcp import Client

    from crd.manifest import Object
    from tests.laws.members import PromptDraft, ResourceDraft
    from tests.laws.tools import Draft

SEED = 20261126
NUMBERS = itertools.count()
SEEN: Counter[str] = Counter()
AUTH: dict[str, dict[str, Any]] = {
    "None": {},
    "APIKey": {"auth": {"type": "APIKey", "apiKey": {"secretName": "keys"}}},
    "JWT": {
        "auth": {
            "type": "JWT",
            "jwt": {
                "issuer": benches.ISSUER,
                "audiences": ["shop"],
                "jwksSecretName": "issuer",
                "requiredScopes": ["write"],
            },
        }
    },
}
SELECTOR = {"toolSelector": {"matchLabels": {"app": "shop"}}}


def decode(kind: str, name: str, spec: Mapping[str, Any]) -> Object:
    return manifest.decode(defaults.set_defaults(members.manifest_of(kind, name, spec)))


# Members of every kind, so that lists have several pages.
FILLERS = [
    *(decode("MCPTool", f"filler-{each}", {"service": {"name": "orders", "port": 80}}) for each in "abc"),
    *(decode("MCPPrompt", f"filler-{each}", {"template": "Fill."}) for each in "ab"),
    *(
        decode("MCPResource", f"filler-{each}", {"content": {"uri": f"urn:filler:{each}", "text": "-"}})
        for each in "ab"
    ),
    decode(
        "MCPResource",
        "filler-c",
        {"uriTemplate": "filler://{a}", "service": {"name": "orders", "port": 80}, "http": {"path": "/{a}"}},
    ),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory: Path = tmp_path_factory.mktemp("catalog")
    (directory / catalogs.FILE).write_bytes(catalogs.dump(Catalog("shop/main")))
    made = Bench(directory)
    yield made
    made.close()


def check_world(bench: Bench, data: st.DataObject) -> None:
    """Draw a world; if it is admitted, serve it and use all of it."""
    SEEN["worlds"] += 1
    number = next(NUMBERS)
    auth = data.draw(st.sampled_from(["None", "None", "APIKey", "JWT"]), label="auth")
    prefix = data.draw(st.sampled_from(["", "", "shop_"]), label="prefix")
    size = data.draw(st.sampled_from([1, 2, 100]), label="page size")
    naming = {"naming": {"prefix": prefix}} if prefix else {}
    spec = {**SELECTOR, **AUTH[auth], **naming, "config": {"pageSize": size}}
    server = manifest.decode({**members.manifest_of("MCPServer", "main", spec), "spec": spec})
    tool = data.draw(tools.drafts(f"t{number}", has_token=auth == "JWT"), label="tool")
    resource = data.draw(st.none() | members.resources(f"r{number}"), label="resource")
    uris = ("urn:filler:a", *((resource.uri,) if resource and not resource.is_template else ()))
    prompt = data.draw(st.none() | members.prompts(f"p{number}", uris), label="prompt")
    items = [manifest.decode(defaults.set_defaults(tool.manifest))]
    items += [decode("MCPResource", resource.name, resource.spec)] if resource else []
    items += [decode("MCPPrompt", prompt.name, prompt.spec)] if prompt else []
    found = integrity.survey(Snapshot(), [server, *FILLERS, *items])
    refused = {f"{finding.ref.kind.value} {finding.reason.value}" for finding in found if finding.level is Level.ERROR}
    if refused:
        SEEN["rejected"] += 1
        SEEN.update(f"rejected: {each}" for each in refused)
        return
    is_legacy = auth == "None" and not data.draw(st.integers(0, 3), label="era")
    client = bench.legacy if is_legacy else bench.client
    bench.serve(published(server, [*FILLERS, *items], bench.port), auth)
    listed = check_lists(bench, client, prefix, tool, resource, prompt)
    called = check_tool(bench, client, tool, listed[f"{prefix}{tool.name}"], data, is_legacy=is_legacy)
    if prompt is not None:
        check_prompt(bench, client, f"{prefix}{prompt.name}", prompt, data, is_legacy=is_legacy)
        SEEN.update(prompt.features)
    if resource is not None:
        check_resource(bench, client, resource, data)
        SEEN.update(resource.features)
    if called:
        SEEN["used"] += 1
        SEEN.update({f"auth {auth}", f"client of the {'era of sessions' if is_legacy else 'stateless era'}"})
        SEEN.update({"prefix"} if prefix else set())
        SEEN.update({"lists of several pages"} if size < 100 else set())


def pages(bench: Bench, listing: Any) -> Iterator[Any]:
    """Every page of a list."""
    cursor = None
    while True:
        page = bench.do(listing(cursor=cursor))
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


def check_lists(
    bench: Bench, client: Client, prefix: str, tool: Draft, resource: ResourceDraft | None, prompt: PromptDraft | None
) -> dict[str, Any]:
    """Every member is in its list, once. Returns the tools by name."""
    found = [each for page in pages(bench, client.list_tools) for each in page.tools]
    assert sorted(each.name for each in found) == sorted(
        f"{prefix}{name}" for name in (tool.name, "filler-a", "filler-b", "filler-c")
    )
    names = [each.name for page in pages(bench, client.list_prompts) for each in page.prompts]
    assert sorted(names) == sorted(
        f"{prefix}{name}" for name in ("filler-a", "filler-b", *((prompt.name,) if prompt else ()))
    )
    own = {resource.is_template: [resource.uri]} if resource else {}
    uris = [each.uri for page in pages(bench, client.list_resources) for each in page.resources]
    assert sorted(uris) == sorted(["urn:filler:a", "urn:filler:b", *own.get(False, [])])
    templates = [each for page in pages(bench, client.list_resource_templates) for each in page.resource_templates]
    assert sorted(each.uri_template for each in templates) == sorted(["filler://{a}", *own.get(True, [])])
    return {each.name: each for each in found}


def check_tool(
    bench: Bench, client: Client, draft: Draft, listed: Any, data: st.DataObject, *, is_legacy: bool
) -> bool:
    """Call the tool; whether valid arguments and a valid reply were drawn."""
    schema = listed.input_schema
    arguments = data.draw(tools.values_of(schema, schema), label="arguments")
    if not jsonschema.Draft202012Validator(schema).is_valid(arguments):
        SEEN["arguments that are not valid"] += 1
        return False
    output = draft.spec.get("outputSchema")
    value = data.draw(tools.values_of(output, output) if output else tools.anything, label="reply")
    if output and not jsonschema.Draft202012Validator(output).is_valid(value):
        SEEN["replies that are not valid"] += 1
        return False
    if "mcp" in draft.spec:
        check_mcp(bench, client, draft, listed.name, arguments, value, data, is_legacy=is_legacy)
    else:
        check_http(bench, client, draft, listed.name, arguments, value, data, is_legacy=is_legacy)
    SEEN.update(tools.features_of(draft, arguments))
    return True


def check_http(
    bench: Bench, client: Client, draft: Draft, name: str, arguments: dict[str, Any], value: Any, data: st.DataObject,
    *, is_legacy: bool
) -> None:  # fmt: skip
    spec, response = draft.spec, draft.spec.get("response", {})
    paging = spec.get("http", {}).get("pagination", {})
    cursor = data.draw(st.sampled_from([None, "next page", "a=b&ü", 7]), label="next cursor") if paging else None
    notation = data.draw(st.randoms(use_true_random=False))
    text = written(value, notation)
    body, pointer, headers = text, response.get("select", ""), []
    if paging and not pointer:
        # The cursor must have a place beside the value, unless it is in a header.
        cursor = cursor if "nextLink" in paging else None
    if pointer:
        body = enclosed(text, pointer)
    if cursor is not None and "nextLink" in paging:
        link = f"https://orders/?a=1&{quote(paging['parameter'])}={quote(str(cursor))}"
        headers.append(("Link", f'<https://orders/?x>; rel="prev", <{link}>; rel="next"'))
    elif cursor is not None:
        place = (
            f'"meta":{{"next":{json.dumps(cursor)}}}'
            if paging["nextPointer"] == "/meta/next"
            else f'"next":{json.dumps(cursor)}'
        )
        body = f"{body[:-1]},{place}}}"
    status = data.draw(st.sampled_from(statuses(response)), label="status")
    headers += [("Content-Type", "application/json"), ("X-Total", "12")]
    bench.answer = lambda _: Answer(status, body.encode(), tuple(headers))
    for more in ({}, {paging.get("cursorArgument", "cursor"): str(cursor)}) if cursor is not None else ({},):
        sent = {**arguments, **more}
        bench.received.clear()
        result = bench.do(client.call_tool(name, sent))
        assert not result.is_error, result.content[0].text
        assert len(bench.received) == 1
        filled = requests.with_defaults(spec["inputSchema"], sent, spec["inputSchema"])
        assert [*requests.differences(spec, filled, bench.received[0], benches.CLAIMS)] == []
        check_credentials(spec, bench.received[0])
        expected: Any = (
            {"result": value, **({"nextCursor": str(cursor)} if cursor is not None else {})} if paging else value
        )
        exact = json.loads(result.content[0].text, parse_float=Decimal)
        assert requests.equal(exact, expected), (result.content[0].text, expected)
        whole = {"result": expected} if is_legacy and not isinstance(expected, dict) else expected
        assert requests.equal(result.structured_content, whole)
        shown = (result.meta or {}).get("mcp.example.com/headers")
        assert shown == ({"X-Total": "12"} if "headers" in response else None)


def statuses(response: Mapping[str, Any]) -> list[int]:
    """The statuses that count as success."""
    return [
        status
        for each in response.get("expectStatus", ["2xx"])
        for status in ([200, 201, 202] if each == "2xx" else [int(each)])
    ]


def check_credentials(spec: Mapping[str, Any], received: requests.Received) -> None:
    """What the backend gets from Secrets, ConfigMaps and the client's headers, and nothing of the client's token."""
    for each in spec.get("headersFrom", ()):
        source = each.get("secretKeyRef") or each["configMapKeyRef"]
        value = each.get("prefix", "") + benches.CREDENTIALS[source["name"], source["key"]]
        assert received.headers.get(each["name"].lower()) == value
    for each in spec.get("forwardHeaders", ()):
        assert received.headers.get(each.get("backendHeader", each["name"]).lower()) == benches.TENANT
    named = {each["name"].lower() for each in spec.get("headersFrom", ())}
    assert "authorization" in named or "authorization" not in received.headers


def check_mcp(
    bench: Bench, client: Client, draft: Draft, name: str, arguments: dict[str, Any], value: Any, data: st.DataObject,
    *, is_legacy: bool
) -> None:  # fmt: skip
    mcp = draft.spec["mcp"]
    is_modern = mcp["path"].startswith("/modern")
    if not is_modern and not isinstance(value, dict):
        value = {"result": value}
        if "outputSchema" in draft.spec:
            return
    notation = data.draw(st.randoms(use_true_random=False))
    text = written(value, notation)
    version = "2026-07-28" if is_modern else "2025-06-18"
    streams, has_sessions = (
        data.draw(st.booleans(), label="stream"),
        mcp.get("session") == "Shared" or data.draw(st.booleans()),
    )
    result = f'{{"content":[{{"type":"text","text":{json.dumps(text)}}}],"structuredContent":{text}}}'
    backend = McpBackend(version, result, streams=streams, has_sessions=has_sessions)
    bench.answer = backend
    bench.received.clear()
    found = bench.do(client.call_tool(name, arguments))
    assert not found.is_error, found.content[0].text
    assert backend.faults == []
    (call,) = backend.calls
    assert call["name"] == mcp.get("toolName", draft.name)
    assert requests.equal(call["arguments"], arguments)
    for received in bench.received:
        check_credentials(draft.spec, received)
    assert found.content[0].text == text
    whole = {"result": value} if is_legacy and not isinstance(value, dict) else value
    assert requests.equal(found.structured_content, whole)


def check_prompt(
    bench: Bench, client: Client, name: str, draft: PromptDraft, data: st.DataObject, *, is_legacy: bool
) -> None:
    """Get the prompt, and complete each of its arguments."""
    variables = draft.spec.get("variables", ())
    arguments: dict[str, str] = {}
    for each in variables:
        if each.get("required") or data.draw(st.booleans()):
            arguments[each["name"]] = data.draw(st.sampled_from(each["enum"]) if "enum" in each else members.TEXTS)
    found = bench.do(client.get_prompt(name, arguments))
    texts = draft.texts(arguments)
    stated = draft.spec.get("messages", [{}])
    assert [message.role for message in found.messages] == [each.get("role", "user") for each in stated]
    for message, text, each in zip(found.messages, texts, stated, strict=True):
        if text is not None:
            assert message.content.text == text
        elif message.content.type == "resource":
            assert message.content.resource.uri == each["resource"]["uri"]
        else:
            assert (message.content.type, message.content.uri) == ("resource_link", each["resource"]["uri"])
    for each in variables:
        start = data.draw(st.sampled_from(["", "h", "HE", "ü", "zz"]), label="start")
        argument = {"name": each["name"], "value": start}
        values = bench.do(client.complete(PromptReference(name=name), argument)).completion.values
        assert values == [choice for choice in each.get("enum", ()) if choice.lower().startswith(start.lower())]
        SEEN["completion"] += 1


def check_resource(bench: Bench, client: Client, draft: ResourceDraft, data: st.DataObject) -> None:
    """Read the resource; of a template, one that matches it."""
    drawn = data.draw(draft.arguments(), label="variables")
    # The variables of a query are sent in the order of the template.
    values = {name: drawn[name] for name in (*draft.segments, draft.rest, *draft.query) if name in drawn}
    uri = draft.expand(values)
    value = data.draw(tools.anything, label="content")
    text = written(value, data.draw(st.randoms(use_true_random=False)))
    pointer = draft.spec.get("response", {}).get("select", "")
    body = enclosed(text, pointer) if pointer else text
    bench.answer = lambda _: Answer(200, body.encode())
    bench.received.clear()
    (content,) = bench.do(client.read_resource(uri)).contents
    assert content.uri == uri
    if draft.contents is not None:
        assert content.mime_type == draft.contents["mimeType"]
        if "text" in draft.contents:
            assert content.text == draft.contents["text"]
        else:
            assert base64.b64decode(content.blob) == base64.b64decode(draft.contents["blob"])
        assert bench.received == []
        return
    (received,) = bench.received
    assert [*requests.differences(draft.mapping, values, received)] == []
    check_credentials(draft.spec, received)
    assert content.mime_type == draft.spec.get("mimeType", "application/json")
    if pointer:
        assert requests.equal(json.loads(content.text, parse_float=Decimal), value)
    else:
        assert content.text == body


def written(value: Any, notation: Any) -> str:
    """A value as JSON, with numbers in any notation that clients do not round."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{written(each, notation)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(each, notation) for each in value) + "]"
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return json.dumps(value, ensure_ascii=notation.random() < 0.5)
    text = json.dumps(value)
    if isinstance(value, int) and abs(value) < 2**53 and notation.random() < 0.3:
        return notation.choice([f"{text}.0", f"{text}e0", f"{text}.00E+0"])
    return f"{text}0" if "." in text and "e" not in text and notation.random() < 0.3 else text


def enclosed(text: str, pointer: str) -> str:
    """A document with this text as the value at a pointer, among others."""
    for step in reversed(pointer.split("/")[1:]):
        name = step.replace("~1", "/").replace("~0", "~")
        text = (
            f'["x", {text}, 1.50]' if name == "1" else f'{{"other": [1e2], {json.dumps(name)}: {text}, "last": null}}'
        )
    return text


QUICK = settings(
    max_examples=300,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@seed(SEED)
@QUICK
@given(st.data())
def test_what_is_admitted_works(bench: Bench, data: st.DataObject) -> None:
    check_world(bench, data)


@pytest.mark.long
@pytest.mark.parametrize("shard", range(4))
def test_ten_thousand_worlds_without_a_surprise(bench: Bench, shard: int) -> None:
    SEEN.clear()

    @seed(SEED + shard)
    @settings(QUICK, max_examples=2500)
    @given(st.data())
    def law(data: st.DataObject) -> None:
        check_world(bench, data)

    law()
    for name, count in sorted(SEEN.items(), key=lambda pair: (-pair[1], pair[0])):
        print(f"| {name} | {count} |")
    assert SEEN["worlds"] >= 2500
