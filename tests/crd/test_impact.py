"""An allowed change says what it takes from clients, and nothing if it takes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from crd import impact, integrity, manifest
from crd.integrity import Change
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot


def member(name: str = "a", kind: str = "MCPTool", app: str = "shop", **spec: Any) -> manifest.Object:
    backed: dict[str, Any] = {"service": {"name": "s", "port": 80}} if kind == "MCPTool" else {"template": "t"}
    return manifest.decode(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": app}},
            "spec": {**backed, **spec},
        }
    )


def server(name: str, app: str = "shop", **spec: Any) -> manifest.Object:
    return manifest.decode(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPServer",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"toolSelector": {"matchLabels": {"app": app}}, **spec},
        }
    )


def findings_of(old: manifest.Object | None, new: manifest.Object | None, *others: manifest.Object) -> list[str]:
    known = new or old
    assert known is not None
    snapshot = Snapshot.of(item.fact for item in (*others, *([old] if old else [])) if item.fact)
    change = Change(known.ref, old, new)
    return list(impact.preview(integrity.place(snapshot, change)[1], change))


@pytest.mark.parametrize(
    ("old", "new", "others", "lines"),
    [
        (None, member(), [], []),
        (None, member(), [server("main")], []),
        (
            None,
            member(),
            [server("main"), server("admin")],
            [],
        ),
        (
            None,
            member(),
            [server(name) for name in "edcba"],
            [],
        ),
        (
            None,
            member(),
            [server("main"), member("b"), member("p", "MCPPrompt"), member("q", "MCPPrompt")],
            [],
        ),
        (None, member(enabled=False), [server("main")], []),
        (None, member(inputSchema={"type": "array"}), [], []),
        (member(), member(title="A"), [server("main")], []),
        (member(), member(name="a", app="shop"), [server("main")], []),
        (member(), member(ingressPath="/a"), [server("main")], []),
        (member(), member(app="other"), [server("main")], ["MCPTool shop/a is no longer served by shop/main"]),
        (member(), member(enabled=False), [server("main")], ["MCPTool shop/a is no longer served by shop/main"]),
        (
            member(),
            member(app="other"),
            [server("main"), server("new", "other")],
            ["MCPTool shop/a is no longer served by shop/main"],
        ),
        (member(), None, [server("main")], ["MCPTool shop/a is no longer served by shop/main"]),
        (
            member(),
            None,
            [server(name) for name in "dcba"],
            ["MCPTool shop/a is no longer served by shop/a, shop/b, shop/c and 1 more"],
        ),
        (member(), None, [], []),
        (None, server("main"), [member()], []),
        (None, server("main"), [], []),
        (server("main"), server("main", replicas=3), [member()], []),
        (
            server("main"),
            server("main", promptSelector={"matchLabels": {"app": "x"}}),
            [member(), member("p", "MCPPrompt")],
            [],
        ),
        (
            server("main"),
            server("main", resourceSelector={"matchLabels": {"app": "x"}}),
            [member()],
            [],
        ),
        (server("main"), server("main", naming={"prefix": "x."}), [member()], []),
        (server("main", "other"), server("main"), [member()], []),
        (server("main"), None, [member()], []),
    ],
)
def test_a_change_says_who_no_longer_serves_an_object(old: Any, new: Any, others: Any, lines: list[str]) -> None:
    assert findings_of(old, new, *others) == lines


def test_what_cannot_be_read_changes_nothing() -> None:
    broken = member(port=1, service=5)
    assert broken.fact is None

    assert findings_of(broken, broken, server("main")) == []
    assert findings_of(member(), broken, server("main")) == ["MCPTool shop/a is no longer served by shop/main"]


def test_a_view_follows_an_edit_that_only_weighs_more() -> None:
    first, second = member(), member(description="x" * 200 + "y" * 100 + "".join(map(chr, range(97, 122))))
    ref = Ref(Kind.SERVER, "shop", "main")
    whole = [item.fact for item in (server("main"), member("b"), first) if item.fact]
    snapshot = Snapshot.of(whole)
    assert second.fact is not None

    edited = snapshot.put(second.fact)

    afresh = Snapshot.of([*whole[:2], second.fact])
    assert edited.view(ref).weight == afresh.view(ref).weight > snapshot.view(ref).weight
    assert (edited.view(ref).members, edited.view(ref).claimants) == (
        afresh.view(ref).members,
        afresh.view(ref).claimants,
    )
    assert edited.get(second.ref) == second.fact
    assert edited.put(second.fact) is edited
    assert edited.drop(second.ref).view(ref).weight == Snapshot.of(whole[:2]).view(ref).weight
