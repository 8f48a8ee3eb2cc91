"""An API server in memory: lists in pages, watches, writes with versions and uids. It validates nothing."""

from __future__ import annotations

import asyncio
import contextlib
import re
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson

from cluster.transport import ApiError

PATH = re.compile(r"(/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+))?(?:/(.+))?")
MANAGED = "app.kubernetes.io/managed-by"
Manifest = dict[str, Any]


class FakeApi:
    """A `cluster.transport.Transport`.

    ``writes`` are method, kind and name of all that was written; tests empty it. ``before`` is awaited with the method
    and path of each request. While it ``rolls_out``, the pods of a Deployment are replaced as soon as it is written.
    """

    def __init__(self) -> None:
        self.version = 1
        self.writes: list[tuple[str, str, str]] = []
        self.reads: list[str] = []
        self.events: list[Manifest] = []
        self.before: Callable[[str, str], Any] | None = None
        self.rolls_out = True
        self._objects: dict[str, dict[tuple[str, str], bytes]] = defaultdict(dict)
        self._logs: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    # What tests say.

    def put(self, manifest: Manifest) -> Manifest:
        """Create or replace an object as a user would: a changed spec has another generation."""
        collection, key = _collection(manifest), _key(manifest)
        known = self._get(collection, key)
        metadata = {**manifest["metadata"]}
        if known:
            changed = known.get("spec") != manifest.get("spec")
            metadata = {**known["metadata"], **metadata, "uid": known["metadata"]["uid"]}
            metadata["generation"] = known["metadata"].get("generation", 1) + changed
            manifest = {"status": known.get("status"), **manifest} if known.get("status") else manifest
        else:
            metadata.setdefault("generation", 1)
            metadata.setdefault("uid", f"uid-{manifest['kind']}-{key[0]}-{key[1]}-{self.version}")
        written = {**manifest, "metadata": metadata}
        return self._store(collection, _managed(known, written, "kubectl"), "MODIFIED" if known else "ADDED")

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object."""
        for collection in list(self._objects):
            found = self._get(collection, (namespace, name))
            if found and found["kind"] == kind:
                self._drop(collection, (namespace, name))

    def get(self, kind: str, name: str, namespace: str = "shop") -> Manifest | None:
        """An object, or None."""
        for collection in list(self._objects):
            found = self._get(collection, (namespace, name))
            if found and found["kind"] == kind:
                return found
        return None

    # The port.

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, **_: Any
    ) -> Manifest:
        """See `Transport.request`."""
        await self._called(method, path)
        prefix, namespace, plural, name, subresource = _parsed(path)
        collection, key = f"{prefix}/{plural}", (namespace or "", name or "")
        if method == "GET" and name is None:
            return orjson.loads(self._list(collection, query or {}))  # type: ignore[no-any-return]
        known = self._get(collection, key) if name else None
        if method == "GET":
            self.reads.append(plural)
            if known is None:
                raise ApiError(404, "NotFound", f"{plural} {name} not found")
            return known
        if plural == "events":
            self.events.append(body)
            return dict(body)
        self.writes.append((method, body.get("kind") or plural, name or body["metadata"]["name"]))
        if method == "POST":
            key = _key(body)
            if self._get(collection, key):
                raise ApiError(409, "AlreadyExists", f"{plural} {key[1]} exists")
            made = {**body, "metadata": {**body["metadata"], "uid": f"uid-{self.version}"}}
            return self._store(collection, _managed(None, made, (query or {}).get("fieldManager", "python")), "ADDED")
        if method == "PATCH":
            if subresource == "status":
                if known is None:
                    raise ApiError(404, "NotFound", f"{plural} {name} not found")
                return self._store(collection, {**known, "status": body["status"]}, "MODIFIED")
            base = known or {"metadata": {"uid": f"uid-{body['kind']}-{name}"}}
            return self._store(collection, _merged(base, body), "MODIFIED" if known else "ADDED")
        if known is None:
            raise ApiError(404, "NotFound", f"{plural} {name} not found")
        metadata = known["metadata"]
        if method == "PUT":
            if body["metadata"].get("resourceVersion") not in (None, metadata["resourceVersion"]):
                raise ApiError(409, "Conflict", "the object has been modified")
            if known.get("immutable"):
                raise ApiError(422, "Invalid", "field is immutable when `immutable` is set")
            replaced = {**body, "metadata": {**body["metadata"], "uid": metadata["uid"]}}
            manager = (query or {}).get("fieldManager", "python")
            return self._store(collection, _managed(known, replaced, manager), "MODIFIED")
        uid = (body.get("preconditions") or {}).get("uid")
        if uid not in (None, metadata["uid"]):
            raise ApiError(409, "Conflict", "the uid in the precondition is another one")
        self._drop(collection, key)
        return {"kind": "Status"}

    async def fetch(self, path: str, *, query: Mapping[str, str], timeout: float, accept: str = "") -> bytes:
        """See `Transport.fetch`."""
        await self._called("GET", path)
        prefix, _, plural, _, _ = _parsed(path)
        return self._list(f"{prefix}/{plural}", query)

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[Manifest]]:
        """See `Transport.watch`."""
        prefix, _, plural, _, _ = _parsed(path)
        yield (orjson.loads(event) async for event in self.stream(f"{prefix}/{plural}", query))

    async def close(self) -> None:
        """See `Transport.close`."""

    async def stream(self, collection: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Watch events as JSON, without end."""
        since = int(query["resourceVersion"])
        log = self._logs[collection]
        position = next((index for index, (version, _) in enumerate(log) if version > since), len(log))
        while True:
            for _, event in log[position:]:
                if _selects(query, event):
                    yield event
            position = len(log)
            news = self._news[collection]
            await news.wait()
            if self._news[collection] is news:
                self._news[collection] = asyncio.Event()

    def _list(self, collection: str, query: Mapping[str, str]) -> bytes:
        objects = self._objects[collection]
        start, limit = int(query.get("continue") or 0), int(query.get("limit") or 0) or len(objects) + 1
        keys = list(objects)
        items = [zlib.decompress(objects[key]) for key in keys[start : start + limit]]
        items = [item for item in items if _selects(query, item)]
        more = b'"continue":"%d",' % (start + limit) if start + limit < len(keys) else b""
        return b'{"metadata":{%s"resourceVersion":"%d"},"items":[%s]}' % (more, self.version, b",".join(items))

    async def _called(self, method: str, path: str) -> None:
        if self.before is not None:
            await self.before(method, path)

    def _get(self, collection: str, key: tuple[str, str]) -> Manifest | None:
        stored = self._objects[collection].get(key)
        return orjson.loads(zlib.decompress(stored)) if stored else None

    def _store(self, collection: str, manifest: Manifest, event: str) -> Manifest:
        self.version += 1
        if manifest["kind"] == "Deployment" and self.rolls_out:
            manifest = _rolled_out(manifest, self.version)
        manifest = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self.version)}}
        self._objects[collection][_key(manifest)] = zlib.compress(orjson.dumps(manifest), 1)
        self._happened(collection, event, manifest)
        return manifest

    def _drop(self, collection: str, key: tuple[str, str]) -> None:
        found = self._get(collection, key)
        assert found is not None
        del self._objects[collection][key]
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        self._happened(collection, "DELETED", found)

    def _happened(self, collection: str, event: str, manifest: Manifest) -> None:
        self._logs[collection].append((self.version, orjson.dumps({"type": event, "object": manifest})))
        self._news[collection].set()

    def forget_history(self) -> None:
        """Free the events of the past; watches that begin later see only what comes."""
        self._logs.clear()


def _selects(query: Mapping[str, str], text: bytes) -> bool:
    """Whether the label selector of a query matches an object, or the object of an event."""
    selector = query.get("labelSelector")
    if not selector:
        return True
    if selector.startswith(MANAGED):
        return MANAGED.encode() in text
    found = orjson.loads(text)
    labels = (found.get("object") or found)["metadata"].get("labels") or {}
    for part in selector.split(","):
        key, sign, value = part.partition("!=") if "!=" in part else part.partition("=")
        if (labels.get(key) == value) is (sign == "!=") if sign else key not in labels:
            return False
    return True


def _rolled_out(deployment: Manifest, generation: int) -> Manifest:
    number = deployment["spec"].get("replicas", 1)
    status = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), number)
    metadata = {**deployment["metadata"], "generation": generation}
    return {**deployment, "metadata": metadata, "status": {**status, "observedGeneration": generation}}


def _parsed(path: str) -> tuple[str, str | None, str, str | None, str | None]:
    found = PATH.fullmatch(path)
    assert found is not None, path
    return found[1], found[2], found[3], found[4], found[5]


def _collection(manifest: Manifest) -> str:
    version = manifest["apiVersion"]
    kind = manifest["kind"].lower()
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("ss") else f"{kind}s"
    return f"/{'apis' if '/' in version else 'api'}/{version}/{plural}"


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["metadata"].get("namespace") or "", manifest["metadata"]["name"]


def _merged(base: Any, patch: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(patch, dict):
        return patch
    return {**base, **{key: _merged(base.get(key), value) for key, value in patch.items()}}


def _managed(known: Manifest | None, manifest: Manifest, manager: str) -> Manifest:
    """With managedFields for ``data`` and ``binaryData``: a value that changes becomes the manager's."""
    entries = {e["manager"]: e["fieldsV1"] for e in (known or {}).get("metadata", {}).get("managedFields") or ()}
    owners = {
        (section, name): owner
        for owner, fields in entries.items()
        for section, names in fields.items()
        for name in names
    }
    fresh: dict[str, Manifest] = {}
    for section in ("data", "binaryData"):
        for name, value in (manifest.get(section) or {}).items():
            before = ((known or {}).get(section) or {}).get(name)
            owner = owners.get((f"f:{section}", f"f:{name}"), manager) if before == value else manager
            fresh.setdefault(owner, {}).setdefault(f"f:{section}", {})[f"f:{name}"] = {}
    if not fresh:
        return manifest
    fields = [{"manager": owner, "operation": "Update", "fieldsV1": found} for owner, found in fresh.items()]
    return {**manifest, "metadata": {**manifest["metadata"], "managedFields": fields}}
