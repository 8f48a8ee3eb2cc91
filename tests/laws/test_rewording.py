"""Law of reworded tools: what is recognized equals what decoding gives, and no rule finds anything in it."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from crd import integrity, manifest, rewording
from crd.clients import portability
from crd.compiler import members
from crd.compiler.known_tools import KnownTools
from crd.facts import BackendRef, Claim, MemberFact, Mount, Space
from crd.manifest import Object
from crd.models.tool import ToolSpec
from crd.ref import Kind, Ref
from tests.laws import states

PLAIN = {"type": "object", "properties": {"id": {"type": "string"}}}
# Some clients do not take it, which is a fact and no finding.
EXCEEDING = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(300)}}
LONG = "Returns one order of the shop by its number."
texts = st.one_of(
    st.sampled_from(
        [
            LONG,
            "short",
            "",
            "a\u200bb" + LONG,
            LONG + "\n",
            "ü" + LONG,
            "\x07" + LONG,
            "d" * 1024,
            "d" * 1025,
            "d" * 3000,
            7,
            None,
        ]
    ),
    st.text(max_size=40),
)
names = st.one_of(
    st.sampled_from(
        ["get", "get.order", "-", "_a", "1a", "n" * 64, "n" * 65, "n" * 129, "a b", "", "get\n", "ü", 7, None]
    ),
    st.text(max_size=5),
)
specs = st.fixed_dictionaries(
    {"service": states.services},
    optional={
        "name": names,
        "title": texts,
        "description": texts,
        "enabled": st.booleans(),
        "ingressPath": st.just("/a"),
        "inputSchema": st.sampled_from([PLAIN, EXCEEDING]),
    },
)
labels = st.one_of(
    st.dictionaries(st.sampled_from(["app", "ä"]), st.sampled_from(["x", "ü", 7]), max_size=2),
    st.sampled_from([7, None]),
)
metadata = st.fixed_dictionaries(
    {"namespace": st.just("one")},
    optional={
        "name": st.sampled_from(["a", "a.b", "n" * 65, "A", "", 7]),
        "generateName": st.just("g-"),
        "labels": labels,
        "uid": st.just("u"),
        "creationTimestamp": st.just("2026-01-01T00:00:00Z"),
        "deletionTimestamp": st.just("2026-01-01T00:00:00Z"),
    },
)


def tool(metadata: Any, spec: Any, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPTool", "metadata": metadata, "spec": spec, **more}


@states.THOROUGH
@given(metadata, specs)
def test_a_reworded_tool_equals_the_decoded_one_and_has_no_findings(metadata: Any, spec: Any) -> None:
    rest = {key: value for key, value in spec.items() if key not in ("name", "title", "description")}
    plain = tool({"name": "known", "namespace": "one"}, {**rest, "name": "known", "description": LONG})
    known = manifest.decode(plain)
    assert tuple(integrity.find_own(known)) == ()
    raw = tool(metadata, spec)
    assert rewording.key_of(raw) == rewording.key_of(plain)

    base = rewording.base_of(known.fact, plain["spec"])
    assert base is not None
    found = rewording.reword(base, raw)

    event("recognized" if found else "not recognized")
    if found is not None:
        decoded = manifest.decode(raw)
        assert isinstance(known.spec, ToolSpec)
        assert decoded == Object(found.ref, raw, rewording.reword_spec(known.spec, raw["spec"]), found)
        assert found == manifest.fact_of(raw)
        assert tuple(integrity.find_own(decoded)) == ()


@states.THOROUGH
@given(metadata, specs)
def test_a_tool_is_compiled_to_the_same_whatever_is_known(metadata: Any, spec: Any) -> None:
    rest = {key: value for key, value in spec.items() if key not in ("name", "title", "description")}
    raw, tools = tool(metadata, spec), KnownTools()
    tools.compile(tool({"name": "known", "namespace": "one"}, {**rest, "name": "known", "description": LONG}))
    try:
        decoded = manifest.decode(raw)
    except ValueError:
        with pytest.raises(ValueError, match="not a named object"):
            tools.compile(raw)
    else:
        assert tools.compile(raw) == tools.compile(raw) == (decoded, members.compile_member(decoded))


@states.THOROUGH
@given(metadata, specs, specs)
def test_the_facts_are_the_same_whatever_the_rules_find(metadata: Any, spec: Any, other: Any) -> None:
    """The base may have any texts: none, unsafe ones, and others that are not plain."""
    rest = {key: value for key, value in spec.items() if key not in ("name", "title", "description")}
    own = {key: other[key] for key in ("name", "title", "description") if key in other}
    base = rewording.base_of(manifest.fact_of(tool({"name": "known", "namespace": "one"}, {**rest, **own})), own)
    found = rewording.reword(base, tool(metadata, spec)) if base is not None else None

    event("recognized" if found else "not recognized")
    if found is not None:
        assert found == manifest.fact_of(tool(metadata, spec))


@given(st.from_regex(portability.PORTABLE_NAME, fullmatch=True))
def test_a_portable_name_exceeds_no_limit_of_any_client(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portability, "PORTABLE_NAME", re.compile("(?!)"))
        assert [*portability.name_excesses(name, ())] == []


def test_a_tool_with_other_texts_is_recognized() -> None:
    spec = {"service": {"name": "orders", "port": 80}, "name": "get", "title": "Get", "description": LONG}
    known = manifest.decode(tool({"name": "a", "namespace": "one"}, {**spec, "ingressPath": "/a"}))
    other = {**spec, "name": "find", "title": "", "description": LONG * 2, "ingressPath": "/a"}
    raw = tool({"name": "b", "namespace": "one", "labels": {"app": "x"}, "uid": "u"}, other)

    base = rewording.base_of(known.fact, {**spec, "ingressPath": "/a"})
    assert base is not None
    found = rewording.reword(base, raw)

    assert found is not None
    assert found == manifest.decode(raw).fact
    assert found.labels == {"app": "x"}


BASE = tool({"name": "a", "namespace": "one"}, {"service": {"name": "orders", "port": 80}, "description": LONG})


@pytest.mark.parametrize(
    "other",
    [
        {**BASE, "metadata": {"name": "a", "namespace": "two"}},
        {**BASE, "spec": {**BASE["spec"], "enabled": False}},
        {**BASE, "spec": {**BASE["spec"], "inputSchema": {"type": "object", "title": "t"}}},
        {**BASE, "kind": "MCPPrompt"},
        {**BASE, "apiVersion": "mcp.example.com/v2"},
        {**BASE, "extra": 1},
        {**BASE, "spec": 7},
        {**BASE, "spec": {"service": {1: 2}}},
    ],
)
def test_any_other_difference_makes_another_tool(other: Any) -> None:
    assert rewording.key_of(other) != rewording.key_of(BASE)
    assert rewording.key_of(BASE) == rewording.key_of({**BASE, "status": {"x": 1}})


def test_what_is_not_in_the_texts_is_kept() -> None:
    """Whatever field of the facts: each has a value here that it has not by default."""
    backend = BackendRef(Ref(Kind.SERVICE, "one", "orders"), 80, ("spec", "service"))
    mount = Mount(Ref(Kind.SECRET, "one", "key"), ("spec", "headersFrom"))
    known = MemberFact(
        Ref(Kind.TOOL, "one", "a"), {"app": "x"}, "u", "2026", (Claim(Space.TOOL_NAME, "a"),), (backend,),
        (("spec", "name"),), (mount,), 10_000, 2.0, False, ("read",), ("sub",), (("openai", "spec", "too deep"),),
        10_000, True,
    )  # fmt: skip
    assert all(getattr(known, each.name) != each.default for each in fields(known) if each.name != "deleting")
    raw = tool({"name": "b", "namespace": "one"}, {"description": LONG})
    base = rewording.base_of(known, {"name": "a", "description": LONG})
    assert base is not None

    found = rewording.reword(base, raw)

    assert found is not None
    texts_ = {"ref", "labels", "uid", "created", "claims", "weight", "tokens"}
    for each in fields(known):
        assert each.name in texts_ or getattr(found, each.name) == getattr(known, each.name), each.name
