"""PURE. MCPServer: which objects are served together, and how."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.models import patterns
from crd.models.metadata import Duration, LabelName, Model, ObjectName, PortNumber, Rule, Status, distinct, list_map
from crd.models.selectors import LabelSelector

__all__ = [
    "SERVER_NAME",
    "SERVER_NAME_RULE",
    "Config",
    "ImagePullSecret",
    "Ingress",
    "Redis",
    "ServerSpec",
    "ServerStatus",
    "Sessions",
]


# The workloads are named after the server: <name>-mcp is a Service, and names of Services start with a letter.
SERVER_NAME = re.compile(r"[a-z]([-a-z0-9]{0,53}[a-z0-9])?")
SERVER_NAME_RULE = (
    "the name of an MCPServer starts with a letter and has at most 55 lower-case letters, digits and dashes"
)


class ImagePullSecret(Model):
    """A Secret with registry credentials."""

    name: ObjectName = Field(description="Name of the Secret, in the namespace of the MCPServer.")


class Redis(Model):
    """The Redis that the pods share."""

    service_name: LabelName = Field(description="Name of the Redis Service, in the namespace of the MCPServer.")
    port: PortNumber = Field(6379, description="Port of the Redis Service.")


class Sessions(Model):
    """How sessions of clients that speak MCP 2025-11-25 or older are kept."""

    mode: Literal["Stateless", "Redis", "Memory"] | None = Field(
        None,
        description="Redis: any pod serves any session. Memory: in the one pod. Stateless: no sessions at all. "
        "Without it: Redis where redis is set, else Memory with one replica, else Stateless.",
    )
    ttl: Duration = Field("30m", description="How long a session lives after its last use.")


class Ingress(Model):
    """The way in from outside the cluster."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=patterns.HOST)] = Field(
        description="Host name under which the server is reached."
    )
    tls_secret_name: ObjectName | None = Field(
        None, description="Secret of type kubernetes.io/tls with the certificate of the host."
    )
    path_prefix: Annotated[str, Field(min_length=2, max_length=128, pattern=patterns.PATH_PREFIX)] = Field(
        "/mcp", description="Path of the MCP endpoint; ingressPath doors lie below it."
    )


class Config(Model):
    """Limits of the server."""

    request_timeout: Duration = Field("30s", description="How long one call to a backend may take in all.")
    max_concurrent_requests: Annotated[int, Field(ge=1, le=100000)] = Field(
        100, description="How many requests one pod works on at a time; further ones are answered with 503."
    )


class ServerSpec(Model):
    """What is wished of an MCPServer."""

    rules: ClassVar = (
        Rule(
            "!has(self.sessions) || !has(self.sessions.mode) || self.sessions.mode != 'Redis' || has(self.redis)",
            "sessions.mode Redis needs spec.redis; name the Redis Service in spec.redis.serviceName",
            lambda spec: not (spec.sessions and spec.sessions.mode == "Redis" and spec.redis is None),
        ),
        Rule(
            "!has(self.sessions) || !has(self.sessions.mode) || self.sessions.mode != 'Memory' || self.replicas <= 1",
            "sessions.mode Memory works with one replica only; set spec.replicas to 1 or sessions.mode to Redis",
            lambda spec: not (spec.sessions and spec.sessions.mode == "Memory" and spec.replicas > 1),
        ),
    )

    replicas: Annotated[int, Field(ge=0, le=100)] = Field(1, description="How many pods serve.")
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None, description="Image of the pods. Without it, the operator's own."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None, description="When the image is pulled; as in a container."
    )
    image_pull_secrets: Annotated[tuple[ImagePullSecret, ...], Field(max_length=16), distinct("name")] = Field(
        (), description="Secrets with registry credentials.", json_schema_extra=list_map("name")
    )
    redis: Redis | None = Field(None, description="The Redis that the pods share: needed for sessions across replicas.")
    tool_selector: LabelSelector = Field(
        description="Labels of the MCPTools, MCPPrompts and MCPResources of this namespace that the server serves."
    )
    ingress: Ingress | None = Field(None, description="Makes the server reachable from outside the cluster.")
    sessions: Sessions | None = Field(None, description="How sessions of older clients are kept.")
    config: Config = Field(default_factory=Config, description="Limits of the server.")

    @property
    def session_mode(self) -> Literal["Stateless", "Redis", "Memory"]:
        """The mode in force: what is set, else what the rest of the spec can carry."""
        if self.sessions and self.sessions.mode:
            return self.sessions.mode
        if self.redis:
            return "Redis"
        return "Memory" if self.replicas <= 1 else "Stateless"


class ServerStatus(Status):
    """What became of an MCPServer."""

    url: Annotated[str, Field(max_length=2048)] | None = Field(None, description="Where clients reach the server.")
    replicas: int | None = Field(None, description="Pods there are.")
    ready_replicas: int | None = Field(None, description="Pods that are ready.")
    synced_replicas: int | None = Field(None, description="Ready pods that serve the published catalog.")
    tool_count: int | None = Field(None, description="Tools served.")
    prompt_count: int | None = Field(None, description="Prompts served.")
    resource_count: int | None = Field(None, description="Resources and resource templates served.")
    catalog_digest: Annotated[str, Field(max_length=80)] | None = Field(
        None, description="Digest of the published catalog."
    )
