"""What the ledger holds, and when an intent leaves it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crd import manifest
from crd.integrity import Change
from crd.ledger import intent, page
from crd.ledger.intent import KEEP, LEASE, Intent
from crd.ledger.page import Page, Sighting
from crd.manifest import Object
from crd.ref import Kind, Ref

NOW = 1_000_000.0


def item(kind: str, name: str, spec: dict[str, Any], **metadata: Any) -> Object:
    common = {"name": name, "namespace": "shop", "labels": {"app": "shop"}}
    raw = {"apiVersion": "mcp.example.com/v1alpha1", "kind": kind, "metadata": {**common, **metadata}, "spec": spec}
    return manifest.decode(raw)


def tool(served: str = "get", **metadata: Any) -> Object:
    return item("MCPTool", "a", {"name": served, "service": {"name": "orders", "port": 80}}, **metadata)


def noted(change: Change) -> Intent:
    found = intent.of(change, NOW)
    assert found is not None
    return found


CREATION = noted(Change(tool().ref, None, tool(uid="u")))
UPDATE = noted(Change(tool().ref, tool("old", uid="u", resourceVersion="5"), tool(uid="u")))
OPAQUE = replace(UPDATE, base="abc")
BOTH = Page((CREATION, UPDATE))

SIGHTINGS = {
    "nothing was seen": (None, [CREATION, UPDATE], None),
    "the creation was stored": (Sighting(5, "u"), [UPDATE], 5),
    "the update was stored, or another one": (Sighting(6, "u"), [], 6),
    "another object was seen, and gone": (Sighting(6, "v"), [CREATION], 6),
    "what the update replaces": (Sighting(5, "v"), [CREATION, UPDATE], None),
    "a version that cannot be compared": (Sighting("abc", "u"), [CREATION, UPDATE], None),
    "no version": (Sighting(None, "u"), [CREATION, UPDATE], None),
}


@pytest.mark.parametrize("row", SIGHTINGS.values(), ids=SIGHTINGS)
def test_an_intent_leaves_when_a_watch_has_shown_what_became_of_it(row: Any) -> None:
    sighting, remaining, horizon = row

    found = page.collect(BOTH, lambda _ref: sighting)

    assert list(found.intents) == remaining
    assert found.horizon == ({Kind.TOOL: horizon} if horizon else {})


def test_versions_that_are_not_numbers_are_not_compared() -> None:
    unknown = Page((OPAQUE, replace(CREATION, uid="")))

    assert page.collect(unknown, lambda _ref: Sighting(9, "")) is unknown


def test_what_is_stored_who_knows_when_stays_while_others_leave() -> None:
    other = replace(CREATION, fact=replace(CREATION.fact, ref=Ref(Kind.TOOL, "shop", "other")))
    looked = {OPAQUE.fact.ref: tool(uid="u", resourceVersion="abd"), other.fact.ref: None}

    assert page.resolve(Page((OPAQUE, other)), looked, NOW + LEASE + 1).intents == (OPAQUE,)


def test_the_horizon_never_falls() -> None:
    known = Page((CREATION,), {Kind.TOOL: 20, Kind.PROMPT: 3})

    assert page.collect(known, lambda _ref: Sighting(7, "u")) == Page((), {Kind.TOOL: 20, Kind.PROMPT: 3})
    assert page.resolve(known, {tool().ref: tool(uid="u", resourceVersion="7")}, NOW).horizon[Kind.TOOL] == 20


LOOKS = {
    "it may still be stored": (UPDATE, tool("old", uid="u", resourceVersion="5"), NOW, True, None),
    "there is nothing, and it is too late": (CREATION, None, NOW + LEASE + 1, False, None),
    "it was stored": (CREATION, tool(uid="u", resourceVersion="7"), NOW, False, 7),
    "another state was stored": (UPDATE, tool("other", uid="u", resourceVersion="7"), NOW, False, 7),
    "it is stored, who knows when": (OPAQUE, tool(uid="u", resourceVersion="abd"), NOW, True, None),
    "another one is stored, who knows when": (OPAQUE, tool("x", uid="u", resourceVersion="abd"), NOW, False, None),
}  # fmt: skip


@pytest.mark.parametrize("row", LOOKS.values(), ids=LOOKS)
def test_an_intent_leaves_when_a_read_shows_that_it_cannot_be_stored_any_more(row: Any) -> None:
    entry, stored, now, remains, horizon = row

    found = page.resolve(Page((entry,)), {entry.fact.ref: stored}, now)

    assert found.intents == ((entry,) if remains else ())
    assert found.horizon == ({Kind.TOOL: horizon} if horizon else {})
    assert page.resolve(Page((entry,)), {}, now).intents == (entry,)


def test_what_can_no_longer_be_stored_is_overdue_until_it_is_forgotten() -> None:
    held = Page((CREATION, UPDATE))

    assert page.list_overdue(held, NOW + LEASE) == []
    assert page.list_overdue(held, NOW + LEASE + 1) == [CREATION.fact.ref]
    assert page.list_overdue(held, NOW + KEEP + 1) == []


@pytest.mark.parametrize(("reached", "behind"), [(None, True), (6, True), (7, False), (8, False), ("abc", False)])
def test_a_replica_that_has_not_reached_the_horizon_is_behind(reached: Any, behind: bool) -> None:
    assert page.is_behind(Page((), {Kind.TOOL: 7}), lambda _kind: reached) is behind
    assert not page.is_behind(Page(), lambda _kind: None)


def test_a_creation_is_known_to_have_been_stored_by_its_uid() -> None:
    assert page.mark_stored(BOTH, ["u"]).intents == (replace(CREATION, landed=True), UPDATE)
    assert page.mark_stored(BOTH, ["another", ""]) is BOTH
    unknown = Page((replace(CREATION, uid=""),))
    assert page.mark_stored(unknown, [""]) is unknown


def test_a_ledger_is_read_as_it_was_written() -> None:
    spec = {
        "toolSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "y"]}]},
        "promptSelector": {"matchLabels": {"a": "b"}},
        "resourceSelector": {"selectAll": True},
        "integrity": "Strict",
        "contextBudget": 5000,
        "clients": ["gemini", "cursor"],
        "naming": {"prefix": "shop_"},
    }
    selecting, plain = (
        item("MCPServer", "main", spec),
        item("MCPServer", "other", {"toolSelector": {"selectAll": True}}),
    )
    schema = {"type": "object", "properties": {"a": {"const": "x"}}}
    unusable = item("MCPTool", "b", {"service": {"name": "orders", "port": 80}, "inputSchema": schema})
    creations = tuple(noted(Change(each.ref, None, each)) for each in (selecting, plain, unusable))
    written = Page((*creations, UPDATE, replace(CREATION, landed=True)), {Kind.TOOL: 7, Kind.SERVER: 3})

    assert page.load(page.dump(written)) == written


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[]", b"7", b"{}", b'{"format":1,"intents":[]}', b'{"format":2,"intents":[]}',
        b'{"format":2,"horizon":{},"intents":[{}]}', b'{"format":2,"horizon":{"Pod":1},"intents":[]}',
        b'{"format":2,"horizon":{},"intents":[{"object":["Pod","a","b"]}]}',
        b'{"format":2,"horizon":{},"intents":[{"object":7}]}',
    ],
)  # fmt: skip
def test_what_is_not_a_ledger_is_refused(payload: bytes) -> None:
    with pytest.raises(page.InvalidLedgerError):
        page.load(payload)
