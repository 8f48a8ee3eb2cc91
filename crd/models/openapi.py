"""PURE. CustomResourceDefinitions made from the models: structural schemas, as the API server requires them.

Called by ``mcp-operator generate`` and by `crd.fields`, which reads the same schema.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from crd.finding import Reason
from crd.models import cel, patterns
from crd.models.prompt import PromptSpec, PromptStatus
from crd.models.resource import ResourceSpec, ResourceStatus
from crd.models.server import SERVER_NAME, SERVER_NAME_RULE, ServerSpec, ServerStatus
from crd.models.tool import ToolSpec, ToolStatus
from crd.ref import GROUP, VERSION, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.models.metadata import Model

__all__ = ["KINDS", "definition", "schema"]

KINDS = (Kind.SERVER, Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)

_MODELS: dict[Kind, tuple[type[Model], type[Model], str]] = {
    Kind.SERVER: (ServerSpec, ServerStatus, "An MCP server: the tools, prompts and resources it serves, and how."),
    Kind.TOOL: (ToolSpec, ToolStatus, "An HTTP endpoint of a Service, offered to agents as a tool."),
    Kind.PROMPT: (PromptSpec, PromptStatus, "A text with placeholders, offered to agents as a prompt."),
    Kind.RESOURCE: (
        ResourceSpec,
        ResourceStatus,
        "Content, or HTTP operations that answer with it, for agents to read.",
    ),
}

_SHORT_NAMES = {Kind.SERVER: "mcps", Kind.TOOL: "mcpt", Kind.PROMPT: "mcpp", Kind.RESOURCE: "mcpr"}


def _column(name: str, path: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "jsonPath": path, **more}


def _condition(kind: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].status'


_AGE = _column("Age", ".metadata.creationTimestamp", "date")
_READY = _column("Ready", _condition("Ready"))
_NAME = _column("Served Name", ".spec.name")
_COLUMNS = {
    Kind.SERVER: [
        _READY,
        _column("Replicas", ".status.readyReplicas", "integer"),
        _column("Tools", ".status.toolCount", "integer"),
        _column("Prompts", ".status.promptCount", "integer"),
        _column("Resources", ".status.resourceCount", "integer"),
        _column("URL", ".status.url", priority=1),
        _AGE,
    ],
    Kind.TOOL: [
        _NAME,
        _column("Service", ".spec.service.name"),
        _column("Method", ".spec.method"),
        _READY,
        _AGE,
    ],
    Kind.PROMPT: [_NAME, _READY, _AGE],
    Kind.RESOURCE: [_NAME, _column("URI", ".spec.content.uri"), _READY, _AGE],
}


# `kubectl scale` and autoscalers set the number of pods without the rest of the spec.
_SCALE: dict[Kind, dict[str, Any]] = {
    Kind.SERVER: {
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        }
    }
}


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind, apiextensions.k8s.io/v1."""
    names = {
        "kind": kind.value,
        "listKind": f"{kind.value}List",
        "plural": kind.plural,
        "singular": kind.value.lower(),
        "shortNames": [_SHORT_NAMES[kind]],
        "categories": ["mcp"],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}, **_SCALE.get(kind, {})},
        "additionalPrinterColumns": _COLUMNS[kind],
        "schema": {"openAPIV3Schema": _stored(schema(kind))},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


@cache
def schema(kind: Kind) -> dict[str, Any]:
    """The structural schema of a kind. Callers share the result and must not modify it."""
    spec, status, description = _MODELS[kind]
    name_rule = {
        "rule": f"self.metadata.name.matches('^{SERVER_NAME.pattern}$')",
        "message": f"{Reason.INVALID_NAME}: {SERVER_NAME_RULE}",
        "messageExpression": f"{cel.string(f'{Reason.INVALID_NAME}: {SERVER_NAME_RULE}, got ')} + "
        + cel.QUOTED.replace("self", "self.metadata.name"),
        "reason": "FieldValueForbidden",
        "fieldPath": ".metadata.name",
    }
    return {
        **({"x-kubernetes-validations": [name_rule]} if kind is Kind.SERVER else {}),
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of the schema of this object."},
            "kind": {"type": "string", "description": "Kind of this object."},
            "metadata": {"type": "object"},
            "spec": _structural_model(spec),
            "status": _structural_model(status),
        },
    }


def _stored(node: Mapping[str, Any]) -> dict[str, Any]:
    """The schema as it is stored in the CRD."""
    made = _drop_list_defaults(_say_in_words(node))
    if "x-kubernetes-validations" in made:
        # A rule can only point to a field that the schema names.
        made["properties"]["metadata"] = {"type": "object", "properties": {"name": {"type": "string"}}}
    return made


def _drop_list_defaults(node: Mapping[str, Any], *, item: bool = False) -> dict[str, Any]:
    """The schema without defaults inside of lists, as it is stored in the CRD.

    `kubectl apply` compares lists as a whole, so a default that is set in an item would be a change at every apply.
    Readers of such an item know what an absent member means.
    """
    result = {key: value for key, value in node.items() if not (item and key == "default")}
    if "properties" in node:
        result["properties"] = {
            name: _drop_list_defaults(child, item=item) for name, child in node["properties"].items()
        }
    for inner in ("items", "additionalProperties"):
        if isinstance(node.get(inner), dict):
            result[inner] = _drop_list_defaults(node[inner], item=item or inner == "items")
    return result


def _say_in_words(node: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with CEL rules for patterns, as it is stored in the CRD.

    The API server answers to a pattern that a value does not match with the pattern, and checks no rule of the object.
    `schema` keeps the patterns, for readers that know no CEL.
    """
    result = dict(node)
    pattern = result.get("pattern")
    if pattern is not None and pattern not in _COSTLY:
        del result["pattern"]
        # In CEL, a string of the format byte is the decoded bytes.
        if result.get("format") == "byte":
            del result["format"]
        rule = cel.matching(pattern, patterns.MEANINGS[pattern])
        result["x-kubernetes-validations"] = [rule, *result.get("x-kubernetes-validations", ())]
    if "properties" in node:
        result["properties"] = {name: _say_in_words(child) for name, child in node["properties"].items()}
    for inner in ("items", "additionalProperties"):
        if isinstance(node.get(inner), dict):
            result[inner] = _say_in_words(node[inner])
    return result


def _structural_model(model: type[Model]) -> dict[str, Any]:
    source = model.model_json_schema(by_alias=True)
    return _structural(source, source.get("$defs", {}))


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A node without references, unions with null, and members that structural schemas do not allow."""
    if "$ref" in node:
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _structural({**definitions[node["$ref"].rpartition("/")[2]], **rest}, definitions)
    if node.get("x-kubernetes-int-or-string"):
        return _int_or_string(node)
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if choices:
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        return _structural({**choices[0], **rest}, definitions)
    result = {key: value for key, value in node.items() if key in _KEPT}
    if "const" in node:
        result["enum"] = [node["const"]]
    default = node.get("default")
    if _is_significant(default) or (default == {} and "properties" in node):
        result["default"] = default
    if "properties" in node:
        result["properties"] = {name: _structural(child, definitions) for name, child in node["properties"].items()}
    if isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _structural(node["additionalProperties"], definitions)
    if "patternProperties" in node:
        result |= _map_with_key_rule(node, definitions)
    if "items" in node:
        result["items"] = _structural(node["items"], definitions)
    return result


def _map_with_key_rule(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A map whose keys have a pattern. Structural schemas do not allow one for keys, so a CEL rule checks it."""
    ((pattern, value),) = node["patternProperties"].items()
    matches = f"k.matches({cel.string(pattern)})"
    meaning = f"every key must be {patterns.MEANINGS[pattern]}"
    rule = {
        "rule": f"self.all(k, {matches})",
        "message": meaning,
        "messageExpression": f"""{cel.string(f'{meaning}, got "')} + self.filter(k, !{matches})[0] + '"'""",
        "reason": "FieldValueForbidden",
    }
    rules = [*node.get("x-kubernetes-validations", ()), rule]
    return {"additionalProperties": _structural(value, definitions), "x-kubernetes-validations": rules}


def _int_or_string(node: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("description", "default", "x-kubernetes-int-or-string", "maxLength", "x-kubernetes-validations")
    members = {key: node[key] for key in kept if key in node and (key != "default" or _is_significant(node[key]))}
    return {**members, "anyOf": [{"type": "integer"}, {"type": "string"}]}


def _is_significant(default: object) -> bool:
    """Whether a default differs from an absent field. 0 does, because a CEL rule may read the field."""
    return default not in (None, "", [], {}) and default is not False


# Labels in the affinity of a pod: thousands of them may be in one object, more than the API server evaluates rules for.
_COSTLY = frozenset({patterns.LABEL_KEY, patterns.LABEL_VALUE})
_KEPT = (
    "type",
    "description",
    "enum",
    "format",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
)
