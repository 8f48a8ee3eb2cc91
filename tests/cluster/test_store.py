from __future__ import annotations

from typing import Any

from cluster.store import Store


def item(name: str, color: str = "red") -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name}, "color": color}


def heard() -> tuple[list[tuple[Any, Any]], Store]:
    changes: list[tuple[Any, Any]] = []
    return changes, Store(lambda old, new: changes.append((old and old["color"], new and new["color"])))


def test_every_change_is_told_with_what_was_there_before() -> None:
    changes, store = heard()

    store.put(item("a"))
    store.put(item("a", "blue"))
    store.drop(item("a"))

    assert changes == [(None, "red"), ("red", "blue"), ("blue", None)]
    assert len(store) == 0


def test_a_replacement_drops_what_it_does_not_hold() -> None:
    changes, store = heard()
    store.put(item("a"))
    store.put(item("b"))
    changes.clear()

    store.replace([item("b", "blue"), item("c")])

    assert sorted(changes, key=str) == sorted([("red", None), ("red", "blue"), (None, "red")], key=str)
    assert store.get("shop", "a") is None


def test_dropping_what_is_not_known_tells_its_last_state() -> None:
    changes, store = heard()

    store.drop(item("a"))

    assert changes == [("red", None)]
