"""Values out of mounted Secrets and ConfigMaps, read at use: a rotated one serves without a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping

if TYPE_CHECKING:
    from pathlib import Path

    from crd.published.policy import HeaderFrom

__all__ = ["SecretFiles"]


class SecretFiles:
    """``secrets`` and ``config_maps`` are the folders in which each object is a folder with a file for each key."""

    def __init__(self, secrets: Path, config_maps: Path) -> None:
        self._folders = {"Secret": secrets, "ConfigMap": config_maps}

    def header(self, wanted: HeaderFrom) -> tuple[str, str]:
        """A header with its value. Raises CallError ``misconfigured`` where it is missing or no header value."""
        try:
            value = self.value(wanted.kind, wanted.object, wanted.key).decode()
            return wanted.name, escaping.header(wanted.name, f"{wanted.prefix}{value}")
        except (UnicodeDecodeError, CallError) as error:
            # Neither the value nor the name of a Secret is the model's business; the object's conditions name it.
            raise CallError("misconfigured", f"the credentials for header {wanted.name} cannot be used") from error

    def value(self, kind: str, name: str, key: str) -> bytes:
        """What stands under a key, without one line end. Raises CallError ``misconfigured`` where nothing does."""
        try:
            data = (self._folders[kind] / name / key).read_bytes()
        except OSError as error:
            raise CallError("misconfigured", f"a {kind} that this call needs is not there") from error
        return data.removesuffix(b"\n").removesuffix(b"\r")
