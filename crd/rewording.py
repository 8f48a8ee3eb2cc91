"""PURE. Tools that differ from a known one in their texts alone: name, title, description, labels.

Most edits, and most tools that are generated, change no more. The rules about one object then find what they found in
the known tool, as long as the texts are plain. So neither the models nor the rules see such a tool again.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from crd import extraction
from crd.clients import portability, tokens
from crd.facts import Claim, MemberFact, Space
from crd.manifest import Object
from crd.models.tool import ToolSpec
from crd.ref import GROUP, VERSION, Kind, Ref
from crd.rules import texts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["key_of", "reword"]

_API_VERSION = f"{GROUP}/{VERSION}"
_MEMBERS = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
_NO_METADATA: dict[str, Any] = {}
# Names, labels and texts that no rule has anything to say about. Others may be in order too; they are decoded.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# No client has a limit that such a name exceeds; others are looked up in the profiles.
_PORTABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,47}")
_OBJECT_NAME = re.compile(r"[a-z0-9.-]{1,253}")
_LONGEST_TITLE, _LONGEST_DESCRIPTION = 256, 2048


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


def reword(known: Object, raw: Mapping[str, Any]) -> Object | None:
    """The same as `manifest.decode`, for a tool of the same `key_of` as a known one that has no findings of its own.

    Then the tool has none either. None if its texts are not plain.
    """
    metadata, given = raw.get("metadata") or _NO_METADATA, raw["spec"]
    spec, fact, own = known.spec, known.fact, metadata.get("name")
    if not isinstance(spec, ToolSpec) or not isinstance(fact, MemberFact) or "deletionTimestamp" in metadata:
        return None
    name, title, description = given.get("name"), given.get("title", ""), given.get("description")
    labels = metadata.get("labels", _NO_METADATA)
    if type(own) is not str or not _OBJECT_NAME.fullmatch(own) or type(labels) is not dict or fact.deleting:
        return None
    for key, value in labels.items():
        if type(value) is not str or not key.isascii() or not value.isascii():
            return None
    if name is not None and (type(name) is not str or not _NAME.fullmatch(name)):
        return None
    if type(title) is not str or len(title) > _LONGEST_TITLE or not _is_plain(title):
        return None
    if type(description) is not str or len(description) > _LONGEST_DESCRIPTION or not _is_plain(description):
        return None
    served = name or own
    if not _PORTABLE_NAME.fullmatch(served) and (len(served) > 64 or any(portability.name_excesses(served, ()))):
        return None
    if len(description.strip()) < texts.SHORTEST:
        return None
    ref = Ref(Kind.TOOL, known.ref.namespace, own)
    claims = fact.claims
    if claims and claims[0].value != served:
        claims = (Claim(Space.TOOL_NAME, served), *claims[1:])
    weight, listed = fact.weight, fact.tokens
    if claims:
        listed += tokens.of_texts(served, title, description)
        listed -= tokens.of_texts(spec.name or known.ref.name, spec.title, spec.description)
        weight += extraction.weight_of_texts(name, title, description)
        weight -= extraction.weight_of_texts(spec.name, spec.title, spec.description)
    return Object(
        ref,
        raw,
        spec.model_copy(update={"name": name, "title": title, "description": description}),
        replace(
            fact,
            ref=ref,
            labels=labels,
            uid=str(metadata.get("uid") or ""),
            created=str(metadata.get("creationTimestamp") or ""),
            claims=claims,
            weight=weight,
            tokens=listed,
        ),
    )


def _is_plain(text: str) -> bool:
    return text.isascii() and not texts.UNSAFE.search(text)
