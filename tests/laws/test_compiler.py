"""Laws of the compiler: nothing is served twice, and what is served stays served."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from crd import integrity, manifest
from crd.compiler import compilation
from crd.compiler import members as members_of
from crd.finding import Level, Reason
from crd.integrity import Change
from crd.models.tool import ToolSpec
from crd.published import catalogs
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot
from crd.steps import finish
from tests.laws import states
from tests.laws.states import State

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 -- the source that hypothesis gives

    from crd.compiler.compilation import Compilation
    from crd.manifest import Object


def server(**spec: Any) -> Object:
    ref = Ref(Kind.SERVER, "one", "main")
    return manifest.decode(states.raw(ref, {"toolSelector": {"selectAll": True}, **spec}, {}, "2026-01-01T00:00:00Z"))


servers = st.sampled_from([server(), *(server(naming={"prefix": prefix}) for prefix in states.PREFIXES)])
members = states.members


def compiled(
    items: list[Object], incumbents: catalogs.Catalog | None = None, main: Object | None = None
) -> Compilation:
    return compilation.compile_server(main or server(), items, Snapshot.of(states.FOREIGN), incumbents)


def entries(catalog: catalogs.Catalog) -> list[list[Any]]:
    """All values that must be unique, by space."""
    doors = [
        *(("POST", tool.ingress_path) for tool in catalog.tools),
        *(("GET", prompt.ingress_path) for prompt in catalog.prompts),
        *((operation.method, operation.ingress_path) for operation in catalog.operations),
    ]
    return [
        [tool.name for tool in catalog.tools],
        [prompt.name for prompt in catalog.prompts],
        [
            *(resource.uri for resource in (*catalog.resources, *catalog.http_resources)),
            *(operation.uri_template for operation in catalog.operations if operation.uri_template),
        ],
        [door for door in doors if door[1]],
    ]


def sources(catalog: catalogs.Catalog) -> set[tuple[Kind, str]]:
    """Every object that the catalog serves."""
    resources = (*catalog.resources, *catalog.http_resources, *catalog.operations)
    found = {(Kind.TOOL, tool.source) for tool in catalog.tools}
    found |= {(Kind.PROMPT, prompt.source) for prompt in catalog.prompts}
    return found | {(Kind.RESOURCE, resource.source) for resource in resources}


@states.QUICK
@given(members, members, servers)
def test_nothing_is_served_twice(earlier: list[Object], later: list[Object], main: Object) -> None:
    once = compiled(later, main=main).catalog
    again = compiled(later, compiled(earlier, main=main).catalog, main).catalog
    for catalog in (once, again):
        for space in entries(catalog):
            assert len(space) == len(set(space)), space


@states.QUICK
@given(members, st.randoms(use_true_random=False), servers)
def test_the_order_of_arrival_changes_nothing(items: list[Object], random: Random, main: Object) -> None:
    shuffled = items.copy()
    random.shuffle(shuffled)
    made, remade = compiled(items, main=main), compiled(shuffled, main=main)
    assert catalogs.dump(remade.catalog) == catalogs.dump(made.catalog)
    assert {repr(finding) for finding in remade.rejected} == {repr(finding) for finding in made.rejected}


@states.QUICK
@given(members, members, servers)
def test_a_published_entry_stays_while_it_is_desired(earlier: list[Object], later: list[Object], main: Object) -> None:
    before = compiled(earlier, main=main).catalog
    once = compiled(later, before, main).catalog
    assert compiled(later, once, main).catalog == once


@states.QUICK
@given(members, members, servers)
def test_a_served_object_stays_served_while_it_is_unchanged(
    earlier: list[Object], further: list[Object], main: Object
) -> None:
    before = compiled(earlier, main=main).catalog
    kept = {item.ref for item in earlier}
    later = [*earlier, *(item for item in further if item.ref not in kept)]
    after = compiled(later, before, main).catalog
    assert {(tool.name, tool.source) for tool in before.tools} <= {(tool.name, tool.source) for tool in after.tools}
    assert {(entry.name, entry.source) for entry in before.prompts} <= {(e.name, e.source) for e in after.prompts}
    assert {(entry.uri, entry.source) for entry in before.resources} <= {(e.uri, e.source) for e in after.resources}
    assert {(entry.uri, entry.source) for entry in before.http_resources} <= {
        (entry.uri, entry.source) for entry in after.http_resources
    }


@states.QUICK
@given(members, servers)
def test_every_claim_of_a_valid_object_is_served_or_rejected(items: list[Object], main: Object) -> None:
    made = compiled(items, main=main)
    rejected = {finding.ref for finding in made.rejected}
    for item in items:
        disabled = isinstance(item.spec, ToolSpec) and not item.spec.enabled
        served = (item.ref.kind, item.ref.key) in sources(made.catalog)
        assert not (disabled and served)
        assert disabled or served or item.ref in rejected
    assert {finding.level for finding in made.rejected} <= {Level.ERROR}
    assert {finding.level for finding in made.unresolved} <= {Level.WARNING}


@states.QUICK
@given(members, servers)
def test_every_name_has_the_prefix_and_fits(items: list[Object], main: Object) -> None:
    made = compiled(items, main=main).catalog
    prefix = getattr(main.spec, "name_prefix", "")
    for entry in (*made.tools, *made.prompts):
        assert entry.name.startswith(prefix)
        assert len(entry.name) <= 128


@states.QUICK
@given(members, servers)
def test_a_catalog_survives_serialisation(items: list[Object], main: Object) -> None:
    catalog = compiled(items, main=main).catalog
    assert catalogs.load(catalogs.dump(catalog)) == catalog


@states.THOROUGH
@given(st.lists(states.objects((Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)), max_size=9), servers)
def test_objects_admitted_one_by_one_are_served_completely(sequence: list[Object], main: Object) -> None:
    """The webhook and the compiler agree: an admitted object loses no name."""
    state = State((main,))
    for new in sequence:
        old = next((item for item in state.items if item.ref == new.ref), None)
        change = Change(new.ref, old, new)
        if new.ref.namespace == "one" and integrity.judge(state.snapshot, change).allowed:
            state = state.after(change)
    items = [item for item in state.items if item.ref.kind is not Kind.SERVER]
    assert compiled(items, main=main).rejected == ()


steps = st.lists(
    st.tuples(
        st.one_of(
            states.objects((Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)),
            st.sampled_from([Ref(Kind.TOOL, "one", n) for n in "abcd"]),
        ),
        st.sampled_from(["edit", "edit", "publish", "services"]),
    ),
    max_size=12,
)


@states.THOROUGH
@given(members, steps, servers, states.surroundings)
def test_a_compilation_in_steps_is_the_compilation_of_the_whole(
    items: list[Object], sequence: list[tuple[Object | Ref, str]], main: Object, around: list[Any]
) -> None:
    """Objects come, go and change; Services appear; the catalog is published now and then."""
    there = {item.ref: members_of.compile_member(item) for item in items}
    objects = {item.ref: item for item in items}
    snapshot, incumbents = Snapshot.of(around), compilation.Incumbents()
    made = finish(compilation.advance(None, main, there, there.get, snapshot, incumbents))
    for new, what in sequence:
        changed: set[Ref] = set()
        if what == "publish":
            incumbents = made.published()
        elif what == "services":
            snapshot, changed = Snapshot.of(states.FOREIGN), set(there)
        else:
            ref = new if isinstance(new, Ref) else new.ref
            changed = {ref}
            if isinstance(new, Ref):
                there.pop(ref, None)
                objects.pop(ref, None)
            else:
                there[ref], objects[ref] = members_of.compile_member(new), new
        made = finish(compilation.advance(made, main, changed, there.get, snapshot, incumbents))
        whole = finish(compilation.advance(None, main, there, there.get, snapshot, incumbents))
        assert made.text() == whole.text()
        for name in ("holders", "moved", "backends", "mounts", "context", "rejected", "unresolved", "sections"):
            assert getattr(made, name) == getattr(whole, name), name
        assert made.affected() == whole.affected()


@states.QUICK
@given(members, servers)
def test_both_forms_of_a_catalog_are_the_same_text(items: list[Object], main: Object) -> None:
    made = compiled(items, main=main)
    packed = made.packed()
    text = catalogs.unpack({}, {catalogs.GZIP_FILE: packed})
    assert text == made.text() == gzip.decompress(packed)
    assert (catalogs.digest(text), len(text)) == (made.digest(), made.size())
    assert catalogs.dump(made.catalog) == text.replace(b"\n", b"")


@states.QUICK
@given(members)
def test_a_conflict_is_lost_to_one_who_is_served(items: list[Object]) -> None:
    made = compiled(items)
    for finding in made.rejected:
        if finding.reason is Reason.NAME_CONFLICT:
            winner = finding.related[0]
            assert winner != finding.ref
            assert (winner.kind, winner.key) in sources(made.catalog)
