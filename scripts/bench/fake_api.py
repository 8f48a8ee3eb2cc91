"""A process that answers lists and watches as a large API server does: ``python -m scripts.bench.fake_api``.

It prints the port it listens on, and leaves ``token`` and ``ca.crt`` for `cluster.pod.PodTransport` in a directory.
Pages are real HTTP over TLS, chunked; objects carry managedFields as ``kubectl apply`` leaves them. Where the client
asks for a PartialObjectMetadataList, items have their whole metadata, managedFields included, and nothing else.
``POST /-/expire`` ends every watch with 410, so that everything is listed again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from certs import issuance
from certs.tls import HotContext

if TYPE_CHECKING:
    from collections.abc import Callable

PER_SERVER = 50
VERSION = 1_000_000
RECORD_BYTES = 16 * 1024


_MANAGED = {
    "apiVersion": "mcp.example.com/v1alpha1",
    "operation": "Apply",
    "time": "2026-01-01T00:00:00Z",
    "fieldsType": "FieldsV1",
}
_STATUS_FIELDS = {
    "f:status": {
        "f:observedGeneration": {},
        "f:conditions": {'k:{"type":"Ready"}': {".": {}, "f:reason": {}, "f:status": {}, "f:message": {}}},
    }
}


def metadata(kind: str, number: int, name: str, namespace: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the API server keeps of an object, managedFields and the annotation of ``kubectl apply`` aside."""
    return {
        "name": name,
        "namespace": namespace,
        "uid": f"{kind[-4:].lower():0>8}-0000-4000-8000-{number:012}",
        "resourceVersion": str(VERSION - 100_000 + number),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [
            {**_MANAGED, "manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": fields},
            {**_MANAGED, "manager": "mcp-operator-status", "subresource": "status", "fieldsV1": _STATUS_FIELDS},
        ],
        **more,
    }


def paths(value: Any) -> Any:
    """A value as managedFields write it down."""
    if isinstance(value, dict):
        return {f"f:{name}": paths(inner) for name, inner in value.items()}
    return {}


def tool(number: int, *, distinct: bool = False) -> dict[str, Any]:
    """A tool of about 4.2 KB without its managedFields, as a person would write it.

    The tools of a team have the same schema, unless each has a ``distinct`` one.
    """
    team = number // PER_SERVER
    books = number if distinct else team
    properties = {
        f"field_{index}": {
            "type": "string",
            "description": f"The field number {index} of an order of the shop, as in the books of team {books}.",
            "maxLength": 100,
        }
        for index in range(23)
    }
    spec = {
        "name": f"get_order_{number}",
        "description": "Returns one order of the shop by its number, with its lines and its state. " * 4,
        "service": {"name": "orders", "port": 80, "path": "/api"},
        "method": "POST",
        "http": {"path": "/orders/{id}", "query": [{"name": "verbose", "argument": "verbose"}]},
        "inputSchema": {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "string"}, "verbose": {"type": "boolean"}, **properties},
        },
    }
    fields = {"f:spec": paths(spec)}
    labels = {"app": "shop", "tier": "backend", "app.kubernetes.io/part-of": f"team-{team}"}
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": metadata("MCPTool", number, f"tool-{number}", f"team-{team}", fields, labels=labels),
        "spec": spec,
        "status": {
            "observedGeneration": 1,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Served",
                    "message": "served by 1 MCPServer",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                    "observedGeneration": 1,
                }
            ],
        },
    }


def server(team: int) -> dict[str, Any]:
    """The server of a team."""
    spec = {"toolSelector": {"matchLabels": {"app.kubernetes.io/part-of": f"team-{team}"}}}
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "metadata": metadata("MCPServer", team, "main", f"team-{team}", {"f:spec": paths(spec)}),
        "spec": spec,
    }


def service(team: int) -> dict[str, Any]:
    """The Service of a team; items of a core list carry no kind."""
    spec = {"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    return {"metadata": metadata("Service", team, "orders", f"team-{team}", {"f:spec": paths(spec)}), "spec": spec}


def application(tools: int, *, distinct: bool) -> web.Application:
    """The API server of a world with so many tools."""
    teams = -(-tools // PER_SERVER)
    worlds: dict[str, tuple[int, Callable[[int], dict[str, Any]]]] = {
        "mcptools": (tools, partial(tool, distinct=distinct)),
        "mcpservers": (teams, server),
        "services": (teams, service),
    }
    expired = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        plural = request.match_info["plural"]
        if plural == "referencegrants":
            return web.json_response({"code": 404, "reason": "NotFound"}, status=404)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
        except ConnectionError:  # the client has given up already
            return response
        if "watch" in request.query:
            await expired.wait()
            gone = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}
            with contextlib.suppress(ConnectionError):  # a watch that its client has given up
                await response.write(orjson.dumps(gone) + b"\n")
            return response
        count, make = worlds.get(plural, (0, tool))
        start = int(request.query.get("continue") or 0)
        end = min(count, start + int(request.query["limit"]))
        partial = "as=PartialObjectMetadataList" in request.headers.get("Accept", "")
        items = [make(number) for number in range(start, end)]
        if partial:
            kind = {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata"}
            items = [{**kind, "metadata": item["metadata"]} for item in items]
        page = {
            "kind": "PartialObjectMetadataList" if partial else "List",
            "items": items,
            "metadata": {"resourceVersion": str(VERSION), "continue": str(end) if end < count else ""},
        }
        payload = orjson.dumps(page)
        # The API server encodes a page and writes it at once; Go cuts it into TLS records of 16 KiB.
        for at in range(0, len(payload), RECORD_BYTES):
            await response.write(payload[at : at + RECORD_BYTES])
        return response

    async def expire(_request: web.Request) -> web.Response:
        expired.set()
        await asyncio.sleep(0)
        expired.clear()
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/-/expire", expire)
    app.router.add_get("/api/v1/{plural}", answer)
    app.router.add_get("/apis/{group}/{version}/{plural}", answer)
    return app


async def serve(tools: int, directory: Path, *, distinct: bool) -> None:
    """Listen on a free port, print it, and go on until the process is ended."""
    now = datetime.now(UTC)  # noqa: TID251 -- certificates of this very moment
    ca = issuance.authority("benchmark", now)
    (directory / "ca.crt").write_bytes(ca.certificate)
    (directory / "token").write_text("token")
    context = HotContext(issuance.leaf(ca, ["127.0.0.1"], now)).outer
    runner = web.AppRunner(application(tools, distinct=distinct), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=int, default=50_000)
    parser.add_argument("--distinct", action="store_true", help="no two tools have the same schema")
    parser.add_argument("--directory", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.tools, options.directory, distinct=options.distinct))
