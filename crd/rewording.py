"""PURE. Tools that differ from a known one in their texts alone: name, title, description, labels.

Most edits, and most tools that are generated, change no more. The rules about one object then find what they found in
the known tool, as long as the texts are plain. So neither the models nor the rules see such a tool again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from crd import extraction
from crd.clients import portability, tokens
from crd.facts import Claim, MemberFact, Space
from crd.ref import GROUP, VERSION, Kind, Ref
from crd.rules import texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.facts import Fact
    from crd.models.tool import ToolSpec

__all__ = ["Base", "base_of", "key_of", "reword", "reword_spec"]

_API_VERSION = f"{GROUP}/{VERSION}"
_MEMBERS = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_NO_METADATA: dict[str, Any] = {}
# Names, labels and texts that no rule has anything to say about. Others may be in order too; they are decoded.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_OBJECT_NAME = re.compile(r"[a-z0-9.-]{1,253}")
_LONGEST_TITLE = 256


def key_of(raw: Mapping[str, Any]) -> bytes | None:
    """What two tools have in common that differ in their texts alone; None for other objects."""
    spec = raw.get("spec")
    if raw.get("kind") != "MCPTool" or type(spec) is not dict or raw.get("apiVersion") != _API_VERSION:
        return None
    if not _MEMBERS.issuperset(raw):
        return None
    metadata = raw.get("metadata")
    namespace = metadata.get("namespace") if type(metadata) is dict else None
    try:
        return orjson.dumps((namespace, {key: spec[key] for key in spec if key not in extraction.TEXTS}))
    except orjson.JSONEncodeError:
        return None


@dataclass(frozen=True, slots=True)
class Base:
    """A tool that others are reworded from. ``weight`` and ``tokens`` are what is left of its own without its texts."""

    fact: MemberFact
    weight: int
    tokens: int


def base_of(fact: Fact | None, given: Mapping[str, Any]) -> Base | None:
    """What tools are reworded from, out of the facts and the spec of one; None for what is not served."""
    if not isinstance(fact, MemberFact) or fact.deleting:
        return None
    if not fact.claims:
        return Base(fact, fact.weight, fact.tokens)
    name, title, description = given.get("name"), given.get("title", ""), given.get("description", "")
    return Base(
        fact,
        fact.weight - extraction.weight_of_texts(name, title, description),
        fact.tokens - tokens.of_texts(name or fact.ref.name, title, description),
    )


def reword(base: Base, raw: Mapping[str, Any]) -> MemberFact | None:
    """The same as `manifest.fact_of`, for a tool of the same `key_of` as the base. None if its texts are not plain.

    If no rule found anything in the base, none finds anything in this tool.
    """
    metadata, given = raw.get("metadata") or _NO_METADATA, raw["spec"]
    own = metadata.get("name")
    name, title, description = given.get("name"), given.get("title", ""), given.get("description")
    labels = metadata.get("labels", _NO_METADATA)
    if type(own) is not str or not _OBJECT_NAME.fullmatch(own) or type(labels) is not dict:
        return None
    if "deletionTimestamp" in metadata:
        return None
    for key, value in labels.items():
        if type(value) is not str or not key.isascii() or not value.isascii():
            return None
    if name is not None and (type(name) is not str or not _NAME.fullmatch(name)):
        return None
    if type(title) is not str or (title and (len(title) > _LONGEST_TITLE or not _is_plain(title))):
        return None
    if type(description) is not str or len(description) > texts.LONGEST or not _is_plain(description):
        return None
    served = name or own
    if len(served) > 64 or any(portability.name_excesses(served, ())):
        return None
    if len(description.strip()) < texts.SHORTEST:
        return None
    known = base.fact
    ref = Ref(Kind.TOOL, known.ref.namespace, own)
    claims, weight, listed = known.claims, base.weight, base.tokens
    if claims:
        if claims[0].value != served:
            claims = (Claim(Space.TOOL_NAME, served), *claims[1:])
        weight += extraction.weight_of_texts(name, title, description)
        listed += tokens.of_texts(served, title, description)
    return MemberFact(
        ref,
        labels,
        str(metadata.get("uid") or ""),
        str(metadata.get("creationTimestamp") or ""),
        claims,
        known.backends,
        known.places,
        known.mounts,
        weight,
        known.timeout,
        known.deleting,
        known.scopes,
        known.token_claims,
        known.unsupported,
        listed,
        known.pinned,
    )


def reword_spec(spec: ToolSpec, given: Mapping[str, Any]) -> ToolSpec:
    """The spec of the tool that `reword` gave facts of, out of that of the base."""
    texts_ = {"name": given.get("name"), "title": given.get("title", ""), "description": given.get("description")}
    return spec.model_copy(update=texts_)


def _is_plain(text: str) -> bool:
    return text.isascii() and (text.isprintable() or not texts.UNSAFE.search(text))
