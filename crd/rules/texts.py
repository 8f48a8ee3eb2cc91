"""PURE. What a model reads: long enough descriptions, no invisible characters, consistent hints."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

import orjson

from crd.clients import tokens
from crd.finding import Finding, Reason, format_path
from crd.models.prompt import PromptSpec
from crd.models.resource import ResourceSpec
from crd.models.server import ServerSpec
from crd.models.tool import ToolSpec
from crd.schema.bounds import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.manifest import Object

__all__ = ["LONGEST", "SHORTEST", "UNSAFE", "contradictory_hints", "unsafe_texts", "weak_description"]

Path = tuple[str | int, ...]

# In characters. A shorter description draws a warning.
SHORTEST = 20
# In bytes. So does a longer one: a model reads every description of a server before it does anything.
LONGEST = 1024
# Control characters other than tab and line ends, bidirectional controls (UTS 55), invisible and tag characters.
UNSAFE = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u061c\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060-\\u2064\\u2066-\\u2069"
    "\\ufeff\\U000e0000-\\U000e007f]"
)


def weak_description(item: Object) -> Iterator[Finding]:
    """A missing description, one that is too short for a model to choose by, or one that costs it too much."""
    if not isinstance(item.spec, ToolSpec | PromptSpec | ResourceSpec):
        return
    text = item.spec.description.strip()
    if len(text) < SHORTEST:
        fault = f'the description "{text}" is too short' if text else "the description is empty"
        message = f"{fault}; describe in a sentence what it does and when to use it"
        yield Finding.of(Reason.WEAK_DESCRIPTION, item.ref, message, path=("spec", "description"))
    elif len(text.encode()) > LONGEST:
        message = (
            f"the description has {len(text.encode())} bytes, more than {LONGEST}, or about "
            f"{tokens.estimate(text.encode())} tokens, which a model reads in every conversation; describe arguments "
            "in inputSchema and leave the rest to the documentation"
        )
        yield Finding.of(Reason.WEAK_DESCRIPTION, item.ref, message, path=("spec", "description"))


def unsafe_texts(item: Object) -> Iterator[Finding]:
    """Characters that are invisible to reviewers but not to a model."""
    for path, text in _texts(item):
        found = UNSAFE.search(text)
        if found:
            # Control characters have no name.
            name = unicodedata.name(found[0], "a control character").lower()
            message = (
                f"U+{ord(found[0]):04X} ({name}) at character {found.start() + 1} is invisible to reviewers; "
                f"remove it from {format_path(path)}"
            )
            yield Finding.of(Reason.UNSAFE_TEXT, item.ref, message, path=path)


def contradictory_hints(item: Object) -> Iterator[Finding]:
    """Hints that contradict the method or each other (MCP: destructiveHint has no meaning with readOnlyHint)."""
    spec = item.spec
    if not isinstance(spec, ToolSpec) or spec.annotations is None:
        return
    hints, at = spec.annotations, ("spec", "annotations")
    if spec.method == "GET" and hints.destructive_hint:
        message = "destructiveHint is true but spec.method is GET; remove the hint or correct the method"
        yield Finding.of(Reason.CONTRADICTORY_HINT, item.ref, message, path=(*at, "destructiveHint"))
    elif hints.read_only_hint and hints.destructive_hint:
        message = "readOnlyHint and destructiveHint are both true; remove the one that is wrong"
        yield Finding.of(Reason.CONTRADICTORY_HINT, item.ref, message, path=(*at, "destructiveHint"))
    if spec.method == "DELETE" and hints.read_only_hint:
        message = "readOnlyHint is true but spec.method is DELETE; remove the hint or correct the method"
        yield Finding.of(Reason.CONTRADICTORY_HINT, item.ref, message, path=(*at, "readOnlyHint"))


def _texts(item: Object) -> Iterator[tuple[Path, str]]:
    spec = item.spec
    if isinstance(spec, ServerSpec):
        if spec.info:
            yield ("spec", "info", "title"), spec.info.title
            yield ("spec", "info", "instructions"), spec.info.instructions
        return
    if spec is None:
        return
    yield ("spec", "title"), spec.title
    yield ("spec", "description"), spec.description
    if isinstance(spec, ToolSpec):
        for member, schema in (("inputSchema", spec.input_schema), ("outputSchema", spec.output_schema)):
            if schema is not None and not _has_safe_json(schema):
                yield from _schema_texts(schema, ("spec", member))
    if isinstance(spec, PromptSpec):
        for path, text in spec.texts:
            yield ("spec", *path), text
        for index, variable in enumerate(spec.variables):
            yield ("spec", "variables", index, "title"), variable.title
            yield ("spec", "variables", index, "description"), variable.description


def _has_safe_json(schema: Any) -> bool:
    """Whether the JSON of a schema contains no unsafe character, as written or escaped. Cheaper than a walk."""
    written = orjson.dumps(schema)
    if written.isascii():
        return b"\x7f" not in written and b"\\u00" not in written
    return b"\\u00" not in written and not UNSAFE.search(written.decode())


def _schema_texts(node: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if len(path) > MAX_DEPTH:
        return
    if isinstance(node, dict):
        for key, child in node.items():
            if key in ("title", "description", "$comment") and isinstance(child, str):
                yield (*path, key), child
            else:
                yield from _schema_texts(child, (*path, str(key)))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _schema_texts(child, (*path, index))
