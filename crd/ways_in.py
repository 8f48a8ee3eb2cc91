"""PURE. Which Ingresses may receive the requests of one another: hosts that overlap, and paths within other paths.

Kubernetes merges all Ingresses of a host. Of two that match a request the longer path wins, whoever wrote it, and an
exact path before a prefix (Ingress API, "Multiple matches"). A path of type Prefix matches element by element. A host
with the wildcard ``*.`` covers one more label; some controllers prefer its longer path to the shorter one of the host.

A server has one path of type Prefix, and one of type Exact, of the metadata that tells clients whom to ask for tokens
(RFC 9728). It is in the Ingress with JWT only, and nobody else's without. An index keeps a server under the keys
`held`, and finds under those of `met` what overlaps with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["METADATA_PATH", "Key", "WaysIn", "metadata_path", "overlap", "path_of"]

# RFC 9728, section 3.1: the metadata of a resource is at the root of the host, followed by the path of the resource.
METADATA_PATH = "/.well-known/oauth-protected-resource"
# What a path of type Prefix has at most. No longer one can be above another path.
LONGEST = 128
_URL = re.compile(r"https?://[^/?#]*([^?#]*)")
Key: TypeAlias = "tuple[str, str, str]"


@dataclass(frozen=True, slots=True)
class WaysIn:
    """The host of an Ingress, its path of type Prefix, and one of type Exact."""

    host: str
    prefix: str
    exact: str

    @property
    def held(self) -> frozenset[Key]:
        """The keys of an index under which these are kept."""
        return frozenset(
            (kind, host, path)
            for host in _covered(self.host)
            for kind, path in (
                ("prefix", self.prefix),
                ("exact", self.exact),
                *(("below", above) for each in (self.prefix, self.exact) for above in _above(each)),
            )
        )

    @property
    def met(self) -> frozenset[Key]:
        """The keys of an index under which everything is that overlaps with these."""
        return frozenset(
            (kind, host, path)
            for host in _covering(self.host)
            for kind, path in (
                ("exact", self.prefix),
                ("below", self.prefix),
                ("exact", self.exact),
                *(("prefix", above) for each in (self.prefix, self.exact) for above in (*_above(each), each)),
            )
        )


def metadata_path(resource: str | None, prefix: str) -> str:
    """The path of the metadata about a resource; without one, about the endpoint at ``prefix``.

    The author's identifier may name another path than the endpoint has here, behind a proxy that rewrites it.
    """
    return f"{METADATA_PATH}{path_of(resource).rstrip('/') if resource else prefix}"


def path_of(url: str) -> str:
    """The path of an http or https URL; empty for any other text. It raises no exception, as `urllib.parse` does."""
    found = _URL.match(url)
    return found[1] if found else ""


def overlap(one: WaysIn, other: WaysIn) -> str:
    """The path of ``one`` with which a path of ``other`` overlaps; empty if none does."""
    if not set(_covering(one.host)) & set(_covered(other.host)):
        return ""
    if _is_within(one.prefix, other.prefix) or _is_within(other.prefix, one.prefix):
        return one.prefix
    if _is_within(other.exact, one.prefix):
        return one.prefix
    return one.exact if one.exact == other.exact or _is_within(one.exact, other.prefix) else ""


def _is_within(path: str, prefix: str) -> bool:
    """Whether a path of type Prefix matches another path: element by element."""
    return path == prefix or path.startswith(f"{prefix}/")


def _above(path: str) -> Iterator[str]:
    """The paths of type Prefix that match this path, without itself."""
    at = path.find("/", 1)
    while 0 < at <= LONGEST:
        yield path[:at]
        at = path.find("/", at + 1)


def _covered(host: str) -> tuple[str, ...]:
    """A host, and what finds it for the wildcard that covers it."""
    return (host,) if host.startswith("*.") else (host, f".{host.partition('.')[2]}")


def _covering(host: str) -> tuple[str, ...]:
    """A host, and its wildcard; for a wildcard, what finds the hosts that it covers."""
    return (host, host[1:]) if host.startswith("*.") else (host, f"*.{host.partition('.')[2]}")
