"""PURE. JSON Pointers (RFC 6901): read and write the value at a pointer."""

from __future__ import annotations

from typing import Any

__all__ = ["ABSENT", "argument", "escape", "find", "put", "split"]


class _Absent:
    """No value. JSON null is a value."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


def escape(name: str) -> str:
    """A member name as one reference token."""
    return name.replace("~", "~0").replace("/", "~1")


def split(pointer: str) -> list[str]:
    """The member names of a pointer."""
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def find(document: Any, pointer: str) -> Any:
    """The value at a pointer, or ABSENT."""
    if not pointer:
        return document
    for name in split(pointer):
        if isinstance(document, dict) and name in document:
            document = document[name]
        elif isinstance(document, list) and name.isascii() and name.isdigit() and int(name) < len(document):
            document = document[int(name)]
        else:
            return ABSENT
    return document


def argument(arguments: Any, name: str) -> Any:
    """An argument by its name, or by a pointer into the arguments."""
    return find(arguments, name) if name.startswith("/") else arguments.get(name, ABSENT)


def put(document: dict[str, Any], name: str, value: Any) -> None:
    """Set a member by its name or by a pointer. Missing parent objects are created."""
    *parents, last = split(name) if name.startswith("/") else [name]
    for parent in parents:
        document = document.setdefault(parent, {})
    document[last] = value
