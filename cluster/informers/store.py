"""What an informer keeps, by key: an item, its resourceVersion, and its place in named indexes.

No I/O and no clock. Three sources write here: a list, a watch, and reads of single objects that somebody made on the
way. A watch reports every state in order. A read is answered later than it was made, so the watch may have overtaken
it: it counts only where it is certainly newer, or where nothing happened to its key since it was begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from cluster.informers.versions import Version, is_older

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

__all__ = ["Handler", "Key", "Store", "Ticks"]

T = TypeVar("T")
Key: TypeAlias = "tuple[str, str]"
Handler: TypeAlias = "Callable[[Key, T | None, T | None], None]"
# Of how many keys the last change is remembered. A read that outlasts more changes than this counts as overtaken.
MARKS = 4096


class Ticks:
    """Numbers the changes of one store, or of several whose tokens are compared."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0


class _Entry(Generic[T]):
    """``listing`` is the number of the last list that had the object."""

    __slots__ = ("item", "listing", "version")

    def __init__(self, version: Version, item: T | None, listing: int) -> None:
        self.version = version
        self.item = item
        self.listing = listing


class Store(Generic[T]):
    """Items by namespace (empty for cluster-scoped objects) and name.

    An object of which nothing is kept has a version and no item. A handler gets ``(key, old, new)`` after the change
    is made. If a handler raises, the change is undone and the exception goes on, so that the same event can be
    delivered again; handlers that ran before see it twice.
    """

    def __init__(
        self, indexers: Mapping[str, Callable[[T], Iterable[Hashable]]] | None = None, ticks: Ticks | None = None
    ) -> None:
        self.handlers: list[Handler[T]] = []
        self._entries: dict[Key, _Entry[T]] = {}
        self._indexers = dict(indexers or {})
        self._indexes: dict[str, dict[Hashable, dict[Key, None]]] = {name: {} for name in self._indexers}
        self._ticks = ticks or Ticks()
        self._marks: dict[Key, tuple[int, Version | None]] = {}
        self._forgotten = 0
        self._listing = 0
        self._offered: set[Key] | None = None

    def get(self, key: Key) -> T | None:
        """What is kept of the object, or None."""
        entry = self._entries.get(key)
        return entry.item if entry else None

    def version(self, key: Key) -> Version | None:
        """The resourceVersion of the object as last seen; None if it does not exist."""
        entry = self._entries.get(key)
        return entry.version if entry else None

    def changed_at(self, key: Key) -> Version | None:
        """The resourceVersion of the last change of a key, also of its deletion; None if that is unknown or long ago.

        A handler finds here the version of the change that it is called for.
        """
        return self._marks.get(key, (0, None))[1]

    def by(self, index: str, value: Hashable) -> list[T]:
        """The items that an indexer files under a value, oldest entry first."""
        found = (self.get(key) for key in self._indexes[index].get(value, ()))
        return [item for item in found if item is not None]

    def has(self, index: str, value: Hashable) -> bool:
        """Whether an indexer files any item under a value."""
        return value in self._indexes[index]

    def items(self) -> Iterator[tuple[Key, T]]:
        """All keys with what is kept of them, as of this call; objects of which nothing is kept are left out."""
        # Two copies of references take no time, and a list of as many pairs would.
        keys, entries = list(self._entries), list(self._entries.values())
        return ((key, entry.item) for key, entry in zip(keys, entries, strict=True) if entry.item is not None)

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: Key, version: Version, item: T | None) -> None:
        """A list or a watch shows this state."""
        self._change(key, version, _Entry(version, item, self._listing))

    def drop(self, key: Key, version: Version | None = None) -> None:
        """A watch shows that the object was deleted, at this version."""
        self._change(key, version, None)

    def begin_list(self) -> None:
        """A list begins: from now on `confirm` and `put` note what it has."""
        self._listing += 1
        self._offered = set()

    def confirm(self, key: Key, version: Version) -> bool:
        """Whether the state that the list in progress has is known already, or an older one than a read has shown."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        entry.listing = self._listing
        if entry.version == version:
            return True
        return self._offered is not None and key in self._offered and is_older(version, entry.version)

    def missing(self, version: Version) -> list[Key]:
        """What the list that is complete now, as of ``version``, did not have.

        A read may have shown an object meanwhile that was created after the list; it stays.
        """
        offered, self._offered = self._offered or set(), None
        return [
            key
            for key, entry in self._entries.items()
            if entry.listing != self._listing and not (key in offered and is_older(version, entry.version))
        ]

    def sequence(self) -> int:
        """A token for `offer`: take it before the object is read."""
        return self._ticks.last

    def accepts(self, key: Key, version: Version | None, token: int) -> bool:
        """Whether a read counts that was begun at ``token`` and shows this version; None if it shows no object."""
        entry = self._entries.get(key)
        if version is not None and entry is not None and isinstance(version, int) and isinstance(entry.version, int):
            return version > entry.version
        changed, at = self._marks.get(key, (self._forgotten, None))
        return changed <= token or (entry is None and version is not None and at is not None and is_older(at, version))

    def offer(self, key: Key, version: Version | None, item: T | None, token: int) -> bool:
        """Take the state that a read has shown, if it `accepts` it; whether it did."""
        if not self.accepts(key, version, token):
            return False
        self._change(key, version, None if version is None else _Entry(version, item, self._listing - 1))
        if self._offered is not None:
            self._offered.add(key)
        return True

    def _change(self, key: Key, version: Version | None, entry: _Entry[T] | None) -> None:
        before = self._entries.get(key)
        if before is None and entry is None:
            return
        old, new = before.item if before else None, entry.item if entry else None
        self._set(key, before, entry)
        self._ticks.last += 1
        self._marks.pop(key, None)
        self._marks[key] = (self._ticks.last, version)
        if len(self._marks) > MARKS:
            eldest = next(iter(self._marks))
            self._forgotten = self._marks.pop(eldest)[0]
        if old is None and new is None:
            return
        try:
            for handler in self.handlers:
                handler(key, old, new)
        except BaseException:
            self._set(key, entry, before)
            raise

    def _set(self, key: Key, before: _Entry[T] | None, entry: _Entry[T] | None) -> None:
        old, new = before.item if before else None, entry.item if entry else None
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            leaving = set(indexer(old)) if old is not None else set()
            joining = set(indexer(new)) if new is not None else set()
            for value in leaving - joining:
                keys = index[value]
                del keys[key]
                if not keys:
                    del index[value]
            for value in joining - leaving:
                index.setdefault(value, {})[key] = None
        if entry is None:
            self._entries.pop(key, None)
        else:
            self._entries[key] = entry
