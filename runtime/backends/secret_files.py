"""Values from mounted Secrets and ConfigMaps. They are read at each use, so a rotated value needs no restart."""

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


class SecretFiles:
    """``secrets`` and ``config_maps`` are folders. Each object is a folder in one of them, with one file per key."""

    def __init__(self, secrets: Path, config_maps: Path) -> None:
        self._folders = {"Secret": secrets, "ConfigMap": config_maps}

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
        try:
            data = mounted_files.read_key(self._folders[kind], name, key)
        except OSError as error:
            raise CallError("misconfigured", f"a {kind} that this call needs is not mounted") from error
        return data.removesuffix(b"\n").removesuffix(b"\r")
