"""PURE. Protected resource metadata (RFC 9728), and the challenge to a client that is denied access (RFC 6750)."""

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
    """Access is denied. ``error`` is a code of RFC 6750, section 3.1; empty if the client sent no credentials."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message


@dataclass(frozen=True, slots=True)
class Resource:
    """The protected resource: its identifier, the URL of its metadata, and the paths that serve the metadata."""

    identifier: str
    metadata_url: str
    paths: tuple[str, ...]


def resource(settings: Settings, scheme: str, host: str) -> Resource:
    """The resource of a server: the author's identifier, else the URL of the endpoint as this request addresses it.

    A host that a URL cannot contain is replaced by the server's first host name.
    """
    if not _HOST.fullmatch(host):
        host = settings.hosts[0] if settings.hosts else "localhost"
    identifier = settings.auth.resource or f"{scheme}://{host}{settings.path_prefix}"
    parts = urlsplit(identifier)
    path = parts.path.rstrip("/")
    url = f"{parts.scheme}://{parts.netloc}{WELL_KNOWN}{path}"
    # An Ingress may have rewritten the path of the identifier. So its path, the endpoint's and the root are all served.
    return Resource(identifier, url, (WELL_KNOWN + path, WELL_KNOWN + settings.path_prefix, WELL_KNOWN))


def metadata(auth: Auth, resource: Resource) -> bytes | None:
    """Protected resource metadata. None if the server uses no authorization server."""
    if auth.jwt is None:
        return None
    scopes = {"scopes_supported": list(auth.jwt.required_scopes)} if auth.jwt.required_scopes else {}
    return orjson.dumps(
        {
            "resource": resource.identifier,
            "authorization_servers": [auth.jwt.issuer],
            "bearer_methods_supported": ["header"],
            **scopes,
        }
    )


def challenge(denied: DeniedError, auth: Auth, resource: Resource) -> str:
    """The value of WWW-Authenticate. It lists all required scopes, so that a client asks its user only once."""
    parameters: dict[str, str] = {}
    if denied.error:
        parameters |= {"error": denied.error, "error_description": denied.message}
    if auth.jwt is not None:
        if auth.jwt.required_scopes:
            parameters["scope"] = " ".join(auth.jwt.required_scopes)
        parameters["resource_metadata"] = resource.metadata_url
    text = ", ".join(f'{name}="{_escape_quotes(value)}"' for name, value in parameters.items())
    return f"Bearer {text}" if text else "Bearer"


def _escape_quotes(value: str) -> str:
    return re.sub(r'["\\]', lambda match: "\\" + match[0], value)
