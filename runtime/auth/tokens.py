"""PURE. Whether a token may be believed: its signature, its issuer, whom it is for, and its time (RFC 7519, RFC 9068).

Signatures are checked by PyJWT. The clock is ours, so a token's time is compared here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import orjson
from jwt.exceptions import InvalidSignatureError, PyJWTError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crd.published.settings import Jwt

__all__ = ["InvalidKeysError", "TokenError", "UnknownKeyError", "key_set", "scopes", "verified"]

# Of two keys only: with a shared secret, whoever checks a token could also make one.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
# Seconds by which the clocks of issuer and pod may differ.
LEEWAY = 30.0
_OPTIONS: Any = {
    "require": ["exp", "iss", "aud"],
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
    "enforce_minimum_key_length": True,
}


class TokenError(Exception):
    """A token that is not believed; the text says why, without the token."""


class UnknownKeyError(TokenError):
    """No key of the issuer fits the token; a newer set may hold one."""


class InvalidKeysError(ValueError):
    """These bytes are no JWK Set."""


def key_set(body: bytes) -> tuple[Mapping[str, Any], ...]:
    """The keys of a JWK Set (RFC 7517). Raises InvalidKeysError."""
    try:
        keys = orjson.loads(body)["keys"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidKeysError("not a JWK Set: JSON with a list called keys is expected") from error
    if not isinstance(keys, list):
        raise InvalidKeysError("not a JWK Set: keys is no list")
    return tuple(key for key in keys if isinstance(key, dict))


def verified(token: str, keys: Sequence[Mapping[str, Any]], wanted: Jwt, now: float) -> dict[str, Any]:
    """The claims of a token. ``now`` is in seconds since 1970. Raises TokenError."""
    try:
        header = jwt.get_unverified_header(token)
    except PyJWTError as error:
        raise TokenError("the token is no JWT") from error
    algorithm, identifier = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise TokenError("the token is signed by an algorithm that is not taken")
    fitting = [key for key in keys if _fits(key, algorithm, identifier)]
    if not fitting:
        raise UnknownKeyError("no key of the issuer fits the token")
    claims = _signed(token, fitting, algorithm, wanted)
    expires, begins = claims["exp"], claims.get("nbf", 0)
    if not _is_number(expires) or not expires > now - LEEWAY:
        raise TokenError("the token has expired")
    if not _is_number(begins) or not begins <= now + LEEWAY:
        raise TokenError("the token is not valid yet")
    return claims


def scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes of a token: ``scope`` (RFC 9068), or ``scp`` as some issuers call it; a text or a list."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            found.update(value.split())
        elif isinstance(value, list):
            found.update(item for item in value if isinstance(item, str))
    return frozenset(found)


def _fits(key: Mapping[str, Any], algorithm: str, identifier: object) -> bool:
    return (
        (identifier is None or key.get("kid") == identifier)
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and key.get("kty") == _TYPES[algorithm[:2]]
    )


def _signed(token: str, keys: Sequence[Mapping[str, Any]], algorithm: str, wanted: Jwt) -> dict[str, Any]:
    for key in keys:
        try:
            return jwt.decode(
                token,
                jwt.PyJWK(dict(key), algorithm=algorithm),
                algorithms=[algorithm],
                audience=wanted.audiences,
                issuer=wanted.issuer,
                options=_OPTIONS,
            )
        except InvalidSignatureError:
            continue
        except PyJWTError as error:
            raise TokenError(f"the token is not taken: {type(error).__name__}") from error
    raise TokenError("the token's signature is not the issuer's")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
