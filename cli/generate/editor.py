"""PURE. JSON Schemas for editors, made from the schemas of the CustomResourceDefinitions.

They are stricter in one point: an unknown field is an error, where an API server would drop it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crd.models import openapi
from crd.ref import GROUP, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.ref import Kind

__all__ = ["schema_of", "schema_of_all"]

DIALECT = "http://json-schema.org/draft-07/schema#"
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA = {
    "type": "object",
    "description": "Name, namespace, labels and annotations of this object.",
    "properties": {
        "name": {"type": "string", "description": "Name of this object, unique in its kind and namespace."},
        "generateName": {"type": "string", "description": "Prefix of the name that the API server generates."},
        "namespace": {"type": "string", "description": "Namespace of this object."},
        "labels": {**_TEXTS, "description": "Labels that an MCPServer selects by."},
        "annotations": {**_TEXTS, "description": "Notes for people and tools."},
    },
    "anyOf": [{"required": ["name"]}, {"required": ["generateName"]}],
}


def schema_of(kind: Kind) -> dict[str, Any]:
    """The schema of a manifest of this kind."""
    return {"$schema": DIALECT, "title": kind.value, **_manifest(kind)}


def schema_of_all() -> dict[str, Any]:
    """A schema for files with objects of any of our kinds; it accepts every object of another group."""
    ours = {"properties": {"apiVersion": {"const": f"{GROUP}/{VERSION}"}}, "required": ["apiVersion"]}
    kinds = [
        {
            "if": {"properties": {"kind": {"const": kind.value}}, "required": ["kind"]},
            "then": {"$ref": f"#/definitions/{kind}"},
        }
        for kind in openapi.KINDS
    ]
    known = {"properties": {"kind": {"enum": [kind.value for kind in openapi.KINDS]}}, "required": ["kind"]}
    return {
        "$schema": DIALECT,
        "title": f"{GROUP}/{VERSION}",
        "if": ours,
        "then": {"allOf": [known, *kinds]},
        "definitions": {kind.value: _manifest(kind) for kind in openapi.KINDS},
    }


def _manifest(kind: Kind) -> dict[str, Any]:
    schema = openapi.schema(kind)
    spec = _close(schema["properties"]["spec"])
    return {
        "type": "object",
        "description": schema["description"],
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": f"{GROUP}/{VERSION}", "description": "Version of the schema of this object."},
            "kind": {"const": kind.value, "description": "Kind of this object."},
            "metadata": _METADATA,
            "spec": spec,
            "status": {"type": "object", "description": "Written by the controller; do not set it."},
        },
        "additionalProperties": False,
    }


def _close(node: Mapping[str, Any]) -> dict[str, Any]:
    """Forbid unknown fields, drop x-kubernetes- extensions, and append the messages of CEL rules to the description."""
    result = {key: value for key, value in node.items() if not key.startswith("x-kubernetes-")}
    rules = [rule["message"] for rule in node.get("x-kubernetes-validations", ())]
    if rules:
        result["description"] = "\n".join([node.get("description", ""), *(f"- {rule}" for rule in rules)]).strip()
    if "properties" in node:
        result["properties"] = {name: _close(child) for name, child in node["properties"].items()}
        result["additionalProperties"] = bool(node.get("x-kubernetes-preserve-unknown-fields"))
    if isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _close(node["additionalProperties"])
    if "items" in node:
        result["items"] = _close(node["items"])
    return result
