"""JSON Pointers: what they read and write (RFC 6901)."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.backends.http_mapping import pointers
from runtime.backends.http_mapping.pointers import ABSENT

DOCUMENT: dict[str, Any] = {
    "a": {"b": [10, {"c": None}]}, "": "empty", "a/b": 1, "m~n": 2, "~1": 3, "0": "zero", "list": ["x", "y"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT), ("/a/b/0", 10), ("/a/b/1/c", None), ("/", "empty"), ("/a~1b", 1), ("/m~0n", 2), ("/~01", 3),
        ("/0", "zero"), ("/list/1", "y"), ("/list/2", ABSENT), ("/list/01", "y"), ("/list/-", ABSENT),
        ("/list/²", ABSENT), ("/list/٣", ABSENT), ("/list/", ABSENT), ("/a/x", ABSENT), ("/a/b/1/c/d", ABSENT),
        ("/a/b/0/0", ABSENT), ("/list/1/0", ABSENT),
    ],
)  # fmt: skip
def test_a_pointer_finds_a_value_or_nothing(pointer: str, value: Any) -> None:
    assert pointers.find(DOCUMENT, pointer) == value


@pytest.mark.parametrize("name", ["a", "a/b", "m~n", "~1", "", "~0/~1"])
def test_every_name_is_one_token(name: str) -> None:
    assert pointers.split(f"/x/{pointers.escape(name)}") == ["x", name]
    assert pointers.find({"x": {name: 7}}, f"/x/{pointers.escape(name)}") == 7


@pytest.mark.parametrize(
    ("name", "value"), [("a/b", 1), ("/a/b/0", 10), ("b", ABSENT), ("/b", ABSENT), ("", "empty"), ("/", "empty")]
)
def test_an_argument_has_a_name_or_a_pointer(name: str, value: Any) -> None:
    assert pointers.argument(DOCUMENT, name) == value


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("b", {"a": {"x": 1}, "b": 7}),
        ("a/b", {"a": {"x": 1}, "a/b": 7}),
        ("/a/b/c", {"a": {"x": 1, "b": {"c": 7}}}),
        ("/b~1/c", {"a": {"x": 1}, "b/": {"c": 7}}),
        ("/a", {"a": 7}),
    ],
)
def test_a_member_is_put_where_its_pointer_says(name: str, document: dict[str, Any]) -> None:
    given: dict[str, Any] = {"a": {"x": 1}}
    pointers.put(given, name, 7)

    assert given == document
    assert repr(ABSENT) == "ABSENT"
