"""Who a client is: nobody asks, it has an API key, or it brings a token. Decided anew for every request."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtime.auth import tokens
from runtime.auth.jwks import KeysUnavailableError
from runtime.auth.oauth_metadata import DeniedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from crd.published.settings import Auth, Jwt
    from runtime.auth.jwks import KeySets

__all__ = ["ANYBODY", "Gatekeeper", "Identity"]

_JWKS = "jwks.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """``principal`` names the client; ``claims`` are those of its token."""

    principal: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)


ANYBODY = Identity()


class Gatekeeper:
    """``secrets`` is the folder of mounted Secrets, read at use so that a rotated key counts; ``now`` is Unix time."""

    def __init__(self, secrets: Path, keys: KeySets, now: Callable[[], float]) -> None:
        self._secrets = secrets
        self._keys = keys
        self._now = now

    async def identify(self, auth: Auth, presented: Sequence[str]) -> Identity:
        """Who sends a request with these Authorization headers. Raises DeniedError, or KeysUnavailableError."""
        if auth.type == "None":
            return ANYBODY
        credential = _bearer(presented)
        if auth.type == "APIKey":
            return self._by_key(auth.api_key_secret, credential)
        if auth.jwt is None:
            raise KeysUnavailableError(f"the catalog asks for {auth.type} and does not say whose")
        return _user(await self._claims(auth.jwt, credential), auth.jwt)

    def _by_key(self, secret: str, credential: str) -> Identity:
        keys = {name: value.strip() for name, value in self._values(secret).items() if value.strip()}
        if not keys:
            raise KeysUnavailableError(f"Secret {secret} is not mounted or holds no key")
        # Digests of one length, every key compared: time tells nothing of how much of which key was right.
        given = hashlib.sha256(credential.encode()).digest()
        matches = [n for n, value in keys.items() if hmac.compare_digest(hashlib.sha256(value).digest(), given)]
        if not matches:
            raise DeniedError(401, "invalid_token", "this API key is not known")
        return Identity(matches[0])

    async def _claims(self, wanted: Jwt, token: str) -> dict[str, Any]:
        try:
            if not wanted.jwks_url:
                return tokens.verified(token, self._mounted(wanted.jwks_secret), wanted, self._now())
            try:
                return tokens.verified(token, await self._keys.keys(wanted.jwks_url), wanted, self._now())
            except tokens.UnknownKeyError:
                newer = await self._keys.keys(wanted.jwks_url, unknown=True)
                return tokens.verified(token, newer, wanted, self._now())
        except tokens.TokenError as error:
            raise DeniedError(401, "invalid_token", str(error)) from error

    def _mounted(self, secret: str) -> tuple[Mapping[str, Any], ...]:
        try:
            return tokens.key_set(self._values(secret).get(_JWKS, b""))
        except tokens.InvalidKeysError as error:
            raise KeysUnavailableError(f"{_JWKS} of Secret {secret}: {error}") from error

    def _values(self, secret: str) -> dict[str, bytes]:
        """The keys of a mounted Secret. The kubelet's own links beside them begin with two dots."""
        try:
            files = [f for f in sorted((self._secrets / secret).iterdir()) if not f.name.startswith("..")]
            return {file.name: file.read_bytes() for file in files if file.is_file()}
        except OSError as error:
            raise KeysUnavailableError(f"Secret {secret} cannot be read: {type(error).__name__}") from error


def _bearer(presented: Sequence[str]) -> str:
    if len(presented) > 1:
        raise DeniedError(400, "invalid_request", "Authorization stands more than once")
    scheme, _, credential = presented[0].strip().partition(" ") if presented else ("", "", "")
    if scheme.lower() != "bearer" or not credential.strip():
        raise DeniedError(401, "", "send Authorization: Bearer with a token or key of this server")
    try:
        credential.encode()
    except UnicodeEncodeError as error:
        raise DeniedError(400, "invalid_request", "Authorization is not text") from error
    return credential.strip()


def _user(claims: Mapping[str, Any], wanted: Jwt) -> Identity:
    name = claims.get(wanted.user_claim)
    if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
        raise DeniedError(401, "invalid_token", f"the token names no user in {wanted.user_claim}")
    missing = [scope for scope in wanted.required_scopes if scope not in tokens.scopes(claims)]
    if missing:
        raise DeniedError(403, "insufficient_scope", f"the token lacks {' '.join(missing)}")
    return Identity(str(name), claims)
