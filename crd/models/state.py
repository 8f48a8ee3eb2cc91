"""PURE. Shared state of the pods of a server: Redis and sessions."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.finding import Reason
from crd.models import patterns
from crd.models.metadata import Duration, LabelName, Model, ObjectName, PortNumber, Rule

__all__ = ["Redis", "RedisSentinel", "RedisTls", "Sessions"]


class RedisTls(Model):
    """TLS settings of Redis."""

    enabled: bool = Field(False, description="Whether Redis is reached over TLS.")
    ca_secret_name: ObjectName | None = Field(
        None,
        description="Secret with the trusted CA certificates under the key ca.crt. Defaults to the CAs of the image.",
    )


class RedisSentinel(Model):
    """The Sentinels, which know the master."""

    master_name: Annotated[str, Field(min_length=1, max_length=128, pattern=patterns.KEY)] = Field(
        description="Name of the master, as in sentinel monitor."
    )
    service_name: LabelName | None = Field(
        None,
        description="Name of the Service of the Sentinels, in the namespace of the MCPServer. Defaults to "
        "redis.serviceName.",
    )
    port: PortNumber = Field(26379, description="Port of the Service of the Sentinels.")
    credentials_secret_name: ObjectName | None = Field(
        None,
        description="Secret with the keys username (optional) and password, for the Sentinels. Without it, no password "
        "is sent to them.",
    )


class Redis(Model):
    """The Redis that the pods share."""

    rules: ClassVar = (
        Rule(
            "(self.mode == 'Sentinel') == has(self.sentinel)",
            "set sentinel with mode Sentinel, and with no other mode",
            lambda redis: (redis.mode == "Sentinel") == (redis.sentinel is not None),
        ),
        Rule(
            "self.mode != 'Cluster' || self.db == 0",
            "a Redis Cluster has no database but 0; remove db",
            lambda redis: redis.mode != "Cluster" or redis.db == 0,
            at=("db",),
        ),
        Rule(
            "!has(oldSelf.keyPrefix) || (has(self.keyPrefix) && self.keyPrefix == oldSelf.keyPrefix)",
            "keyPrefix is immutable: changing it would lose all sessions and rate limits; restore it",
            reason=Reason.IMMUTABLE_FIELD,
        ),
    )

    mode: Literal["Standalone", "Sentinel", "Cluster"] = Field(
        "Standalone",
        description="Standalone: the Service leads to one server. Sentinel: the Sentinels say which server is the "
        "master. Cluster: the Service leads to the nodes of a Redis Cluster. All keys of an MCPServer are in one slot.",
    )
    service_name: LabelName = Field(
        description="Name of the Service of the Redis servers, in the namespace of the MCPServer."
    )
    port: PortNumber = Field(6379, description="Port of the Redis Service.")
    db: Annotated[int, Field(ge=0, le=1023)] = Field(0, description="Number of the database.")
    sentinel: RedisSentinel | None = Field(None, description="Settings for mode Sentinel.")
    tls: RedisTls | None = Field(
        None,
        description="TLS settings of Redis, of all its servers and Sentinels. Each certificate has to be valid for the "
        "name of the Service, such as redis.shop.svc.",
    )
    credentials_secret_name: ObjectName | None = Field(
        None, description="Secret with the keys username (optional) and password."
    )
    key_prefix: Annotated[str, Field(min_length=1, max_length=128, pattern=patterns.KEY_PREFIX)] | None = Field(
        None, description="Prefix of every key. Defaults to mcp:<namespace>:<name>: and is immutable once set."
    )


class Sessions(Model):
    """How sessions of clients that speak MCP 2025-11-25 or older are stored."""

    mode: Literal["Stateless", "Redis", "Memory"] | None = Field(
        None,
        description="Redis: every pod can serve every session. Memory: sessions are kept in the only pod. "
        "Stateless: no sessions. Defaults to Redis if redis is set, otherwise to Memory with one "
        "replica, otherwise to Stateless.",
    )
    ttl: Duration = Field("30m", description="How long an unused session is kept.")
