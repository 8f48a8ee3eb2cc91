"""PURE. What a server remembers between calls, and where: Redis and sessions."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.finding import Reason
from crd.models import patterns
from crd.models.metadata import Duration, LabelName, Model, ObjectName, PortNumber, Rule

__all__ = ["Redis", "RedisTls", "Sessions"]


class RedisTls(Model):
    """TLS to the Redis."""

    enabled: bool = Field(False, description="Whether the Redis is spoken to over TLS.")
    ca_secret_name: ObjectName | None = Field(
        None, description="Secret whose key ca.crt holds the CAs to trust. Without it, those of the image."
    )


class Redis(Model):
    """The Redis that the pods share."""

    rules: ClassVar = (
        Rule(
            "!has(oldSelf.keyPrefix) || (has(self.keyPrefix) && self.keyPrefix == oldSelf.keyPrefix)",
            "keyPrefix is immutable: changing it would lose all sessions and rate limits; restore it",
            reason=Reason.IMMUTABLE_FIELD,
        ),
    )

    service_name: LabelName = Field(description="Name of the Redis Service, in the namespace of the MCPServer.")
    port: PortNumber = Field(6379, description="Port of the Redis Service.")
    db: Annotated[int, Field(ge=0, le=1023)] = Field(0, description="Number of the database.")
    tls: RedisTls | None = Field(None, description="TLS to the Redis.")
    credentials_secret_name: ObjectName | None = Field(
        None, description="Secret with the keys username (optional) and password."
    )
    key_prefix: Annotated[str, Field(min_length=1, max_length=128, pattern=patterns.KEY_PREFIX)] | None = Field(
        None, description="Before every key. Defaults to mcp:<namespace>:<name>: and cannot be changed once set."
    )


class Sessions(Model):
    """How sessions of clients that speak MCP 2025-11-25 or older are kept."""

    mode: Literal["Stateless", "Redis", "Memory"] | None = Field(
        None,
        description="Redis: any pod serves any session. Memory: in the one pod. Stateless: no sessions at all. "
        "Without it: Redis where redis is set, else Memory with one replica, else Stateless.",
    )
    ttl: Duration = Field("30m", description="How long a session lives after its last use.")
