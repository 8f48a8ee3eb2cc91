"""PURE. The settings of a server in its published catalog. Durations are in seconds, sizes in bytes.

Loads without pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from crd.published.policy import Bucket

__all__ = ["CATALOG_SUFFIX", "CONFIG_MAPS", "SECRETS", "Auth", "Info", "Jwt", "Limits", "Settings", "ToolLimit"]

# Mount points in the pods: SECRETS/<name>/<key> and CONFIG_MAPS/<name>/<key>.
SECRETS = "/etc/mcp/secrets"
CONFIG_MAPS = "/etc/mcp/configmaps"
# The ConfigMap of a catalog is named like its MCPServer, followed by this.
CATALOG_SUFFIX = "-catalog"


@dataclass(frozen=True, slots=True)
class Info:
    """Information about the server that clients see (MCP, Implementation). Without a version, the program's is used."""

    title: str = ""
    version: str = ""
    instructions: str = ""
    website_url: str = ""


@dataclass(frozen=True, slots=True)
class Jwt:
    """Accepted tokens: those of the issuer, with one of the audiences and all of the scopes.

    The keys of the issuer are a JWK Set (RFC 7517), from a URL or from the key ``jwks.json`` of a Secret.
    ``user_claim`` is the claim that identifies the user.
    """

    issuer: str
    audiences: tuple[str, ...]
    jwks_url: str = ""
    jwks_secret: str = ""
    required_scopes: tuple[str, ...] = ()
    user_claim: str = "sub"


@dataclass(frozen=True, slots=True)
class Auth:
    """``type`` is None, APIKey or JWT. Each key of the Secret ``api_key_secret`` is a client, its value the API key.

    ``resource`` is the resource identifier of RFC 9728; empty: the URL of the endpoint.
    """

    type: str = "None"
    api_key_secret: str = ""
    jwt: Jwt | None = None
    resource: str = ""


@dataclass(frozen=True, slots=True)
class ToolLimit:
    """The rate limit of a tool, by its served name."""

    tool: str
    bucket: Bucket


@dataclass(frozen=True, slots=True)
class Limits:
    """Rate limits of the server, of each client (by user, else address) and of single tools.

    ``on_store_failure`` is Open or Closed.
    """

    server: Bucket | None = None
    per_client: Bucket | None = None
    tools: tuple[ToolLimit, ...] = ()
    on_store_failure: str = "Open"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the server. ``sessions`` is Redis, Memory or Stateless.

    Requests from web pages are accepted if their origin is one of ``hosts`` or ``allowed_origins``. X-Forwarded-For
    counts as far as proxies in ``trusted_proxies`` (networks in CIDR notation) wrote it. ``tolerances`` are the
    switches of `crd.clients.tolerances` that are set.
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
    trusted_proxies: tuple[str, ...] = ()
    info: Info = field(default_factory=Info)
    auth: Auth = field(default_factory=Auth)
    limits: Limits = field(default_factory=Limits)
    tolerances: dict[str, bool] = field(default_factory=dict)
