"""PURE. An MCPServer in the format server.json of the MCP registry, version 2025-12-11, for catalogs of services.

Called by `cli.commands.export`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crd.manifest import Object
    from crd.models.server import ServerSpec

__all__ = ["SCHEMA", "describe"]

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
# The format's limits.
MAX_NAME, MAX_TEXT, MAX_VERSION = 200, 100, 255


def describe(server: Object, spec: ServerSpec) -> dict[str, Any] | None:
    """The document of a server; None if it has no Ingress, and so no address that clients outside could use.

    The name is the host in reverse with the namespace and name of the server, because whoever has the host may publish
    under it. A server without a version has the version 0.0.0: the format requires one.
    """
    if spec.ingress is None:
        return None
    info, auth = spec.info, spec.auth
    host, ref = spec.ingress.host, server.ref
    name = f"{'.'.join(reversed(host.split('.')))}/{ref.namespace}-{ref.name}"
    instructions = " ".join(info.instructions.split()) if info is not None else ""
    text = instructions or f"MCP server {ref.name} of {ref.namespace}"
    scheme = "https" if spec.ingress.tls_secret_name else "http"
    remote: dict[str, Any] = {"type": "streamable-http", "url": f"{scheme}://{host}{spec.ingress.path_prefix}"}
    if auth is not None and auth.type == "APIKey":
        remote["headers"] = [
            {
                "name": "Authorization",
                "description": "An API key of this server",
                "value": "Bearer {api_key}",
                "isRequired": True,
                "variables": {"api_key": {"description": "An API key", "isRequired": True, "isSecret": True}},
            }
        ]
    document: dict[str, Any] = {
        "$schema": SCHEMA,
        "name": name[:MAX_NAME],
        "description": text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…",
        "version": (info.version if info is not None else "")[:MAX_VERSION] or "0.0.0",
        "remotes": [remote],
    }
    if info is not None and info.title:
        document["title"] = info.title[:MAX_TEXT]
    if info is not None and info.website_url:
        document["websiteUrl"] = info.website_url
    return document
