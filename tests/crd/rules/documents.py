"""Documents for the tests of rules, and what rules say of them on one line each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from crd import manifest
from crd.finding import Finding
from crd.ref import Ref

SERVICE = {"name": "orders", "port": 80}


def read(kind: str, spec: dict[str, Any], name: str = "a", **metadata: Any) -> manifest.Object:
    """An object as it is decoded; one with a structural problem is a mistake of the test."""
    item = broken(kind, spec, name, **metadata)
    assert item.problems == ()
    return item


def broken(kind: str, spec: Any, name: str = "a", **metadata: Any) -> manifest.Object:
    """An object as it is decoded, whatever is wrong with it."""
    document = {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", **metadata},
        "spec": spec,
    }
    return manifest.decode(document)


def tool(name: str = "a", **spec: Any) -> manifest.Object:
    return read("MCPTool", {"service": SERVICE, **spec}, name)


def taking(*required: str, **properties: Any) -> dict[str, Any]:
    """The inputSchema of these arguments."""
    return {"type": "object", "properties": properties, "required": list(required)}


def prompt(template: str = "t", **spec: Any) -> manifest.Object:
    return read("MCPPrompt", {"template": template, **spec})


def resource(**spec: Any) -> manifest.Object:
    return read("MCPResource", spec)


def operations(*listed: dict[str, Any]) -> manifest.Object:
    return resource(operations=[{"service": SERVICE, "ingressPath": "/a", **each} for each in listed])


def server(name: str = "main", **spec: Any) -> manifest.Object:
    return read("MCPServer", {"toolSelector": {"matchLabels": {"app": "shop"}}, **spec}, name)


def findings_of(findings: Iterable[Finding]) -> list[str]:
    """Level, reason, path and message of each finding; each is about some object, and told apart by texts."""
    found = list(findings)
    for each in found:
        assert isinstance(each.ref, Ref)
        assert each.subject == tuple(str(part) for part in each.subject)
    return [f"{finding.level} {finding}" for finding in found]
