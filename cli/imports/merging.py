"""PURE. A three-way merge of objects: what was imported last (base), what the user made of it (mine), what is imported
now (new)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Conflict", "Key", "Merge", "key_of", "merge"]

Key = tuple[str, str, str]
"""Kind, namespace and name of an object."""
_ABSENT: Any = object()
# Lists whose items are recognised by a member, and lists of names.
_NAMED = frozenset({"query", "headers", "fields", "headersFrom", "forwardHeaders"})
_SETS = frozenset({"required", "enum", "requiredScopes"})


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that both sides changed in different ways, or an object that one changed and the other removed."""

    key: Key
    path: str
    message: str

    def __str__(self) -> str:
        kind, namespace, name = self.key
        return f"{kind} {namespace}/{name}{f' {self.path}' if self.path else ''}: {self.message}"


@dataclass(frozen=True, slots=True)
class Merge:
    """The merged objects: those of the user in their order, then the new ones. ``told`` says what was done."""

    objects: tuple[dict[str, Any], ...]
    conflicts: tuple[Conflict, ...]
    told: tuple[str, ...]


def key_of(raw: Mapping[str, Any]) -> Key:
    """What identifies an object."""
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return str(raw.get("kind")), str(metadata.get("namespace") or "default"), str(metadata.get("name"))


def merge(
    base: Sequence[dict[str, Any]],
    mine: Sequence[dict[str, Any]],
    new: Sequence[dict[str, Any]],
    source: str = "the API",
) -> Merge:
    """Merge the objects of an import into those that the user edited. ``source`` is what was imported, in messages.

    - What only one side changed is taken from it; what both changed alike is kept.
    - What both changed in different ways stays as the user wrote it, and is a conflict.
    - An object that the user removed stays removed; one that the API no longer has is removed if the user left it as it
      was, else it stays and is a conflict.
    """
    before, after = {key_of(raw): raw for raw in base}, {key_of(raw): raw for raw in new}
    objects: list[dict[str, Any]] = []
    conflicts: list[Conflict] = []
    told: list[str] = []
    present = set()
    for raw in mine:
        key = key_of(raw)
        present.add(key)
        old, imported = before.get(key), after.get(key)
        if imported is None:
            if old is None:
                objects.append(raw)  # the user's own
            elif old == raw:
                told.append(f"removed: {_name(key)}: {source} no longer has it, or the options leave it out")
            else:
                objects.append(raw)
                conflicts.append(
                    Conflict(
                        key,
                        "",
                        f"{source} no longer has it, or the options leave it out; you changed it, so it is kept",
                    )
                )
            continue
        merged = _merge(old if old is not None else _ABSENT, raw, imported, key, (), conflicts)
        if merged != raw:
            told.append(f"updated: {_name(key)}")
        objects.append(merged)
    for key, raw in after.items():
        if key in present:
            continue
        if key in before:
            told.append(f"left out: {_name(key)}: you removed it")
        else:
            told.append(f"added: {_name(key)}")
            objects.append(raw)
    return Merge(tuple(objects), tuple(conflicts), tuple(told))


def _name(key: Key) -> str:
    return f"{key[0]} {key[1]}/{key[2]}"


def _merge(base: Any, mine: Any, new: Any, key: Key, path: tuple[str, ...], conflicts: list[Conflict]) -> Any:
    """One value; a value that is absent is `_ABSENT`."""
    if mine == new or new == base:
        return mine
    if mine == base:
        return new
    if isinstance(mine, dict) and isinstance(new, dict):
        return _merge_members(base if isinstance(base, dict) else {}, mine, new, key, path, conflicts)
    last = path[-1] if path else ""
    if isinstance(mine, list) and isinstance(new, list):
        old = base if isinstance(base, list) else []
        if last in _NAMED and all(_is_named(each) for each in (*old, *mine, *new)):
            members = [{each["name"]: each for each in items} for items in (old, mine, new)]
            if all(len(found) == len(items) for found, items in zip(members, (old, mine, new), strict=True)):
                return [*_merge_members(members[0], members[1], members[2], key, path, conflicts).values()]
        if last in _SETS:
            gone = [each for each in old if each not in new]
            return [each for each in mine if each not in gone] + [
                each for each in new if each not in old and each not in mine
            ]
    conflicts.append(Conflict(key, ".".join(path), f"{_quote(mine)} is kept, the import has {_quote(new)}"))
    return mine


def _merge_members(
    old: Mapping[str, Any],
    mine: Mapping[str, Any],
    new: Mapping[str, Any],
    key: Key,
    path: tuple[str, ...],
    conflicts: list[Conflict],
) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in dict.fromkeys((*mine, *new)):
        value = _merge(
            old.get(name, _ABSENT), mine.get(name, _ABSENT), new.get(name, _ABSENT), key, (*path, name), conflicts
        )
        if value is not _ABSENT:
            made[name] = value
    return made


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str)


def _quote(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
