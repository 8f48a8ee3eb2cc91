"""PURE. Names and descriptions for models: short, safe, and the same for the same description."""

from __future__ import annotations

import hashlib
import html
import re
from typing import TYPE_CHECKING, Any

from crd.rules.texts import SHORTEST, UNSAFE

if TYPE_CHECKING:
    from collections.abc import Collection

    from cli.imports.description import Operation

__all__ = [
    "argument_name",
    "clean",
    "describe",
    "digest",
    "object_name",
    "served_name",
    "shorten",
    "title_of",
    "tool_name",
    "unique",
]

# In characters; a model reads every description of a server in every conversation.
TOOL_LENGTH = 400
FIELD_LENGTH = 200
_MAX_NAME = 60
_MAX_READ = 8192
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_LINK = re.compile(r"!?\[([^\[\]]{0,200})\]\([^()\s]{0,500}\)")
_MARK = re.compile(r"[*_`]{2,}|`|^[#>]+ *", re.MULTILINE)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SENTENCE_END = re.compile(r"(?<!\b[iI]\.e)(?<!\b[eE]\.g)(?<!\bvs)[.!?。](?=\s|$)")


def clean(text: Any) -> str:
    """A text on one line, without markup and without characters that reviewers cannot see."""
    if not isinstance(text, str):
        return ""
    plain = html.unescape(_TAG.sub(" ", text[:_MAX_READ]))
    plain = UNSAFE.sub("", _MARK.sub("", _LINK.sub(r"\1", plain)))
    return " ".join(plain.encode("utf-8", "ignore").decode().split())


def shorten(text: str, length: int = FIELD_LENGTH) -> str:
    """A cleaned text of at most ``length`` characters: whole sentences if the first one fits."""
    if len(text) <= length:
        return text
    ends = [match.end() for match in _SENTENCE_END.finditer(text[: length + 1])]
    if ends and ends[-1] >= min(length // 4, 60):
        return text[: ends[-1]]
    return text[: length - 1].rsplit(" ", 1)[0] + "…"


def title_of(operation: Operation) -> str:
    """A short title: the summary if it is one, and the description says more. A model reads both."""
    summary = clean(operation.content.get("summary"))
    more = clean(operation.content.get("description"))
    return summary if len(summary) <= 80 and more.rstrip(".").lower() not in ("", summary.rstrip(".").lower()) else ""


def describe(operation: Operation, api: str) -> str:
    """What the operation does, for a model: summary and description, else its method and path."""
    summary, more = clean(operation.content.get("summary")), clean(operation.content.get("description"))
    if summary and not more.lower().startswith(summary.lower().rstrip(".")):
        text = f"{summary.rstrip('.')}. {more}".strip()
    else:
        text = more
    text = shorten(text, TOOL_LENGTH)
    if len(text) < SHORTEST:
        of = f" of {shorten(clean(api), 80)}" if api else ""
        text = f"{text.rstrip('.')}. {operation.key[:200]}{of}." if text else f"{operation.key[:200]}{of}."
    return text if len(text) >= SHORTEST else f"{text} An operation of the API."


def tool_name(operation: Operation) -> str:
    """The name that clients see: the operationId, else method and path."""
    given = operation.id or f"{operation.method.lower()} {operation.path}"
    return served_name(given, operation.key, operation.method.lower())


def served_name(given: str, identity: str = "", fallback: str = "tool") -> str:
    """A name that clients accept, made of one that a source gives. ``identity`` tells it from a similar one."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", given).strip("_-")
    if not re.search(r"[A-Za-z0-9]", name):
        name = f"{fallback}_{digest(identity or given)}"
    return _cut(name, identity or given)


def object_name(name: str) -> str:
    """metadata.name for the name of a tool."""
    kebab = re.sub(r"[^a-z0-9]+", "-", _HUMP.sub("-", name).lower()).strip("-")
    return _cut(kebab or f"tool-{digest(name)}", name).strip("-")


def argument_name(name: str, taken: Collection[str]) -> str:
    """The name of an argument: letters, digits, ``_`` and ``-``, at most 60 characters, not one that is taken."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-") or f"argument_{digest(name)}"
    if not re.match(r"[A-Za-z_]", plain):
        plain = f"_{plain}"
    return unique(_cut(plain, name), taken, name)


def unique(name: str, taken: Collection[str], identity: str, joint: str = "_") -> str:
    """A name that is not taken: with a part of the digest of ``identity`` after ``joint`` if necessary."""
    if name not in taken:
        return name
    for length in (4, 8, 16, 32):
        other = f"{name[: _MAX_NAME - length - 1]}{joint}{digest(identity, length)}"
        if other not in taken:
            return other
    raise ValueError(f"two of {name} have the same digest")


def digest(text: str, length: int = 6) -> str:
    """Hexadecimal digits of a digest."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def _cut(name: str, identity: str) -> str:
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[: _MAX_NAME - 7].rstrip('_-')}-{digest(identity)}"
