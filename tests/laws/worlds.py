"""Small worlds that clash often: few names, labels, URIs and doors, sound objects and broken ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st

from crd import footprint, manifest
from crd.catalog import Catalog
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crd.manifest import Object

QUICK = settings(max_examples=60, deadline=None)

ORDERS = footprint.service_fact({"metadata": {"name": "orders", "namespace": "one"}, "spec": {"ports": [{"port": 80}]}})
KINDS = (Kind.SERVER, Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)

namespaces = st.sampled_from(["one", "one", "one", "two"])
labels = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["x", "y"]), max_size=2)
services = st.fixed_dictionaries({"name": st.sampled_from(["orders", "missing"]), "port": st.just(80)})
served = st.sampled_from(["s", "t"])
doors = st.sampled_from(["/a", "/b"])
uris = st.sampled_from(["urn:a", "urn:b", "mcp://s/a"])

tools = st.fixed_dictionaries(
    {"service": services},
    optional={"name": served, "ingressPath": doors, "method": st.sampled_from(["GET", "POST", "FETCH"])},
)
prompts = st.fixed_dictionaries(
    {"template": st.sampled_from(["text", "text", "{{undeclared}}"])}, optional={"name": served, "ingressPath": doors}
)
operations = st.fixed_dictionaries(
    {"service": services, "ingressPath": doors},
    optional={"uriTemplate": uris, "method": st.sampled_from(["GET", "POST", "PUT"])},
)
resources = st.one_of(
    st.fixed_dictionaries({"content": st.fixed_dictionaries({"uri": uris, "text": st.just("")})}),
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
servers = st.builds(lambda selector: {"toolSelector": selector}, selectors)
SPECS = {Kind.SERVER: servers, Kind.TOOL: tools, Kind.PROMPT: prompts, Kind.RESOURCE: resources}


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
    """When an object of this name was made; it stays so whatever becomes of the object."""
    return f"2026-01-0{1 + sum(map(ord, str(ref))) % 3}T00:00:00Z"


@st.composite
def objects(draw: st.DrawFn) -> Object:
    ref = Ref(draw(st.sampled_from(KINDS)), draw(namespaces), draw(st.sampled_from(["a", "b", "c"])))
    return manifest.decode(raw(ref, draw(SPECS[ref.kind]), draw(labels), created(ref)))


worlds = st.lists(objects(), max_size=9, unique_by=lambda item: item.ref)


def catalog(items: Iterable[Object]) -> Catalog:
    return Catalog.of([ORDERS, *(item.fact for item in items if item.fact)])


def edited(item: Object) -> Object:
    """The same object with another field that no rule relates to anything."""
    harmless = {"replicas": 0} if item.ref.kind is Kind.SERVER else {"description": "edited"}
    return manifest.decode({**item.raw, "spec": {**item.raw["spec"], **harmless}})


def repaired(item: Object) -> Object:
    """An object of that name which no other can be in the way of."""
    specs: dict[Kind, dict[str, Any]] = {
        Kind.SERVER: {"toolSelector": {"matchLabels": {"app": "nowhere"}}},
        Kind.TOOL: {"name": "fresh", "service": {"name": "orders", "port": 80}},
        Kind.PROMPT: {"name": "fresh", "template": "text"},
        Kind.RESOURCE: {"content": {"uri": "urn:fresh", "text": ""}},
    }
    return manifest.decode({**item.raw, "spec": specs[item.ref.kind]})
