"""Prompts and resources for the law of worlds, each with what clients must get of it.

Expectations are made together with the manifests, from the documentation of the API, and not by the runtime.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hypothesis import strategies as st

from tests.laws import tools

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PromptDraft", "ResourceDraft", "manifest_of", "prompts", "resources"]

NAMES = ("who", "tone", "day-1", "_x")
TEXTS = st.text(max_size=12) | st.sampled_from(["{{who}}", "{{", "}}", "{who}", "$1", "\\1", "a\nb", "ü 東", ""])
LITERALS = ("Dear ", "\n\n", "{ single } ", "100 %", "ü, 東京: ", "$&\\1 ")
# What a variable of a URI may hold: a segment cannot hold a slash, and must not be one or two dots.
SEGMENTS = st.text(st.sampled_from("aZ9üé -_~%+&=,;:@東"), min_size=1, max_size=8).filter(
    lambda text: not text.isspace()
)


def manifest_of(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "shop"}},
        "spec": {"description": "A member of the law of worlds, long enough.", **spec},
    }


@dataclass(frozen=True)
class PromptDraft:
    """``pieces`` are the texts of each message: literals, and the names of variables; or the URI of a resource."""

    name: str
    spec: dict[str, Any]
    pieces: list[list[tuple[str, str]] | str]
    features: set[str]

    def values_of(self, arguments: Mapping[str, str]) -> dict[str, str]:
        """The value of every variable for these arguments."""
        return {
            each["name"]: arguments.get(each["name"], each.get("default", ""))
            for each in self.spec.get("variables", ())
        }

    def texts(self, arguments: Mapping[str, str]) -> list[str | None]:
        """The text of each message; None for a resource."""
        values = self.values_of(arguments)
        return [
            None
            if isinstance(message, str)
            else "".join(text if kind == "text" else values[text] for kind, text in message)
            for message in self.pieces
        ]


@st.composite
def prompts(draw: st.DrawFn, name: str, uris: tuple[str, ...]) -> PromptDraft:
    """A prompt whose messages may refer to the resources at these URIs."""
    variables = [draw(_variables(each)) for each in draw(st.lists(st.sampled_from(NAMES), max_size=3, unique=True))]
    names = [each["name"] for each in variables]
    features = {f"variable: {member}" for each in variables for member in each if member != "name"}
    pieces: list[list[tuple[str, str]] | str] = []
    for number in range(draw(st.integers(1, 3))):
        if uris and number and not draw(st.integers(0, 2)):
            pieces.append(draw(st.sampled_from(uris)))
            continue
        literals = st.tuples(st.just("text"), st.sampled_from(LITERALS))
        variable = st.tuples(st.just("variable"), st.sampled_from(names)) if names else literals
        pieces.append(draw(st.lists(literals | variable, min_size=1, max_size=4)))
    used = {text for message in pieces if not isinstance(message, str) for kind, text in message if kind == "variable"}
    pieces[0] = [*pieces[0], *(("variable", each) for each in names if each not in used)]
    messages: list[dict[str, Any]] = []
    for message in pieces:
        role = draw(st.sampled_from([{}, {"role": "user"}, {"role": "assistant"}]))
        if isinstance(message, str):
            messages.append({**role, "resource": {"uri": message}})
        else:
            marks = (
                text if kind == "text" else draw(st.sampled_from([f"{{{{{text}}}}}", f"{{{{ {text} }}}}"]))
                for kind, text in message
            )
            messages.append({**role, "text": "".join(marks)})
    if len(messages) == 1 and draw(st.booleans()):
        spec: dict[str, Any] = {"template": messages[0]["text"]}
        features.add("prompt template")
    else:
        spec = {"messages": messages}
        features |= {"prompt messages"} | (
            {"prompt with a resource"} if any("resource" in m for m in messages) else set()
        )
    if variables:
        spec["variables"] = variables
    return PromptDraft(name, spec, pieces, features)


@st.composite
def _variables(draw: st.DrawFn, name: str) -> dict[str, Any]:
    made: dict[str, Any] = {"name": name}
    if draw(st.booleans()):
        made["enum"] = draw(st.lists(st.sampled_from(["Hello", "hello", "howdy", "Ünlü", ""]), min_size=1, unique=True))
    match draw(st.integers(0, 2)):
        case 0:
            made["required"] = True
        case 1:
            made["default"] = draw(st.sampled_from(made["enum"])) if "enum" in made else draw(TEXTS)
    return made


@dataclass(frozen=True)
class ResourceDraft:
    """``uri`` is a URI or a URI template. ``contents`` are those of a resource that no backend has.

    For the others, ``mapping`` is a spec as `requests.differences` reads it; the variables are its arguments.
    """

    name: str
    spec: dict[str, Any]
    uri: str
    features: set[str]
    contents: dict[str, Any] | None = None
    mapping: dict[str, Any] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    rest: str = ""
    query: tuple[str, ...] = ()

    @property
    def is_template(self) -> bool:
        return "{" in self.uri

    def arguments(self) -> st.SearchStrategy[dict[str, str]]:
        """The variables of a URI that matches the template."""
        rest = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)
        path = dict.fromkeys(self.segments, SEGMENTS) | ({self.rest: rest} if self.rest else {})
        return st.fixed_dictionaries(path, optional={name: SEGMENTS | st.just("") for name in self.query})

    def expand(self, values: Mapping[str, str]) -> str:
        """The URI of these variables, as RFC 6570 expands the template."""
        uri, _, query = self.uri.partition("{?")
        for name in self.segments:
            uri = uri.replace(f"{{{name}}}", quote(values[name], safe=""))
        if self.rest:
            uri = uri.replace(f"{{+{self.rest}}}", quote(values[self.rest], safe="/"))
        pairs = [f"{name}={quote(values[name], safe='')}" for name in query.rstrip("}").split(",") if name in values]
        return f"{uri}?{'&'.join(pairs)}" if pairs else uri


@st.composite
def resources(draw: st.DrawFn, name: str) -> ResourceDraft:
    match draw(st.sampled_from(["content", "http", "template", "template", "operation"])):
        case "content":
            return draw(_contents(name))
        case "http":
            return draw(_fixed(name))
        case "template":
            return draw(_templates(name))
        case _:
            return draw(_operations(name))


@st.composite
def _contents(draw: st.DrawFn, name: str) -> ResourceDraft:
    uri = draw(st.sampled_from([f"shop://{name}", f"urn:shop:{name}", f"https://example.com/{name}?a=1&b=%C3%BC#f"]))
    content: dict[str, Any] = {"uri": uri}
    media = draw(st.sampled_from(["", "text/markdown", "image/png"]))
    content |= {"mimeType": media} if media else {}
    if draw(st.booleans()):
        content["text"] = draw(TEXTS)
    else:
        content["blob"] = base64.b64encode(draw(st.binary(min_size=1, max_size=20))).decode()
    expected = {**content, "mimeType": media or "text/plain"}
    return ResourceDraft(
        name, {"content": content}, uri, {f"resource {'blob' if 'blob' in content else 'text'}"}, expected
    )


def _backend(draw: st.DrawFn) -> dict[str, Any]:
    return {"name": "orders", "port": 80, "path": draw(st.sampled_from(["/", "/api/v1", "/api/"]))}


def _reading(draw: st.DrawFn, spec: dict[str, Any]) -> set[str]:
    """Settings that any resource of a backend may have."""
    features = set()
    if not draw(st.integers(0, 2)):
        spec["response"] = {"select": draw(st.sampled_from(["/data", "/data/1"]))}
        features.add("resource with select")
    if not draw(st.integers(0, 2)):
        spec["headersFrom"] = draw(tools.credentials())
        features.add("resource with headersFrom")
    if draw(st.booleans()):
        spec["mimeType"] = draw(st.sampled_from(["application/json", "text/plain"]))
        features.add("resource with mimeType")
    return features


@st.composite
def _fixed(draw: st.DrawFn, name: str) -> ResourceDraft:
    spec: dict[str, Any] = {"uri": f"shop://{name}/all", "service": _backend(draw), "http": {}}
    if draw(st.booleans()):
        spec["http"] = {"path": "/list", "query": [{"name": "kind", "value": "all of them"}]}
    features = _reading(draw, spec) | {"resource http"}
    mapping = {"method": "GET", **spec}
    return ResourceDraft(name, spec, spec["uri"], features, mapping=mapping)


@st.composite
def _templates(draw: st.DrawFn, name: str) -> ResourceDraft:
    segments = draw(st.lists(st.sampled_from(["id", "part"]), max_size=2, unique=True))
    rest = draw(st.sampled_from(["", "rest"]))
    query = draw(st.lists(st.sampled_from(["q", "r_2"]), min_size=0 if segments or rest else 1, unique=True))
    literal = "".join(f"/{{{each}}}" for each in segments)
    uri = f"shop://{name}{literal}" + (f"/{{+{rest}}}" if rest else "") + (f"{{?{','.join(query)}}}" if query else "")
    path = "".join(draw(st.sampled_from([f"/{{{each}}}", f"/x-{{{each}}}.json"])) for each in segments)
    http: dict[str, Any] = {"path": path + (f"/{{{rest}+}}" if rest else "") or "/"}
    for each in query:
        place = draw(st.sampled_from(["query", "left"]))
        if place == "query":
            style = draw(st.sampled_from([{}, {"omitEmpty": False}, {"style": "Json"}]))
            http.setdefault("query", []).append({"name": f"filter[{each}]", "argument": each, **style})
    spec: dict[str, Any] = {"uriTemplate": uri, "service": _backend(draw), "http": http}
    features = _reading(draw, spec) | {"resource template"}
    features |= {"resource template with +"} if rest else set()
    features |= {"resource template with ?"} if query else set()
    mapping = {"method": "GET", **spec}
    return ResourceDraft(
        name, spec, uri, features, mapping=mapping, segments=tuple(segments), rest=rest, query=tuple(query)
    )


@st.composite
def _operations(draw: st.DrawFn, name: str) -> ResourceDraft:
    segments = draw(st.lists(st.sampled_from(["id", "part"]), max_size=2, unique=True))
    query = draw(st.lists(st.sampled_from(["q", "r_2"]), unique=True))
    literal = "".join(f"/{{{each}}}" for each in segments)
    stated = draw(st.booleans())
    uri = f"shop://{name}{literal}" if stated else f"mcp://{name}/ops-{name}{literal}"
    uri += f"{{?{','.join(query)}}}" if query else ""
    parameters = [{"name": each, "in": "path"} for each in segments] + [{"name": each, "in": "query"} for each in query]
    operation: dict[str, Any] = {
        "ingressPath": f"/ops-{name}{literal}",
        "service": {"name": "orders", "port": 80, "path": f"/api{literal}"},
    }
    operation |= {"parameters": parameters} if parameters else {}
    operation |= {"uriTemplate": uri} if stated else {}
    http = {"path": literal, "query": [{"name": each, "argument": each, "omitEmpty": False} for each in query]}
    mapping = {"method": "GET", "service": {"path": "/api"}, "http": http}
    return ResourceDraft(
        name,
        {"operations": [operation]},
        uri,
        {"resource operation"} | ({"resource operation with parameters"} if parameters else set()),
        mapping=mapping,
        segments=tuple(segments),
        query=tuple(query),
    )
