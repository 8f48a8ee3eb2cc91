"""PURE. How one server behaves, as a published catalog says it. Times are seconds, sizes bytes.

Loads without pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crd.published.policy import Bucket

__all__ = ["CONFIG_MAPS", "SECRETS", "Auth", "Info", "Jwt", "Limits", "Settings", "ToolLimit"]

# Where a pod finds the keys of a Secret or ConfigMap: SECRETS/<name>/<key>, CONFIG_MAPS/<name>/<key>.
SECRETS = "/etc/mcp/secrets"
CONFIG_MAPS = "/etc/mcp/configmaps"


@dataclass(frozen=True, slots=True)
class Info:
    """What clients see of the server (MCP, Implementation). An empty version is that of the program."""

    title: str = ""
    version: str = ""
    instructions: str = ""
    website_url: str = ""


@dataclass(frozen=True, slots=True)
class Jwt:
    """Whose tokens are taken: issuer, one of the audiences, all of the scopes. Keys by URL, or out of a Secret.

    The Secret holds a JWK Set (RFC 7517) under ``jwks.json``. ``user_claim`` names the principal.
    """

    issuer: str
    audiences: tuple[str, ...]
    jwks_url: str = ""
    jwks_secret: str = ""
    required_scopes: tuple[str, ...] = ()
    user_claim: str = "sub"


@dataclass(frozen=True, slots=True)
class Auth:
    """``type`` is None, APIKey or JWT. Every key of the Secret ``api_key_secret`` is a client, its value that key.

    ``resource`` is the resource identifier of RFC 9728; empty: the URL of the endpoint.
    """

    type: str = "None"
    api_key_secret: str = ""
    jwt: Jwt | None = None
    resource: str = ""


@dataclass(frozen=True, slots=True)
class ToolLimit:
    """The bucket of one tool, by its served name."""

    tool: str
    bucket: Bucket


@dataclass(frozen=True, slots=True)
class Limits:
    """Token buckets: of the server, of each client (principal, else session, else address), of single tools.

    ``on_store_failure`` is Open or Closed.
    """

    server: Bucket | None = None
    per_client: Bucket | None = None
    tools: tuple[ToolLimit, ...] = ()
    on_store_failure: str = "Open"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server behaves. ``sessions`` is Redis, Memory or Stateless.

    ``hosts`` are the names under which browsers may know the server, ``allowed_origins`` further origins.
    """

    path_prefix: str = "/mcp"
    request_timeout: float = 30.0
    max_concurrent_requests: int = 100
    max_request_bytes: int = 1024 * 1024
    max_response_bytes: int = 1024 * 1024
    allowed_origins: tuple[str, ...] = ()
    page_size: int = 100
    list_ttl: float = 60.0
    log_level: str = "info"
    sessions: str = "Memory"
    session_ttl: float = 1800.0
    hosts: tuple[str, ...] = ()
    info: Info = field(default_factory=Info)
    auth: Auth = field(default_factory=Auth)
    limits: Limits = field(default_factory=Limits)
