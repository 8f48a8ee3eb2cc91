"""PURE. What the rules about one object made of manifests seen lately, by their content.

The same content comes several times: in a dry run and then in earnest, as the old object of the next update, again from
a GitOps tool. What the API server writes into metadata at each of them is not part of the content. Of a tool that the
rules find nothing in, neither are its texts: see `crd.rewording`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from crd import integrity, manifest, rewording
from crd.manifest import Object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.finding import Finding

__all__ = ["ObjectCache"]

# Bytes of manifests whose results are kept; decoded, an object takes several times as much.
LIMIT = 1024 * 1024
# No rule reads these, but for uid and creationTimestamp, which are part of the facts and replaced.
VOLATILE = frozenset({"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"})


@dataclass(slots=True)
class _Entry:
    item: Object
    size: int
    findings: tuple[Finding, ...] | None = None


class ObjectCache:
    """Decodes objects and applies the rules to them, once for each content while it is kept."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._free = limit

    def judge(self, raw: Mapping[str, Any]) -> tuple[Object, tuple[Finding, ...]]:
        """The object, and what the rules find. Raises ValueError as `manifest.decode`."""
        key = rewording.key_of(raw)
        reworded = self._reword(key, raw)
        if reworded is not None:
            return reworded, ()
        entry, item = self._find(raw)
        if entry.findings is None:
            entry.findings = tuple(integrity.find_own(item))
        if not entry.findings and key is not None and item.fact is not None:
            self._keep(key, _Entry(entry.item, len(key), ()))
        return item, entry.findings

    def decode(self, raw: Mapping[str, Any]) -> Object:
        """The object. Raises ValueError as `manifest.decode`."""
        return self._reword(rewording.key_of(raw), raw) or self._find(raw)[1]

    def _reword(self, key: bytes | None, raw: Mapping[str, Any]) -> Object | None:
        entry = self._entries.get(key) if key is not None else None
        if entry is None or key is None:
            return None
        self._entries.move_to_end(key)
        return rewording.reword(entry.item, raw)

    def _keep(self, key: bytes, entry: _Entry) -> None:
        former = self._entries.pop(key, None)
        self._entries[key] = entry
        self._free -= entry.size - (former.size if former is not None else 0)
        while self._free < 0:
            self._free += self._entries.popitem(last=False)[1].size

    def _find(self, raw: Mapping[str, Any]) -> tuple[_Entry, Object]:
        metadata = raw.get("metadata")
        metadata = metadata if isinstance(metadata, dict) else {}
        stable = {key: value for key, value in metadata.items() if key not in VOLATILE}
        try:
            content = orjson.dumps({**raw, "metadata": stable or raw.get("metadata"), "status": None})
        except orjson.JSONEncodeError:
            # Nested too deeply to be written, so it will be refused.
            item = manifest.decode(raw)
            return _Entry(item, 0), item
        entry = self._entries.get(content)
        if entry is None:
            item = manifest.decode(raw)
            entry = _Entry(Object(item.ref, {}, item.spec, item.fact, item.problems), len(content))
            self._keep(content, entry)
            return entry, item
        self._entries.move_to_end(content)
        known = entry.item
        fact = known.fact
        if fact is not None:
            uid, created = str(metadata.get("uid") or ""), str(metadata.get("creationTimestamp") or "")
            if (fact.uid, fact.created) != (uid, created):
                fact = replace(fact, uid=uid, created=created)
        return entry, Object(known.ref, raw, known.spec, fact, known.problems)
