"""PURE. MCPServer: which objects a server serves, and how."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crd.clients import tolerances
from crd.clients.profiles import ClientName
from crd.clients.tolerances import Fault
from crd.finding import Reason
from crd.models import patterns
from crd.models.access import Auth, RateLimits
from crd.models.amounts import Size
from crd.models.metadata import (
    ATOMIC,
    SET,
    Duration,
    Model,
    Rule,
    Status,
    Title,
    distinct,
    list_map,
)
from crd.models.selectors import LabelSelector
from crd.models.state import Redis, Sessions
from crd.models.telemetry import Telemetry
from crd.models.workload import (
    Autoscaling,
    DisruptionBudget,
    ImagePullSecret,
    Ingress,
    NetworkPolicy,
    PodTemplate,
    Resources,
    ServiceTemplate,
)

__all__ = [
    "SERVER_NAME",
    "SERVER_NAME_RULE",
    "Config",
    "Info",
    "Naming",
    "ServedNames",
    "ServerSpec",
    "ServerStatus",
    "Tolerances",
]

# Workloads are named after the server, such as the Service <name>-mcp; names of Services start with a letter.
SERVER_NAME = re.compile(r"[a-z]([-a-z0-9]{0,53}[a-z0-9])?")
SERVER_NAME_RULE = (
    "the name of an MCPServer must have at most 55 lower-case letters, digits and '-', start with a letter and "
    "end with a letter or digit"
)


class Info(Model):
    """Information about the server that clients see (MCP, Implementation)."""

    title: Title = Field("", description="Human-readable name.")
    version: Annotated[str, Field(max_length=64)] = Field(
        "", description="Version of the server. Defaults to the version of the operator."
    )
    instructions: Annotated[str, Field(max_length=8192)] = Field(
        "", description="Instructions for the model on how to use the tools."
    )
    website_url: Annotated[str, Field(max_length=1024, pattern=patterns.WEB_URL)] | None = Field(
        None, description="URL of a page about the server."
    )


class Naming(Model):
    """How tools and prompts are named on the server, and what happens to conflicting objects."""

    prefix: Annotated[str, Field(max_length=64, pattern=patterns.NAME_PREFIX)] = Field(
        "", description="Prefix of every tool and prompt name."
    )
    on_conflict: Literal["Reject", "PreferIncumbent"] = Field(
        "Reject",
        description="What happens to an object whose name, URI or ingressPath another object on the server "
        "already uses. Reject: the object is refused. PreferIncumbent: the object is admitted "
        "with a warning and not served on this server.",
    )


class Config(Model):
    """Limits and settings of the server."""

    request_timeout: Duration = Field("30s", description="Maximum duration of a backend call, including retries.")
    max_concurrent_requests: Annotated[int, Field(ge=1, le=100000)] = Field(
        100, description="Maximum number of concurrent requests per pod; further requests get status 503."
    )
    max_request_bytes: Size = Field("1Mi", description="Maximum size of a client request.")
    max_response_bytes: Size = Field("1Mi", description="Maximum size of a backend reply.")
    allowed_origins: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256, pattern=patterns.ORIGIN)], ...],
        Field(max_length=32),
        distinct(),
    ] = Field(
        (),
        description="Origins of web pages that may use the server, in addition to its own host.",
        json_schema_extra=SET,
    )
    trusted_proxies: Annotated[
        tuple[Annotated[str, Field(min_length=3, max_length=49, pattern=patterns.CIDR)], ...],
        Field(max_length=16),
        distinct(),
    ] = Field(
        (),
        description="CIDR blocks of the proxies in front of the server, such as the pods of the Ingress controller. "
        "The address of a client in X-Forwarded-For counts only as far as they appended it.",
        json_schema_extra=SET,
    )
    page_size: Annotated[int, Field(ge=1, le=1000)] = Field(100, description="Number of entries per page of a list.")
    list_ttl: Duration = Field("60s", alias="listTTL", description="How long clients may cache a list.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Log level of the pods.")


def _switch(fault: Fault) -> Any:
    known = tolerances.of(fault)
    return Field(
        None, description=f"Whether it is tolerated that {known.what}. Defaults to {str(known.by_default).lower()}."
    )


class Tolerances(Model):
    """Known faults of clients. A tolerated one is read as the client means it, any other as the specification says."""

    null_member: bool | None = _switch(Fault.NULL_MEMBER)
    repeated_header: bool | None = _switch(Fault.REPEATED_HEADER)
    trailing_slash: bool | None = _switch(Fault.TRAILING_SLASH)
    empty_cursor: bool | None = _switch(Fault.EMPTY_CURSOR)
    legacy_version_header: bool | None = _switch(Fault.LEGACY_VERSION_HEADER)


class ServerSpec(Model):
    """The desired state of an MCPServer."""

    rules: ClassVar = (
        Rule(
            "!has(self.sessions) || !has(self.sessions.mode) || self.sessions.mode != 'Redis' || has(self.redis)",
            "sessions.mode Redis requires spec.redis; set spec.redis.serviceName",
            lambda spec: not (spec.sessions and spec.sessions.mode == "Redis" and spec.redis is None),
            Reason.REDIS_REQUIRED,
        ),
        Rule(
            "!has(self.sessions) || !has(self.sessions.mode) || self.sessions.mode != 'Memory' || "
            "((!has(self.replicas) || self.replicas <= 1) && "
            "(!has(self.autoscaling) || self.autoscaling.maxReplicas <= 1))",
            "sessions.mode Memory supports one replica only; set spec.replicas to 1 or sessions.mode to Redis",
            lambda spec: not (spec.sessions and spec.sessions.mode == "Memory" and spec.max_replicas > 1),
            Reason.REDIS_REQUIRED,
        ),
        Rule(
            "!has(self.rateLimits) || has(self.redis) || "
            "((!has(self.replicas) || self.replicas <= 1) && "
            "(!has(self.autoscaling) || self.autoscaling.maxReplicas <= 1))",
            "rateLimits with several replicas require spec.redis; set spec.redis.serviceName",
            lambda spec: not (spec.rate_limits and spec.redis is None and spec.max_replicas > 1),
            Reason.REDIS_REQUIRED,
        ),
        Rule(
            "!(has(self.replicas) && has(self.autoscaling))",
            "replicas and autoscaling are mutually exclusive; remove one of the two",
            lambda spec: spec.replicas is None or spec.autoscaling is None,
        ),
        Rule(
            "!has(self.redis) || !has(self.redis.tls) || !has(self.redis.tls.caSecretName) || "
            "(has(self.redis.tls.enabled) && self.redis.tls.enabled)",
            "redis.tls.caSecretName requires redis.tls.enabled; set enabled to true or remove caSecretName",
            lambda spec: (
                not (spec.redis and spec.redis.tls and spec.redis.tls.ca_secret_name) or spec.redis.tls.enabled
            ),
        ),
    )

    replicas: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None, description="Number of pods. Defaults to 1, or to what autoscaling decides."
    )
    autoscaling: Autoscaling | None = Field(None, description="Creates a HorizontalPodAutoscaler.")
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None, description="Image of the pods. Defaults to the image of the operator."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None, description="Image pull policy, as in a container."
    )
    image_pull_secrets: Annotated[tuple[ImagePullSecret, ...], Field(max_length=16), distinct("name")] = Field(
        (), description="Secrets with registry credentials.", json_schema_extra=list_map("name")
    )
    resources: Resources | None = Field(
        None,
        description="CPU and memory of each pod. Defaults to requests of 50m and 128Mi and a memory limit of 256Mi.",
    )
    pod_template: PodTemplate | None = Field(None, description="Additional settings of the pods.")
    redis: Redis | None = Field(
        None, description="Redis that the pods share. Required for sessions and rate limits across replicas."
    )
    tool_selector: LabelSelector = Field(
        description="Selects the MCPTools of this namespace that the server serves. Also selects MCPPrompts "
        "and MCPResources unless promptSelector or resourceSelector is set."
    )
    prompt_selector: LabelSelector | None = Field(None, description="Selects the MCPPrompts. Defaults to toolSelector.")
    resource_selector: LabelSelector | None = Field(
        None, description="Selects the MCPResources. Defaults to toolSelector."
    )
    integrity: Literal["Standard", "Strict"] = Field(
        "Standard",
        description="Standard: conflicting objects are refused as far as the webhook's cache shows them, and "
        "never served. Strict: two conflicting objects are never both admitted, at the cost of "
        "an additional write per change.",
    )
    ingress: Ingress | None = Field(
        None, description="Creates an Ingress, which makes the server reachable from outside the cluster."
    )
    service: ServiceTemplate | None = Field(None, description="Settings of the Service in front of the pods.")
    info: Info | None = Field(None, description="Information about the server that clients see.")
    sessions: Sessions | None = Field(
        None, description="How sessions of clients that speak MCP 2025-11-25 or older are stored."
    )
    auth: Auth | None = Field(
        None, description="Authentication of clients. Without it, anyone who can reach the server can use it."
    )
    rate_limits: RateLimits | None = Field(None, description="Rate limits of the server.")
    naming: Naming | None = Field(None, description="How tools and prompts are named on the server.")
    config: Config = Field(
        default_factory=Config, description="Limits and settings of the server.", json_schema_extra={"default": {}}
    )
    clients: Annotated[tuple[ClientName, ...], Field(max_length=8), distinct()] = Field(
        (),
        description="Clients and model APIs that must be able to use every tool of the server. A tool that exceeds one "
        "of their known limits is refused; without this field, it is admitted with a warning if the limit is common.",
        json_schema_extra=SET,
    )
    tolerances: Tolerances | None = Field(
        None, description="Switches for known faults of clients; docs/reference/clients.md has their sources."
    )
    context_budget: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        None,
        description="How many tokens the list of tools may have, which a model reads first. A change "
        "that would bring the estimate over it is refused. See contextTokens in the status of the server and of tools.",
    )
    telemetry: Telemetry | None = Field(None, description="What the pods tell of their calls, beside log and metrics.")
    network_policy: NetworkPolicy | None = Field(None, description="Creates a NetworkPolicy for the pods.")
    pod_disruption_budget: DisruptionBudget | None = Field(
        None, description="Creates a PodDisruptionBudget if the server can have more than one pod."
    )

    @property
    def max_replicas(self) -> int:
        """The maximum number of pods."""
        if self.autoscaling:
            return self.autoscaling.max_replicas
        return 1 if self.replicas is None else self.replicas

    @property
    def session_mode(self) -> Literal["Stateless", "Redis", "Memory"]:
        """The session mode in effect: the configured one, otherwise derived from redis and the number of replicas."""
        if self.sessions and self.sessions.mode:
            return self.sessions.mode
        if self.redis:
            return "Redis"
        return "Memory" if self.max_replicas <= 1 else "Stateless"

    @property
    def name_prefix(self) -> str:
        """The prefix of every tool and prompt name."""
        return self.naming.prefix if self.naming else ""


class ServedNames(Model):
    """What the server serves, by name or URI; at most 200 entries of each kind."""

    tools: Annotated[tuple[str, ...], Field(max_length=200)] = Field(
        (), description="Tools, by name.", json_schema_extra=ATOMIC
    )
    prompts: Annotated[tuple[str, ...], Field(max_length=200)] = Field(
        (), description="Prompts, by name.", json_schema_extra=ATOMIC
    )
    resources: Annotated[tuple[str, ...], Field(max_length=200)] = Field(
        (), description="Resources and resource templates, by URI.", json_schema_extra=ATOMIC
    )


class ServerStatus(Status):
    """The observed state of an MCPServer."""

    url: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="URL at which clients reach the server."
    )
    replicas: int | None = Field(None, description="Number of pods.")
    selector: Annotated[str, Field(max_length=128)] | None = Field(
        None, description="Label selector of the pods, for the scale subresource."
    )
    ready_replicas: int | None = Field(None, description="Number of ready pods.")
    synced_replicas: int | None = Field(None, description="Number of ready pods that serve the published catalog.")
    tool_count: int | None = Field(None, description="Number of tools served.")
    prompt_count: int | None = Field(None, description="Number of prompts served.")
    resource_count: int | None = Field(None, description="Number of resources and resource templates served.")
    catalog_digest: Annotated[str, Field(max_length=80)] | None = Field(
        None, description="Digest of the published catalog."
    )
    catalog_version: Annotated[str, Field(max_length=40)] | None = Field(
        None,
        description="Generation of the key and version of the newest published catalog. A pod that starts loads no "
        "older one.",
    )
    serving: ServedNames | None = Field(None, description="What the server serves; at most 200 entries of each kind.")
    context_bytes: int | None = Field(
        None, description="Size of the complete tool list, which a model reads, in bytes of JSON."
    )
    context_tokens: int | None = Field(
        None,
        description="Estimated number of tokens that a model reads of the complete tool list; within 5 % of o200k_base "
        "for a list of several tools.",
    )
