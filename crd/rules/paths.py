"""PURE. Path templates: placeholders are declared, required and scalar, and no value changes the path around it."""

from __future__ import annotations

import itertools
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from crd.finding import Reason, shorten
from crd.rules.inputs import SCALARS
from crd.schema import positions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.rules.inputs import Inputs
    from crd.schema.positions import Constraint

__all__ = ["literal_faults", "placeholders", "template_faults"]

Fault = tuple[Reason, str, str]
"""Reason, subject and message."""

_PLACEHOLDER = re.compile(r"\{([^{}]*?)(\+?)\}")


def placeholders(path: str) -> tuple[str, ...]:
    """The names in a path, in order of first appearance."""
    if "{" not in path:
        return ()
    return tuple(dict.fromkeys(match[1] for match in _PLACEHOLDER.finditer(path)))


def template_faults(path: str, inputs: Inputs) -> Iterator[Fault]:
    """The faults of a path template."""
    yield from literal_faults(path)
    for name, constraint in _positions(path).items():
        found = inputs.find(name)
        if found is None:
            message = f'placeholder "{{{name}}}" is not declared in {inputs.where}; {inputs.repair(name)}'
            yield Reason.UNDECLARED_PLACEHOLDER, name, message
        elif not found.types <= SCALARS:
            types = " or ".join(sorted(found.types - SCALARS))
            message = f'"{name}" can be of type {types}, which a path cannot carry; give it a scalar type'
            yield Reason.INVALID_MAPPING, name, message
        elif found.nullable:
            message = f'"{name}" can be null, which a path cannot carry; remove null from its type'
            yield Reason.INVALID_MAPPING, name, message
        elif not (found.required or found.has_default):
            message = f'"{name}" is optional but used in the path; make it required or give it a default'
            yield Reason.INVALID_MAPPING, name, message
        else:
            unsafe = next((text for text in found.texts if positions.rejects(constraint, text)), None)
            if unsafe is not None:
                message = f'"{name}" can be {shorten(unsafe)}, which is refused in a path; correct its default or enum'
                yield Reason.INVALID_MAPPING, name, message


def _positions(path: str) -> dict[str, Constraint]:
    """The placeholders of a path, each with what its position demands of a string."""
    found: dict[str, Constraint] = {}
    for match in _PLACEHOLDER.finditer(path) if "{" in path else ():
        found.setdefault(match[1], positions.MULTI_SEGMENT if match[2] else positions.SEGMENT)
    return found


# Of so many paths it is remembered what is wrong: the tools of one Service often have the same.
@lru_cache(maxsize=256)
def literal_faults(path: str) -> tuple[Fault, ...]:
    """The faults of the literal text and the structure of a path, whatever the arguments are."""
    return tuple(_literal_faults(path))


def _literal_faults(path: str) -> Iterator[Fault]:
    for segment in path.split("/")[1:]:
        if "{" not in segment:
            yield from _check_literal(segment, unquote(segment))
            continue
        found = list(_PLACEHOLDER.finditer(segment))
        rest = unquote(_PLACEHOLDER.sub("", segment))
        whole = f'path segment "{segment}"'
        if not found:
            yield from _check_literal(segment, rest)
        elif any(match[2] for match in found) and (len(found) > 1 or rest):
            message = (
                f"{whole} holds more than {{{found[0][1]}+}}, which must be a whole segment; put slashes around it"
            )
            yield Reason.UNSAFE_PATH, segment, message
        elif rest.strip(".") == "" and rest:
            message = f'{whole} becomes ".." for some arguments; add a letter or digit'
            yield Reason.UNSAFE_PATH, segment, message
        elif any(a.end() == b.start() for a, b in itertools.pairwise(found)):
            message = f"{whole} has two adjacent placeholders, whose values cannot be separated; put text between them"
            yield Reason.UNSAFE_PATH, segment, message


def _check_literal(segment: str, decoded: str) -> Iterator[Fault]:
    if decoded.partition(";")[0] in (".", ".."):
        yield Reason.UNSAFE_PATH, segment, f'path segment "{segment}" resolves to another path; write the resolved path'
    elif "%" in segment and ("/" in decoded or "\\" in decoded or any(ord(c) < 0x20 for c in decoded)):
        message = f'path segment "{segment}" encodes a slash or control character; remove the encoded character'
        yield Reason.UNSAFE_PATH, segment, message
