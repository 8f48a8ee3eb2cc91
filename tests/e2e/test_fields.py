"""Fields of the API with real pods: what they do to a call, to who may make one, and to the workloads."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from scripts.localcluster import Cluster, installation

pytestmark = pytest.mark.e2e

NAMESPACE = "fields"
LABELS = {"app": "echo"}


def manifest(
    kind: str, name: str, spec: dict[str, Any] | None = None, version: str = "mcp.example.com/v1alpha1", **more: Any
) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": more.pop("labels", LABELS)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **({"spec": spec} if spec else {}), **more}


def tool(name: str, path: str = "/", **spec: Any) -> dict[str, Any]:
    service = {"name": "echo", "port": 80, "path": path}
    return manifest("MCPTool", name, {"description": f"Echoes, to see what {name} sends.", "service": service, **spec})


def server(name: str, **spec: Any) -> dict[str, Any]:
    return manifest("MCPServer", name, {"toolSelector": {"matchLabels": LABELS}, **spec})


def apply(cluster: Cluster, *objects: dict[str, Any]) -> str:
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    return cluster.run("apply", "-f", "-", stdin=items).stderr


def get(cluster: Cluster, *words: str) -> dict[str, Any]:
    return dict(json.loads(cluster.run("-n", NAMESPACE, "get", *words, "-o", "json").stdout))


def backend() -> list[dict[str, Any]]:
    container = {
        "name": "echo", "image": "localhost/mcp-operator:dev", "imagePullPolicy": "IfNotPresent",
        "command": ["python3.14", "/program/echo.py"],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        "volumeMounts": [{"name": "program", "mountPath": "/program"}],
    }  # fmt: skip
    pod = {"containers": [container], "volumes": [{"name": "program", "configMap": {"name": "echo"}}]}
    template = {"metadata": {"labels": {"run": "echo"}}, "spec": pod}
    deployment = {"selector": {"matchLabels": {"run": "echo"}}, "template": template}
    program = (Path(__file__).parent / "echo.py").read_text()
    return [
        manifest("ConfigMap", "echo", version="v1", data={"echo.py": program}),
        manifest("Deployment", "echo", deployment, "apps/v1"),
        manifest("Service", "echo", {"selector": {"run": "echo"}, "ports": [{"port": 80, "targetPort": 8080}]}, "v1"),
        *redis(),
        manifest("Secret", "token", version="v1", stringData={"key": "s3cret"}),
        manifest("Secret", "agents", version="v1", stringData={"ada": "key-of-ada", "bob": "key-of-bob"}),
    ]


def redis() -> list[dict[str, Any]]:
    """The Redis of the examples, with the image that the local cluster has."""
    text = (Path(__file__).parents[2] / "manifests" / "components" / "redis" / "redis.yaml").read_text()
    documents = list(yaml.safe_load_all(text.replace("image: redis", "image: localhost/redis:dev")))
    for document in documents:
        document["metadata"]["namespace"] = NAMESPACE
    return documents


SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {"type": "string"},
    },
}


@pytest.fixture(scope="module")
def fields(cluster: Cluster) -> Iterator[Cluster]:
    cluster.run("create", "namespace", NAMESPACE)
    apply(cluster, *backend())
    apply(
        cluster,
        tool("mapped", "/api", method="PUT", inputSchema=SCHEMA, http={
            "path": "/items/{id}", "query": [{"name": "tag", "argument": "tags", "style": "Comma"}],
            "headers": [{"name": "X-Source", "value": "mcp"}],
            "body": {"mode": "Fields", "fields": [{"name": "/meta/note", "argument": "note"}]},
        }),
        tool("secretive", headersFrom=[{"name": "Authorization", "prefix": "Bearer ",
                                        "secretKeyRef": {"name": "token", "key": "key"}}]),
        tool("keyless", headersFrom=[{"name": "X-Key", "secretKeyRef": {"name": "nothing", "key": "key"}}]),
        tool("failing", "/fail/503", method="GET"),
        tool("disabled", enabled=False),
        server("open", naming={"prefix": "echo."}),
    )  # fmt: skip
    for name in ("echo", "redis"):
        cluster.run("-n", NAMESPACE, "rollout", "status", f"deployment/{name}", "--timeout=120s")
    cluster.run("-n", NAMESPACE, "wait", "mcpserver/open", "--for=condition=Ready", "--timeout=120s")
    yield cluster
    cluster.run("delete", "namespace", NAMESPACE, "--wait=false")


def address(cluster: Cluster, name: str) -> str:
    return "http://" + get(cluster, "service", f"{name}-mcp")["spec"]["clusterIP"] + "/mcp"


async def called(url: str, name: str, arguments: dict[str, Any] | None = None) -> Any:
    async with Client(url) as client:
        return await client.call_tool(name, arguments or {})


def fault(result: Any) -> dict[str, Any]:
    assert result.is_error
    return dict(json.loads(result.content[0].text)["error"])


async def test_arguments_become_the_request_that_the_author_wrote(fields: Cluster) -> None:
    arguments = {"id": "a b?c", "tags": ["x", "y,z"], "note": "ü"}

    result = await called(address(fields, "open"), "echo.mapped", arguments)

    said = result.structured_content
    assert (said["method"], said["path"]) == ("PUT", "/api/items/a%20b%3Fc?tag=x,y%2Cz")
    assert json.loads(said["body"]) == {"meta": {"note": "ü"}}
    assert said["headers"]["X-Source"] == "mcp"


async def test_what_would_leave_its_path_is_refused(fields: Cluster) -> None:
    assert (
        fault(await called(address(fields, "open"), "echo.mapped", {"id": "../admin"}))["code"] == "invalid_arguments"
    )


async def test_a_credential_comes_out_of_a_secret_and_a_missing_one_fails_that_tool_only(fields: Cluster) -> None:
    url = address(fields, "open")

    sent = (await called(url, "echo.secretive")).structured_content

    assert sent["headers"]["Authorization"] == "Bearer s3cret"
    assert fault(await called(url, "echo.keyless"))["code"] == "misconfigured"


async def test_a_failing_backend_is_an_error_and_a_disabled_tool_is_absent(fields: Cluster) -> None:
    url = address(fields, "open")

    assert fault(await called(url, "echo.failing"))["status"] == 503
    async with Client(url) as client:
        assert [each.name for each in (await client.list_tools()).tools] == [
            "echo.failing", "echo.keyless", "echo.mapped", "echo.secretive",
        ]  # fmt: skip
    found = {c["type"]: c for c in get(fields, "mcptool", "disabled")["status"]["conditions"]}
    assert (found["Accepted"]["status"], found["Accepted"]["reason"]) == ("True", "Disabled")
    assert "Ready" not in found


async def test_only_a_key_lets_in(fields: Cluster) -> None:
    apply(fields, server("keyed", auth={"type": "APIKey", "apiKey": {"secretName": "agents"}}))
    fields.run("-n", NAMESPACE, "wait", "mcpserver/keyed", "--for=condition=Ready", "--timeout=120s")
    url = address(fields, "keyed")

    async with httpx2.AsyncClient() as http:
        refused = await http.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert (await http.post(url, json={}, headers={"Authorization": "Bearer key-of-eve"})).status_code == 401
    async with httpx2.AsyncClient(headers={"Authorization": "Bearer key-of-ada"}) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport) as client:
            assert not (await client.call_tool("mapped", {"id": "1"})).is_error


async def test_a_limit_counts_the_calls_of_all_pods_together(fields: Cluster) -> None:
    limits = {"tools": {"mapped": {"requests": 3, "period": "1h"}}}
    apply(fields, server("limited", replicas=2, redis={"serviceName": "redis"}, rateLimits=limits))
    fields.run("-n", NAMESPACE, "wait", "mcpserver/limited", "--for=condition=Ready", "--timeout=120s")
    url = address(fields, "limited")

    results = [await called(url, "mapped", {"id": "1"}) for _ in range(5)]

    assert [result.is_error for result in results] == [False, False, False, True, True]
    assert fault(results[-1])["code"] == "rate_limited"
    assert fault(results[-1])["retryAfter"] > 0


async def test_another_server_is_a_backend_that_speaks_mcp(fields: Cluster) -> None:
    relay = tool("relay", mcp={"path": "/mcp", "toolName": "echo.mapped"}, inputSchema=SCHEMA)
    relay["spec"]["service"] = {"name": "open-mcp", "port": 80}
    relay["metadata"]["labels"] = {"app": "relay"}
    apply(fields, relay, manifest("MCPServer", "relaying", {"toolSelector": {"matchLabels": {"app": "relay"}}}))
    fields.run("-n", NAMESPACE, "wait", "mcpserver/relaying", "--for=condition=Ready", "--timeout=120s")

    result = await called(address(fields, "relaying"), "relay", {"id": "7"})

    assert result.structured_content["path"] == "/api/items/7"


def test_workloads_come_and_go_with_the_spec(fields: Cluster) -> None:
    desired = {
        "autoscaling": {"minReplicas": 2, "maxReplicas": 3},
        "podDisruptionBudget": {"minAvailable": 1},
        "networkPolicy": {"enabled": True},
        "podTemplate": {"annotations": {"team": "shop"}, "labels": {"example.com/cost": "shop"}},
        "sessions": {"mode": "Stateless"},
    }
    kinds = "horizontalpodautoscalers,poddisruptionbudgets,networkpolicies"

    def there() -> set[str]:
        found = get(fields, kinds, "-l", "mcp.example.com/server=guarded")["items"]
        return {item["kind"] for item in found}

    apply(fields, server("guarded", **desired))
    fields.run("-n", NAMESPACE, "wait", "mcpserver/guarded", "--for=condition=Ready", "--timeout=120s")
    everything = {"HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}
    installation.until("all are there", lambda: there() == everything, 30)
    pods = get(fields, "pods", "-l", "mcp.example.com/server=guarded")["items"]
    assert len(pods) == 2
    assert {pod["metadata"]["annotations"]["team"] for pod in pods} == {"shop"}

    apply(fields, server("guarded", replicas=0))
    installation.until("all are gone", lambda: there() == set(), 30)


def pods(cluster: Cluster) -> set[str]:
    found = get(cluster, "pods", "-l", "mcp.example.com/server=open")["items"]
    return {pod["metadata"]["uid"] for pod in found}


async def test_a_rotated_secret_is_used_without_a_restart(fields: Cluster) -> None:
    url = address(fields, "open")
    before = pods(fields)
    apply(fields, manifest("Secret", "token", version="v1", stringData={"key": "rotated"}))

    deadline = time.monotonic() + 150
    while (await called(url, "echo.secretive")).structured_content["headers"]["Authorization"] != "Bearer rotated":
        assert time.monotonic() < deadline, "the kubelet never brought the new value"
        await asyncio.sleep(1)

    assert pods(fields) == before
