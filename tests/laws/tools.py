"""Cases for the law of calls: tools with generated schemas and mappings, arguments, and replies of a backend.

A schema is drawn together with what it means: `values_of` draws values by the schema that a client lists, and
`jsonschema` in Python, which is not the validator of the product, has the last word on whether they are valid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Draft", "anything", "credentials", "drafts", "features_of", "plain", "resolve", "values_of"]

NAMES = ("a", "b_2", "from", "x-y", "a b", "ü", "p/q", "m~n")
PLAIN = ("a", "b_2", "from", "x-y")
STYLES = ("Repeat", "Comma", "Space", "Pipe", "DeepObject", "Json")
PATTERNS = ("^[A-Z]{1,3}-[0-9]+$", "^[a-z0-9_-]+$", "^a.*z$", "[0-9]")
# Beyond 53 and 64 bits, and at the edges.
LARGE = (2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 10**25 + 7)

texts = st.text(max_size=12) | st.sampled_from(["", ".", "..", "a/b", "%2e%2e", "ü", "a,b", "true", "5", "x y", "100%"])
integers = st.integers(-1000, 1000) | st.sampled_from(LARGE)
floats = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 4))
scalars = st.none() | st.booleans() | integers | floats | texts
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)


@dataclass(frozen=True)
class Draft:
    """A tool as an author writes it, before anybody has judged it."""

    name: str
    spec: dict[str, Any]

    @property
    def manifest(self) -> dict[str, Any]:
        return {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPTool",
            "metadata": {"name": self.name, "namespace": "shop", "labels": {"app": "shop"}},
            "spec": self.spec,
        }


@st.composite
def strings(draw: st.DrawFn) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "string"}
    match draw(st.integers(0, 7)):
        case 0:
            node["minLength"] = draw(st.integers(0, 3))
        case 1:
            node["maxLength"] = draw(st.integers(3, 2000))
        case 2:
            node["pattern"] = draw(st.sampled_from(PATTERNS))
        case 3:
            node["enum"] = draw(st.lists(st.sampled_from(["new", "paid", "a/b", "", "on"]), min_size=1, unique=True))
        case 4:
            node["format"] = draw(st.sampled_from(["date-time", "uuid", "email", "made-up"]))
    return node


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    node: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "integer", "number"]))}
    match draw(st.integers(0, 5)):
        case 0:
            node["minimum"] = draw(st.integers(-10, 10))
        case 1:
            node["maximum"] = draw(st.integers(0, 100))
        case 2:
            node["multipleOf"] = draw(st.sampled_from([1, 5]))
        case 3:
            node["format"] = "int64"
        case 4:
            node["enum"] = draw(st.lists(st.integers(0, 9), min_size=1, unique=True))
    return node


@st.composite
def nodes(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    """A schema without references."""
    kinds = ["string", "string", "number", "number", "boolean", "any", "const"]
    kinds += ["array", "array", "object", "object", "anyOf", "types"] if depth else []
    match draw(st.sampled_from(kinds)):
        case "string":
            node = draw(strings())
        case "number":
            node = draw(numbers())
        case "boolean":
            node = {"type": "boolean"}
        case "const":
            node = {"const": draw(st.sampled_from(["x", 1, True]))}
        case "array":
            node = {"type": "array"}
            if draw(st.integers(0, 5)):
                node["items"] = draw(nodes(depth - 1))
            if not draw(st.integers(0, 3)):
                node["minItems"] = 1
        case "object":
            node = draw(objects(depth - 1))
        case "anyOf":
            node = {"anyOf": [draw(nodes(0)), draw(nodes(depth - 1))]}
        case "types":
            types = st.sampled_from(["string", "integer", "number", "boolean", "array", "object"])
            node = {"type": draw(st.lists(types, min_size=1, max_size=3, unique=True))}
        case _:
            node = {}
    if isinstance(node.get("type"), str) and not draw(st.integers(0, 6)):
        node["type"] = [node["type"], "null"]
    if not draw(st.integers(0, 5)):
        right = values_of(node, node) if draw(st.integers(0, 3)) else anything
        node["default"] = plain(draw(right))
    return node


@st.composite
def objects(draw: st.DrawFn, depth: int, names: tuple[str, ...] = NAMES, least: int = 0) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(names), min_size=least, max_size=3, unique=True))
    node: dict[str, Any] = {"type": "object", "properties": {name: draw(nodes(depth)) for name in chosen}}
    required = [name for name in chosen if draw(st.booleans())]
    if required:
        node["required"] = required
    extra = draw(st.sampled_from([None, None, False, {"type": "string"}]))
    if extra is not None:
        node["additionalProperties"] = extra
    return node


def plain(value: Any) -> Any:
    """A value that an author can write: the API server stores no numbers beyond 64 bits."""
    if isinstance(value, dict):
        return {name: plain(child) for name, child in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return 7 if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


@st.composite
def drafts(draw: st.DrawFn, name: str, *, has_token: bool = False) -> Draft:
    """A tool whose mapping suits its schema most of the time. ``has_token``: its callers have claims."""
    schema = draw(objects(2, least=1))
    arguments: dict[str, Any] = schema["properties"]
    if not draw(st.integers(0, 4)):
        moved = draw(st.sampled_from(sorted(arguments)))
        schema["$defs"] = {"moved": arguments[moved]}
        arguments[moved] = {"$ref": "#/$defs/moved"}
    method = draw(st.sampled_from(["GET", "POST", "POST", "PUT", "PATCH", "DELETE"]))
    spec: dict[str, Any] = {
        "description": "A tool of the law of calls, long enough described.",
        "service": {"name": "orders", "port": 80, "path": draw(st.sampled_from(["/", "/api/v1"]))},
        "method": method,
        "inputSchema": schema,
    }
    if draw(st.booleans()):
        spec["outputSchema"] = draw(objects(1))
    if not draw(st.integers(0, 5)):
        spec["service"]["path"] = "/"
        spec["mcp"] = draw(mcp_settings())
    else:
        if draw(st.integers(0, 3)):
            spec["http"] = draw(mappings(schema, method))
        if not draw(st.integers(0, 3)):
            spec.setdefault("http", {})["pagination"] = draw(paginations(schema))
        if not draw(st.integers(0, 3)):
            add_sources(draw, spec.setdefault("http", {}), ["value", "claim"] if has_token else ["value"])
        if not draw(st.integers(0, 2)):
            spec["response"] = draw(replies_of(spec))
    if not draw(st.integers(0, 3)):
        spec["headersFrom"] = draw(credentials())
    if not draw(st.integers(0, 5)):
        spec["forwardHeaders"] = [{"name": "X-Tenant"} | draw(st.sampled_from([{}, {"backendHeader": "X-Customer"}]))]
    if has_token and draw(st.booleans()):
        spec["requiredScopes"] = ["read"]
    return Draft(name, spec)


@st.composite
def mcp_settings(draw: st.DrawFn) -> dict[str, Any]:
    """A backend that speaks MCP. Its path names its era, because a server remembers the era of each URL."""
    era = draw(st.sampled_from(["modern", "legacy"]))
    settings: dict[str, Any] = {"path": f"/{era}/mcp"}
    protocol = draw(st.sampled_from(["Auto", era.capitalize()]))
    settings |= {"protocol": protocol} if protocol != "Auto" or draw(st.booleans()) else {}
    settings |= {"toolName": "remote"} if draw(st.booleans()) else {}
    return settings | ({"session": "Shared"} if draw(st.booleans()) else {})


@st.composite
def paginations(draw: st.DrawFn, schema: dict[str, Any]) -> dict[str, Any]:
    """A paged list; the argument of its size is added to the schema."""
    pages: dict[str, Any] = {"parameter": draw(st.sampled_from(["after", "page[cursor]"]))}
    pages |= draw(st.sampled_from([{"nextPointer": "/meta/next"}, {"nextPointer": "/next"}, {"nextLink": True}]))
    pages |= {"cursorArgument": "page_token"} if draw(st.booleans()) else {}
    if draw(st.booleans()):
        schema["properties"]["size"] = {"type": draw(st.sampled_from(["integer", "number"])), "minimum": 1}
        pages |= {"sizeArgument": "size", "sizeParameter": "limit"}
        pages |= {"maxSize": draw(st.integers(1, 200))} if draw(st.booleans()) else {}
    return pages


def add_sources(draw: st.DrawFn, http: dict[str, Any], kinds: list[str]) -> None:
    """Add entries whose values do not come from arguments."""
    for place in draw(st.lists(st.sampled_from(["query", "headers", "fields"]), min_size=1, unique=True)):
        kind = draw(st.sampled_from(kinds))
        claim = st.sampled_from(["sub", "level"] if place == "headers" else ["sub", "tenant", "level"])
        source = {kind: draw(claim if kind == "claim" else st.sampled_from(["a", "1", "x y", "true"]))}
        if place == "fields" and "fields" in http.get("body", {}):
            http["body"]["fields"].append({"name": "origin", **source})
        elif place != "fields":
            name = "origin" if place == "query" else "X-Origin"
            http.setdefault(place, []).append({"name": name, **source})


@st.composite
def replies_of(draw: st.DrawFn, spec: Mapping[str, Any]) -> dict[str, Any]:
    """How the reply is read."""
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        found["select"] = draw(st.sampled_from(["/data", "/data/1", "/a~1b/ü", "/data/rows"]))
    if not draw(st.integers(0, 2)):
        found["format"] = draw(st.sampled_from(["Auto", "Json"]))
    if not draw(st.integers(0, 2)):
        found["headers"] = ["X-Total"]
    if not draw(st.integers(0, 2)):
        found["expectStatus"] = draw(st.sampled_from([["201"], ["2xx", "404"], ["200", "409"]]))
    if "outputSchema" in spec and not draw(st.integers(0, 3)):
        found["onSchemaMismatch"] = draw(st.sampled_from(["Observe", "Error"]))
    return found


@st.composite
def credentials(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Headers from a Secret and a ConfigMap that are mounted; see `tests.laws.bench.CREDENTIALS`."""
    known = [
        {"name": "Authorization", "prefix": "Bearer ", "secretKeyRef": {"name": "law", "key": "key"}},
        {"name": "X-Api-Key", "secretKeyRef": {"name": "law", "key": "other"}},
        {"name": "X-Region", "configMapKeyRef": {"name": "settings", "key": "region"}},
    ]
    return draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique_by=lambda each: str(each["name"])))


@st.composite
def mappings(draw: st.DrawFn, schema: dict[str, Any], method: str) -> dict[str, Any]:
    """A mapping of the arguments. An argument in the path is made required, as admission demands."""
    http: dict[str, Any] = {}
    path, query, headers, fields = "", [], [], []
    left = []
    arguments = schema["properties"]
    for name, node in arguments.items():
        is_scalar = resolve(node, schema).get("type") in ("string", "integer", "number", "boolean")
        places = ["query", "query", "header", "left", "left", *(["field"] if method != "GET" else [])]
        if is_scalar and name in PLAIN:
            places += ["path"] * 4
        place = draw(st.sampled_from([*places, "path"] if not draw(st.integers(0, 15)) else places))
        if place == "path" and draw(st.integers(0, 9)):
            schema["required"] = sorted({*schema.get("required", ()), name})
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        source = draw(st.sampled_from([name, pointer])) if name in PLAIN else pointer
        if place == "path" and name in PLAIN:
            path += draw(st.sampled_from([f"/{{{name}}}", f"/x-{{{name}}}.json", f"/{{{name}+}}"]))
        elif place == "query":
            entry = {"name": draw(st.sampled_from(["q", name, "f[x]"])), "argument": source}
            query.append(entry | draw(_styles(resolve(node, schema), "DeepObject")))
        elif place == "header":
            header = {"name": f"X-H{len(headers)}", "argument": source}
            headers.append(header | draw(_styles(resolve(node, schema), "Json")))
        elif place == "field":
            target = draw(st.sampled_from([f"f{len(fields)}", f"/deep/f{len(fields)}"]))
            fields.append({"name": target, "argument": source})
        else:
            left.append(source)
    spare = ["/list", "/%7Ex/y"] if not path else [""]
    path += draw(st.sampled_from(spare)) if not draw(st.integers(0, 5)) else ""
    http |= {"path": path} if path else {}
    http |= {"query": query} if query else {}
    http |= {"headers": headers} if headers else {}
    if fields:
        modes = ["Fields", "Fields", "Form", "Multipart"]
        mode = draw(st.sampled_from(modes if draw(st.integers(0, 2)) else modes[:1]))
        if mode != "Fields":
            fields = [
                {**each, "name": each["name"].replace("/", "_")}
                | draw(_field_styles(_find(each["argument"], schema), mode))
                for each in fields
            ]
        http["body"] = {"mode": mode, "fields": fields}
    elif method != "GET" and draw(st.booleans()):
        mode = draw(st.sampled_from(["Arguments", "Form", "Multipart", "None", "Argument", "Raw"]))
        http["body"] = {"mode": mode}
        if mode in ("Argument", "Raw"):
            http["body"]["argument"] = left[0] if left else "a"
        if mode == "Raw":
            http["body"] |= {"contentType": "text/plain"} | draw(st.sampled_from([{}, {"encoding": "Base64"}]))
    return http


@st.composite
def _styles(draw: st.DrawFn, node: Mapping[str, Any], of_objects: str) -> dict[str, Any]:
    stated = str(node.get("type", "anything"))
    simple = not ({"anyOf", "const", "enum"} & set(node) or "any" in stated or "object" in stated)
    suitable = ["Json", *STYLES[1:4]] if simple else ["Json", "Json", of_objects]
    style = draw(st.sampled_from(suitable if draw(st.integers(0, 7)) else STYLES))
    more = {} if draw(st.integers(0, 4)) else {"omitEmpty": False}
    return {"style": style, **more} if style != "Repeat" or draw(st.booleans()) else more


@st.composite
def _field_styles(draw: st.DrawFn, node: Mapping[str, Any], mode: str) -> dict[str, Any]:
    """The style of a field of a form; a part has no other than Repeat and Json, and now and then one all the same."""
    style = draw(_styles(node, "DeepObject" if mode == "Form" else "Json")).get("style", "Repeat")
    if mode == "Multipart" and style not in ("Repeat", "Json") and draw(st.integers(0, 7)):
        style = "Repeat"
    return {"style": style} if style != "Repeat" or draw(st.booleans()) else {}


def _find(source: str, schema: Mapping[str, Any]) -> Any:
    """The schema of a top-level argument, by its name or a pointer."""
    name = source.split("/")[1].replace("~1", "/").replace("~0", "~") if source.startswith("/") else source
    return resolve(schema["properties"][name], schema)


def resolve(node: Any, root: Mapping[str, Any]) -> Any:
    """The schema that a local reference leads to, with the keywords beside the reference."""
    while isinstance(node, dict) and "$ref" in node:
        target: Any = root
        for step in node["$ref"].split("/")[1:]:
            target = target[step]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def values_of(node: Any, root: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that are valid by a schema, nearly always."""
    node = resolve(node, root)
    if node is True or not node:
        return anything
    if "const" in node:
        return st.just(node["const"])
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if "anyOf" in node:
        return st.one_of([values_of(each, root) for each in node["anyOf"]])
    stated = node.get("type")
    if isinstance(stated, list):
        return st.one_of([values_of({**node, "type": each}, root) for each in stated])
    match stated:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "string":
            return _strings(node)
        case "integer" | "number":
            return _numbers(node, stated)
        case "array":
            items = values_of(node.get("items", True), root)
            return st.lists(items, min_size=node.get("minItems", 0), max_size=3)
        case "object":
            return _objects(node, root)
    return anything


def _strings(node: Mapping[str, Any]) -> st.SearchStrategy[str]:
    patterns = [node["pattern"]] if "pattern" in node else []
    patterns += [each["pattern"] for each in node.get("allOf", ())]
    least, most = node.get("minLength", 0), node.get("maxLength", 2000)
    if not patterns:
        return (st.text(min_size=least, max_size=max(least, 12)) | texts).filter(
            lambda text: least <= len(text) <= most
        )
    compiled = [re.compile(each.removesuffix("$") + (r"\Z" if each.endswith("$") else "")) for each in patterns]
    found = st.from_regex(compiled[0]).map(lambda text: text[:most])
    return found.filter(lambda text: least <= len(text) and all(each.search(text) for each in compiled))


def _numbers(node: Mapping[str, Any], stated: str) -> st.SearchStrategy[Any]:
    step = node.get("multipleOf", 1)
    low, high = node.get("minimum", -1000), node.get("maximum", 1000)
    whole = st.integers(-(-low // step), high // step).map(lambda value: value * step)
    wide = whole if {"multipleOf", "minimum", "maximum"} & set(node) else whole | st.sampled_from(LARGE)
    # A client may write an integer with a fraction of zero.
    found: st.SearchStrategy[Any] = wide | whole.map(float)
    return found | floats.filter(lambda value: low <= value <= high) if stated == "number" and step == 1 else found


@st.composite
def _objects(draw: st.DrawFn, node: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    required = set(node.get("required", ()))
    made = {
        name: draw(values_of(child, root))
        for name, child in node.get("properties", {}).items()
        if name in required or draw(st.booleans())
    }
    extra = node.get("additionalProperties", True)
    if extra is not False and not draw(st.integers(0, 4)):
        made.setdefault("extra", draw(values_of(extra, root)))
    return made


def features_of(draft: Draft, arguments: Mapping[str, Any]) -> set[str]:
    """What a case exercises, for the table of coverage."""
    spec, found = draft.spec, {f"method {draft.spec['method']}"}
    http = spec.get("http")
    found.add("no http" if http is None else "http")
    for place in ("query", "headers"):
        found |= {f"{place} {each.get('style', 'Repeat')}" for each in (http or {}).get(place, ())}
        entries = (http or {}).get(place, ())
        found |= {"argument by pointer" for each in entries if each.get("argument", "").startswith("/")}
        found |= {f"{place} from a {kind}" for each in entries for kind in ("value", "claim") if kind in each}
        found |= {"omitEmpty false" for each in (http or {}).get(place, ()) if each.get("omitEmpty") is False}
    if "path" in (http or {}):
        found.add("path, several segments" if "+}" in http["path"] else "path")
    if "body" in (http or {}):
        found.add(f"body {http['body']['mode']}")
        fields = http["body"].get("fields", ())
        found |= {f"field from a {kind}" for each in fields for kind in ("value", "claim") if kind in each}
    if "outputSchema" in spec:
        found.add("outputSchema")
    pages = (http or {}).get("pagination", {})
    found |= {f"pagination: {member}" for member in pages}
    found |= {f"response.{member}" for member in spec.get("response", ())}
    for each in spec.get("headersFrom", ()):
        found.add(f"headersFrom {'Secret' if 'secretKeyRef' in each else 'ConfigMap'}")
    if "forwardHeaders" in spec:
        found.add("forwardHeaders")
    if "mcp" in spec:
        mcp = spec["mcp"]
        found |= {f"mcp {mcp.get('protocol', 'Auto')}", f"mcp session {mcp.get('session', 'PerCall')}"}
    text = repr(spec["inputSchema"])
    for word in (
        "$ref",
        "anyOf",
        "default",
        "enum",
        "const",
        "pattern",
        "format",
        "multipleOf",
        "'null'",
        "additional",
    ):
        if word in text:
            found.add(f"schema: {word.strip(chr(39))}")
    found |= {f"value: {each}" for each in _kinds(arguments)}
    return found


def _kinds(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {"object"}.union(*map(_kinds, value.values()))
    if isinstance(value, list):
        return {"list"}.union(*map(_kinds, value))
    if isinstance(value, float) and value.is_integer():
        return {"integer with a fraction of zero"}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return {"integer beyond 64 bits" if not -(2**63) <= value < 2**64 else "integer beyond 53 bits"}
    if isinstance(value, Decimal):
        return {"decimal"}
    return {type(value).__name__}
