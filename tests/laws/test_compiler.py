"""Laws of the compiler: whatever was admitted, nothing is served twice, and what is served stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from crd import compiler, manifest, published
from crd.catalog import Catalog
from crd.ref import Kind, Ref
from tests.laws import worlds

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 -- the source that hypothesis gives

    from crd.compiler import Compilation
    from crd.manifest import Object

SERVER = manifest.decode(
    worlds.raw(Ref(Kind.SERVER, "one", "main"), {"toolSelector": {"selectAll": True}}, {}, "2026-01-01T00:00:00Z")
)
members = worlds.worlds.map(lambda items: [item for item in items if item.ref.kind is not Kind.SERVER])


def compiled(items: list[Object], incumbents: published.Catalog | None = None) -> Compilation:
    return compiler.compile_server(SERVER, items, Catalog.of([worlds.ORDERS]), incumbents)


def entries(catalog: published.Catalog) -> list[list[Any]]:
    """Everything that has to be told apart, space by space."""
    doors = [
        *(("POST", tool.ingress_path) for tool in catalog.tools),
        *(("GET", prompt.ingress_path) for prompt in catalog.prompts),
        *((operation.method, operation.ingress_path) for operation in catalog.operations),
    ]
    return [
        [tool.name for tool in catalog.tools],
        [prompt.name for prompt in catalog.prompts],
        [*(r.uri for r in catalog.resources), *(o.uri_template for o in catalog.operations if o.uri_template)],
        [door for door in doors if door[1]],
    ]


@worlds.QUICK
@given(members, members)
def test_nothing_is_served_twice(earlier: list[Object], later: list[Object]) -> None:
    for catalog in (compiled(later).catalog, compiled(later, compiled(earlier).catalog).catalog):
        for space in entries(catalog):
            assert len(space) == len(set(space)), space


@worlds.QUICK
@given(members, st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(items: list[Object], random: Random) -> None:
    shuffled = items.copy()
    random.shuffle(shuffled)
    assert published.dump(compiled(shuffled).catalog) == published.dump(compiled(items).catalog)


@worlds.QUICK
@given(members, members)
def test_what_is_published_stays_as_long_as_it_is_wished(earlier: list[Object], later: list[Object]) -> None:
    before = compiled(earlier).catalog
    once = compiled(later, before).catalog
    assert compiled(later, once).catalog == once


@worlds.QUICK
@given(members)
def test_every_claim_of_a_sound_object_is_served_or_told(items: list[Object]) -> None:
    made = compiled(items)
    told = {finding.ref for finding in made.rejected}
    sources = {(Kind.TOOL, tool.source) for tool in made.catalog.tools}
    sources |= {(Kind.PROMPT, prompt.source) for prompt in made.catalog.prompts}
    sources |= {(Kind.RESOURCE, entry.source) for entry in (*made.catalog.resources, *made.catalog.operations)}
    for item in items:
        assert item.ref in told or (item.ref.kind, item.ref.key) in sources
