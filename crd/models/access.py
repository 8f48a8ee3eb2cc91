"""PURE. Who may use a server, and how often."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.models import patterns
from crd.models.calls import RateLimit
from crd.models.metadata import SET, Identifier, Model, ObjectName, Rule, distinct

__all__ = ["JWT", "APIKey", "Auth", "RateLimits"]


class APIKey(Model):
    """Clients are known by keys."""

    secret_name: ObjectName = Field(
        description="Secret of which every key is the name of a client, and its value that client's API key."
    )


class JWT(Model):
    """Clients bring tokens of an issuer (RFC 9068)."""

    rules: ClassVar = (
        Rule(
            "has(self.jwksURL) != has(self.jwksSecretName)",
            "set exactly one of jwksURL and jwksSecretName",
            lambda jwt: (jwt.jwks_url is None) != (jwt.jwks_secret_name is None),
        ),
    )

    issuer: Annotated[str, Field(min_length=1, max_length=512, pattern=patterns.WEB_URL)] = Field(
        description="Issuer (iss) of the tokens."
    )
    audiences: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=512)], ...],
        Field(min_length=1, max_length=16),
        distinct(),
    ] = Field(description="Audiences (aud), of which a token has one.", json_schema_extra=SET)
    jwks_url: Annotated[str, Field(min_length=1, max_length=1024, pattern=patterns.WEB_URL)] | None = Field(
        None, alias="jwksURL", description="URL of the issuer's keys, a JWK Set (RFC 7517)."
    )
    jwks_secret_name: ObjectName | None = Field(None, description="Secret whose key jwks.json holds the issuer's keys.")
    required_scopes: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=128)], ...], Field(max_length=32), distinct()
    ] = Field((), description="Scopes that a token must have, all of them.", json_schema_extra=SET)
    user_claim: Identifier = Field("sub", description="Claim that names the user.")


class Auth(Model):
    """Who may use the server."""

    rules: ClassVar = (
        Rule(
            "(self.type == 'APIKey') == has(self.apiKey) && (self.type == 'JWT') == has(self.jwt)",
            "set apiKey with type APIKey, jwt with type JWT and neither with type None",
            lambda auth: (
                (auth.type == "APIKey") == (auth.api_key is not None) and (auth.type == "JWT") == (auth.jwt is not None)
            ),
        ),
    )

    type: Literal["None", "APIKey", "JWT"] = Field("None", description="How clients are known.")
    api_key: APIKey | None = Field(None, description="For type APIKey.")
    jwt: JWT | None = Field(None, description="For type JWT.")
    resource: Annotated[str, Field(min_length=1, max_length=1024, pattern=patterns.WEB_URL)] | None = Field(
        None, description="Resource identifier of the server (RFC 9728). Without it, the URL of its endpoint."
    )


class RateLimits(Model):
    """How often the server may be used: token buckets, shared by all pods where there is a Redis."""

    server: RateLimit | None = Field(None, description="For everybody together.")
    per_client: RateLimit | None = Field(
        None,
        description="For each client: by its user or API key, without auth by its session, else by its address.",
    )
    tools: Annotated[dict[Annotated[str, Field(min_length=1, max_length=128)], RateLimit], Field(max_length=64)] = (
        Field(default_factory=dict, description="For single tools, by served name.")
    )
    on_store_failure: Literal["Open", "Closed"] = Field(
        "Open", description="Whether calls pass while Redis does not answer."
    )
