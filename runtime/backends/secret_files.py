"""Values from mounted Secrets and ConfigMaps. They are read once per change, so a rotated value needs no restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime import mounted_files
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping
from runtime.mounted_files import LOOK, Revisions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from crd.published.policy import HeaderFrom
    from runtime.http.exchange import Header

__all__ = ["SecretFiles"]

MAX_OBJECTS = 1024


class SecretFiles:
    """``secrets`` and ``config_maps`` are folders. Each object is a folder in one of them, with one file per key.

    With ``monotonic``, in seconds, a changed value is noticed within twice `mounted_files.LOOK`; without it, at once.
    """

    def __init__(self, secrets: Path, config_maps: Path, monotonic: Callable[[], float] | None = None) -> None:
        self._folders = {"Secret": secrets, "ConfigMap": config_maps}
        self._revisions = {kind: Revisions(folder, monotonic) for kind, folder in self._folders.items()}
        # By kind and name of the object: its revision, and the values that were read of it.
        self._read: dict[tuple[str, str], tuple[object, dict[str, bytes]]] = {}
        self._monotonic = monotonic
        # By the identity of its source: until when it is not looked at again, and the header.
        self._headers: dict[int, tuple[HeaderFrom, float, Header]] = {}

    def header(self, source: HeaderFrom) -> Header:
        """A header and its value. Raises CallError ``misconfigured`` if the value is missing or not a header value."""
        now = self._monotonic() if self._monotonic is not None else 0.0
        known = self._headers.get(id(source))
        if known is not None and known[0] is source and now < known[1]:
            return known[2]
        try:
            value = self.value(source.kind, source.object, source.key).decode()
            header = source.name, escaping.check_header(source.name, f"{source.prefix}{value}")
        except (UnicodeDecodeError, CallError) as error:
            # The model must see neither the value nor the name of a Secret. The object's conditions name it.
            message = f"the credentials for header {source.name} are missing or not a header value"
            raise CallError("misconfigured", message) from error
        if self._monotonic is not None:
            if len(self._headers) >= MAX_OBJECTS:
                del self._headers[next(iter(self._headers))]
            self._headers[id(source)] = (source, now + LOOK, header)
        return header

    def value(self, kind: str, name: str, key: str) -> bytes:
        """The value of a key, without one trailing line break. Raises CallError ``misconfigured`` if it is missing."""
        try:
            revision = self._revisions[kind].of(name)
            known = self._read.get((kind, name))
            if known is None or (known[0] is not revision and known[0] != revision):
                if len(self._read) >= MAX_OBJECTS:
                    del self._read[next(iter(self._read))]
                known = self._read[kind, name] = (revision, {})
            data = known[1].get(key)
            if data is None:
                content = mounted_files.read_key(self._folders[kind], name, key)
                data = known[1][key] = content.removesuffix(b"\n").removesuffix(b"\r")
        except OSError as error:
            raise CallError("misconfigured", f"a {kind} that this call needs is not mounted") from error
        return data
