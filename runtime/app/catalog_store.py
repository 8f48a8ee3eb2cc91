"""The catalog in force: read from the mounted ConfigMap at start, then watched, and replaced as a whole.

A catalog that cannot be read leaves the last good one in force and sets ``error``.
"""

from __future__ import annotations

import base64
import binascii
import logging
from typing import TYPE_CHECKING, Any

from crd.published import catalogs
from runtime.app.compiled import CompiledCatalog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["CatalogStore"]

logger = logging.getLogger(__name__)


class CatalogStore:
    """The catalog of one ConfigMap. ``on_swap`` is called with every new catalog."""

    def __init__(self, on_swap: Callable[[CompiledCatalog], None] = lambda _: None) -> None:
        self.compiled: CompiledCatalog | None = None
        self.error: str | None = None
        self._on_swap = on_swap

    def read(self, directory: Path) -> None:
        """Load the catalog from a directory (a mounted ConfigMap), if there is one."""
        text, packed = directory / catalogs.FILE, directory / catalogs.GZIP_FILE
        data = {catalogs.FILE: text.read_text()} if text.is_file() else {}
        binary = {catalogs.GZIP_FILE: packed.read_bytes()} if packed.is_file() else {}
        if data or binary:
            self._load(lambda: catalogs.unpack(data, binary))

    def put(self, item: dict[str, Any]) -> None:
        """Load the catalog from the current ConfigMap. If the ConfigMap is deleted, its last catalog stays in force."""

        def unpack() -> bytes:
            encoded = item.get("binaryData") or {}
            binary = {key: base64.b64decode(value, validate=True) for key, value in encoded.items()}
            return catalogs.unpack(item.get("data") or {}, binary)

        self._load(unpack)

    def _load(self, unpack: Callable[[], bytes]) -> None:
        try:
            payload = unpack()
            if self.compiled is not None and catalogs.digest(payload) == self.compiled.digest:
                self.error = None
                return
            compiled = CompiledCatalog.load(payload)
        except (ValueError, binascii.Error) as error:
            self.error = f"{type(error).__name__}: {error}"
            logger.warning("rejected a catalog, the last good one stays in force: %s", self.error)
            return
        self.compiled, self.error = compiled, None
        logger.info("serving %s: %d tools, %d prompts", compiled.digest, len(compiled.tools), len(compiled.prompts))
        self._on_swap(compiled)
