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
from crd.models.tool import ToolSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crd.facts import MemberFact, ServerFact
    from crd.finding import Finding
    from crd.rewording import Base

__all__ = ["ObjectCache"]

# Bytes of manifests whose results are kept; decoded, an object takes several times as much.
LIMIT = 1024 * 1024
# No rule reads these, but for uid and creationTimestamp, which are part of the facts and replaced.
VOLATILE = frozenset({"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"})


@dataclass(slots=True)
class _Entry:
    """``findings`` are those of the rules, if they were asked. ``base`` is set if the key is one of rewording.

    Then there is no ``item`` as long as only facts were asked for.
    """

    item: Object | None
    size: int
    findings: tuple[Finding, ...] | None = None
    base: Base | None = None


class ObjectCache:
    """Decodes objects and applies the rules to them, once for each content while it is kept."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._free = limit

    def judge(
        self, raw: Mapping[str, Any], may_take_long: Callable[[], bool] = lambda: True, *, is_compared: bool = True
    ) -> tuple[Object, tuple[Finding, ...]] | None:
        """The object, and what the rules find; None if it would have to be judged and ``may_take_long`` denies it.

        If it is not ``is_compared`` with another state, and mounts nothing, it may have no spec. Raises ValueError as
        `manifest.decode`.
        """
        key = rewording.key_of(raw)
        reworded = self._recall(key, raw, with_spec=is_compared)
        if reworded is not None:
            return reworded, ()
        if not may_take_long():
            return None
        entry, item = self._find(raw)
        if entry.findings is None:
            entry.findings = tuple(integrity.find_own(item))
        if key is not None and (base := rewording.base_of(item.fact, raw["spec"])) is not None:
            self._keep(key, _Entry(entry.item, len(key), entry.findings, base))
        return item, entry.findings

    def decode(self, raw: Mapping[str, Any]) -> Object:
        """The object. Raises ValueError as `manifest.decode`."""
        return self._recall(rewording.key_of(raw), raw, with_spec=True) or self._find(raw)[1]

    def is_sound(self, raw: Mapping[str, Any]) -> bool:
        """Whether an object has no structural fault. What was decoded to find out is kept for `judge`.

        Raises ValueError as `manifest.decode`.
        """
        return self._reword(rewording.key_of(raw), raw) is not None or self._find(raw)[1].fact is not None

    def fact_of(self, raw: Mapping[str, Any]) -> MemberFact | ServerFact | None:
        """The same as `manifest.fact_of`, in less time for a tool that differs in its texts alone from another one.

        Raises ValueError as `manifest.decode`.
        """
        key = rewording.key_of(raw)
        fact = self._reword(key, raw)
        if fact is not None:
            return fact
        found = manifest.fact_of(raw)
        if key is None or key in self._entries:
            return found
        if (base := rewording.base_of(found, raw["spec"])) is not None:
            self._keep(key, _Entry(None, len(key), None, base))
        return found

    def _reword(self, key: bytes | None, raw: Mapping[str, Any]) -> MemberFact | None:
        """The facts of a tool that differs in its texts alone from one that is kept."""
        if key is None or (known := self._entries.get(key)) is None or known.base is None:
            return None
        self._entries.move_to_end(key)
        return rewording.reword(known.base, raw)

    def _recall(self, key: bytes | None, raw: Mapping[str, Any], *, with_spec: bool) -> Object | None:
        """The object if it differs in its texts alone from one in which no rule found anything, as in itself."""
        if key is None or (entry := self._entries.get(key)) is None:
            return None
        if entry.base is None or entry.item is None or entry.findings:
            return None
        self._entries.move_to_end(key)
        fact, spec = rewording.reword(entry.base, raw), entry.item.spec
        if fact is None or not isinstance(spec, ToolSpec):
            return None
        # What a tool mounts demands rights, which are read from its spec.
        needs_spec = with_spec or bool(fact.mounts)
        return Object(fact.ref, raw, rewording.reword_spec(spec, raw["spec"]) if needs_spec else None, fact)

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
        assert known is not None
        fact = known.fact
        if fact is not None:
            uid, created = str(metadata.get("uid") or ""), str(metadata.get("creationTimestamp") or "")
            if (fact.uid, fact.created) != (uid, created):
                fact = replace(fact, uid=uid, created=created)
        return entry, Object(known.ref, raw, known.spec, fact, known.problems)
