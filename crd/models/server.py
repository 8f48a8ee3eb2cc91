"""PURE. MCPServer: which objects are served together, and how."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

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

__all__ = ["SERVER_NAME", "SERVER_NAME_RULE", "Config", "Info", "Naming", "ServedNames", "ServerSpec", "ServerStatus"]

# The workloads are named after the server: <name>-mcp is a Service, and names of Services start with a letter.
SERVER_NAME = re.compile(r"[a-z]([-a-z0-9]{0,53}[a-z0-9])?")
SERVER_NAME_RULE = (
    "the name of an MCPServer must have at most 55 lower-case letters, digits and '-', start with a letter and "
    "end with a letter or digit"
)


class Info(Model):
    """What clients see of the server."""

    title: Title = Field("", description="Name for people.")
    version: Annotated[str, Field(max_length=64)] = Field("", description="Version. Without it, that of the operator.")
    instructions: Annotated[str, Field(max_length=8192)] = Field(
        "", description="How its tools are best used, for the model."
    )
    website_url: Annotated[str, Field(max_length=1024, pattern=patterns.WEB_URL)] | None = Field(
        None, description="Page about the server."
    )


class Naming(Model):
    """How objects are named on the server."""

    prefix: Annotated[str, Field(max_length=64, pattern=patterns.NAME_PREFIX)] = Field(
        "", description="Before the name of every tool and prompt."
    )
    on_conflict: Literal["Reject", "PreferIncumbent"] = Field(
        "Reject",
        description="What happens to an object whose name, URI or door another one has. Reject: it is refused. "
        "PreferIncumbent: it is admitted with a warning and not served there.",
    )


class Config(Model):
    """Limits of the server."""

    request_timeout: Duration = Field("30s", description="How long one call to a backend may take in all.")
    max_concurrent_requests: Annotated[int, Field(ge=1, le=100000)] = Field(
        100, description="How many requests one pod works on at a time; further ones are answered with 503."
    )
    max_request_bytes: Size = Field("1Mi", description="Largest request of a client.")
    max_response_bytes: Size = Field("1Mi", description="Largest reply of a backend.")
    allowed_origins: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=256, pattern=patterns.ORIGIN)], ...],
        Field(max_length=32),
        distinct(),
    ] = Field(
        (),
        description="Origins of web pages that may use the server, beside its own host.",
        json_schema_extra=SET,
    )
    page_size: Annotated[int, Field(ge=1, le=1000)] = Field(100, description="Entries on one page of a list.")
    list_ttl: Duration = Field("60s", alias="listTTL", description="How long clients may keep a list.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much the pods log.")


class ServerSpec(Model):
    """What is wished of an MCPServer."""

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
            lambda spec: not (spec.sessions and spec.sessions.mode == "Memory" and spec.most_replicas > 1),
            Reason.REDIS_REQUIRED,
        ),
        Rule(
            "!has(self.rateLimits) || has(self.redis) || "
            "((!has(self.replicas) || self.replicas <= 1) && "
            "(!has(self.autoscaling) || self.autoscaling.maxReplicas <= 1))",
            "rateLimits with several replicas require spec.redis; set spec.redis.serviceName",
            lambda spec: not (spec.rate_limits and spec.redis is None and spec.most_replicas > 1),
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
        None, description="How many pods serve. Without it: 1, or what autoscaling decides."
    )
    autoscaling: Autoscaling | None = Field(None, description="Lets a HorizontalPodAutoscaler decide.")
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None, description="Image of the pods. Without it, the operator's own."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None, description="When the image is pulled; as in a container."
    )
    image_pull_secrets: Annotated[tuple[ImagePullSecret, ...], Field(max_length=16), distinct("name")] = Field(
        (), description="Secrets with registry credentials.", json_schema_extra=list_map("name")
    )
    resources: Resources | None = Field(
        None, description="CPU and memory of a pod. Without it, 50m and 64Mi, limited to 256Mi."
    )
    pod_template: PodTemplate | None = Field(None, description="What is added to the pods.")
    redis: Redis | None = Field(
        None, description="The Redis that the pods share: needed for sessions and limits across replicas."
    )
    tool_selector: LabelSelector = Field(
        description="Labels of the MCPTools of this namespace that the server serves; of its MCPPrompts and "
        "MCPResources too, where they have no selector of their own."
    )
    prompt_selector: LabelSelector | None = Field(
        None, description="Labels of the MCPPrompts. Defaults to toolSelector."
    )
    resource_selector: LabelSelector | None = Field(
        None, description="Labels of the MCPResources. Defaults to toolSelector."
    )
    integrity: Literal["Standard", "Strict"] = Field(
        "Standard",
        description="Standard: conflicts are refused as far as the webhook knows the cluster, and never served. "
        "Strict: no two conflicting objects are ever both admitted, at the price of a write for each change.",
    )
    ingress: Ingress | None = Field(None, description="Makes the server reachable from outside the cluster.")
    service: ServiceTemplate | None = Field(None, description="The Service in front of the pods.")
    info: Info | None = Field(None, description="What clients see of the server.")
    sessions: Sessions | None = Field(None, description="How sessions of older clients are kept.")
    auth: Auth | None = Field(None, description="Who may use the server. Without it, everybody who reaches it.")
    rate_limits: RateLimits | None = Field(None, description="How often the server may be used.")
    naming: Naming | None = Field(None, description="How objects are named on the server.")
    config: Config = Field(
        default_factory=Config, description="Limits of the server.", json_schema_extra={"default": {}}
    )
    network_policy: NetworkPolicy | None = Field(None, description="A NetworkPolicy around the pods.")
    pod_disruption_budget: DisruptionBudget | None = Field(
        None, description="A PodDisruptionBudget, where there may be more than one pod."
    )

    @property
    def most_replicas(self) -> int:
        """How many pods there may be."""
        if self.autoscaling:
            return self.autoscaling.max_replicas
        return 1 if self.replicas is None else self.replicas

    @property
    def session_mode(self) -> Literal["Stateless", "Redis", "Memory"]:
        """The mode in force: what is set, else what the rest of the spec can carry."""
        if self.sessions and self.sessions.mode:
            return self.sessions.mode
        if self.redis:
            return "Redis"
        return "Memory" if self.most_replicas <= 1 else "Stateless"

    @property
    def name_prefix(self) -> str:
        """What stands before the name of every tool and prompt."""
        return self.naming.prefix if self.naming else ""


class ServedNames(Model):
    """What is served, by name or URI; the first 200 of each."""

    tools: Annotated[tuple[str, ...], Field(max_length=200)] = Field((), description="Tools.", json_schema_extra=ATOMIC)
    prompts: Annotated[tuple[str, ...], Field(max_length=200)] = Field(
        (), description="Prompts.", json_schema_extra=ATOMIC
    )
    resources: Annotated[tuple[str, ...], Field(max_length=200)] = Field(
        (), description="Resources and resource templates, by URI.", json_schema_extra=ATOMIC
    )


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
    serving: ServedNames | None = Field(None, description="What is served.")
    context_bytes: int | None = Field(
        None, description="Size of the full list of tools, which a model reads, in bytes of JSON."
    )
