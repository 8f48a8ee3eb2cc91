"""One resource type, kept as the API server has it: listed page by page, watched, and listed again where need be.

The behaviour is that of client-go's reflector and informer. What a program keeps of an object is its own choice; the
manifest is let go at once. `Informer.run` ends by cancellation only: whatever happens is counted and tried again, and
`Informer.unready` says what that means for those who rely on the store.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import orjson

from cluster.informers import collector, versions
from cluster.informers.retries import End, Retries
from cluster.informers.store import Store
from cluster.informers.turns import Turns
from cluster.transport import JSON, METADATA_LIST, ApiError, LongEventError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from cluster.clock import Clock
    from cluster.informers.store import Handler, Key, Ticks
    from cluster.informers.versions import Version
    from cluster.resources import ResourceType
    from cluster.transport import Transport

__all__ = ["OUTAGE", "SILENCE", "Informer", "Manifest", "key_of", "unready"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
Manifest = dict[str, Any]

# A watch is silent for up to three minutes although it lives: bookmarks come once a minute at best, and none around a
# watch's renewal. After this long it is opened again from its last version, which shows whether it does.
SILENCE = 75.0
# How long the API server may be away before nobody should rely on the store any more. docs/decisions/0017.
OUTAGE = 150.0
# A watch that lived this long was worth opening.
USEFUL_LIFE = 5.0
# After so many fruitless watches in a row a list shows what they did not.
FRUITLESS_WATCHES = 3
LIST_TIMEOUT = 30.0
# So long a type has to be away before the objects that we know of it are dropped.
ABSENCE = 15.0
# A page is decoded in one piece, so its size bounds both the memory and the time that the event loop stands still.
PAGE_BYTES = 1024 * 1024
FIRST_LIMIT, MIN_LIMIT, MAX_LIMIT = 50, 10, 500
# So many objects that have changed are read one by one; if there are more, whole pages are listed.
MAX_READS = 200

_UNANSWERED = (TimeoutError, OSError)
DESCRIPTOR_IN_USE = "is used by transport"


class Informer(Generic[T]):
    """Objects of one resource type, perhaps of one namespace or selection.

    ``keep`` makes of a manifest what is kept, or None for nothing; it may change and retain the manifest, which has
    ``apiVersion`` and ``kind``, and managedFields only with ``managed_fields``. ``indexers`` file a kept item under any
    number of values, by the name of the index. Of an ``optional`` type there are no objects for as long as the API
    server does not know it, or does not show it to us. ``count`` is called with the plural name and a word for each
    round that ended other than by the API server's closing a useful watch. Informers with the same ``ticks`` give
    tokens that are valid for each of them. Those of one program should have the same ``turns``.
    """

    def __init__(
        self,
        transport: Transport,
        resource: ResourceType,
        keep: Callable[[Manifest], T | None],
        *,
        clock: Clock,
        namespace: str | None = None,
        field_selector: str | None = None,
        label_selector: str | None = None,
        optional: bool = False,
        managed_fields: bool = False,
        indexers: Mapping[str, Callable[[T], Iterable[Hashable]]] | None = None,
        count: Callable[[str, str], None] = lambda _plural, _end: None,
        ticks: Ticks | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self._transport = transport
        self._keep = keep
        self._clock = clock
        self._optional = optional
        self._managed_fields = managed_fields
        self._count = count
        self._path = resource.path(namespace)
        self._namespace = namespace
        selectors = {"fieldSelector": field_selector, "labelSelector": label_selector}
        self._query = {key: value for key, value in selectors.items() if value}
        self._store: Store[T] = Store(indexers, ticks)
        self._retries = Retries(clock.jitter)
        self._version: str | None = None
        self._doubtful = False
        self._limits = {JSON: FIRST_LIMIT, METADATA_LIST: FIRST_LIMIT}
        self._heard = clock.monotonic()
        self._unanswered_since: float | None = None
        self._fault: str | None = None
        self._turns = turns or Turns(clock.monotonic)

    def on_change(self, handler: Handler[T]) -> None:
        """Have ``handler(key, old, new)`` called after every change of a kept item. It must be quick and repeatable."""
        self._store.handlers.append(handler)

    def get(self, namespace: str, name: str) -> T | None:
        """What is kept of an object; ``namespace`` is empty for cluster-scoped ones."""
        return self._store.get((namespace, name))

    def version(self, namespace: str, name: str) -> Version | None:
        """The resourceVersion of an object as last seen; None if it does not exist."""
        return self._store.version((namespace, name))

    def changed_at(self, namespace: str, name: str) -> Version | None:
        """The resourceVersion of the last change of an object, also of its deletion; None if unknown or long ago.

        A handler finds here the version of the change that it is called for.
        """
        return self._store.changed_at((namespace, name))

    @property
    def reached(self) -> Version | None:
        """The version up to which every change is in the store; None before a list, and while one is needed."""
        return versions.parse(self._version) if self._version is not None else None

    def covers(self, namespace: str) -> bool:
        """Whether objects of a namespace are watched."""
        return self._namespace in (None, namespace)

    def is_listing(self, _namespace: str) -> bool:
        """Whether a list is needed or in progress, so that what is missing in it counts as deleted."""
        return self._version is None

    def by(self, index: str, value: Hashable) -> list[T]:
        """The items that an indexer files under a value."""
        return self._store.by(index, value)

    def has(self, index: str, value: Hashable) -> bool:
        """Whether an indexer files any item under a value, however many there are."""
        return self._store.has(index, value)

    def items(self) -> Iterator[tuple[Key, T]]:
        """All that is kept, with its keys, as of this call."""
        return self._store.items()

    def __len__(self) -> int:
        return len(self._store)

    def sequence(self) -> int:
        """A token to be taken before an object is read past the informer; see `offer_read`."""
        return self._store.sequence()

    def offer_read(self, key: Key, manifest: Manifest | None, token: int) -> bool:
        """Take what a read of one object has shown, None for no object, unless the watch has overtaken the read.

        Whether it was taken. What is known already is not, nor what may be an older state.
        """
        if manifest is None:
            return self._store.offer(key, None, None, token)
        version = versions.parse(manifest["metadata"].get("resourceVersion"))
        if not self._store.accepts(key, version, token):
            return False
        return self._store.offer(key, version, self._keep(self._prepared(manifest)), token)

    def silent_for(self) -> float:
        """Seconds since the API server last answered a list or a watch, or sent an event."""
        return self._clock.monotonic() - self._heard

    def unready(self) -> str | None:
        """Why nobody should rely on the store, or None.

        It was never complete; or no list and no watch could be opened for `OUTAGE` seconds; or an exception that
        nobody expected broke the watch, and no list was completed since. Silence does not matter.
        """
        plural = self.resource.plural
        if self._fault is not None:
            return f"watching {plural} failed: {self._fault}"
        if not self.synced.is_set():
            return f"{plural} not listed yet"
        if self._unanswered_since is not None:
            away = self._clock.monotonic() - self._unanswered_since
            if away > OUTAGE:
                return f"the API server has answered no list or watch of {plural} for {away:.0f} s"
        return None

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            begun = self._clock.monotonic()
            watch = _Watch()
            end = await self._attempt(watch)
            now = self._clock.monotonic()
            useful = watch.events > 0 or (watch.opened is not None and now - watch.opened >= USEFUL_LIFE)
            if end is End.UNREACHABLE and self._unanswered_since is None:
                self._unanswered_since = now if watch.opened is not None else begun
            if end is not End.FINISHED or not useful:
                self._count(self.resource.plural, end.name.lower())
            delay = self._retries.delay(end, useful=useful)
            if self._retries.fruitless >= FRUITLESS_WATCHES:
                self._version = None
            if delay:
                await self._clock.sleep(delay)

    async def _attempt(self, watch: _Watch) -> End:
        plural = self.resource.plural
        try:
            if self._doubtful and self._version is not None:
                await self._compare()
            if self._version is None:
                with collector.paused():
                    await self._list()
            await self._watch(watch)
        except ApiError as error:
            if error.status == 410:
                self._version = None
                return End.EXPIRED
            if error.status in (403, 404) and self._optional and self._is_absent():
                self._absent()
                return End.ABSENT
            logger.warning("watching %s: %s", plural, error)
            self._doubtful = True
            return End.UNREACHABLE
        except _UNANSWERED as error:
            if watch.opened is not None and isinstance(error, TimeoutError):
                return End.SILENT
            logger.warning("watching %s: %s: %s", plural, type(error).__name__, error)
            self._doubtful = True
            return End.UNREACHABLE
        except LongEventError as error:
            logger.warning("watching %s: %s; it is listed again", plural, error)
            self._version = None
            return End.LONG_EVENT
        except Exception as error:
            if isinstance(error, RuntimeError) and DESCRIPTOR_IN_USE in str(error):
                # uvloop does not connect with a descriptor of which it has not yet seen the former connection end.
                logger.warning("watching %s: %s", plural, error)
                self._doubtful = True
                return End.UNREACHABLE
            logger.exception("watching %s failed; it is listed again", plural)
            self._fault = f"{type(error).__name__}: {error}"[:200]
            self._version = None
            return End.FAILED
        return End.FINISHED

    async def _list(self) -> None:
        """List everything. The reads are consistent: from the watch cache they might show a state older than ours.

        What was synced before has seldom changed. So only the metadata is listed then, and what has changed is read.
        """
        text = await self._list_changes() if self.synced.is_set() else None
        if text is None:
            self._store.begin_list()
            text = await self._list_pages(JSON, [])
        version = versions.parse(text)
        await self._turns.wait()
        for key in self._store.missing(version):
            self._store.drop(key, version)
            if self._turns.is_over():
                await self._turns.wait()
        self._version = text
        self._doubtful = False
        self._fault = None
        self.synced.set()

    async def _list_changes(self) -> str | None:
        """List the metadata and read what has changed; None if that is too much.

        The watch begins at the version of the list. What a read shows is that state or a later one, which the watch
        then repeats.
        """
        changed: list[Key] = []
        self._store.begin_list()
        text = await self._list_pages(METADATA_LIST, changed)
        if len(changed) > MAX_READS:
            return None
        for key in changed:
            await self._read(key)
        return text

    async def _read(self, key: Key) -> None:
        """Take one object as it is now. A list that selects by name also observes the informer's own selection."""
        namespace, name = key
        fields = [self._query["fieldSelector"]] if "fieldSelector" in self._query else []
        query = {**self._query, "fieldSelector": ",".join([*fields, f"metadata.name={name}"]), "limit": "1"}
        token = self._store.sequence()
        payload = await self._transport.fetch(self.resource.path(namespace), query=query, timeout=LIST_TIMEOUT)
        self._answered()
        items = orjson.loads(payload).get("items") or []
        if items:
            self._take_listed(items[0])
        else:
            self._store.offer(key, None, None, token)

    async def _list_pages(self, accept: str, changed: list[Key]) -> str:
        """List all pages, or until more than `MAX_READS` have changed. Returns the resourceVersion of the list.

        Whole items are taken; those that are metadata only are added to ``changed`` unless their version is known.
        """
        following = asyncio.ensure_future(self._fetch_page(accept, ""))
        try:
            while True:
                payload = await following
                await self._turns.wait()
                page, size = orjson.loads(payload), len(payload)
                del payload
                items, metadata = page.get("items") or [], page.get("metadata") or {}
                whole = page.get("kind") != "PartialObjectMetadataList"
                del page
                if items:
                    limit = min(MAX_LIMIT, 2 * self._limits[accept], PAGE_BYTES * len(items) // size)
                    self._limits[accept] = max(MIN_LIMIT, limit)
                token = str(metadata.get("continue") or "")
                if token:
                    # The API server works on the next page meanwhile.
                    following = asyncio.ensure_future(self._fetch_page(accept, token))
                await self._take_page(items, changed, whole=whole)
                if not token or len(changed) > MAX_READS:
                    return str(metadata.get("resourceVersion") or "")
        finally:
            following.cancel()
            await asyncio.wait([following])

    async def _fetch_page(self, accept: str, token: str) -> bytes:
        query = {**self._query, "limit": str(self._limits[accept])}
        if token:
            query["continue"] = token
        payload = await self._transport.fetch(self._path, query=query, timeout=LIST_TIMEOUT, accept=accept)
        self._answered()
        return payload

    async def _take_page(self, items: list[Manifest], changed: list[Key], *, whole: bool) -> None:
        """Take the items of a page, from the end: each is freed as soon as what is kept of it has been made."""
        items.reverse()
        while items:
            item = items.pop()
            if whole:
                self._take_listed(item)
            else:
                key, version = key_of(item), versions.parse(item["metadata"].get("resourceVersion"))
                if not self._store.confirm(key, version):
                    changed.append(key)
            if self._turns.is_over():
                await self._turns.wait()

    def _take_listed(self, manifest: Manifest) -> None:
        key, version = key_of(manifest), versions.parse(manifest["metadata"].get("resourceVersion"))
        if not self._store.confirm(key, version):
            self._store.put(key, version, self._keep(self._prepared(manifest)))

    async def _compare(self) -> None:
        """After an interruption: list again if the API server is behind us, as after a restore of its etcd.

        It would accept a watch from a version that it has yet to reach, and deliver nothing until then.
        """
        query = {**self._query, "limit": "1"}
        payload = await self._transport.fetch(self._path, query=query, timeout=LIST_TIMEOUT)
        self._answered()
        there = versions.parse(orjson.loads(payload)["metadata"].get("resourceVersion"))
        if versions.is_older(there, versions.parse(self._version)):
            self._version = None
        self._doubtful = False

    def _is_absent(self) -> bool:
        """Whether to believe a 403 or 404. An API server that starts gives some before it knows roles and CRDs."""
        since = self._unanswered_since
        return not len(self._store) or (since is not None and self._clock.monotonic() - since > ABSENCE)

    def _absent(self) -> None:
        self._store.begin_list()
        for key in self._store.missing(0):
            self._store.drop(key)
        self._version = None
        self._fault = None
        self._answered()
        self.synced.set()

    async def _watch(self, watch: _Watch) -> None:
        query = {
            **self._query,
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version or "",
            "timeoutSeconds": str(int(300 + 300 * self._clock.jitter())),
        }
        async with self._transport.watch(self._path, query=query, idle=SILENCE) as events:
            watch.opened = self._clock.monotonic()
            self._answered()
            async for event in events:
                self._heard = self._clock.monotonic()
                self._take(event)
                watch.events += 1
                if self._turns.is_over():
                    await self._turns.wait()

    def _take(self, event: Mapping[str, Any]) -> None:
        manifest, kind = event["object"], event["type"]
        if kind == "ERROR":
            code = int(manifest.get("code") or 500)
            raise ApiError(code, str(manifest.get("reason") or "Unknown"), str(manifest.get("message") or ""))
        text = manifest["metadata"]["resourceVersion"]
        version = versions.parse(text)
        if kind != "BOOKMARK":
            key = key_of(manifest)
            known = self._store.version(key)
            # A read may have shown a later state already; then this event is history.
            if known is None or not versions.is_older(version, known):
                if kind in ("ADDED", "MODIFIED"):
                    self._store.put(key, version, self._keep(self._prepared(manifest)))
                elif kind == "DELETED":
                    self._store.drop(key, version)
                else:
                    raise ValueError(f"unknown watch event {kind!r:.40}")
        self._version = text

    def _prepared(self, manifest: Manifest) -> Manifest:
        """Items of a core list carry no apiVersion and kind; managedFields are often half of an object."""
        manifest["apiVersion"] = self.resource.api_version
        manifest["kind"] = self.resource.kind
        metadata = manifest["metadata"]
        if not self._managed_fields:
            metadata.pop("managedFields", None)
        labels = metadata.get("labels")
        if labels:
            # The same few labels stand on thousands of objects.
            metadata["labels"] = {sys.intern(name): sys.intern(value) for name, value in labels.items()}
        return manifest

    def _answered(self) -> None:
        self._heard = self._clock.monotonic()
        self._unanswered_since = None


class _Watch:
    """What became of one watch."""

    __slots__ = ("events", "opened")

    def __init__(self) -> None:
        self.opened: float | None = None
        self.events = 0


def key_of(manifest: Mapping[str, Any]) -> Key:
    """Namespace (empty for cluster-scoped objects) and name."""
    metadata = manifest["metadata"]
    return (sys.intern(metadata.get("namespace") or ""), metadata["name"])


class Readiness(Protocol):
    """Something that says why nobody should rely on it."""

    def unready(self) -> str | None:
        """The reason, or None."""
        ...


def unready(informers: Sequence[Readiness]) -> str | None:
    """The first reason why nobody should rely on these stores, or None."""
    return next((why for informer in informers if (why := informer.unready())), None)
