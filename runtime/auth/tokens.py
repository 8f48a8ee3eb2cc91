"""PURE. Verification of tokens: signature, issuer, audience and validity period (RFC 7519, RFC 9068).

PyJWT verifies the signature and the issuer. The clock is an argument, so the validity period is compared here. With
its cryptography PyJWT is large, and most servers verify no token, so it is imported with the first one, or by `load`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crd.published.settings import Jwt

__all__ = ["InvalidKeysError", "TokenError", "UnknownKeyError", "key_set", "load", "scopes", "verify"]

# Asymmetric algorithms only: with a shared secret, whoever verifies a token could also make one.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
# Other types of JWT, such as a logout token or a security event, grant no access (RFC 8725, section 3.11; RFC 9068).
_TYPES = ("jwt", "at+jwt")
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
    """The token is rejected. The text gives the reason, without the token."""


class UnknownKeyError(TokenError):
    """No known key of the issuer matches the token. A newer key set may contain one."""


class InvalidKeysError(ValueError):
    """These bytes are not a JWK Set."""


def load() -> None:
    """Import what the verification of tokens needs."""
    import jwt.algorithms  # noqa: F401


def key_set(body: bytes) -> tuple[Mapping[str, Any], ...]:
    """The keys of a JWK Set (RFC 7517). Raises InvalidKeysError."""
    try:
        keys = orjson.loads(body)["keys"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidKeysError('not a JWK Set: must be a JSON object with the member "keys"') from error
    if not isinstance(keys, list):
        raise InvalidKeysError('not a JWK Set: "keys" must be a list')
    return tuple(key for key in keys if isinstance(key, dict))


def verify(token: str, keys: Sequence[Mapping[str, Any]], policy: Jwt, now: float) -> dict[str, Any]:
    """The claims of a valid token. ``now`` is Unix time in seconds. Raises TokenError."""
    import jwt
    from jwt.exceptions import PyJWTError

    try:
        header = jwt.get_unverified_header(token)
    except PyJWTError as error:
        raise TokenError("the token is not a JWT") from error
    kind = header.get("typ")
    if kind is not None and not (isinstance(kind, str) and kind.lower().removeprefix("application/") in _TYPES):
        raise TokenError(f"the token's typ must be one of {', '.join(_TYPES)}")
    algorithm, identifier = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise TokenError(f"the token's signature algorithm is not supported; use one of {', '.join(ALGORITHMS)}")
    candidates = [
        key
        for key in keys
        if (identifier is None or key.get("kid") == identifier)
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and key.get("kty") == _KEY_TYPES[algorithm[:2]]
    ]
    if not candidates:
        raise UnknownKeyError("no key of the issuer matches the token")
    claims = _decode(token, candidates, algorithm, policy)
    expires, not_before = claims["exp"], claims.get("nbf", 0)
    if not _is_number(expires) or not expires > now - LEEWAY:
        raise TokenError("the token has expired")
    if not _is_number(not_before) or not not_before <= now + LEEWAY:
        raise TokenError("the token is not valid yet")
    return claims


def scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes of a token: ``scope`` (RFC 9068) or ``scp`` (some issuers), as a string or a list."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            found.update(value.split())
        elif isinstance(value, list):
            found.update(item for item in value if isinstance(item, str))
    return frozenset(found)


def _decode(token: str, keys: Sequence[Mapping[str, Any]], algorithm: str, policy: Jwt) -> dict[str, Any]:
    import jwt
    from jwt.exceptions import InvalidSignatureError, PyJWTError

    for key in keys:
        try:
            return jwt.decode(
                token,
                jwt.PyJWK(dict(key), algorithm=algorithm),
                algorithms=[algorithm],
                audience=policy.audiences,
                issuer=policy.issuer,
                options=_OPTIONS,
            )
        except InvalidSignatureError:
            continue
        except PyJWTError as error:
            raise TokenError(f"the token is invalid: {type(error).__name__}") from error
    raise TokenError("the token's signature was not made with a key of the issuer")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
