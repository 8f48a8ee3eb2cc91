"""PURE. References to objects: kind, namespace and name."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

__all__ = ["GROUP", "VERSION", "Kind", "Ref"]

GROUP = "mcp.example.com"
VERSION = "v1alpha1"


class Kind(StrEnum):
    """The kinds that verdicts depend on: our four, and those that they refer to."""

    SERVER = "MCPServer"
    TOOL = "MCPTool"
    PROMPT = "MCPPrompt"
    RESOURCE = "MCPResource"
    SERVICE = "Service"
    SECRET = "Secret"  # noqa: S105 -- a kind, not a secret
    CONFIG_MAP = "ConfigMap"
    GRANT = "ReferenceGrant"

    # The method of Enum is written in Python, and every lookup in a snapshot hashes a reference.
    __hash__ = str.__hash__

    @property
    def plural(self) -> str:
        """The plural name of the resource, as in URLs of the API server."""
        return f"{self.value.lower()}s"


class Ref(NamedTuple):
    """A reference to an object. Orders by kind, namespace and name; prints as ``MCPTool shop/a``.

    A tuple, because indexes hash and compare millions of them, which a tuple does without running Python code.
    """

    kind: Kind
    namespace: str
    name: str

    @property
    def key(self) -> str:
        """``namespace/name``, without the kind."""
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind.value} {self.namespace}/{self.name}"
