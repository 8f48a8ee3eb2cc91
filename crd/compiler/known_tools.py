"""PURE. Tools that were compiled lately and in which no rule found anything, by all but their texts.

A tool that differs from one of them in its texts alone is compiled without being decoded and checked again: see
`crd.rewording`. Edits of a description are like that, and many tools that are generated.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from crd import manifest, rewording
from crd.compiler import members
from crd.manifest import Object
from crd.models.tool import ToolSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crd.compiler.members import CompiledMember
    from crd.rewording import Base

__all__ = ["KnownTools"]

# Bytes of JSON of the tools that are remembered; decoded, a tool takes several times as much.
LIMIT = 256 * 1024


class KnownTools:
    """Compiles members, and remembers tools up to ``limit`` bytes; the one used longest ago is forgotten first."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._known: OrderedDict[bytes, tuple[Base, ToolSpec]] = OrderedDict()
        self._free = limit

    def compile(self, raw: Mapping[str, Any]) -> tuple[Object, CompiledMember]:
        """The member, decoded and compiled. Raises ValueError as `manifest.decode`."""
        key = rewording.key_of(raw)
        if key is None:
            item = manifest.decode(raw)
            return item, members.compile_member(item)
        reworded = self._reword(key, raw)
        if reworded is not None:
            return reworded, members.compile_member(reworded, is_faultless=True)
        item = manifest.decode(raw)
        compiled = members.compile_member(item)
        if not compiled.findings:
            self._remember(key, item)
        return item, compiled

    def _reword(self, key: bytes, raw: Mapping[str, Any]) -> Object | None:
        known = self._known.get(key)
        if known is None:
            return None
        self._known.move_to_end(key)
        base, spec = known
        fact = rewording.reword(base, raw)
        return None if fact is None else Object(fact.ref, raw, rewording.reword_spec(spec, raw["spec"]), fact)

    def _remember(self, key: bytes, item: Object) -> None:
        base = rewording.base_of(item.fact, item.raw["spec"])
        if base is None or not isinstance(item.spec, ToolSpec) or key in self._known:
            return
        self._known[key] = base, item.spec
        self._free -= len(key)
        while self._free < 0:
            self._free += len(self._known.popitem(last=False)[0])
