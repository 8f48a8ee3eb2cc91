"""The catalog in force: read from the mounted ConfigMap at the start, then watched, swapped whole.

A catalog that cannot be read leaves the last good one in force and says so.
"""

from __future__ import annotations

import base64
import binascii
import logging
from typing import TYPE_CHECKING, Any

from crd.published import catalogs
from runtime.app.compiled import Serving
from runtime.mcp import lists

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runtime.mcp.lists import Schemas

__all__ = ["Holder"]

logger = logging.getLogger(__name__)


class Holder:
    """The catalog of one ConfigMap, as it is now. ``on_swap`` is called with every new catalog.

    ``schemas`` says what clients see of a tool's schemas.
    """

    def __init__(
        self, on_swap: Callable[[Serving], None] = lambda _serving: None, schemas: Schemas = lists.AS_WRITTEN
    ) -> None:
        self.serving: Serving | None = None
        self.error: str | None = None
        self._on_swap = on_swap
        self._schemas = schemas

    def read(self, directory: Path) -> None:
        """Take the catalog out of a directory (a mounted ConfigMap), if there is one."""
        plain, packed = directory / catalogs.FILE, directory / catalogs.GZIP_FILE
        data = {catalogs.FILE: plain.read_text()} if plain.is_file() else {}
        binary = {catalogs.GZIP_FILE: packed.read_bytes()} if packed.is_file() else {}
        if data or binary:
            self._take(lambda: catalogs.unpack(data, binary))

    def put(self, item: dict[str, Any]) -> None:
        """This is the ConfigMap now. While there is none, what was served goes on being served."""
        self._take(lambda: catalogs.unpack(item.get("data") or {}, _decoded(item.get("binaryData") or {})))

    def _take(self, unpack: Callable[[], bytes]) -> None:
        try:
            payload = unpack()
            if self.serving is not None and catalogs.digest(payload) == self.serving.digest:
                self.error = None
                return
            serving = Serving.of(payload, self._schemas)
        except (ValueError, binascii.Error) as error:
            self.error = f"{type(error).__name__}: {error}"
            logger.warning("a catalog was not taken: %s", self.error)
            return
        self.serving, self.error = serving, None
        logger.info("serving %s: %d tools, %d prompts", serving.digest, len(serving.tools), len(serving.prompts))
        self._on_swap(serving)


def _decoded(binary: dict[str, str]) -> dict[str, bytes]:
    return {key: base64.b64decode(value, validate=True) for key, value in binary.items()}
