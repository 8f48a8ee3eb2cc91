"""The webhook as a process: it takes reviews from when it has listed what it judges by until it has drained."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientConnectorError, ClientError, ClientSession
from cryptography import x509

from certs import issuance, secret
from certs.authority import Authority
from certs.paths import PathKeys
from cluster.transport import JSON, ApiError
from scripts.localcluster.certificates import Authority as Clients
from scripts.localcluster.ports import free_port
from webhook import object_processes, program
from webhook.metrics import Metrics

NOW = datetime.now(UTC)  # noqa: TID251 -- TLS judges by the clock of the machine
KEY = issuance.path_key()
CA, NEXT_CA = issuance.authority("test", NOW), issuance.authority("next", NOW)
REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "u",
        "operation": "CREATE",
        "kind": {"group": "mcp.example.com", "version": "v1alpha1", "kind": "MCPTool"},
        "namespace": "shop",
        "name": "a",
        "object": {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPTool",
            "metadata": {"namespace": "shop", "name": "a"},
            "spec": {"name": "a", "description": "Find an order by its number.", "service": {"name": "s", "port": 80}},
        },
    },
}


class Api:
    """Gives the CA at once, and lists, which are empty, once it is ``up``."""

    def __init__(self) -> None:
        self.up = False

    async def request(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        if "/secrets/" in path:
            return secret.manifest("mcp-system", "mcp-operator-ca", Authority(CA), keys=PathKeys(KEY))
        raise ApiError(404, "NotFound", "no")

    async def fetch(self, path: str, *, query: Mapping[str, str], timeout: float, accept: str = JSON) -> bytes:
        if not self.up:
            raise ConnectionRefusedError("the API server is down")
        return orjson.dumps({"items": [], "metadata": {"resourceVersion": "1"}})

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        yield self._nothing()

    async def _nothing(self) -> AsyncIterator[dict[str, Any]]:
        await asyncio.get_running_loop().create_future()
        yield {}

    async def close(self) -> None:
        """Nothing is open."""


async def test_the_port_is_open_when_reviews_can_be_judged_and_not_before() -> None:
    api, stop = Api(), asyncio.Event()
    port, health = free_port(), free_port()
    settings = program.Settings("mcp-system", host="127.0.0.1", port=port, health_port=health, drain_seconds=60.0)
    serving = asyncio.create_task(program._serve(settings, api, Metrics(), stop))

    async def readiness(session: ClientSession) -> tuple[int, str]:
        try:
            async with session.get(f"http://127.0.0.1:{health}/readyz") as ready:
                return ready.status, await ready.text()
        except ClientConnectorError:
            return 0, "no answer yet"

    async def judged(session: ClientSession) -> int | None:
        """The status of a review, or None if the port is closed."""
        try:
            async with session.post(
                f"https://127.0.0.1:{port}/validate/{KEY}?timeout=5s", json=REVIEW, ssl=False
            ) as answer:
                return answer.status
        except ClientConnectorError:
            return None

    async with asyncio.timeout(30), ClientSession() as session:
        while "not listed yet" not in (await readiness(session))[1]:
            await asyncio.sleep(0.02)
        # The certificate is there, and the port would be open within these rounds if nothing else was waited for.
        for _ in range(50):
            assert await judged(session) is None
        api.up = True
        while (await readiness(session))[0] != 200:
            assert await judged(session) in (None, 200)
            await asyncio.sleep(0.02)
        assert await judged(session) == 200
        stop.set()
        while "draining" not in (await readiness(session))[1]:
            await asyncio.sleep(0.02)
        assert await judged(session) == 200
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert await judged(session) is None


async def test_a_webhook_that_is_stopped_before_it_is_ready_ends_at_once() -> None:
    api, stop = Api(), asyncio.Event()
    port, health = free_port(), free_port()
    settings = program.Settings("mcp-system", host="127.0.0.1", port=port, health_port=health, drain_seconds=60.0)
    serving = asyncio.create_task(program._serve(settings, api, Metrics(), stop))
    stop.set()
    async with asyncio.timeout(30):
        await serving


SECRETS = "/api/v1/namespaces/mcp-system/secrets"


class Cluster(Api):
    """Lists ``items`` by the plural name, keeps ConfigMaps, and answers every question about rights with no."""

    def __init__(self, **items: list[dict[str, Any]]) -> None:
        super().__init__()
        self.up = True
        self.items = items
        self.listed: list[str] = []
        self.asked: list[str] = []
        self.namespace: dict[str, Any] = {"metadata": {"annotations": {}}}
        self.ledgers: dict[str, dict[str, Any]] = {}
        self.conflicts = 0

    async def request(self, method: str, path: str, *, body: Any = None, **more: Any) -> dict[str, Any]:
        if path == f"{SECRETS}/issued":
            pair = issuance.leaf(CA, ["issued.example.com"], NOW)
            parts = {"tls.crt": pair.certificate, "tls.key": pair.key}
            return {"data": {name: base64.b64encode(value).decode() for name, value in parts.items()}}
        if path == f"{SECRETS}/our-paths":
            return secret.keys_manifest(PathKeys(KEY), "mcp-system", "our-paths")
        if path == f"{SECRETS}/our-ca":
            return secret.manifest("mcp-system", "our-ca", Authority(CA, NEXT_CA), keys=PathKeys(KEY))
        if path.endswith("accessreviews"):
            self.asked.append(path)
            return {"status": {"allowed": False}}
        if path == "/api/v1/namespaces/shop":
            return self.namespace
        if "/configmaps" in path and method == "POST":
            if self.conflicts:
                self.conflicts -= 1
                raise ApiError(409, "AlreadyExists", "another replica was first")
            self.ledgers[path] = body
            return {**body, "metadata": {**body["metadata"], "resourceVersion": "1"}}
        return await super().request(method, path, **more)

    async def fetch(self, path: str, *, query: Mapping[str, str], timeout: float, accept: str = JSON) -> bytes:
        self.listed.append(path)
        found = self.items.get(path.rpartition("/")[2], [])
        return orjson.dumps({"items": found, "metadata": {"resourceVersion": "1"}})


class Ready:
    """A webhook that takes reviews on two ports."""

    def __init__(self, api: Cluster, metrics: Metrics, port: int, next_port: int, health: int) -> None:
        self.api = api
        self.metrics = metrics
        self.port = port
        self.next_port = next_port
        self.health = health
        self.context: Any = False
        self.session = ClientSession()

    async def get(self, path: str) -> tuple[int, str]:
        try:
            async with self.session.get(f"http://127.0.0.1:{self.health}{path}") as answer:
                return answer.status, await answer.text()
        except ClientConnectorError:
            return 0, "no answer yet"

    async def judge(self, kind: str, spec: dict[str, Any], namespace: str = "shop", **metadata: Any) -> Any:
        """The answer to the creation of an object."""
        new = {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": kind,
            "metadata": {"namespace": namespace, "name": "a", "labels": {"app": "shop"}, **metadata},
            "spec": spec,
        }
        request = {**REVIEW["request"], "kind": {"kind": kind}, "namespace": namespace, "object": new}
        request["userInfo"] = {"username": "jane"}
        url = f"https://127.0.0.1:{self.port}/validate/{KEY}"
        async with self.session.post(url, json={**REVIEW, "request": request}, ssl=self.context) as answer:
            return json.loads(await answer.read())["response"]

    def certificate(self, port: int) -> x509.Certificate:
        """What a port shows to its clients."""
        return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode())


@contextlib.asynccontextmanager
async def ready(api: Cluster, **settings: Any) -> AsyncIterator[Ready]:
    """A webhook from when it is ready until it has ended."""
    port, health, next_port = free_port(), free_port(), free_port()
    given = program.Settings(
        "mcp-system",
        **{
            "service": "hook",
            "ca_secret": "our-ca",
            "host": "127.0.0.1",
            "port": port,
            "next_port": next_port,
            "health_port": health,
            "drain_seconds": 0.0,
            **settings,
        },
    )
    stop, metrics = asyncio.Event(), Metrics()
    found = Ready(api, metrics, port, next_port, health)
    running = asyncio.create_task(program._serve(given, api, metrics, stop))
    try:
        async with asyncio.timeout(30):
            while (await found.get("/readyz"))[0] != 200:
                await asyncio.sleep(0.01)
            yield found
            # Or the end would wait for its connections.
            await found.session.close()
            stop.set()
            await running
    finally:
        await found.session.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


TOOL = {"name": "get", "description": "Find an order by its number.", "service": {"name": "orders", "port": 80}}
WITH_SECRET = {**TOOL, "headersFrom": [{"name": "X-Key", "secretKeyRef": {"name": "keys", "key": "k"}}]}


def server(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "metadata": {"name": "main", "namespace": "shop", "uid": "u-main", "resourceVersion": "1"},
        "spec": {"toolSelector": {"matchLabels": {"app": "shop"}}, **spec},
    }


def reasons(answer: Any) -> set[str]:
    return {cause["reason"] for cause in answer.get("status", {}).get("details", {}).get("causes", ())}


async def test_what_was_listed_is_judged_by_and_counted() -> None:
    holder = {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {
            "namespace": "shop", "name": "holder", "uid": "u", "resourceVersion": "1", "labels": {"app": "shop"},
        },
        "spec": TOOL,
    }  # fmt: skip
    async with ready(Cluster(mcpservers=[server()], mcptools=[holder]), hosts=("hook.example.com",)) as hook:
        answer = await hook.judge("MCPTool", {**TOOL, "name": "put"})
        assert answer["allowed"]
        status, text = await hook.get("/metrics")
        assert (await hook.get("/healthz"))[0] == 200
        # Both ports show certificates for the Service, by the CA that is registered and by the next one.
        names = {}
        for port in (hook.port, hook.next_port):
            shown = await asyncio.to_thread(hook.certificate, port)
            found = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names[shown.issuer.rfc4514_string()] = set(found.get_values_for_type(x509.DNSName))
    assert status == 200
    assert "mcp_operator_admission_snapshot_objects 2.0" in text
    assert "mcp_operator_admission_snapshot_staleness_seconds 0." in text
    assert set(names) == {"CN=test", "CN=next"}
    assert all({"hook.mcp-system.svc", "hook.example.com"} <= found for found in names.values())


async def test_a_grant_of_the_rights_is_asked_for_and_missed() -> None:
    async with ready(Cluster(), requester_rights="Enforce") as hook:
        enforced = await hook.judge("MCPTool", WITH_SECRET)
    async with ready(Cluster(), requester_rights="Warn") as hook:
        warned = await hook.judge("MCPTool", WITH_SECRET)

    assert "SecretForbidden" in reasons(enforced)
    assert warned["allowed"]
    assert any(line.startswith("SecretForbidden") for line in warned["warnings"])
    assert set(hook.api.asked) == {"/apis/authorization.k8s.io/v1/subjectaccessreviews"}


async def test_the_settings_of_ingresses_reach_the_rules() -> None:
    annotations = {"nginx.ingress.kubernetes.io/rewrite-target": "/"}
    spec = server(ingress={"host": "a.example.com", "annotations": annotations})["spec"]
    async with ready(Cluster(), ingress_annotations=("nginx.ingress.kubernetes.io/*",)) as hook:
        allowed = await hook.judge("MCPServer", spec)
    async with ready(Cluster(), namespaced_hosts=True) as hook:
        refused = await hook.judge("MCPServer", spec)
        hook.api.namespace = {"metadata": {"annotations": {"mcp.example.com/allowed-hosts": "*.example.com"}}}
        listed = await hook.judge("MCPServer", spec)

    assert allowed["allowed"]
    assert reasons(refused) == {"HostForbidden", "UnsafeWorkload"}
    assert reasons(listed) == {"UnsafeWorkload"}


async def test_with_namespaces_nothing_else_is_listed_asked_or_judged() -> None:
    async with ready(Cluster(), namespaces=("shop",), requester_rights="Enforce") as hook:
        own = await hook.judge("MCPTool", WITH_SECRET)
        other = await hook.judge("MCPTool", TOOL, "bank")

    assert "SecretForbidden" in reasons(own)
    assert set(hook.api.asked) == {"/apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews"}
    assert "namespace bank is not one of --namespaces" in other["status"]["message"]
    assert all("/namespaces/shop/" in path for path in hook.api.listed)


async def test_a_change_under_a_strict_server_is_noted_in_the_ledger_of_the_operator() -> None:
    api = Cluster(mcpservers=[server(integrity="Strict")])
    api.conflicts = 1
    async with ready(api) as hook:
        answer = await hook.judge("MCPTool", TOOL)

    assert answer["allowed"]
    ((path, ledger),) = api.ledgers.items()
    assert path == "/api/v1/namespaces/mcp-system/configmaps"
    assert ledger["metadata"]["name"] == "mcp-operator-ledger-shop"
    (intent,) = json.loads(ledger["data"]["intents.json"])["intents"]
    assert abs(datetime.now(UTC).timestamp() - intent["at"]) < 60  # noqa: TID251 -- what is stored is the time


async def test_only_clients_of_the_given_ca_and_name_are_answered(tmp_path: Path) -> None:
    clients = Clients(tmp_path)
    context = ssl.create_default_context(cadata=CA.certificate.decode())
    context.check_hostname = False
    async with ready(Cluster(), client_ca=clients.ca_file, client_names=("kube-apiserver",)) as hook:
        hook.context = context
        for name, answered in ((None, False), ("kubelet", False), ("kube-apiserver", True)):
            if name is not None:
                context.load_cert_chain(*clients.issue("client", name))
            if answered:
                assert (await hook.judge("MCPTool", TOOL))["allowed"]
            else:
                with pytest.raises((ClientError, OSError)):
                    await hook.judge("MCPTool", TOOL)


async def test_a_certificate_that_somebody_else_issues_is_served(tmp_path: Path) -> None:
    clients = Clients(tmp_path)
    given = {"certificate_secret": "issued", "path_secret": "our-paths"}
    async with ready(Cluster(), **given) as hook:
        assert (await hook.judge("MCPTool", TOOL))["allowed"]
        shown = [await asyncio.to_thread(hook.certificate, port) for port in (hook.port, hook.next_port)]
    async with ready(Cluster(), **given, client_ca=clients.ca_file) as hook:
        with pytest.raises((ClientError, OSError)):
            await hook.judge("MCPTool", TOOL)

    for each in shown:
        found = each.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert found.get_values_for_type(x509.DNSName) == ["issued.example.com"]


async def test_a_judgement_past_its_bounds_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    dies = "import socket; c = socket.socket(fileno=0); c.sendall(bytes(4)); c.recv(1)"
    processes = partial(object_processes.ObjectProcesses, command=(sys.executable, "-c", dies))
    monkeypatch.setattr(program, "ObjectProcesses", processes)
    async with ready(Cluster()) as hook:
        answer = await hook.judge("MCPTool", TOOL, annotations={"note": "x" * 40_000})

    assert answer["status"]["code"] == 500
    assert hook.metrics.exceeded._value.get() == 1


async def test_a_webhook_connects_by_its_settings_and_gives_the_connection_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connected: list[Any] = []
    api, port, health = Cluster(), free_port(), free_port()

    async def connect(context: Any, kubeconfig: Any, *, refresh_failed: Any) -> Cluster:
        connected.append((context, kubeconfig))
        refresh_failed()
        return api

    async def close() -> None:
        connected.append("closed")

    sweeps: list[str] = []

    async def keep_short(_sleep: object) -> None:
        sweeps.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            sweeps.append("ended")

    monkeypatch.setattr(program.collector, "keep_short", keep_short)
    monkeypatch.setattr(program.client, "connect", connect)
    monkeypatch.setattr(api, "close", close)
    thresholds = gc.get_threshold()
    stop = asyncio.Event()
    settings = program.Settings(
        "mcp-system",
        ca_secret="our-ca",
        host="127.0.0.1",
        port=port,
        health_port=health,
        context="c",
        kubeconfig=tmp_path,
        drain_seconds=0.0,
    )
    running = asyncio.create_task(program.run(settings, stop))
    try:
        async with asyncio.timeout(30), ClientSession() as session:
            while True:
                with contextlib.suppress(ClientConnectorError):
                    async with session.get(f"http://127.0.0.1:{health}/readyz") as answer:
                        if answer.status == 200:
                            break
                await asyncio.sleep(0.01)
            async with session.get(f"http://127.0.0.1:{health}/metrics") as answer:
                text = await answer.text()
        assert gc.get_threshold() == (2_000, 10, 100)
    finally:
        stop.set()
        await running
        gc.set_threshold(*thresholds)
    assert sweeps == ["begun", "ended"]
    assert connected == [("c", tmp_path), "closed"]
    assert "mcp_operator_credentials_refresh_failures_total 1.0" in text
