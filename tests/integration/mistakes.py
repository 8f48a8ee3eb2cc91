"""Objects with many mistakes at once, as people make them."""

from __future__ import annotations

from typing import Any

__all__ = ["OF_MEANING", "OF_VALUES"]

SERVICE = {"name": "Orders_API", "namespace": "My Shop", "port": "80", "path": "api?v=1"}
REF = {"name": "The Keys", "key": "api key"}
# Mistakes in single values, all of which the definitions find.
OF_VALUES: dict[str, dict[str, Any]] = {
    "MCPTool": {
        "name": "search orders",
        "service": SERVICE,
        "timeout": "30 seconds",
        "ingressPath": "orders",
        "http": {
            "path": "/orders/{}",
            "query": [{"name": "q", "claim": "e mail"}],
            "headers": [{"name": "X Trace", "value": "a"}],
            "body": {
                "mode": "Multipart",
                "contentType": "json",
                "fields": [{"name": "f", "value": "x", "fileName": "a/b.txt", "mediaType": "text"}],
            },
            "pagination": {"parameter": "page", "nextPointer": "next"},
        },
        "headersFrom": [{"name": "X:Key", "prefix": "Schlüssel ", "secretKeyRef": REF}],
        "forwardHeaders": [{"name": "Host"}],
        "response": {"select": "items", "maxBytes": "1GB", "expectStatus": ["20x"], "headers": ["E Tag"]},
        "tls": {"caSecretName": "CA", "serverName": "https://orders"},
        "circuitBreaker": {"consecutiveFailures": 3, "openFor": "1 min"},
        "rateLimit": {"requests": 1, "period": "1d"},
    },
    "MCPPrompt": {
        "name": "daily report",
        "ingressPath": "/report?x",
        "messages": [{"role": "user", "resource": {"uri": "policy"}}],
        "variables": [{"name": "the day"}],
    },
    "MCPResource": {
        "name": "price list",
        "content": {"uri": "preise.csv", "blob": "YWJj-ZGVm", "mimeType": "text/csv"},
    },
    "MCPServer": {
        "image": "registry.example.com/mcp:1",
        "imagePullSecrets": [{"name": "Pull"}],
        "resources": {"limits": {"cpu": "half"}},
        "podTemplate": {"labels": {"-team": "a"}, "priorityClassName": "High"},
        "redis": {"serviceName": "Redis", "keyPrefix": "shop/"},
        "toolSelector": {"matchLabels": {"app of": "shop"}},
        "promptSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]},
        "resourceSelector": {},
        "ingress": {"host": "https://mcp.example.com", "pathPrefix": "mcp/", "tlsSecretName": "Tls"},
        "info": {"websiteUrl": "example.com"},
        "sessions": {"ttl": "1 hour"},
        "auth": {
            "type": "JWT",
            "jwt": {"issuer": "issuer", "audiences": ["a"], "jwksURL": "keys.json", "userClaim": "e mail"},
            "resource": "mcp.example.com",
        },
        "rateLimits": {"server": {"requests": 1, "period": "0s"}},
        "naming": {"prefix": "shop/"},
        "config": {
            "requestTimeout": "11m",
            "maxRequestBytes": "17Mi",
            "allowedOrigins": ["app.example.com"],
            "trustedProxies": ["ten"],
        },
        "networkPolicy": {"enabled": True, "ingressFrom": [{"ipBlock": {"cidr": "10.0.0.0"}}]},
        "podDisruptionBudget": {"minAvailable": "half"},
    },
}
# Mistakes that take more than the value: a schema, and what several fields say together.
OF_MEANING: dict[str, dict[str, Any]] = {
    "MCPTool": {"inputSchema": {"type": "object", "properties": {"q": {"type": "text"}}}},
}
