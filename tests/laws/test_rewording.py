"""Law of reworded tools: what is recognized equals what decoding gives, and no rule finds anything in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from crd import integrity, manifest, rewording
from crd.clients import portability
from tests.laws import states

PLAIN = {"type": "object", "properties": {"id": {"type": "string"}}}
# Some clients do not take it, which is a fact and no finding.
EXCEEDING = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(300)}}
LONG = "Returns one order of the shop by its number."
texts = st.one_of(
    st.sampled_from(
        [LONG, "short", "", "a\u200bb" + LONG, LONG + "\n", "ü" + LONG, "\x07" + LONG, "d" * 3000, 7, None]
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

    found = rewording.reword(known, raw)

    event("recognized" if found else "not recognized")
    if found is not None:
        assert found == manifest.decode(raw)
        assert found.fact == manifest.fact_of(raw)
        assert tuple(integrity.find_own(found)) == ()


@given(st.from_regex(rewording._PORTABLE_NAME, fullmatch=True))
def test_a_portable_name_exceeds_no_limit_of_any_client(name: str) -> None:
    assert [*portability.name_excesses(name, ())] == []


def test_a_tool_with_other_texts_is_recognized() -> None:
    spec = {"service": {"name": "orders", "port": 80}, "name": "get", "title": "Get", "description": LONG}
    known = manifest.decode(tool({"name": "a", "namespace": "one"}, {**spec, "ingressPath": "/a"}))
    other = {**spec, "name": "find", "title": "", "description": LONG * 2, "ingressPath": "/a"}
    raw = tool({"name": "b", "namespace": "one", "labels": {"app": "x"}, "uid": "u"}, other)

    found = rewording.reword(known, raw)

    assert found == manifest.decode(raw)
    assert found is not None
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
