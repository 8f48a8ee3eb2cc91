"""Sound documents that together set every field of every spec, and documents that breach one bound of one field."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crd.models import openapi
from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    Path = tuple[str | int, ...]

__all__ = ["WHOLES", "Probe", "leaves", "probes", "raw"]

SERVICE = {"name": "orders", "namespace": "shop", "port": 8080, "scheme": "https", "path": "/v1"}
TLS = {"caSecretName": "ca", "serverName": "orders.example.com", "insecureSkipVerify": False}
RESPONSE = {
    "format": "Json",
    "select": "/items",
    "maxBytes": "2Ki",
    "onTooLarge": "Error",
    "onSchemaMismatch": "Observe",
    "expectStatus": ["2xx", "404"],
    "headers": ["ETag"],
}
HEADERS_FROM = [
    {"name": "X-Key", "prefix": "Key ", "secretKeyRef": {"name": "keys", "key": "k"}},
    {"name": "X-Region", "configMapKeyRef": {"name": "region", "key": "r"}},
]
ENTRIES = [
    {"name": "q", "argument": "a", "style": "Comma", "omitEmpty": False},
    {"name": "v", "value": "x"},
    {"name": "c", "claim": "sub"},
]
HEADERS = [{**entry, "name": f"X-{entry['name']}"} for entry in ENTRIES]
FIELDS = [
    {"name": "f", "argument": "a", "fileName": "a.txt", "mediaType": "text/plain", "encoding": "Base64"},
    {"name": "g", "value": "x", "style": "Json"},
    {"name": "h", "claim": "sub"},
]
PAGES = {
    "cursorArgument": "from",
    "parameter": "page",
    "nextPointer": "/next",
    "sizeArgument": "n",
    "sizeParameter": "limit",
    "maxSize": 50,
}
HTTP = {
    "path": "/x",
    "query": ENTRIES,
    "headers": HEADERS,
    "body": {"mode": "Multipart", "fields": FIELDS},
    "pagination": PAGES,
}
RAW = {
    "body": {"mode": "Raw", "argument": "a", "contentType": "image/png", "encoding": "Base64"},
    "pagination": {"parameter": "page", "nextLink": True},
}
CALLED = {"tls": TLS, "timeout": "30s", "headersFrom": HEADERS_FROM, "response": RESPONSE}
TOOL = {
    "name": "search",
    "title": "T",
    "description": "D",
    "requiredScopes": ["orders.read", "orders.write"],
    "annotations": {
        "readOnlyHint": True,
        "destructiveHint": False,
        "idempotentHint": True,
        "openWorldHint": True,
    },
    "service": SERVICE,
    "method": "PUT",
    "http": HTTP,
    "inputSchema": {"type": "object"},
    "outputSchema": {"type": "object"},
    **CALLED,
    "forwardHeaders": [{"name": "X-Trace"}, {"name": "X-Tenant", "backendHeader": "Tenant"}],
    "retries": {"attempts": 2, "retryOn": ["connect", "5xx"]},
    "circuitBreaker": {"consecutiveFailures": 3, "openFor": "30s"},
    "concurrency": 5,
    "rateLimit": {"requests": 10, "period": "1m", "burst": 20},
    "ingressPath": "/search",
    "enabled": True,
}
PROMPT = {
    "name": "report",
    "title": "T",
    "description": "D",
    "requiredScopes": ["orders.read"],
    "template": "{{a}}",
    "variables": [
        {"name": "a", "title": "A", "description": "D", "required": False, "default": "x", "enum": ["x", "y"]},
        {"name": "b", "required": True},
    ],
    "ingressPath": "/report",
}
RESOURCE = {
    "name": "stock",
    "title": "T",
    "description": "D",
    "requiredScopes": ["orders.read"],
    "mimeType": "text/csv",
    "annotations": {"audience": ["user", "assistant"], "priority": 0.5},
}
OPERATION = {
    "method": "GET",
    "ingressPath": "/stock/{sku}",
    "service": {**SERVICE, "path": "/stock/{sku}"},
    "parameters": [{"name": "sku", "in": "path", "required": True, "description": "D"}],
    "uriTemplate": "shop://stock/{sku}",
}
SELECTOR = {
    "matchLabels": {"app": "shop"},
    "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
    "selectAll": False,
}
PLAIN = {key: SELECTOR[key] for key in ("matchLabels", "matchExpressions")}
POD_TERM = {"labelSelector": PLAIN, "namespaceSelector": PLAIN, "topologyKey": "zone"}
PODS = {
    "requiredDuringSchedulingIgnoredDuringExecution": [POD_TERM],
    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "podAffinityTerm": POD_TERM}],
}
NODE_TERM = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
POD_TEMPLATE = {
    "labels": {"team": "a"},
    "annotations": {"note": "x"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": 5},
    ],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [NODE_TERM]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5, "preference": NODE_TERM}],
        },
        "podAffinity": PODS,
        "podAntiAffinity": PODS,
    },
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "minDomains": 2,
            "labelSelector": PLAIN,
        }
    ],
    "priorityClassName": "high",
    "serviceAccountName": "shop",
}
LIMIT = {"requests": 10, "period": "1m", "burst": 20}
JWT = {
    "issuer": "https://issuer.example.com",
    "audiences": ["shop", "orders"],
    "jwksURL": "https://issuer.example.com/keys",
    "requiredScopes": ["read", "write"],
    "scopesSupported": ["read", "write"],
    "claimsSupported": ["email", "tenant"],
    "userClaim": "sub",
}
DIGEST = f"sha256:{'0' * 64}"
SERVER = {
    "replicas": 2,
    "image": "registry.example.com/mcp:1",
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "pull"}],
    "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "256Mi"}},
    "podTemplate": POD_TEMPLATE,
    "redis": {
        "mode": "Sentinel",
        "serviceName": "redis",
        "port": 6379,
        "db": 1,
        "sentinel": {
            "masterName": "main",
            "serviceName": "sentinels",
            "port": 26379,
            "credentialsSecretName": "sentinels",
        },
        "tls": {"enabled": True, "caSecretName": "ca"},
        "credentialsSecretName": "redis",
        "keyPrefix": "shop:",
    },
    "toolSelector": SELECTOR,
    "promptSelector": SELECTOR,
    "resourceSelector": SELECTOR,
    "integrity": "Strict",
    "ingress": {
        "host": "a.example.com",
        "className": "nginx",
        "tlsSecretName": "tls",
        "pathPrefix": "/mcp",
        "annotations": {"note": "x"},
    },
    "service": {"type": "ClusterIP", "port": 80, "annotations": {"note": "x"}},
    "telemetry": {"traces": {"serviceName": "collector", "port": 4318, "sampleRatio": "0.1"}},
    "info": {"title": "T", "version": "1", "instructions": "I", "websiteUrl": "https://a.example.com"},
    "sessions": {"mode": "Redis", "ttl": "30m"},
    "auth": {"type": "JWT", "jwt": JWT, "resource": "https://a.example.com/mcp"},
    "rateLimits": {"server": LIMIT, "perClient": LIMIT, "tools": {"search": LIMIT}, "onStoreFailure": "Closed"},
    "naming": {"prefix": "x_", "onConflict": "PreferIncumbent"},
    "config": {
        "requestTimeout": "30s",
        "maxConcurrentRequests": 100,
        "maxRequestBytes": "1Mi",
        "maxResponseBytes": 1048576,
        "allowedOrigins": ["https://app.example.com"],
        "trustedProxies": ["10.0.0.0/8", "fd00::/8"],
        "pageSize": 100,
        "listTTL": "60s",
        "logLevel": "info",
    },
    "clients": ["openai", "gemini"],
    "contextBudget": 2000,
    "tolerances": {
        "nullMember": True,
        "repeatedHeader": False,
        "trailingSlash": True,
        "emptyCursor": False,
        "legacyVersionHeader": True,
    },
    "networkPolicy": {
        "enabled": True,
        "ingressFrom": [
            {"podSelector": PLAIN, "namespaceSelector": PLAIN},
            {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}},
        ],
    },
    "podDisruptionBudget": {"minAvailable": "50%"},
}
SCALED = {
    "toolSelector": {"selectAll": True},
    "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilization": 70},
    "auth": {
        "type": "JWT",
        "jwt": {"issuer": "https://i.example.com", "audiences": ["a"], "jwksSecretName": "jwks"},
    },
}

WHOLES: tuple[tuple[Kind, dict[str, Any]], ...] = (
    (Kind.TOOL, TOOL),
    (Kind.TOOL, {"service": SERVICE, "method": "POST", "http": RAW}),
    (
        Kind.TOOL,
        {
            "service": {**SERVICE, "port": "http"},
            "mcp": {
                "path": "/mcp",
                "toolName": "t",
                "protocol": "Auto",
                "session": "Shared",
                "pin": {
                    "title": DIGEST,
                    "description": DIGEST,
                    "inputSchema": DIGEST,
                    "outputSchema": DIGEST,
                    "annotations": DIGEST,
                },
                "onDrift": "Refuse",
            },
        },
    ),
    (Kind.PROMPT, PROMPT),
    (Kind.PROMPT, {"messages": [{"role": "user", "text": "t"}, {"role": "user", "resource": {"uri": "urn:a"}}]}),
    (Kind.RESOURCE, {**RESOURCE, "content": {"uri": "urn:a", "mimeType": "text/plain", "text": "t"}}),
    (Kind.RESOURCE, {"content": {"uri": "urn:a", "blob": "YQ=="}}),
    (Kind.RESOURCE, {**RESOURCE, "operations": [OPERATION]}),
    (Kind.RESOURCE, {"uri": "urn:a", "service": SERVICE, "http": HTTP, **CALLED}),
    (Kind.RESOURCE, {"uriTemplate": "shop://{a}", "service": SERVICE, "http": RAW}),
    (Kind.SERVER, SERVER),
    (Kind.SERVER, SCALED),
    (
        Kind.SERVER,
        {"toolSelector": {"selectAll": True}, "auth": {"type": "APIKey", "apiKey": {"secretName": "keys"}}},
    ),
)
"""Sound to the schema and its rules; `crd.rules` may say more of some of them."""


def raw(kind: str, spec: Any, name: str = "twin") -> dict[str, Any]:
    """A document of one of our kinds in the namespace shop."""
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


@dataclass(frozen=True)
class Probe:
    """A sound document with another value at one place."""

    document: dict[str, Any]
    path: Path
    value: Any

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])


def leaves(value: Any, schema: dict[str, Any], path: Path) -> Iterator[tuple[Path, Any, dict[str, Any]]]:
    """Every place of a document, with its value and its schema. Lists and objects are places themselves."""
    yield path, value, schema
    if isinstance(value, dict):
        for name, child in value.items():
            known = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if known:
                yield from leaves(child, known, (*path, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from leaves(child, schema["items"], (*path, index))


def probes() -> Iterator[Probe]:
    """Every bound that a schema states, from both sides; once for a field of one name, schema and value."""
    seen: set[str] = set()
    for kind, spec in WHOLES:
        for path, value, schema in leaves(spec, openapi.schema(kind)["properties"]["spec"], ("spec",)):
            field = next(step for step in reversed(path) if isinstance(step, str))
            for other in _others(value, schema):
                known = json.dumps([field, schema, other], sort_keys=True)
                if known not in seen:
                    seen.add(known)
                    document = raw(kind.value, spec, f"p-{len(seen)}")
                    yield Probe(_with(document, path, other), path, other)


def _with(document: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


def _others(value: Any, schema: dict[str, Any]) -> Iterator[Any]:
    if schema.get("x-kubernetes-int-or-string"):
        yield from (0, -1, 1, 100, 101, 65535, 65536, 16777216, 16777217)
        yield from ("", "80", "8a", "h" * 63, "h" * 64, "16Mi", "17Mi", "9999Ki", "10000Ki", "0%", "101%", "250m", "-1")
        yield from (1.5, True, {}, [])
        return
    match schema["type"]:
        case "string":
            yield from _texts(value, schema)
        case "integer" | "number":
            lowest, highest = schema["minimum"], schema["maximum"]
            yield from (lowest, lowest - 1, highest, highest + 1, str(value), True, [])
        case "boolean":
            yield from ("true", 1, not value)
        case "array":
            yield from ("x", {}, [])
            yield [*value, value[0]]
            yield [copy.deepcopy(value[0]) for _ in range(schema["maxItems"] + 1)]
        case "object":
            yield from ("x", [])
            if "maxProperties" in schema:
                entry = next(iter(value.values()))
                for count in (schema["maxProperties"], schema["maxProperties"] + 1):
                    yield {f"k{index}": entry for index in range(count)}


def _texts(value: str, schema: dict[str, Any]) -> Iterator[Any]:
    yield from ("", 7, True, [], f"{value}\n", f"{value} ", "\u00fc", "-", "/", f"{value}{{")
    if "enum" in schema:
        yield value.lower() if value != value.lower() else value.upper()
    else:
        longest = schema["maxLength"]
        yield from (value.ljust(longest, value[-1]), value.ljust(longest + 1, value[-1]))
