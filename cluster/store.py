"""What a reflector found, by namespace and name, with word of every change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Store", "key_of"]

Manifest = dict[str, Any]
Key = tuple[str, str]


def key_of(item: Manifest) -> Key:
    """Namespace (empty for cluster-scoped objects) and name."""
    metadata = item["metadata"]
    return (metadata.get("namespace") or "", metadata["name"])


class Store:
    """A `cluster.reflector.Sink`. ``listener`` is told ``(old, new)`` of every change, after it is in the store."""

    def __init__(self, listener: Callable[[Manifest | None, Manifest | None], None] | None = None) -> None:
        self._items: dict[Key, Manifest] = {}
        self._listener = listener or (lambda _old, _new: None)

    def replace(self, items: list[Manifest]) -> None:
        """See `Sink.replace`."""
        fresh = {key_of(item): item for item in items}
        old, self._items = self._items, fresh
        for key, item in old.items():
            if key not in fresh:
                self._listener(item, None)
        for key, item in fresh.items():
            self._listener(old.get(key), item)

    def put(self, item: Manifest) -> None:
        """See `Sink.put`."""
        key = key_of(item)
        old = self._items.get(key)
        self._items[key] = item
        self._listener(old, item)

    def drop(self, item: Manifest) -> None:
        """See `Sink.drop`."""
        old = self._items.pop(key_of(item), None)
        self._listener(old or item, None)

    def get(self, namespace: str, name: str) -> Manifest | None:
        """The object as last seen, or None."""
        return self._items.get((namespace, name))

    def __iter__(self) -> Iterator[Manifest]:
        return iter(list(self._items.values()))

    def __len__(self) -> int:
        return len(self._items)
