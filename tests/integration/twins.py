"""Pairs of documents on both sides of every rule that the CRDs state in CEL, with the field that is refused.

`tests.crd.test_twins` holds them against our Python, and that no rule is missing; `test_crds` asks a real API server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.integration.wholes import raw

__all__ = ["ACCEPTED", "CHANGES", "REFUSED", "Refused"]

SERVICE = {"name": "orders", "port": 80}
HTTPS = {**SERVICE, "scheme": "https"}
OPERATION = {"ingressPath": "/a", "service": SERVICE}
SELECTOR = {"matchLabels": {"app": "shop"}}
ENTRY = "set exactly one of argument, value and claim"


@dataclass(frozen=True)
class Refused:
    """A document, the field that is named, and words of the rule, which has no value to quote."""

    what: str
    document: dict[str, Any]
    field: str
    message: str = ""


def tool(**fields: Any) -> dict[str, Any]:
    return raw("MCPTool", {"service": SERVICE, **fields})


def port(value: Any) -> dict[str, Any]:
    return tool(service={"name": "orders", "port": value})


def prompt(**fields: Any) -> dict[str, Any]:
    return raw("MCPPrompt", {"template": "t", **fields})


def said(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return raw("MCPPrompt", {"messages": list(messages), **fields})


def resource(**fields: Any) -> dict[str, Any]:
    return raw("MCPResource", fields)


def content(**fields: Any) -> dict[str, Any]:
    return resource(content={"uri": "urn:a", **fields})


def read(**fields: Any) -> dict[str, Any]:
    return resource(**{"uri": "urn:a", "service": SERVICE, "http": {}, **fields})


def server(name: str = "twin", **fields: Any) -> dict[str, Any]:
    return raw("MCPServer", {"toolSelector": SELECTOR, **fields}, name)


def selecting(**selector: Any) -> dict[str, Any]:
    return server(toolSelector=selector)


def expression(operator: str, *values: str, key: str = "app", **more: Any) -> dict[str, Any]:
    return selecting(matchExpressions=[{"key": key, "operator": operator, "values": list(values), **more}])


def auth(kind: str, **more: Any) -> dict[str, Any]:
    return server(auth={"type": kind, **more})


def jwt(**keys: str) -> dict[str, Any]:
    return {"jwt": {"issuer": "https://i.example.com", "audiences": ["a"], **keys}}


def query(**source: Any) -> dict[str, Any]:
    return tool(http={"query": [{"name": "q", **source}]})


def paged(**fields: Any) -> dict[str, Any]:
    return tool(http={"pagination": {"parameter": "p", **fields}})


def mounted(name: str = "X-A", **source: Any) -> dict[str, Any]:
    return tool(headersFrom=[{"name": name, **source}])


def peer(**fields: Any) -> dict[str, Any]:
    return server(networkPolicy={"ingressFrom": [fields]})


SECRET = {"secretKeyRef": {"name": "s", "key": "k"}}
CONFIG = {"configMapKeyRef": {"name": "c", "key": "k"}}
KEYS = {"apiKey": {"secretName": "keys"}}
URL = {"jwksURL": "https://i.example.com/keys"}
JWKS = {"jwksSecretName": "jwks"}
BLOCK = {"cidr": "10.0.0.0/8"}
REDIS = {"serviceName": "redis"}
IDEMPOTENT = {"idempotentHint": True}
TWICE = {"attempts": 2}

ACCEPTED: dict[str, dict[str, Any]] = {
    "the lowest port": port(1),
    "keys of a Service over http": auth("JWT", **jwt(jwksURL="http://idp.auth.svc:8080/keys")),
    "keys of a Service by its whole name": auth("JWT", **jwt(jwksURL="http://idp.auth.svc.cluster.local")),
    "the highest port": port(65535),
    "a port by name": port("http-2"),
    "a port name of 63 characters": port("h" * 63),
    "a port name with one letter": port("8a"),
    "2048 characters, not bytes": tool(description="\u00fc" * 2048),
    "a door with a parameter": tool(ingressPath="/a/{b}"),
    "a path of every other sign": tool(service={**SERVICE, "path": '/!"$%&>@[]^~'}),
    "optional, with default": prompt(variables=[{"name": "a", "required": False, "default": ""}]),
    "required, without default": prompt(variables=[{"name": "a", "required": True}]),
    "a default that is one of enum": prompt(variables=[{"name": "a", "enum": ["x", "y"], "default": "y"}]),
    "a default beside an empty enum": prompt(variables=[{"name": "a", "enum": [], "default": "y"}]),
    "an enum without default": prompt(variables=[{"name": "a", "enum": ["x"]}]),
    "a text and a link": said({"text": "t"}, {"resource": {"uri": "urn:a"}}),
    "an empty text": content(text=""),
    "a blob": content(blob="YQ=="),
    "a URI of printable ASCII": resource(content={"uri": "urn:!~#?", "text": ""}),
    "32 operations": resource(operations=[OPERATION] * 32),
    "a parameter in two places": resource(
        operations=[{**OPERATION, "parameters": [{"name": "a", "in": place} for place in ("query", "header")]}]
    ),
    "a GET at a URI": read(),
    "a GET at a template": resource(uriTemplate="shop://{a}", service=SERVICE, http={}),
    "TLS for a resource over https": read(service=HTTPS, tls={}),
    "no replicas": server(replicas=0),
    "Memory at the default of one replica": server(sessions={"mode": "Memory"}),
    "Memory at one replica": server(replicas=1, sessions={"mode": "Memory"}),
    "Memory at no replica": server(replicas=0, sessions={"mode": "Memory"}),
    "Memory where one is the most": server(autoscaling={"maxReplicas": 1}, sessions={"mode": "Memory"}),
    "Redis with a Redis": server(sessions={"mode": "Redis"}, redis=REDIS),
    "sessions that say nothing": server(sessions={}),
    "limits of one replica": server(rateLimits={"server": {"requests": 1}}),
    "limits of two replicas with a Redis": server(replicas=2, rateLimits={}, redis=REDIS),
    "limits where one is the most": server(autoscaling={"maxReplicas": 1}, rateLimits={}),
    "as many at most as at least": server(autoscaling={"minReplicas": 2, "maxReplicas": 2}),
    "one at most": server(autoscaling={"maxReplicas": 1}),
    "a Redis over TLS with a CA": server(redis={**REDIS, "tls": {"enabled": True, "caSecretName": "ca"}}),
    "a Redis over TLS": server(redis={**REDIS, "tls": {"enabled": True}}),
    "a Redis without TLS": server(redis={**REDIS, "tls": {}}),
    "a Redis with Sentinels": server(redis={**REDIS, "mode": "Sentinel", "db": 1, "sentinel": {"masterName": "m"}}),
    "a Redis Cluster": server(redis={**REDIS, "mode": "Cluster"}),
    "a Redis Cluster with its only database": server(redis={**REDIS, "mode": "Cluster", "db": 0}),
    "traces that are all exported": server(telemetry={"traces": {"serviceName": "c", "sampleRatio": "1.000000"}}),
    "traces that are not sampled": server(telemetry={"traces": {"serviceName": "c", "sampleRatio": "0"}}),
    "a standalone Redis": server(redis={**REDIS, "mode": "Standalone", "db": 3}),
    "a duration of two units": server(sessions={"ttl": "1h30m"}),
    "the longest duration": server(sessions={"ttl": "999999999999h"}),
    "a duration in any order": server(sessions={"ttl": "30m1h"}),
    "a duration with a part of nothing": server(sessions={"ttl": "1h0m"}),
    "everything, on purpose": selecting(selectAll=True),
    "labels": selecting(matchLabels={"example.com/app": "a", "b": ""}, selectAll=False),
    "In with a value": expression("In", "a", "b-c_D.9"),
    "NotIn with a value": expression("NotIn", "a"),
    "Exists without values": expression("Exists"),
    "DoesNotExist without values": expression("DoesNotExist", key="example.com/app"),
    "no auth": auth("None"),
    "API keys": auth("APIKey", **KEYS),
    "tokens, keys by URL": auth("JWT", **jwt(**URL)),
    "tokens, keys out of a Secret": auth("JWT", **jwt(**JWKS)),
    "a peer by address": peer(ipBlock=BLOCK),
    "a peer by pods": peer(podSelector={}),
    "a peer by namespaces": peer(namespaceSelector={}),
    "a peer by both": peer(podSelector={}, namespaceSelector={}),
    "a name of 55 characters": server("a" * 55),
    "a name with a dash": server("a-1"),
    "a tool that is mapped": tool(http={}),
    "a tool that is passed on": tool(mcp={}),
    "TLS over https": tool(service=HTTPS, tls={}),
    "a PUT that is sent again": tool(method="PUT", retries=TWICE),
    "a GET that is sent again": tool(method="GET", retries=TWICE),
    "a DELETE that is sent again": tool(method="DELETE", retries=TWICE),
    "an idempotent POST that is sent again": tool(method="POST", retries=TWICE, annotations=IDEMPOTENT),
    "a POST that is never sent again": tool(method="POST", retries={"attempts": 0}),
    "a POST whose retries say nothing": tool(method="POST", retries={}),
    "an argument": query(argument="a"),
    "a constant": query(value=""),
    "a claim": query(claim="sub"),
    "a header of a mapping": tool(http={"headers": [{"name": "X-Host", "value": "a"}]}),
    "a page by pointer": paged(nextPointer="/next"),
    "a page by link": paged(nextLink=True),
    "a page of a size": paged(nextLink=True, sizeArgument="n", sizeParameter="s"),
    "a header out of a Secret": mounted(**SECRET),
    "a header out of a ConfigMap": mounted(**CONFIG),
    "credentials out of a Secret": mounted("Authorization", **SECRET),
    "a header that is passed on": tool(forwardHeaders=[{"name": "X-A"}]),
    "a header that is passed on by another name": tool(forwardHeaders=[{"name": "X-A", "backendHeader": "X-B"}]),
    "the shortest time": tool(timeout="100ms"),
    "the longest time": tool(timeout="10m"),
    "members of an input schema": tool(inputSchema={"type": "object", "x-mine": [None]}),
}

REFUSED = (
    Refused("port 0", port(0), "spec.service.port", "must be a port number from 1 to 65535 or a port name"),
    Refused("port 65536", port(65536), "spec.service.port", "must be a port number from 1 to 65535 or a port name"),
    Refused("a port name that starts with a dash", port("-http"), "spec.service.port", "must be a port number"),
    Refused("a port name of 64 characters", port("h" * 64), "spec.service.port"),
    Refused("a port name without a letter", port("80"), "spec.service.port", "must be a port number"),
    Refused("a port with a fraction", port(1.5), "spec.service.port"),
    Refused("a port that is a truth value", port(True), "spec.service.port"),
    Refused("2049 characters", tool(description="\u00fc" * 2049), "spec.description"),
    Refused("a name with a line break at its end", tool(name="a\n"), "spec.name"),
    Refused("a list for inputSchema", tool(inputSchema=[]), "spec.inputSchema"),
    Refused("a door with a query", tool(ingressPath="/a?b"), "spec.ingressPath"),
    Refused("a path with a no-break space", tool(service={**SERVICE, "path": "/a\u00a0b"}), "spec.service.path"),
    Refused("a path with a vertical tab", tool(service={**SERVICE, "path": "/a\u000bb"}), "spec.service.path"),
    Refused("a blob without its padding", content(blob="YQ"), "spec.content.blob"),
    Refused("operations that are none", resource(operations=[]), "spec.operations"),
    Refused("33 operations", resource(operations=[OPERATION] * 33), "spec.operations"),
    Refused("a variable twice", prompt(variables=[{"name": "a"}] * 2), "spec.variables[1]"),
    Refused("an image pull secret twice", server(imagePullSecrets=[{"name": "a"}] * 2), "spec.imagePullSecrets[1]"),
    Refused(
        "a parameter twice in one place",
        resource(operations=[{**OPERATION, "parameters": [{"name": "a", "in": "query"}] * 2}]),
        "spec.operations[0].parameters[1]",
    ),
    Refused("an origin twice", server(config={"allowedOrigins": ["https://a"] * 2}), "spec.config.allowedOrigins[1]"),
    Refused("a duration in days", server(sessions={"ttl": "1d"}), "spec.sessions.ttl"),
    Refused("a duration of nothing", server(sessions={"ttl": "0h0m"}), "spec.sessions.ttl"),
    Refused("a duration that is too long", server(sessions={"ttl": "9999999999999h"}), "spec.sessions.ttl"),
    Refused(
        "a name of 56 characters", server("a" * 56), "metadata.name", "the name of an MCPServer must have at most 55"
    ),
    Refused(
        "a name that starts with a digit",
        server("1a"),
        "metadata.name",
        "the name of an MCPServer must have at most 55",
    ),
    Refused(
        "Redis without a Redis",
        server(sessions={"mode": "Redis"}),
        "spec",
        "sessions.mode Redis requires spec.redis; set spec.redis.serviceName",
    ),
    Refused(
        "Memory at two replicas",
        server(replicas=2, sessions={"mode": "Memory"}),
        "spec",
        "sessions.mode Memory supports one replica only; set spec.replicas to 1 or sessions.mode to Redis",
    ),
    Refused(
        "Memory where two are the most",
        server(autoscaling={"maxReplicas": 2}, sessions={"mode": "Memory"}),
        "spec",
        "sessions.mode Memory supports one replica only; set spec.replicas to 1 or sessions.mode to Redis",
    ),
    Refused(
        "limits of two replicas",
        server(replicas=2, rateLimits={}),
        "spec",
        "rateLimits with several replicas require spec.redis; set spec.redis.serviceName",
    ),
    Refused(
        "limits where two are the most",
        server(autoscaling={"maxReplicas": 2}, rateLimits={}),
        "spec",
        "rateLimits with several replicas require spec.redis; set spec.redis.serviceName",
    ),
    Refused(
        "replicas beside autoscaling",
        server(replicas=1, autoscaling={"maxReplicas": 2}),
        "spec",
        "replicas and autoscaling are mutually exclusive; remove one of the two",
    ),
    Refused(
        "a CA without TLS",
        server(redis={**REDIS, "tls": {"enabled": False, "caSecretName": "ca"}}),
        "spec",
        "redis.tls.caSecretName requires redis.tls.enabled; set enabled to true or remove caSecretName",
    ),
    Refused(
        "a CA where TLS is not spoken of",
        server(redis={**REDIS, "tls": {"caSecretName": "ca"}}),
        "spec",
        "redis.tls.caSecretName requires redis.tls.enabled; set enabled to true or remove caSecretName",
    ),
    Refused(
        "mode Sentinel without Sentinels",
        server(redis={**REDIS, "mode": "Sentinel"}),
        "spec.redis",
        "set sentinel with mode Sentinel, and with no other mode",
    ),
    Refused(
        "Sentinels of a Redis Cluster",
        server(redis={**REDIS, "mode": "Cluster", "sentinel": {"masterName": "m"}}),
        "spec.redis",
        "set sentinel with mode Sentinel, and with no other mode",
    ),
    Refused(
        "Sentinels without a mode",
        server(redis={**REDIS, "sentinel": {"masterName": "m"}}),
        "spec.redis",
        "set sentinel with mode Sentinel, and with no other mode",
    ),
    Refused(
        "a database of a Redis Cluster",
        server(redis={**REDIS, "mode": "Cluster", "db": 1}),
        "spec.redis.db",
        "a Redis Cluster has no database but 0; remove db",
    ),
    Refused(
        "fewer at most than at least",
        server(autoscaling={"minReplicas": 3, "maxReplicas": 2}),
        "spec.autoscaling.maxReplicas",
        "maxReplicas must be ≥ minReplicas; raise it or lower minReplicas",
    ),
    Refused("an empty selector", selecting(), "spec.toolSelector", "an empty selector would select every object"),
    Refused(
        "a selector of nothing",
        selecting(matchLabels={}, matchExpressions=[], selectAll=False),
        "spec.toolSelector",
        "an empty selector would select every object",
    ),
    Refused(
        "an empty selector of prompts",
        server(promptSelector={}),
        "spec.promptSelector",
        "an empty selector would select every object",
    ),
    Refused(
        "everything beside labels",
        selecting(selectAll=True, **SELECTOR),
        "spec.toolSelector",
        "selectAll: true and conditions are mutually exclusive; remove one of the two",
    ),
    Refused(
        "everything beside expressions",
        selecting(selectAll=True, matchExpressions=[{"key": "a", "operator": "Exists"}]),
        "spec.toolSelector",
        "selectAll: true and conditions are mutually exclusive",
    ),
    Refused(
        "a label key that is none",
        selecting(matchLabels={"-a": "b"}),
        "spec.toolSelector.matchLabels",
        "is not a valid label key",
    ),
    Refused(
        "a label value that is none",
        selecting(matchLabels={"a": "-"}),
        "spec.toolSelector.matchLabels",
        "is not a valid label value",
    ),
    Refused(
        "In without values",
        expression("In"),
        "spec.toolSelector.matchExpressions[0].values",
        "operators In and NotIn require at least one value; Exists and DoesNotExist take none",
    ),
    Refused(
        "Exists with a value",
        expression("Exists", "a"),
        "spec.toolSelector.matchExpressions[0].values",
        "operators In and NotIn require at least one value; Exists and DoesNotExist take none",
    ),
    Refused(
        "a key of an expression that is none",
        expression("Exists", key="a b"),
        "spec.toolSelector.matchExpressions[0].key",
        "the key is not a valid label key; use name or domain/name",
    ),
    Refused(
        "a value of an expression that is none",
        expression("In", "a", "b c"),
        "spec.toolSelector.matchExpressions[0].values",
        'is not a valid label value; use letters, digits, "-", "_" and "."',
    ),
    *(
        Refused(what, document, "spec.auth", "set apiKey with type APIKey, jwt with type JWT")
        for what, document in (
            ("API keys of no Secret", auth("APIKey")),
            ("API keys beside tokens", auth("APIKey", **KEYS, **jwt(**URL))),
            ("tokens of no issuer", auth("JWT")),
            ("API keys without a type", server(auth=KEYS)),
        )
    ),
    *(
        Refused(what, auth("JWT", **jwt(**keys)), "spec.auth.jwt", "exactly one of jwksURL and jwksSecretName")
        for what, keys in (("keys from nowhere", {}), ("keys from two places", {**URL, **JWKS}))
    ),
    *(
        Refused(what, auth("JWT", **jwt(jwksURL=url)), "spec.auth.jwt", "keys fetched over http can be replaced")
        for what, url in (
            ("keys over http", "http://i.example.com/keys"),
            ("keys of a host that looks like a Service", "http://idp.auth.svc:80@i.example.com/keys"),
            ("keys of a host that begins like a Service", "http://idp.auth.svcs/keys"),
        )
    ),
    Refused("no bytes", server(config={"maxRequestBytes": 0}), "spec.config.maxRequestBytes", "must be a number of"),
    Refused(
        "17 MiB", server(config={"maxResponseBytes": "17Mi"}), "spec.config.maxResponseBytes", "must be a number of"
    ),
    Refused("a reply of 17 MiB", tool(response={"maxBytes": "17Mi"}), "spec.response.maxBytes", "must be a number of"),
    Refused(
        "a label of the pods whose key is none",
        server(podTemplate={"labels": {"-a": "b"}}),
        "spec.podTemplate.labels",
        "every key must be a label key such as name or domain/name",
    ),
    Refused(
        "a quantity that is none",
        server(resources={"limits": {"cpu": "many"}}),
        "spec.resources.limits.cpu",
        "must be a quantity such as 250m, 1.5 or 256Mi",
    ),
    Refused(
        "a share above all",
        server(podDisruptionBudget={"minAvailable": "101%"}),
        "spec.podDisruptionBudget.minAvailable",
        "must be a number of pods from 0 to 100 or a percentage such as 50%",
    ),
    *(
        Refused(what, peer(**fields), "spec.networkPolicy.ingressFrom[0]", "set either ipBlock or at least one of")
        for what, fields in (
            ("a peer of nothing", {}),
            ("a peer by address and pods", {"ipBlock": BLOCK, "podSelector": {}}),
            ("a peer by address and namespaces", {"ipBlock": BLOCK, "namespaceSelector": {}}),
        )
    ),
    Refused(
        "mapped and passed on",
        tool(http={}, mcp={}),
        "spec",
        "http and mcp are mutually exclusive; remove one of the two",
    ),
    Refused(
        "calls refused without a pin",
        tool(mcp={"onDrift": "Refuse"}),
        "spec.mcp",
        "onDrift Refuse compares with a pin, and there is none",
    ),
    Refused("TLS over http", tool(tls={}), "spec", "tls requires service.scheme https; set it or remove tls"),
    Refused("TLS for a resource over http", read(tls={}), "spec", "tls requires service.scheme https"),
    Refused("TLS for content", resource(content={"uri": "urn:a", "text": ""}, tls={}), "spec", "tls requires"),
    *(
        Refused(
            what,
            tool(retries=TWICE, **fields),
            "spec.retries",
            (
                "a retried request of this method may take effect twice; remove spec.retries or, if the "
                "backend handles repeated requests, set annotations.idempotentHint to true"
            ),
        )
        for what, fields in (
            ("a POST that is sent again", {}),
            ("a PATCH that is sent again", {"method": "PATCH"}),
            ("a POST that is said not to be idempotent", {"annotations": {"idempotentHint": False}}),
            ("a POST of which nothing is said", {"annotations": {"readOnlyHint": True}}),
        )
    ),
    Refused("an entry of no source", query(), "spec.http.query[0]", ENTRY),
    Refused("an entry of two sources", query(argument="a", value=""), "spec.http.query[0]", ENTRY),
    Refused("an entry of three sources", query(argument="a", value="", claim="c"), "spec.http.query[0]", ENTRY),
    Refused("a header of no source", tool(http={"headers": [{"name": "X-A"}]}), "spec.http.headers[0]", ENTRY),
    Refused(
        "a field of no source",
        tool(http={"body": {"mode": "Fields", "fields": [{"name": "f"}]}}),
        "spec.http.body.fields[0]",
        ENTRY,
    ),
    *(
        Refused(
            f"{name} in a mapping",
            tool(http={"headers": [{"name": name, "value": "a"}]}),
            "spec.http.headers[0].name",
            "this header must not be set by a mapping; remove it or, for credentials, use headersFrom",
        )
        for name in ("Host", "content-type", "Authorization", "X-Forwarded-For", "MCP-Session-Id", "cookie")
    ),
    *(
        Refused(what, paged(**fields), "spec.http.pagination", "exactly one of nextPointer and nextLink")
        for what, fields in (
            ("a page from nowhere", {}),
            ("a page from two places", {"nextPointer": "/a", "nextLink": True}),
        )
    ),
    *(
        Refused(what, paged(nextLink=True, **fields), "spec.http.pagination", "set both sizeArgument and sizeParameter")
        for what, fields in (
            ("a size without parameter", {"sizeArgument": "n"}),
            ("a size without argument", {"sizeParameter": "s"}),
        )
    ),
    *(
        Refused(what, mounted(**source), "spec.headersFrom[0]", "exactly one of secretKeyRef and configMapKeyRef")
        for what, source in (("a header out of nothing", {}), ("a header out of both", {**SECRET, **CONFIG}))
    ),
    *(
        Refused(
            f"{name} out of a Secret",
            mounted(name, **SECRET),
            "spec.headersFrom[0].name",
            "this header is set by the MCP server itself; remove it",
        )
        for name in ("Host", "Content-Length", "mcp-name", "TE")
    ),
    *(
        Refused(
            f"{name} passed on",
            tool(forwardHeaders=[{"name": name}]),
            "spec.forwardHeaders[0].name",
            "this header must not be forwarded; remove it",
        )
        for name in ("Authorization", "Host", "traceparent")
    ),
    Refused(
        "passed on as Cookie",
        tool(forwardHeaders=[{"name": "X-A", "backendHeader": "Cookie"}]),
        "spec.forwardHeaders[0].backendHeader",
        "this header must not be set from a client header; choose another name",
    ),
    Refused("too short a time", tool(timeout="99ms"), "spec.timeout", "must be from 100ms to 10m"),
    Refused("too long a time", tool(timeout="10m1ms"), "spec.timeout", "must be from 100ms to 10m"),
    Refused("too long a read", read(timeout="11m"), "spec.timeout", "must be from 100ms to 10m"),
    *(
        Refused(what, document, "spec", "set exactly one of template and messages")
        for what, document in (
            ("a prompt of nothing", raw("MCPPrompt", {})),
            ("a template and messages", said({"text": "t"}, template="t")),
        )
    ),
    *(
        Refused(what, said(message), "spec.messages[0]", "set exactly one of text and resource")
        for what, message in (
            ("a message of nothing", {"role": "user"}),
            ("a text with a link", {"text": "t", "resource": {"uri": "urn:a"}}),
        )
    ),
    Refused(
        "required, with default",
        prompt(variables=[{"name": "a", "required": True, "default": ""}]),
        "spec.variables[0]",
        "required and default are mutually exclusive; remove one of the two",
    ),
    Refused(
        "a default that is not one of enum",
        prompt(variables=[{"name": "a", "enum": ["x"], "default": ""}]),
        "spec.variables[0]",
        "default must be one of enum; add it to enum or change it",
    ),
    *(
        Refused(what, document, "spec", "set exactly one of content, operations and http")
        for what, document in (
            ("a resource of nothing", resource(name="a")),
            ("content and operations", resource(content={"uri": "urn:a", "text": ""}, operations=[OPERATION])),
            ("content and a GET", read(content={"uri": "urn:a", "text": ""})),
            ("operations and a GET", read(operations=[OPERATION])),
        )
    ),
    *(
        Refused(what, document, "spec", "set exactly one of uri and uriTemplate with http")
        for what, document in (
            ("a GET at no URI", resource(service=SERVICE, http={})),
            ("a GET at a URI and a template", read(uriTemplate="shop://{a}")),
            ("content with another URI", resource(content={"uri": "urn:a", "text": ""}, uri="urn:b")),
            ("content with a template", resource(content={"uri": "urn:a", "text": ""}, uriTemplate="a:{b}")),
        )
    ),
    *(
        Refused(what, document, "spec", "set both http and service or neither")
        for what, document in (
            ("a GET of no Service", resource(uri="urn:a", http={})),
            ("content of a Service", resource(content={"uri": "urn:a", "text": ""}, service=SERVICE)),
        )
    ),
    *(
        Refused(what, content(**fields), "spec.content", "set exactly one of text and blob")
        for what, fields in (("neither text nor blob", {}), ("text and blob", {"text": "", "blob": "YQ=="}))
    ),
)


def kept(**redis: Any) -> dict[str, Any]:
    return server(redis={**REDIS, **redis})


PREFIX = "keyPrefix is immutable: changing it would lose all sessions and rate limits; restore it"

CHANGES: tuple[tuple[str, dict[str, Any], dict[str, Any], str], ...] = (
    ("another prefix", kept(keyPrefix="a:"), kept(keyPrefix="b:"), PREFIX),
    ("no prefix any more", kept(keyPrefix="a:"), kept(), PREFIX),
    ("a prefix for the first time", kept(), kept(keyPrefix="a:"), ""),
    ("another database", kept(keyPrefix="a:"), kept(keyPrefix="a:", db=2), ""),
    ("no Redis any more", kept(keyPrefix="a:"), server(), ""),
)
"""What, before, after, and the words; without words it is accepted."""
