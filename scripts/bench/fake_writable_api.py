"""A process that keeps objects as an API server does, over TLS: ``python -m scripts.bench.fake_writable_api``.

It prints the port it listens on, and leaves ``token`` and ``ca.crt`` for `cluster.pod.PodTransport` in a directory.
Objects carry managedFields as ``kubectl apply`` leaves them. ``POST /-/edit/{namespace}/{tool}`` gives a tool another
description.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from certs import issuance
from certs.tls import HotContext
from cluster.transport import ApiError
from scripts.bench import fake_api
from tests.controller.fake_api import FakeApi


def pod(team: int) -> dict[str, Any]:
    """The pod of a server, ready."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _owned("Pod", team, "main-mcp-1-1", "ReplicaSet", replica_set(team)["metadata"]["uid"]),
        "spec": {"volumes": [{"name": "catalog", "configMap": {"name": "main-catalog"}}]},
        "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }


def replica_set(team: int) -> dict[str, Any]:
    """The ReplicaSet of a server, without what the controller does not read."""
    metadata = _owned("ReplicaSet", team, "main-mcp-1", "Deployment", "uid-Deployment-main-mcp")
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {**metadata, "uid": f"uid-set-{team}"}}


def _owned(kind: str, team: int, name: str, owner: str, uid: str) -> dict[str, Any]:
    labels = {"mcp.example.com/server": "main", "app.kubernetes.io/managed-by": "mcp-operator"}
    made = fake_api.metadata(kind, team, name, f"team-{team}", {"f:spec": {}}, labels=labels)
    references = [{"apiVersion": "apps/v1", "kind": owner, "name": name, "uid": uid, "controller": True}]
    return {**made, "ownerReferences": references}


def fill(api: FakeApi, tools: int, per_server: int, further_servers: int, *, distinct: bool) -> None:
    """Tools of 4.5 KB, so many to a server, and servers that select nothing."""
    teams = -(-tools // per_server)
    for number in range(tools):
        made = fake_api.tool(number, distinct=distinct)
        metadata = made["metadata"]
        metadata["namespace"] = f"team-{number // per_server}"
        metadata["labels"]["app.kubernetes.io/part-of"] = metadata["namespace"]
        api.put({key: value for key, value in made.items() if key != "status"})
    for team in range(teams + further_servers):
        api.put(fake_api.server(team))
        api.put({"apiVersion": "v1", "kind": "Service", **fake_api.service(team)})
        api.put(replica_set(team))
        api.put(pod(team))
    api.forget_history()


def application(api: FakeApi) -> web.Application:
    """The API over HTTP."""

    async def answer(request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        name = request.path.rpartition("/")[2]
        if name == "referencegrants":
            return web.json_response({"code": 404, "reason": "NotFound"}, status=404)
        if "watch" in query:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError):
                async for event in api.stream(request.path, query):
                    await response.write(event + b"\n")
            return response
        body = await request.read()
        try:
            if request.method == "GET" and "limit" in query:
                return web.Response(body=await api.fetch(request.path, query=query, timeout=30))
            payload = orjson.loads(body) if body else None
            found = await api.request(request.method, request.path, query=query, body=payload)
        except ApiError as error:
            status = {"code": error.status, "reason": error.reason, "message": error.message}
            return web.json_response(status, status=error.status)
        return web.Response(body=orjson.dumps(found), content_type="application/json")

    async def edit(request: web.Request) -> web.Response:
        found = api.get("MCPTool", request.match_info["tool"], request.match_info["namespace"])
        assert found is not None
        found["spec"]["description"] = f"Returns one order, as of version {api.version}."
        api.put(found)
        return web.json_response({})

    app = web.Application(client_max_size=8 * 1024 * 1024)
    app.router.add_post("/-/edit/{namespace}/{tool}", edit)
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def serve(options: argparse.Namespace) -> None:
    """Listen on a free port, print it, and go on until the process is ended."""
    now = datetime.now(UTC)  # noqa: TID251 -- certificates of this very moment
    ca = issuance.authority("benchmark", now)
    (options.directory / "ca.crt").write_bytes(ca.certificate)
    (options.directory / "token").write_text("token")
    api = FakeApi()
    fill(api, options.tools, options.per_server, options.further_servers, distinct=options.distinct)
    runner = web.AppRunner(application(api), access_log=None)
    await runner.setup()
    context = HotContext(issuance.leaf(ca, ["127.0.0.1"], now)).outer
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=int, required=True)
    parser.add_argument("--per-server", type=int, required=True)
    parser.add_argument("--further-servers", type=int, default=0)
    parser.add_argument("--distinct", action="store_true", help="no two tools have the same schema")
    parser.add_argument("--directory", type=Path, required=True)
    asyncio.run(serve(parser.parse_args()))
