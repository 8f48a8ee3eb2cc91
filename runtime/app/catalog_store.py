"""The catalog in force: read from the mounted ConfigMap at start, then watched, and replaced as a whole.

With a `Trust`, only catalogs that the controller signed for this server are loaded, and none that is older than the one
in force or than the newest that is known to be published (`CatalogStore.require`). Signatures are verified before
anything is inflated. A catalog that cannot be read or is refused leaves the last good one in force and sets ``error``.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import gc
import logging
import sys
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from crd.published import catalogs, loading, signature
from crd.published.signature import Fault, Refusal, Stamp
from crd.steps import finish
from runtime.app.compiled import CompiledCatalog
from runtime.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from crd.published.signature import Order
    from crd.steps import Steps

__all__ = ["CatalogStore", "Trust"]

logger = logging.getLogger(__name__)

# Bytes that are read of a file. A local catalog may be larger than a ConfigMap, but not than an inflated one.
MAX_FILE = catalogs.INFLATED_LIMIT
# Entries that are freed at once.
FREED = 64
_PACKED_BASE64_LIMIT = 4 * (signature.CONTENT_LIMIT // 3 + 1)


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose catalogs are loaded: those signed under ``root`` for the MCPServer with this UID."""

    root: Ed25519PublicKey
    server_uid: str


class CatalogStore:
    """The catalog of one ConfigMap. Without ``trust`` nothing is verified.

    ``on_swap`` is called with every new catalog. ``on_rejection`` is called with a reason for every rejected one: a
    value of `crd.published.signature.Fault`, or ``invalid``.
    """

    def __init__(
        self,
        on_swap: Callable[[CompiledCatalog], None] = lambda _: None,
        *,
        trust: Trust | None = None,
        on_rejection: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.compiled: CompiledCatalog | None = None
        self.error: str | None = None
        self._on_swap = on_swap
        self._trust = trust
        self._on_rejection = on_rejection
        self._stamp: Stamp | None = None
        self._lowest: Order | None = None
        self._submitted: Steps[None] | None = None
        self._arrived = asyncio.Event()
        self._retiring: set[asyncio.Task[None]] = set()

    def require(self, lowest: Order) -> None:
        """Load no older catalog from now on, and serve none: one that is in force is given up."""
        self._lowest = lowest
        if self._stamp is not None and self._stamp.order < lowest:
            shown = signature.format_order(self._stamp.order), signature.format_order(lowest)
            self.compiled, self._stamp = None, None
            self._reject(Fault.OLD_VERSION.value, "version {} is older than version {}".format(*shown))

    def read(self, directory: Path) -> None:
        """Load the catalog from a directory (a mounted ConfigMap), if there is one."""
        finish(self._read_steps(directory))

    def put(self, item: dict[str, Any]) -> None:
        """Load the catalog from the current ConfigMap. If the ConfigMap is deleted, its last catalog stays in force."""
        finish(self._put_steps(item))

    def submit(self, item: dict[str, Any]) -> None:
        """Let `work` load this ConfigMap, instead of one that was submitted before and is not loaded yet."""
        self._submitted = self._put_steps(item)
        self._arrived.set()

    @staticmethod
    def seen(directory: Path) -> object:
        """A value that changes when the catalog in a directory does; None without one."""
        for name in (catalogs.FILE, catalogs.GZIP_FILE):
            try:
                found = (directory / name).stat()
            except OSError:
                continue
            return (name, found.st_mtime_ns, found.st_size, found.st_ino)
        return None

    def reread(self, directory: Path) -> None:
        """Let `work` load the catalog from a directory."""
        self._submitted = self._read_steps(directory)
        self._arrived.set()

    async def work(self) -> None:
        """Load what is submitted, in slices of time, until cancelled. In between, calls are answered."""
        pace = Pace(asyncio.get_running_loop().time, asyncio.sleep)
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            steps, self._submitted = self._submitted, None
            before = self.compiled
            pace.begin()
            # A collection in the middle would look at every entry of both catalogs.
            gc.disable()
            try:
                for _ in steps or ():
                    await pace.step()
                if self.compiled is not before:
                    # Entries are in no cycles: they are freed when the last reference is gone.
                    gc.freeze()
            finally:
                gc.enable()
            if before is not None and self.compiled is not before:
                task = asyncio.create_task(_retire(before))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)
            before = None

    def _read_steps(self, directory: Path) -> Steps[None]:
        # The kubelet replaces the link ..data. Through one reading of it all files are of one ConfigMap.
        link = directory / "..data"
        folder = link.resolve() if link.is_dir() else directory
        for name in (catalogs.FILE, catalogs.GZIP_FILE):
            if (folder / name).is_file():
                envelope = folder / signature.FILE
                signed = _read(envelope, signature.ENVELOPE_LIMIT) if envelope.is_file() else None
                yield from self._load(name, partial(_read, folder / name, MAX_FILE), signed)
                return

    def _put_steps(self, item: dict[str, Any]) -> Steps[None]:
        data, binary = item.get("data") or {}, item.get("binaryData") or {}

        def content() -> bytes:
            if catalogs.FILE in data:
                return str(data[catalogs.FILE]).encode()
            if catalogs.GZIP_FILE not in binary:
                raise catalogs.InvalidCatalogError(f"neither {catalogs.FILE} nor {catalogs.GZIP_FILE} is there")
            encoded = binary[catalogs.GZIP_FILE]
            if len(encoded) > _PACKED_BASE64_LIMIT:
                raise catalogs.InvalidCatalogError(f"{catalogs.GZIP_FILE} is larger than a ConfigMap")
            return base64.b64decode(encoded, validate=True)

        name = catalogs.FILE if catalogs.FILE in data else catalogs.GZIP_FILE
        yield from self._load(name, content, data.get(signature.FILE))

    def _load(self, name: str, content: Callable[[], bytes], envelope: str | bytes | None) -> Steps[None]:
        try:
            stored = content()
            stamp = self._verify(name, stored, envelope)
            if isinstance(stamp, Refusal):
                self._reject(stamp.fault.value, stamp.message)
                return
            lines = (yield from loading.inflate(stored)) if name == catalogs.GZIP_FILE else stored.split(b"\n")
            compiled = yield from CompiledCatalog.load_in_steps(lines, self.compiled)
            is_new = self.compiled is None or compiled.digest != self.compiled.digest
        except (ValueError, zlib.error, binascii.Error, OSError) as error:
            self._reject("invalid", f"{type(error).__name__}: {error}")
            return
        if stamp is not None and self._lowest is not None and stamp.order < self._lowest:
            # It was verified before that was known.
            self._reject(Fault.OLD_VERSION.value, "a newer catalog was published before")
            return
        self.error, self._stamp = None, stamp
        if is_new:
            self.compiled = compiled
            logger.info("serving %s: %d tools, %d prompts", compiled.digest, len(compiled.tools), len(compiled.prompts))
            self._on_swap(compiled)

    def _verify(self, name: str, stored: bytes, envelope: str | bytes | None) -> Stamp | Refusal | None:
        if self._trust is None:
            return None
        return signature.verify(
            envelope,
            root=self._trust.root,
            server_uid=self._trust.server_uid,
            name=name,
            content=stored,
            in_force=self._stamp,
            lowest=self._lowest,
        )

    def _reject(self, reason: str, message: str) -> None:
        self.error = message
        self._on_rejection(reason)
        logger.warning("rejected a catalog, the last good one stays in force: %s", message)


async def _retire(compiled: CompiledCatalog) -> None:
    """Free a catalog in slices of time, when the last call that uses it is over."""
    # The references of this function's argument and of getrefcount's.
    while sys.getrefcount(compiled) > 2:  # noqa: ASYNC110 -- nothing tells when a reference is dropped
        await asyncio.sleep(0.05)
    parts = compiled.take_apart()
    del compiled
    pace = Pace(asyncio.get_running_loop().time, asyncio.sleep)
    while parts:
        del parts[-1][-FREED:]
        if not parts[-1]:
            parts.pop()
        await pace.step()


def _read(path: Path, limit: int) -> bytes:
    """The bytes of a file; one more than ``limit`` at most, which the reader refuses."""
    with path.open("rb") as file:
        return file.read(limit + 1)
