"""PURE. JSON Pointers (RFC 6901): what stands at one, and what is put at one."""

from __future__ import annotations

from typing import Any

__all__ = ["ABSENT", "argument", "find", "put", "steps"]


class _Absent:
    """That nothing is there, which null is not."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


def steps(pointer: str) -> list[str]:
    """The members that a pointer goes through."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def find(document: Any, pointer: str) -> Any:
    """What stands at a pointer; ABSENT if nothing does."""
    for step in steps(pointer):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isascii() and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return ABSENT
    return document


def argument(arguments: Any, name: str) -> Any:
    """An argument by its name, or by a pointer into the arguments."""
    return find(arguments, name) if name.startswith("/") else arguments.get(name, ABSENT)


def put(document: dict[str, Any], name: str, value: Any) -> None:
    """Set a member by its name or by a pointer; objects on the way to it are made."""
    *way, last = steps(name) if name.startswith("/") else [name]
    for step in way:
        document = document.setdefault(step, {})
    document[last] = value
