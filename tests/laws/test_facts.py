"""Law of the facts: `fact_of`, which leaves schemas out, gives what decoding the whole object gives."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crd import manifest
from crd.facts import MemberFact
from tests.laws import hostile, states

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.manifest import Object

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
members = st.sampled_from(
    ["inputSchema", "outputSchema", "http", "mcp", "tls", "enabled", "timeout", "retries", "name", "service"]
)


def check(raw: dict[str, Any]) -> None:
    """Both ways give the same facts."""
    whole = manifest.decode(raw)
    fact = manifest.fact_of(raw)
    assert fact == whole.fact
    if isinstance(fact, MemberFact) and isinstance(whole.fact, MemberFact):
        assert fact.places == whole.fact.places


def nested(depth: int, kind: type) -> Any:
    value: Any = kind()
    for _ in range(depth - 1):
        value = {"a": value} if kind is dict else [value]
    return value


def examples() -> Iterator[dict[str, Any]]:
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        # One of the invalid examples is not YAML.
        with contextlib.suppress(yaml.YAMLError):
            for raw in yaml.safe_load_all(path.read_text()):
                if (
                    isinstance(raw, dict)
                    and manifest.kind_of(raw) in manifest.OURS
                    and "name" in (raw.get("metadata") or {})
                ):
                    yield raw


@states.THOROUGH
@given(states.objects())
def test_of_small_objects(item: Object) -> None:
    check(dict(item.raw))


@states.THOROUGH
@given(states.objects((states.Kind.TOOL,)), st.dictionaries(members, values, max_size=3))
def test_of_tools_with_anything_in_their_members(item: Object, more: dict[str, Any]) -> None:
    check({**item.raw, "spec": {**item.raw["spec"], **more}})


def test_of_all_examples() -> None:
    found = list(examples())
    assert {raw["kind"] for raw in found} == {*manifest.OURS}
    for raw in found:
        check(raw)


@pytest.mark.parametrize("size", [300, 30_000, 1_500_000])
def test_of_hostile_objects(size: int) -> None:
    for build in hostile.OBJECTS.values():
        check(build(size))


@pytest.mark.parametrize("kind", [dict, list])
@pytest.mark.parametrize("depth", [100, 149, 150, 151, 199, 200, 201, 250, 260])
def test_of_schemas_at_the_depth_at_which_decoding_ends(depth: int, kind: type) -> None:
    check(hostile.tool({"type": "object", "default": nested(depth, kind)}))


@pytest.mark.parametrize("spec", [None, [], "x", {}, {"inputSchema": {}}, {"service": {}, "inputSchema": {1: 2}}])
@pytest.mark.parametrize("metadata", [{}, {"labels": []}, {"namespace": "\ud800"}, {"namespace": "\u00e9"}])
def test_of_what_is_no_tool(spec: Any, metadata: dict[str, Any]) -> None:
    raw = hostile.tool()
    check({**raw, "spec": spec, "metadata": {**raw["metadata"], **metadata}})


def test_the_schema_of_a_tool_counts_in_its_weight_only() -> None:
    small, large = (
        manifest.fact_of(hostile.tool({"type": "object", "title": text})) for text in ("", "0123456789abcdef")
    )
    assert isinstance(small, MemberFact)
    assert isinstance(large, MemberFact)
    assert 0 < small.weight < large.weight


def test_without_a_name_or_of_another_kind_it_raises() -> None:
    with pytest.raises(ValueError, match="not a named object"):
        manifest.fact_of({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}})
