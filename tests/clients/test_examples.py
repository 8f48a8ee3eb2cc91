"""Both official SDKs, as they are, use every example: they list all, call, get and read all, and nothing fails."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from crd.compiler import compilation
from crd.facts import MemberFact, ServerFact
from crd.models.server import ServerSpec
from crd.published import catalogs, uri
from crd.published.settings import Limits
from crd.ref import Kind
from runtime.app import program
from runtime.backends.http_mapping import mapping
from scripts.clients import node
from scripts.localcluster.ports import free_port
from tests.clients import echo
from tests.clients.instances import instance_of
from tests.examples import corpus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from crd.manifest import Object
    from crd.published.catalogs import Catalog

KEY = ec.generate_private_key(ec.SECP256R1())
SERVERS = [item for item in corpus.valid() if item.ref.kind is Kind.SERVER]


@dataclass
class Plan:
    """What clients list of a server, and what they do with it."""

    url: str
    headers: dict[str, str]
    listed: dict[str, list[str]]
    tools: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    prompts: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)


def members_of(server: Object) -> list[Object]:
    """What the server selects."""
    of_server, chosen = server.fact, []
    assert isinstance(of_server, ServerFact)
    for item in corpus.valid():
        fact = item.fact
        if isinstance(fact, MemberFact) and fact.ref.namespace == server.ref.namespace:
            chosen += [item] if of_server.selector_of(fact.ref.kind).matches(fact.labels) else []
    return chosen


def prepared(server: Object, backend: echo.Backend, directory: Path, port: int) -> tuple[Catalog, Plan]:
    """The catalog of a server, with every backend on loopback and everything mounted; and what clients do with it."""
    found = visible(compilation.compile_server(server, members_of(server), corpus.background(), None).catalog)
    files: dict[tuple[str, str, str], str] = {}

    def moved(entry: Any) -> Any:
        policy = getattr(entry, "policy", None)
        for each in policy.headers_from if policy is not None else ():
            files[each.kind, each.object, each.key] = "a-value"
        changes: dict[str, Any] = {"policy": replace(policy, tls=None)} if policy is not None else {}
        changes |= {"rate_limit": None} if hasattr(entry, "rate_limit") else {}
        return replace(backend.move(entry), **changes)

    entries = {name: tuple(map(moved, getattr(found, name))) for name in ("tools", "http_resources", "operations")}
    settings = replace(found.settings, sessions="Memory", limits=Limits())
    headers = {}
    if settings.auth.type == "APIKey":
        files["Secret", settings.auth.api_key_secret, "assistant"] = "an-api-key"
        headers["Authorization"] = "Bearer an-api-key"
    elif settings.auth.jwt is not None:
        wanted = replace(settings.auth.jwt, jwks_url="", jwks_secret="issuer")
        settings = replace(settings, auth=replace(settings.auth, jwt=wanted))
        public = jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
        files["Secret", "issuer", "jwks.json"] = json.dumps({"keys": [{**public, "kid": "a", "alg": "ES256"}]})
        claims = {"iss": wanted.issuer, "aud": wanted.audiences[0], "exp": 4_102_444_800, "sub": "ada"}
        claims |= dict.fromkeys(sent_claims(server), "a-claim") | {wanted.user_claim: "ada"}
        claims["scope"] = " ".join({*wanted.required_scopes, *scopes(found)})
        headers["Authorization"] = f"Bearer {jwt.encode(claims, KEY, 'ES256', headers={'kid': 'a'})}"
    for (kind, name, key), value in files.items():
        path = directory / kind / name / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    for each in (*found.http_resources, *found.operations):
        pointer = each.policy.response.select if hasattr(each, "policy") else ""
        backend.replies[each.source, ""] = echo.Reply(value={"ok": True}, select=pointer)
    plan = Plan(f"http://127.0.0.1:{port}{settings.path_prefix}", headers, {
        "tools": [each.name for each in found.tools],
        "prompts": [each.name for each in found.prompts],
        "resources": [
            *(each.uri for each in (*found.resources, *found.http_resources) if "{" not in each.uri),
            *(each.uri_template for each in found.operations if each.uri_template and "{" not in each.uri_template),
        ],
        "templates": [
            *(each.uri for each in found.http_resources if "{" in each.uri),
            *(each.uri_template for each in found.operations if "{" in each.uri_template),
        ],
    })  # fmt: skip
    for tool in found.tools:
        response, schema = tool.policy.response, tool.output_schema
        value = instance_of(schema, whole=True) if schema else {"ok": True}
        status = next(int(each.replace("xx", "00")) for each in response.expect_status)
        backend.replies[tool.source, tool.mcp.tool if tool.mcp else ""] = echo.Reply(
            value, response.select, status, is_text=response.format in ("Text", "Binary"), is_mcp=tool.mcp is not None
        )
        plan.tools += [
            (tool.name, instance_of(mapping.listed_input_schema(tool), whole=each)) for each in (False, True)
        ]
    for prompt in found.prompts:
        arguments = {each.name: each.enum[0] if each.enum else "a value" for each in prompt.variables}
        plan.prompts += [(prompt.name, arguments)]
        plan.prompts += [(prompt.name, {each.name: arguments[each.name] for each in prompt.variables if each.required})]
    plan.resources = [*plan.listed["resources"], *(expanded(each) for each in plan.listed["templates"])]
    return replace(found, settings=settings, **entries), plan


def visible(found: Catalog) -> Catalog:
    """What clients are shown: only tokens have scopes."""
    if found.settings.auth.jwt is not None:
        return found
    sections = ("tools", "prompts", "resources", "http_resources", "operations")
    kept = {name: tuple(each for each in getattr(found, name) if not each.required_scopes) for name in sections}
    return replace(found, **kept)


def sent_claims(server: Object) -> set[str]:
    facts = (item.fact for item in members_of(server))
    return {claim for fact in facts if isinstance(fact, MemberFact) for claim in fact.token_claims}


def scopes(found: Catalog) -> set[str]:
    sections = (found.tools, found.prompts, found.resources, found.http_resources, found.operations)
    return {scope for section in sections for entry in section for scope in entry.required_scopes}


def expanded(template: str) -> str:
    """A URI that matches a template."""
    return "".join(
        part
        if isinstance(part, str)
        else f"?{'&'.join(f'{name}=1' for name in part.names)}"
        if part.operator == "?"
        else "a1"
        for part in uri.split(template)
    )


async def use_in_python(plan: Plan) -> dict[str, Any]:
    """The same as sdk.mjs does, with the official Python client."""
    report: dict[str, Any] = {"failures": [], "error": None}
    async with httpx2.AsyncClient(headers=plan.headers, timeout=30) as http, Client(
        streamable_http_client(plan.url, http_client=http), cache=None
    ) as client:  # fmt: skip
        lists: Mapping[str, tuple[Any, str, str]] = {
            "tools": (client.list_tools, "tools", "name"),
            "prompts": (client.list_prompts, "prompts", "name"),
            "resources": (client.list_resources, "resources", "uri"),
            "templates": (client.list_resource_templates, "resource_templates", "uri_template"),
        }
        for member, (listing, section, name) in lists.items():
            report[member], cursor = [], None
            while True:
                page = await listing(cursor=cursor)
                report[member] += [getattr(each, name) for each in getattr(page, section)]
                cursor = page.next_cursor
                if cursor is None:
                    break
        for name, arguments in plan.tools:
            result = await client.call_tool(name, arguments)
            if result.is_error:
                report["failures"].append(f"tool {name} {arguments}: {result.content}")
        for name, arguments in plan.prompts:
            await client.get_prompt(name, arguments)
        for each in plan.resources:
            await client.read_resource(each)
    return report


async def test_both_sdks_use_every_example(tmp_path: Path) -> None:
    stop = asyncio.Event()
    plans: dict[str, Plan] = {}
    running = []
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(echo.Backend())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        for server in SERVERS:
            assert isinstance(server.spec, ServerSpec)
            directory, port, health = tmp_path / server.ref.key, free_port(), free_port()
            catalog, plans[server.ref.key] = prepared(server, backend, directory, port)
            (directory / "catalog").mkdir(parents=True)
            (directory / "catalog" / catalogs.FILE).write_bytes(catalogs.dump(catalog))
            settings = program.Settings(
                directory / "catalog",
                host="127.0.0.1",
                port=port,
                health_port=health,
                drain_seconds=0.0,
                allow_loopback=True,
                secrets_dir=directory / "Secret",
                config_maps_dir=directory / "ConfigMap",
            )
            running.append(asyncio.create_task(program.run(settings, stop)))
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{health}/readyz") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.01)
        try:
            given = [vars(plan) for plan in plans.values()]
            reports = await asyncio.to_thread(node.use_servers, given)
            of_python = [await use_in_python(plan) for plan in plans.values()]
        finally:
            stop.set()
            await asyncio.gather(*running)
    for (name, plan), of_typescript, python in zip(plans.items(), reports, of_python, strict=True):
        for client, report in (*of_typescript.items(), ("python", python)):
            assert (report["error"], report["failures"]) == (None, []), f"{client} on {name}"
            for member, expected in plan.listed.items():
                assert sorted(report[member]) == sorted(expected), f"{client} on {name}"
    counts = {
        member: sum(len(plan.listed[member]) for plan in plans.values()) for member in ("tools", "prompts", "resources")
    }
    assert counts["tools"] > 30
    assert counts["prompts"]
    assert counts["resources"]


def test_every_example_of_a_member_is_selected_by_a_server_of_the_test() -> None:
    """So that the test above uses all of them."""
    served = {
        member.split(" ")[-1]
        for server in SERVERS
        for section in ("tools", "prompts", "resources", "http_resources", "operations")
        for member in (
            entry.source
            for entry in getattr(
                compilation.compile_server(server, members_of(server), corpus.background(), None).catalog, section
            )
        )
    }
    members = {
        item.ref.key
        for item in corpus.valid()
        if item.ref.kind is not Kind.SERVER and item.fact and getattr(item.fact, "claims", ())
    }
    assert members - served == set()
