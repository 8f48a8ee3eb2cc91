"""The connection by kubeconfig, against an API server that accepts one token."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from aiohttp import web

from cluster import client, transport
from cluster.kubeconfig import KubeconfigTransport
from cluster.pod import PodTransport
from cluster.transport import ApiError, CredentialsError, LongAnswerError, MalformedAnswerError


async def endless(request: web.Request, status: int = 200) -> web.StreamResponse:
    """More and more of an answer, until the client closes the connection."""
    response = web.StreamResponse(status=status)
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b" " * 1000)
    return response


class Api:
    """Accepts ``token``; ``asked`` counts the requests."""

    def __init__(self) -> None:
        self.token = "one"
        self.asked = 0
        self.silent = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"reason": "Unauthorized", "message": "no"}, status=401)
        if self.silent:
            await asyncio.Event().wait()
        if request.path == "/endless":
            return await endless(request)
        if request.path == "/refused":
            return await endless(request, 503)
        if request.path == "/bomb":
            return web.Response(body=gzip.compress(b"\0" * 50_000_000), headers={"Content-Encoding": "gzip"})
        if request.path == "/silent":
            response = web.StreamResponse()
            await response.prepare(request)
            await asyncio.Event().wait()
        if "watch" in request.query:
            return web.Response(body=b'{"type":"ADDED"}\n')
        if request.path == "/page":
            return web.Response(body=b"<html>Back soon")
        if request.path == "/list":
            return web.json_response([1])
        if request.path == "/headers":
            return web.json_response({name.lower(): value for name, value in request.headers.items()})
        return web.json_response({"query": dict(request.query), "body": await request.text()})


@pytest.fixture
async def api(aiohttp_server: Any) -> tuple[Api, str]:
    api = Api()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.answer)
    server = await aiohttp_server(app)
    return api, str(server.make_url("")).rstrip("/")


@pytest.fixture
def write(api: tuple[Api, str], tmp_path: Path) -> Any:
    def write(token: str) -> Path:
        path = tmp_path / "kubeconfig"
        document = {
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": api[1]}}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    return write


@pytest.fixture
def refusals() -> list[None]:
    """An entry for each time that the credentials could not be refreshed."""
    return []


@pytest.fixture
async def connected(write: Any, refusals: list[None]) -> AsyncIterator[KubeconfigTransport]:
    connected = await client.connect(kubeconfig=write("one"), refresh_failed=lambda: refusals.append(None))
    assert isinstance(connected, KubeconfigTransport)
    yield connected
    await connected.close()


@pytest.mark.parametrize("path", ["/endless", "/bomb"])
async def test_an_answer_with_a_limit_is_not_read_beyond_it(connected: KubeconfigTransport, path: str) -> None:
    with pytest.raises(LongAnswerError):
        await connected.fetch(path, query={}, timeout=5, limit=4096)
    assert b'"query"' in await connected.fetch("/a", query={}, timeout=5, limit=4096)


async def test_a_refusal_is_not_read_without_end(connected: KubeconfigTransport) -> None:
    for limit in (None, 4096):
        with pytest.raises(ApiError, match="503 Unknown"):
            await connected.fetch("/refused", query={}, timeout=30, limit=limit)
    with pytest.raises(ApiError, match="503 Unknown"):
        async with connected.watch("/refused", query={}, idle=30):
            pass


async def test_requests_fetches_and_watches(connected: KubeconfigTransport) -> None:
    assert await connected.request("POST", "/a", query={"b": "c"}, body={"x": 1}) == {
        "query": {"b": "c"},
        "body": '{"x": 1}',
    }
    assert b'"query"' in await connected.fetch("/a", query={}, timeout=5)
    async with connected.watch("/a", query={}, idle=5) as events:
        assert [event async for event in events] == [{"type": "ADDED"}]


async def test_an_answer_that_is_not_json_is_none(connected: KubeconfigTransport) -> None:
    with pytest.raises(MalformedAnswerError, match="not JSON; it begins with '<html>Back soon'"):
        await connected.request("GET", "/page")


async def test_a_kubeconfig_is_read_again_when_its_token_is_not_accepted(
    connected: KubeconfigTransport, api: tuple[Api, str], write: Any
) -> None:
    api[0].token = "two"
    write("two")

    assert await connected.request("GET", "/a")
    async with connected.watch("/a", query={}, idle=5) as events:
        assert [event async for event in events]


async def test_it_is_not_read_again_at_once_if_that_did_not_help(
    connected: KubeconfigTransport, api: tuple[Api, str]
) -> None:
    api[0].token = "two"

    with pytest.raises(ApiError, match="401"):
        await connected.request("GET", "/a")
    assert api[0].asked == 2
    with pytest.raises(ApiError, match="401"):
        async with connected.watch("/a", query={}, idle=5):
            pass
    assert api[0].asked == 3


async def test_credentials_that_cannot_be_refreshed_fail_the_request_only(
    connected: KubeconfigTransport, api: tuple[Api, str], write: Any, refusals: list[None]
) -> None:
    api[0].token = "two"
    write("one").write_text("no kubeconfig")

    with pytest.raises(CredentialsError, match="cannot be read again"):
        await connected.request("GET", "/a")
    api[0].token = "one"
    assert await connected.request("GET", "/a")
    assert len(refusals) == 1

    async def fail(*_: Any) -> None:
        raise RuntimeError("expired")

    connected._api.update_params_for_auth = fail
    with pytest.raises(CredentialsError, match="cannot be refreshed: expired"):
        await connected.fetch("/a", query={}, timeout=5)
    assert len(refusals) == 2


async def test_every_request_has_an_end(
    connected: KubeconfigTransport, api: tuple[Api, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    api[0].silent = True
    monkeypatch.setattr(transport, "REQUEST_TIMEOUT", 0.05)

    with pytest.raises(TimeoutError):
        await connected.request("GET", "/a", timeout=0.05)
    with pytest.raises(TimeoutError):
        await connected.fetch("/a", query={}, timeout=0.05)
    with pytest.raises(TimeoutError):
        async with connected.watch("/a", query={}, idle=5):
            pass


@pytest.mark.parametrize("token", ["one", "two"])
async def test_a_watch_that_is_silent_ends(
    connected: KubeconfigTransport, api: tuple[Api, str], write: Any, token: str
) -> None:
    """Also one that was opened with new credentials."""
    api[0].token = token
    write(token)

    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            async with connected.watch("/silent", query={}, idle=0.05) as events:
                await anext(events)


async def test_a_pod_uses_what_is_mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(client, "SERVICE_ACCOUNT", tmp_path)
    (tmp_path / "token").write_text("one")

    assert isinstance(await client.connect(), PodTransport)


async def test_every_request_says_what_it_sends_and_what_it_takes(connected: KubeconfigTransport) -> None:
    plain = await connected.request("GET", "/headers")
    patch = await connected.request(
        "PATCH", "/headers", body={"a": 1}, content_type="application/apply-patch+yaml", accept="application/y"
    )
    fetched = orjson.loads(await connected.fetch("/headers", query={}, timeout=5, accept="application/z"))

    assert (plain["accept"], plain["accept-encoding"]) == ("application/json", "identity")
    assert (patch["accept"], patch["content-type"]) == ("application/y", "application/apply-patch+yaml")
    assert fetched["accept"] == "application/z"
    assert {each["authorization"] for each in (plain, patch, fetched)} == {"Bearer one"}
    assert await connected.request("GET", "/list") == {"value": [1]}


async def test_a_watch_says_so_and_carries_its_query(connected: KubeconfigTransport, api: tuple[Api, str]) -> None:
    seen: list[dict[str, str]] = []
    answer = api[0].answer

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append({**request.query, "accept": request.headers["Accept"]})
        return await answer(request)

    api[0].answer = note  # type: ignore[method-assign]
    async with connected.watch("/a", query={"resourceVersion": "7"}, idle=5) as events:
        assert [event async for event in events] == [{"type": "ADDED"}]
    assert seen in ([], [{"resourceVersion": "7", "watch": "true", "accept": "application/json"}])


async def test_a_context_is_chosen_and_pools_have_no_limit(write: Any, api: tuple[Api, str]) -> None:
    path = write("one")
    document = yaml.safe_load(path.read_text())
    document["users"].append({"name": "v", "user": {"token": "two"}})
    document["contexts"].append({"name": "d", "context": {"cluster": "c", "user": "v"}})
    path.write_text(yaml.safe_dump(document))

    connected = await client.connect("d", path)
    assert isinstance(connected, KubeconfigTransport)
    api[0].token = "two"
    assert await connected.request("GET", "/a")
    configuration = connected._api.configuration
    assert (configuration.connection_pool_maxsize, configuration.disable_strict_ssl_verification) == (0, True)
    await connected.close()


@pytest.mark.parametrize("missing", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "token", None])
async def test_what_a_pod_has_is_used_whole_or_not_at_all(
    missing: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Any
) -> None:
    refusals: list[None] = []
    monkeypatch.setattr(client, "SERVICE_ACCOUNT", tmp_path / "account")
    (tmp_path / "account").mkdir()
    for name, value in (("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("KUBERNETES_SERVICE_PORT", "6443")):
        monkeypatch.delenv(name, raising=False)
        if name != missing:
            monkeypatch.setenv(name, value)
    if missing != "token":
        (tmp_path / "account" / "token").write_text("one")
    default = "kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(default, str(write("one")))

    found = await client.connect(refresh_failed=lambda: refusals.append(None))

    assert isinstance(found, PodTransport) is (missing is None)
    # A kubeconfig that is named goes before what a pod has.
    named = await client.connect(kubeconfig=write("one"))
    assert isinstance(named, KubeconfigTransport)
    await named.close()
    if isinstance(found, PodTransport):
        assert found.authority == "10.0.0.1:6443"
        with pytest.raises(CredentialsError):
            await found.request("GET", "/a")
        assert len(refusals) == 1
    await found.close()
