"""Indexes, versions, lists, reads that a watch overtakes, and changes that a handler rejects."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.informers import store as stores
from cluster.informers import versions
from cluster.informers.store import Store

A, B, C = ("shop", "a"), ("shop", "b"), ("shop", "c")


def record_changes(store: Store[str]) -> list[Any]:
    changes: list[Any] = []
    store.handlers.append(lambda key, old, new: changes.append((key[1], old, new)))
    return changes


@pytest.mark.parametrize(
    ("text", "version"), [("7", 7), ("0", 0), ("1" * 20, int("1" * 20)), ("1" * 21, "1" * 21), ("v7", "v7"), ("٣", "٣")]
)
def test_a_version_is_a_number_where_it_can_be_compared(text: str, version: Any) -> None:
    assert versions.parse(text) == version


@pytest.mark.parametrize("text", [None, "", 7])
def test_a_version_must_be_a_string(text: Any) -> None:
    with pytest.raises(ValueError, match="resourceVersion must be a non-empty string"):
        versions.parse(text)


def test_only_numbers_are_older_than_another_one() -> None:
    assert versions.is_older(1, 2)
    assert not versions.is_older(2, 2)
    assert not versions.is_older("1", 2)
    assert not versions.is_older(1, "2")


def test_indexes_follow_every_change() -> None:
    store: Store[str] = Store({"letter": lambda item: item})
    store.put(A, 1, "xy")
    store.put(B, 2, "yz")
    assert store.by("letter", "y") == ["xy", "yz"]
    assert (store.has("letter", "x"), store.has("letter", "a")) == (True, False)

    store.put(A, 3, "z")
    assert (store.by("letter", "x"), store.by("letter", "y")) == ([], ["yz"])
    assert sorted(store.by("letter", "z")) == ["yz", "z"]

    store.drop(B, 4)
    assert (store.by("letter", "y"), store.by("letter", "z")) == ([], ["z"])
    assert (store.has("letter", "y"), store.has("letter", "z")) == (False, True)
    # What is not there any more needs no memory.
    assert set(store._indexes["letter"]) == {"z"}


def test_an_object_of_which_nothing_is_kept_has_a_version_only() -> None:
    store: Store[str] = Store()
    changes = record_changes(store)
    store.put(A, 1, None)

    assert (store.version(A), store.get(A), list(store.items()), len(store)) == (1, None, [], 1)
    store.put(A, 2, "a")
    store.put(A, 3, None)
    store.drop(A, 4)
    store.drop(B, 5)
    assert changes == [("a", None, "a"), ("a", "a", None)]


def test_a_handler_finds_the_version_of_the_change() -> None:
    store: Store[str] = Store()
    seen: list[Any] = []
    store.handlers.append(lambda key, _old, _new: seen.append(store.changed_at(key)))
    store.put(A, 1, "a")
    store.drop(A, 2)

    assert seen == [1, 2]
    assert store.changed_at(B) is None


def test_a_change_that_a_handler_rejects_is_undone() -> None:
    store: Store[str] = Store({"item": lambda item: [item]})
    store.put(A, 1, "old")

    def reject(*_: Any) -> None:
        raise RuntimeError("not now")

    store.handlers.append(reject)
    for change in (lambda: store.put(A, 2, "new"), lambda: store.drop(A, 2), lambda: store.put(B, 2, "b")):
        with pytest.raises(RuntimeError, match="not now"):
            change()
    assert (store.version(A), store.get(A), store.get(B)) == (1, "old", None)
    assert (store.by("item", "old"), store.by("item", "new"), store.by("item", "b")) == (["old"], [], [])


def test_a_list_confirms_what_is_known_and_finds_what_is_missing() -> None:
    store: Store[str] = Store()
    store.put(A, 1, "a")
    store.put(B, 2, "b")
    store.begin_list()

    assert store.confirm(A, 1)
    assert not store.confirm(C, 3)
    store.put(C, 3, "c")
    assert store.missing(10) == [B]
    store.begin_list()
    # A restore of etcd takes versions back; a list is believed all the same.
    assert not store.confirm(A, 0)


def test_what_a_read_has_shown_since_a_list_began_is_newer_than_the_list() -> None:
    store: Store[str] = Store()
    store.put(A, 1, "a")
    store.begin_list()
    token = store.sequence()
    assert store.offer(A, 20, "read", token)
    assert store.offer(B, 21, "created", token)
    assert store.offer(C, 5, "deleted meanwhile", token)

    assert store.confirm(A, 1)
    assert store.get(A) == "read"
    assert store.missing(10) == [C]


def test_what_a_read_has_shown_before_a_list_is_missing_in_it_like_everything_else() -> None:
    store: Store[str] = Store()
    assert store.offer(A, 1, "read", store.sequence())
    assert store.offer(B, 2, "read", store.sequence())
    store.begin_list()
    assert store.confirm(B, 2)

    assert store.missing(10) == [A]


@pytest.mark.parametrize(
    ("known", "read", "taken"),
    [(5, 6, True), (5, 5, False), (6, 5, False), (5, "x", True), ("x", 5, True), ("x", "y", True)],
)
def test_a_read_of_a_known_object_must_be_newer_where_versions_can_be_compared(
    known: Any, read: Any, taken: bool
) -> None:
    store: Store[str] = Store()
    store.put(A, known, "known")

    assert store.offer(A, read, "read", store.sequence()) is taken


def test_where_versions_cannot_be_compared_the_order_of_arrival_decides() -> None:
    store: Store[str] = Store()
    store.put(A, "x", "known")
    token = store.sequence()
    store.put(A, "y", "watched")

    assert not store.offer(A, "z", "read", token)
    assert store.get(A) == "watched"


def test_a_read_that_finds_nothing_counts_if_the_watch_has_shown_nothing_since() -> None:
    store: Store[str] = Store()
    store.put(A, 1, "a")
    token = store.sequence()
    store.put(B, 2, "b")

    assert store.offer(A, None, None, token)
    assert store.get(A) is None
    token = store.sequence()
    store.put(A, 3, "again")
    assert not store.offer(A, None, None, token)
    assert store.get(A) == "again"


def test_a_read_of_a_deleted_object_counts_only_if_it_is_newer_than_the_deletion() -> None:
    store: Store[str] = Store()
    store.put(A, 1, "a")
    token = store.sequence()
    store.drop(A, 5)

    assert not store.offer(A, 1, "stale", token)
    assert store.offer(A, 6, "created again", token)


def test_a_read_that_outlasts_all_memory_counts_as_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MARKS", 2)
    store: Store[str] = Store()
    token = store.sequence()
    for number in range(4):
        store.put(("shop", str(number)), number, "x")

    assert not store.offer(A, 9, "read", token)
    assert store.offer(A, 9, "read", store.sequence())
