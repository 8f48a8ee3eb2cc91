"""Small states that clash often: few names, labels, URIs, paths and hosts, valid objects and invalid ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st

from crd import extraction, integrity, manifest
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crd.facts import Fact
    from crd.finding import Verdict
    from crd.integrity import Change
    from crd.manifest import Object

QUICK = settings(max_examples=60, deadline=None)
THOROUGH = settings(max_examples=200, deadline=None)

NAMESPACES = ("one", "two")
KINDS = (Kind.SERVER, Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)
LONG = "n" * 65
PREFIXES = ("", "x_", "p" * 64)

namespaces = st.sampled_from(["one", "one", "one", "two"])
labels = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["x", "y"]), max_size=2)
services = st.fixed_dictionaries(
    {"name": st.sampled_from(["orders", "orders", "missing", "outside"]), "port": st.sampled_from([80, "http", 81])},
    optional={"namespace": st.sampled_from(NAMESPACES)},
)
served = st.sampled_from(["s", "t", LONG])
rest_paths = st.sampled_from(["/a", "/b"])
uris = st.sampled_from(["urn:a", "urn:b", "mcp://s/a"])
times = st.sampled_from(["1s", "1m"])

tools = st.fixed_dictionaries(
    {"service": services},
    optional={
        "name": served,
        "ingressPath": rest_paths,
        "method": st.sampled_from(["GET", "POST", "POST", "FETCH"]),
        "enabled": st.booleans(),
        "timeout": times,
        "requiredScopes": st.just(["read"]),
        "headersFrom": st.just([{"name": "X-Key", "secretKeyRef": {"name": "keys", "key": "k"}}]),
    },
)
prompts = st.fixed_dictionaries(
    {"template": st.sampled_from(["text", "text", "{{undeclared}}"])},
    optional={"name": served, "ingressPath": rest_paths},
)
operations = st.fixed_dictionaries(
    {"service": services, "ingressPath": rest_paths},
    optional={"uriTemplate": uris, "method": st.sampled_from(["GET", "POST", "PUT"])},
)
resources = st.one_of(
    st.fixed_dictionaries({"content": st.fixed_dictionaries({"uri": uris, "text": st.just("")})}),
    st.fixed_dictionaries({"uri": uris, "http": st.just({}), "service": services}, optional={"timeout": times}),
    st.fixed_dictionaries({"operations": st.lists(operations, min_size=1, max_size=3)}, optional={"name": served}),
)
expressions = st.sampled_from(
    [
        {"key": "app", "operator": "Exists"},
        {"key": "tier", "operator": "DoesNotExist"},
        {"key": "app", "operator": "In", "values": ["x", "y"]},
        {"key": "tier", "operator": "NotIn", "values": ["x"]},
    ]
)
selectors = st.one_of(
    st.builds(lambda pairs: {"matchLabels": pairs}, labels),
    st.builds(lambda entries: {"matchExpressions": entries}, st.lists(expressions, min_size=1, max_size=2)),
    st.just({"selectAll": True}),
    st.just({"matchLabels": {"-": "x"}}),
)
servers = st.fixed_dictionaries(
    {"toolSelector": selectors},
    optional={
        "promptSelector": selectors,
        "resourceSelector": selectors,
        "naming": st.fixed_dictionaries(
            {},
            optional={
                "prefix": st.sampled_from(PREFIXES),
                "onConflict": st.sampled_from(["Reject", "PreferIncumbent"]),
            },
        ),
        "ingress": st.fixed_dictionaries(
            {"host": st.sampled_from(["a.example.com", "b.example.com", "*.example.com"])},
            optional={"pathPrefix": st.sampled_from(["/mcp", "/mcp/x", "/other", "/.well-known"])},
        ),
        "auth": st.fixed_dictionaries(
            {
                "type": st.just("JWT"),
                "jwt": st.just({"issuer": "https://i", "audiences": ["a"], "jwksURL": "https://k"}),
            },
            optional={"resource": st.sampled_from(["https://a.example.com/mcp/", "https://a.example.com"])},
        ),
        "rateLimits": st.fixed_dictionaries(
            {"tools": st.dictionaries(st.sampled_from(["s", "x_s", "none"]), st.just({"requests": 1}), max_size=2)}
        ),
    },
)
SPECS = {Kind.SERVER: servers, Kind.TOOL: tools, Kind.PROMPT: prompts, Kind.RESOURCE: resources}


def _service(namespace: str, name: str, kind: str = "ClusterIP") -> Fact:
    return extraction.service_fact(
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"type": kind, "ports": [{"name": "http", "port": 80}]},
        }
    )


def _grant(namespace: str, kinds: Iterable[str], target: dict[str, str]) -> Fact:
    source = next(each for each in NAMESPACES if each != namespace)
    fact = extraction.facts_of_foreign(
        {
            "apiVersion": "gateway.networking.k8s.io/v1beta1",
            "kind": "ReferenceGrant",
            "metadata": {"name": "g", "namespace": namespace},
            "spec": {
                "from": [{"group": "mcp.example.com", "kind": kind, "namespace": source} for kind in kinds],
                "to": [target],
            },
        }
    )
    assert fact is not None
    return fact


ORDERS = _service("one", "orders")
FOREIGN: tuple[Fact, ...] = (
    ORDERS,
    _service("two", "orders"),
    _service("one", "outside", "ExternalName"),
    _grant("one", ["MCPTool", "MCPResource"], {"kind": "Service"}),
    _grant("two", ["MCPTool"], {"kind": "Service", "name": "orders"}),
)
surroundings = st.lists(st.sampled_from(FOREIGN), unique_by=lambda fact: fact.ref)


def raw(ref: Ref, spec: Mapping[str, Any], carried: Mapping[str, str], created: str) -> dict[str, Any]:
    metadata = {
        "name": ref.name,
        "namespace": ref.namespace,
        "labels": dict(carried),
        "uid": f"uid-{ref}",
        "creationTimestamp": created,
    }
    return {"apiVersion": "mcp.example.com/v1alpha1", "kind": ref.kind.value, "metadata": metadata, "spec": dict(spec)}


def created(ref: Ref) -> str:
    """The creation time of every object of this name."""
    return f"2026-01-0{1 + sum(map(ord, str(ref))) % 3}T00:00:00Z"


@st.composite
def objects(
    draw: st.DrawFn, kinds: Sequence[Kind] = KINDS, carried: st.SearchStrategy[dict[str, str]] = labels
) -> Object:
    ref = Ref(draw(st.sampled_from(kinds)), draw(namespaces), draw(st.sampled_from(["a", "b", "c", "d"])))
    return manifest.decode(raw(ref, draw(SPECS[ref.kind]), draw(carried), created(ref)))


@dataclass(frozen=True)
class State:
    """Objects of our kinds, and the facts of the objects that they refer to."""

    items: tuple[Object, ...]
    around: tuple[Fact, ...] = FOREIGN

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot.of([*self.around, *(item.fact for item in self.items if item.fact)])

    @property
    def survey(self) -> Verdict:
        return integrity.survey(Snapshot.of(self.around), self.items)

    def after(self, change: Change) -> State:
        rest = tuple(item for item in self.items if item.ref != change.ref)
        return State((*rest, change.new) if change.new is not None else rest, self.around)


members = st.lists(objects((Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)), max_size=9, unique_by=lambda item: item.ref)
lists = st.lists(objects(), max_size=9, unique_by=lambda item: item.ref)
states = st.builds(lambda items, around: State(tuple(items), tuple(around)), lists, surroundings)


@st.composite
def crowds(draw: st.DrawFn) -> State:
    """Members of one kind with similar labels, and their servers: every value is claimed many times."""
    kind = draw(st.sampled_from([Kind.TOOL, Kind.PROMPT, Kind.RESOURCE]))
    some = objects((Kind.SERVER, kind, kind), st.just({"app": "x"}))
    return State(tuple(draw(st.lists(some, min_size=3, max_size=9, unique_by=lambda item: item.ref))))


def edited(item: Object) -> Object:
    """The same object with a change that no rule compares with other objects."""
    harmless = {"info": {"title": "edited"}} if item.ref.kind is Kind.SERVER else {"title": "edited"}
    return manifest.decode({**item.raw, "spec": {**item.raw["spec"], **harmless}})


def repaired(item: Object) -> Object:
    """A valid object of that name that conflicts with no other."""
    service = {"name": "orders", "port": 80}
    specs: dict[Kind, dict[str, Any]] = {
        Kind.SERVER: {"toolSelector": {"matchLabels": {"app": "nowhere"}}},
        Kind.TOOL: {"name": "fresh", "service": service},
        Kind.PROMPT: {"name": "fresh", "template": "text"},
        Kind.RESOURCE: {"content": {"uri": "urn:fresh", "text": ""}},
    }
    return manifest.decode({**item.raw, "spec": specs[item.ref.kind]})
