"""PURE. What a client is told that may not come in, and where it learns who lets it in (RFC 6750, RFC 9728)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

if TYPE_CHECKING:
    from crd.published.settings import Auth, Settings

__all__ = ["WELL_KNOWN", "DeniedError", "Resource", "challenge", "metadata", "resource"]

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")


class DeniedError(Exception):
    """A request that is not let in. ``error`` is a code of RFC 6750, section 3.1; empty: nothing was presented."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message


@dataclass(frozen=True, slots=True)
class Resource:
    """What tokens are for: its identifier, the URL of its metadata, and the paths at which we answer with them."""

    identifier: str
    metadata_url: str
    paths: tuple[str, ...]


def resource(settings: Settings, scheme: str, host: str) -> Resource:
    """The resource of a server: as its author says, else the endpoint as this request names it.

    A host that cannot stand in a URL gives way to the first that the server is known by.
    """
    if not _HOST.fullmatch(host):
        host = settings.hosts[0] if settings.hosts else "localhost"
    identifier = settings.auth.resource or f"{scheme}://{host}{settings.path_prefix}"
    parts = urlsplit(identifier)
    path = parts.path.rstrip("/")
    url = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{path}"
    # An Ingress may have rewritten the path that the author names, so both are answered, and the root as well.
    return Resource(identifier, url, (WELL_KNOWN + path, WELL_KNOWN + settings.path_prefix, WELL_KNOWN))


def metadata(auth: Auth, about: Resource) -> bytes | None:
    """Protected resource metadata; None where no authorization server stands behind the server."""
    if auth.jwt is None:
        return None
    scopes = {"scopes_supported": list(auth.jwt.required_scopes)} if auth.jwt.required_scopes else {}
    return orjson.dumps(
        {
            "resource": about.identifier,
            "authorization_servers": [auth.jwt.issuer],
            "bearer_methods_supported": ["header"],
            **scopes,
        }
    )


def challenge(denied: DeniedError, auth: Auth, about: Resource) -> str:
    """The value of WWW-Authenticate. It names every scope at once, so that a client asks its user once."""
    members: dict[str, str] = {}
    if denied.error:
        members |= {"error": denied.error, "error_description": denied.message}
    if auth.jwt is not None:
        if auth.jwt.required_scopes:
            members["scope"] = " ".join(auth.jwt.required_scopes)
        members["resource_metadata"] = about.metadata_url
    said = ", ".join(f'{name}="{_quoted(value)}"' for name, value in members.items())
    return f"Bearer {said}" if said else "Bearer"


def _quoted(value: str) -> str:
    return re.sub(r'["\\]', lambda match: "\\" + match[0], value)
