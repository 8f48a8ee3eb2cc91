"""Authentication of clients: none, by API key, or by token. Each request is authenticated anew."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import math
import secrets as secret_bytes
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtime import mounted_files
from runtime.auth import tokens
from runtime.auth.jwks import KeysUnavailableError
from runtime.auth.oauth_metadata import DeniedError
from runtime.mounted_files import Revisions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from crd.published.settings import Auth, Jwt
    from runtime.auth.jwks import KeySets

__all__ = ["ANONYMOUS", "Authenticator", "Grant", "Identity"]

_JWKS = "jwks.json"
# Tokens that are remembered, and the length of the longest one.
MAX_TOKENS, MAX_REMEMBERED = 4096, 8192


@dataclass(frozen=True, slots=True)
class Grant:
    """Why a client was let in, without its credential.

    A token was verified with ``keys`` by ``policy``, and expires at ``until`` (Unix time). An API key has the keyed
    hash ``digest``, and was that of the client ``name``.
    """

    type: str = "None"
    policy: Jwt | None = None
    keys: tuple[Mapping[str, Any], ...] = ()
    until: float = math.inf
    digest: bytes = b""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """``principal`` names the client. ``claims`` and ``scopes`` are those of its token."""

    principal: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)
    scopes: frozenset[str] = frozenset()
    grant: Grant = Grant()


ANONYMOUS = Identity()


class Authenticator:
    """``secrets`` is the folder of mounted Secrets. ``now`` gives Unix time in seconds.

    With ``monotonic``, in seconds, a rotated key applies within `mounted_files.LOOK`; without it, at once.
    """

    def __init__(
        self, secrets: Path, keys: KeySets, now: Callable[[], float], monotonic: Callable[[], float] | None = None
    ) -> None:
        self._secrets = secrets
        self._revisions = Revisions(secrets, monotonic)
        self._keys = keys
        self._now = now
        self._hasher = hashlib.blake2b(key=secret_bytes.token_bytes(32), digest_size=32)
        # Of one Secret, which is all that a server has.
        self._key_set: tuple[tuple[str, object], tuple[Mapping[str, Any], ...]] | None = None
        # By a keyed hash of the header, in the order of verification.
        self._verified: dict[bytes, Identity] = {}
        self._api_keys: tuple[tuple[str, object], Mapping[bytes, tuple[bytes, str]]] | None = None

    def recognize(self, auth: Auth, authorization: Sequence[str]) -> Identity | None:
        """The client, without authentication or of a token that was verified before; None if it must be authenticated.

        A token that was verified is valid until it expires, as long as the keys and the policy are the same.
        """
        if auth.type == "None":
            return ANONYMOUS
        policy = auth.jwt
        if auth.type != "JWT" or policy is None or len(authorization) != 1:
            return None
        known = self._verified.get(self._hash(authorization[0].encode(errors="surrogatepass")))
        if known is None:
            return None
        grant = known.grant
        if self._now() >= grant.until or (grant.policy is not policy and grant.policy != policy):
            return None
        keys = self._keys.cached(policy.jwks_url) if policy.jwks_url else self._read_key_set(policy.jwks_secret)
        return known if grant.keys is keys else None

    async def authenticate(self, auth: Auth, authorization: Sequence[str]) -> Identity:
        """The client that sends these Authorization headers. Raises DeniedError, or KeysUnavailableError."""
        known = self.recognize(auth, authorization)
        if known is not None:
            return known
        credential = _parse_bearer(authorization)
        if auth.type == "APIKey":
            return self._match_api_key(auth.api_key_secret, credential)
        if auth.jwt is None:
            raise KeysUnavailableError(f"auth.type of the catalog is {auth.type}, but auth.jwt is missing")
        digest = self._hash(authorization[0].encode())
        self._verified.pop(digest, None)
        verified = await self._verify_token(auth.jwt, credential)
        if len(credential) <= MAX_REMEMBERED:
            self._verified[digest] = verified
            if len(self._verified) > MAX_TOKENS:
                del self._verified[next(iter(self._verified))]
        return verified

    async def is_granted(self, auth: Auth, grant: Grant) -> bool:
        """Whether the client would be let in again by these settings. Raises KeysUnavailableError.

        A token must be sent again when its issuer has withdrawn a key: without the token it cannot be told which one
        signed it.
        """
        if auth.type != grant.type:
            return False
        if auth.type == "APIKey":
            known = self._hashed_keys(auth.api_key_secret).get(grant.digest)
            return known is not None and known[1] == grant.name
        policy = auth.jwt
        if policy is None:
            return auth.type == "None"
        if policy != grant.policy or self._now() >= grant.until:
            return False
        in_force = await self._key_set_of(policy)
        return grant.keys is in_force or all(key in in_force for key in grant.keys)

    def _match_api_key(self, secret: str, credential: str) -> Identity:
        keys = self._hashed_keys(secret)
        if not keys:
            raise KeysUnavailableError(f"Secret {secret} is not mounted or contains no key")
        # A look-up by a keyed hash: a client that cannot compute the hash learns nothing from the time that it takes.
        digest = self._hash(credential.encode())
        known, name = keys.get(digest, (b"", ""))
        if not hmac.compare_digest(known, digest):
            raise DeniedError(401, "invalid_token", "unknown API key")
        return Identity(name, grant=Grant("APIKey", digest=digest, name=name))

    def _hashed_keys(self, secret: str) -> Mapping[bytes, tuple[bytes, str]]:
        """The API keys of a Secret by their hash, each with the name of its client: read once per change."""
        try:
            revision = self._revisions.of(secret)
        except OSError as error:
            raise KeysUnavailableError(f"Secret {secret} cannot be read: {type(error).__name__}") from error
        cached = self._api_keys
        if cached is None or cached[0] != (secret, revision):
            keys: dict[bytes, tuple[bytes, str]] = {}
            for name, value in self._read_secret(secret).items():
                if value.strip():
                    digest = self._hash(value.strip())
                    keys.setdefault(digest, (digest, name))
            cached = self._api_keys = ((secret, revision), keys)
        return cached[1]

    def _hash(self, value: bytes) -> bytes:
        hasher = self._hasher.copy()
        hasher.update(value)
        return hasher.digest()

    async def _key_set_of(self, policy: Jwt) -> tuple[Mapping[str, Any], ...]:
        return await self._keys.keys(policy.jwks_url) if policy.jwks_url else self._read_key_set(policy.jwks_secret)

    async def _verify_token(self, policy: Jwt, token: str) -> Identity:
        """The client of a token. An unknown key makes the issuer's key set be fetched again."""
        now = self._now()
        try:
            keys = await self._key_set_of(policy)
            try:
                claims = tokens.verify(token, keys, policy, now)
            except tokens.UnknownKeyError:
                if not policy.jwks_url:
                    raise
                keys = await self._keys.keys(policy.jwks_url, unknown=True)
                claims = tokens.verify(token, keys, policy, now)
        except tokens.TokenError as error:
            raise DeniedError(401, "invalid_token", str(error)) from error
        return _identify(claims, policy, Grant("JWT", policy, keys, claims["exp"] + tokens.LEEWAY))

    def _read_key_set(self, secret: str) -> tuple[Mapping[str, Any], ...]:
        """The keys in a Secret: read once per change."""
        try:
            revision = self._revisions.of(secret)
        except OSError as error:
            raise KeysUnavailableError(f"Secret {secret} cannot be read: {type(error).__name__}") from error
        cached = self._key_set
        if cached is None or cached[0] != (secret, revision):
            try:
                cached = ((secret, revision), tokens.key_set(self._read_secret(secret).get(_JWKS, b"")))
            except tokens.InvalidKeysError as error:
                raise KeysUnavailableError(f"{_JWKS} of Secret {secret}: {error}") from error
            self._key_set = cached
        return cached[1]

    def _read_secret(self, secret: str) -> dict[str, bytes]:
        """The keys of a mounted Secret."""
        try:
            values: dict[str, bytes] = {}
            for key in mounted_files.list_keys(self._secrets, secret):
                # One that was removed just now is in the next revision no more.
                with contextlib.suppress(FileNotFoundError):
                    values[key] = mounted_files.read_key(self._secrets, secret, key)
        except OSError as error:
            raise KeysUnavailableError(f"Secret {secret} cannot be read: {type(error).__name__}") from error
        return values


def _identify(claims: Mapping[str, Any], policy: Jwt, grant: Grant) -> Identity:
    """The client that a valid token names. Raises DeniedError if it names none, or lacks a scope."""
    name = claims.get(policy.user_claim)
    if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
        raise DeniedError(401, "invalid_token", f"the token has no user in claim {policy.user_claim}")
    scopes = tokens.scopes(claims)
    missing = [scope for scope in policy.required_scopes if scope not in scopes]
    if missing:
        raise DeniedError(403, "insufficient_scope", f"the token lacks the scope {' '.join(missing)}")
    return Identity(str(name), claims, scopes, grant)


def _parse_bearer(authorization: Sequence[str]) -> str:
    if len(authorization) > 1:
        raise DeniedError(400, "invalid_request", "the Authorization header must be sent once")
    scheme, _, credential = authorization[0].strip().partition(" ") if authorization else ("", "", "")
    if scheme.lower() != "bearer" or not credential.strip():
        raise DeniedError(401, "", "send the header Authorization: Bearer, with a token or an API key for this server")
    try:
        credential.encode()
    except UnicodeEncodeError as error:
        raise DeniedError(400, "invalid_request", "the Authorization header must be valid UTF-8") from error
    return credential.strip()
