"""PURE. Authentication of clients, and rate limits."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.models import patterns
from crd.models.calls import RateLimit
from crd.models.metadata import SET, Identifier, Model, ObjectName, Rule, distinct

__all__ = ["ALWAYS_GIVEN", "JWT", "APIKey", "Auth", "RateLimits"]

# Claims that every token has (RFC 9068, section 2.2), and those that hold its scopes.
ALWAYS_GIVEN = frozenset({"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope", "scp"})
_SERVICE_URL = "^http://[a-z0-9-]+[.][a-z0-9-]+[.]svc([.][a-z0-9.-]+)?(:[0-9]+)?(/[^@]*)?$"


class APIKey(Model):
    """Authentication with API keys."""

    secret_name: ObjectName = Field(
        description="Secret with the API keys: each key of its data is the name of a client, the value is "
        "that client's API key."
    )


class JWT(Model):
    """Authentication with tokens of an issuer (RFC 9068)."""

    rules: ClassVar = (
        Rule(
            "has(self.jwksURL) != has(self.jwksSecretName)",
            "set exactly one of jwksURL and jwksSecretName",
            lambda jwt: (jwt.jwks_url is None) != (jwt.jwks_secret_name is None),
        ),
        Rule(
            f"!has(self.jwksURL) || !self.jwksURL.startsWith('http://') || self.jwksURL.matches('{_SERVICE_URL}')",
            "keys fetched over http can be replaced by whoever can change the traffic; use https, or a Service as "
            "http://name.namespace.svc",
            lambda jwt: (
                jwt.jwks_url is None
                or not jwt.jwks_url.startswith("http://")
                or re.search(_SERVICE_URL, jwt.jwks_url) is not None
            ),
        ),
    )

    issuer: Annotated[str, Field(min_length=1, max_length=512, pattern=patterns.WEB_URL)] = Field(
        description="Issuer (iss) of the tokens."
    )
    audiences: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=512)], ...],
        Field(min_length=1, max_length=16),
        distinct(),
    ] = Field(description="Accepted audiences (aud); a token must have at least one of them.", json_schema_extra=SET)
    jwks_url: Annotated[str, Field(min_length=1, max_length=1024, pattern=patterns.WEB_URL)] | None = Field(
        None,
        alias="jwksURL",
        description="URL of the issuer's keys, a JWK Set (RFC 7517). http is for Services of the cluster only, and "
        "only if the operator allows it.",
    )
    jwks_secret_name: ObjectName | None = Field(
        None, description="Secret with the issuer's keys under the key jwks.json."
    )
    required_scopes: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=32), distinct()
    ] = Field((), description="Scopes that a token must have; all are required.", json_schema_extra=SET)
    scopes_supported: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=256), distinct()
    ] = Field(
        (),
        description="Scopes that the issuer gives to clients of this server. A scope that an object requires and that "
        "is not listed is a warning. Without it, any scope may be given.",
        json_schema_extra=SET,
    )
    claims_supported: Annotated[tuple[Identifier, ...], Field(max_length=128), distinct()] = Field(
        (),
        description="Further claims of the issuer's tokens, beside those of RFC 9068. A claim that an object sends to "
        "its backend and that is not listed is a warning. Without it, any claim may be given.",
        json_schema_extra=SET,
    )
    user_claim: Identifier = Field("sub", description="Claim that names the user.")


class Auth(Model):
    """Authentication of clients."""

    rules: ClassVar = (
        Rule(
            "(self.type == 'APIKey') == has(self.apiKey) && (self.type == 'JWT') == has(self.jwt)",
            "set apiKey with type APIKey, jwt with type JWT and neither with type None",
            lambda auth: (
                (auth.type == "APIKey") == (auth.api_key is not None) and (auth.type == "JWT") == (auth.jwt is not None)
            ),
        ),
    )

    type: Literal["None", "APIKey", "JWT"] = Field("None", description="How clients are authenticated.")
    api_key: APIKey | None = Field(None, description="Settings for type APIKey.")
    jwt: JWT | None = Field(None, description="Settings for type JWT.")
    resource: Annotated[str, Field(min_length=1, max_length=1024, pattern=patterns.WEB_URL)] | None = Field(
        None, description="Resource identifier of the server (RFC 9728). Defaults to the URL of its endpoint."
    )


class RateLimits(Model):
    """Rate limits of the server: token buckets, shared by all pods if Redis is configured."""

    server: RateLimit | None = Field(None, description="Limit for all clients together.")
    per_client: RateLimit | None = Field(
        None,
        description="Limit for each client, identified by user or API key; without authentication by "
        "address, or by /64 network of IPv6. Behind a proxy, set config.trustedProxies.",
    )
    tools: Annotated[dict[Annotated[str, Field(min_length=1, max_length=128)], RateLimit], Field(max_length=64)] = (
        Field(default_factory=dict, description="Limits of single tools, by served name.")
    )
    on_store_failure: Literal["Open", "Closed"] = Field(
        "Open", description="Whether calls are allowed (Open) or rejected (Closed) while Redis does not answer."
    )
