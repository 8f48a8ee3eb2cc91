"""PURE. How one object is named: kind, namespace and name.

Knows nothing of what an object holds. Every other module speaks of objects by these references.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["GROUP", "VERSION", "Kind", "Ref"]

GROUP = "mcp.example.com"
VERSION = "v1alpha1"


class Kind(StrEnum):
    """The kinds that take part in a verdict: our four, and what they point at."""

    SERVER = "MCPServer"
    TOOL = "MCPTool"
    PROMPT = "MCPPrompt"
    RESOURCE = "MCPResource"
    SERVICE = "Service"
    SECRET = "Secret"  # noqa: S105 -- a kind, not a secret
    CONFIG_MAP = "ConfigMap"
    GRANT = "ReferenceGrant"

    # Enum's own is written in Python, and every look into a catalog hashes a reference.
    __hash__ = str.__hash__

    @property
    def plural(self) -> str:
        """The plural resource name, as in a URL of the API server."""
        return f"{self.value.lower()}s"


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """One object's name in a cluster. Orders by kind, namespace, name; prints as ``MCPTool shop/a``."""

    kind: Kind
    namespace: str
    name: str

    @property
    def key(self) -> str:
        """``namespace/name``, without the kind."""
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind.value} {self.namespace}/{self.name}"
