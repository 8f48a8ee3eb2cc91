"""PURE. Whether a client may call a tool of a server, as the runtime decides it.

The runtime authenticates a client by `auth` of the server, and then hides every tool that requires a scope which the
token of the client lacks. A client without a token has no scopes. Called by `cli.commands.who_can`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.published.entries import Tool
    from crd.published.settings import Auth

__all__ = ["Principal", "describe", "may_call", "requirement"]


@dataclass(frozen=True, slots=True)
class Principal:
    """A client: without a credential, with a valid API key, or with a valid token that has these scopes."""

    credential: Literal["none", "API key", "token"]
    scopes: frozenset[str] = frozenset()


def may_call(principal: Principal, auth: Auth, tool: Tool) -> bool:
    """Whether a client may call a tool."""
    match auth.type:
        case "None":
            return not tool.required_scopes  # nobody reads a token, so nobody has a scope
        case "APIKey":
            return principal.credential == "API key" and not tool.required_scopes
    if principal.credential != "token" or auth.jwt is None:
        return False
    return principal.scopes.issuperset((*auth.jwt.required_scopes, *tool.required_scopes))


def requirement(auth: Auth, tool: Tool) -> Principal | None:
    """The client with the fewest scopes that may call a tool; None if nobody may."""
    scopes = frozenset((*(auth.jwt.required_scopes if auth.jwt is not None else ()), *tool.required_scopes))
    for each in (Principal("none"), Principal("API key"), Principal("token", scopes)):
        if may_call(each, auth, tool):
            return each
    return None


def describe(principal: Principal | None, auth: Auth) -> str:
    """Who that is: ``anyone``, or what a client must have."""
    if principal is None:
        return "nobody: the tool requires scopes, and clients of this server have no tokens"
    return " ".join(_words(principal, auth))


def _words(principal: Principal, auth: Auth) -> Iterator[str]:
    if principal.credential == "none":
        yield "anyone who reaches the server"
    elif principal.credential == "API key":
        yield f"API keys of Secret {auth.api_key_secret}"
    else:
        yield f"tokens of {auth.jwt.issuer if auth.jwt is not None else ''}"
        if principal.scopes:
            yield f"with the scopes {' '.join(sorted(principal.scopes))}"
