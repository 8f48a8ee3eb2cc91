"""Values from mounted Secrets and ConfigMaps. They are read once per change, so a rotated value needs no restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime import mounted_files
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping

if TYPE_CHECKING:
    from pathlib import Path

    from crd.published.policy import HeaderFrom
    from runtime.http.exchange import Header

__all__ = ["SecretFiles"]

MAX_OBJECTS = 1024


class SecretFiles:
    """``secrets`` and ``config_maps`` are folders. Each object is a folder in one of them, with one file per key."""

    def __init__(self, secrets: Path, config_maps: Path) -> None:
        self._folders = {"Secret": secrets, "ConfigMap": config_maps}
        # By kind and name of the object: its revision, and the values that were read of it.
        self._read: dict[tuple[str, str], tuple[object, dict[str, bytes]]] = {}

    def header(self, source: HeaderFrom) -> Header:
        """A header and its value. Raises CallError ``misconfigured`` if the value is missing or not a header value."""
        try:
            value = self.value(source.kind, source.object, source.key).decode()
            return source.name, escaping.check_header(source.name, f"{source.prefix}{value}")
        except (UnicodeDecodeError, CallError) as error:
            # The model must see neither the value nor the name of a Secret. The object's conditions name it.
            message = f"the credentials for header {source.name} are missing or not a header value"
            raise CallError("misconfigured", message) from error

    def value(self, kind: str, name: str, key: str) -> bytes:
        """The value of a key, without one trailing line break. Raises CallError ``misconfigured`` if it is missing."""
        folder = self._folders[kind]
        try:
            revision = mounted_files.revision(folder, name)
            known = self._read.get((kind, name))
            if known is None or known[0] != revision:
                if len(self._read) >= MAX_OBJECTS:
                    del self._read[next(iter(self._read))]
                known = self._read[kind, name] = (revision, {})
            data = known[1].get(key)
            if data is None:
                data = known[1][key] = mounted_files.read_key(folder, name, key)
        except OSError as error:
            raise CallError("misconfigured", f"a {kind} that this call needs is not mounted") from error
        return data.removesuffix(b"\n").removesuffix(b"\r")
