"""PURE. The paths under which the API server calls the webhook: registered by the controller, served by the webhook.

Each ends in a key that only the Secret of the CA and the webhook configurations contain. The API server quotes the URL
to the author of a change when a call fails, so the key is replaced after an outage, and every day. As with the CA, the
next key is accepted first, then it is proved that it is, and then it is registered; the replaced one is accepted until
the new one is seen in use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LIFETIME",
    "MUTATE_PATH",
    "NOTE_DELETION_PATH",
    "NO_KEYS",
    "VALIDATE_PATH",
    "PathKeys",
    "introduced",
    "is_due",
    "key_in",
    "promoted",
    "redacted",
    "repaired",
    "retired",
    "with_key",
]

VALIDATE_PATH = "/validate"
MUTATE_PATH = "/mutate"
# Deletions are noted, never judged.
NOTE_DELETION_PATH = "/note-deletion"

# A single call that failed is not seen by the controller, and quoted a URL all the same.
LIFETIME = timedelta(days=1)
# The API server allows lower-case letters, digits and dashes in the path of a webhook.
_KEY = re.compile(r"[0-9a-f]{32}")
_QUOTED = re.compile(r"(/(?:validate|mutate|note-deletion)/)[^/?\"\s]+")


@dataclass(frozen=True, slots=True)
class PathKeys:
    """``current`` is registered, ``following`` will be, and ``previous`` was. ``created``: when current was registered.

    An empty key stands for the paths without one, which an older version registered.
    """

    current: str = field(default="", repr=False)
    following: str | None = field(default=None, repr=False)
    previous: str | None = field(default=None, repr=False)
    created: datetime | None = None

    @property
    def accepted(self) -> frozenset[str]:
        """The keys under which the webhook answers."""
        return frozenset(each for each in (self.current, self.following, self.previous) if each is not None)


NO_KEYS = PathKeys()


def with_key(path: str, key: str) -> str:
    """The path with its key."""
    return f"{path}/{key}" if key else path


def key_in(client: Mapping[str, object]) -> str:
    """The key in a clientConfig; empty for one without a key."""
    service = client.get("service")
    text = str(service.get("path") if isinstance(service, dict) else client.get("url"))
    last = text.rpartition("/")[2]
    return last if _KEY.fullmatch(last) else ""


def redacted(text: str) -> str:
    """A message of the API server without the keys that it quotes."""
    return _QUOTED.sub(r"\1…", text)


def repaired(keys: PathKeys, registered: str | None, *, trusted: bool) -> PathKeys:
    """The keys with the one that is ``registered``, because the API servers call under it; None for none.

    ``trusted``: we have registered it ourselves. Otherwise it counts only if the Secret holds no key.
    """
    if registered is None or registered in keys.accepted - {keys.following}:
        return keys
    return PathKeys(registered) if trusted or not keys.current else keys


def is_due(keys: PathKeys, now: datetime) -> bool:
    """Whether the current key is too old, or nobody knows how old it is."""
    return keys.created is None or now - keys.created >= LIFETIME


def introduced(keys: PathKeys, key: str) -> PathKeys:
    """The keys with this one as the next."""
    return replace(keys, following=key)


def promoted(keys: PathKeys, now: datetime) -> PathKeys:
    """The next key is registered from now on. Raises ValueError if there is none."""
    if keys.following is None:
        raise ValueError("there is no next key to promote")
    return PathKeys(keys.following, None, keys.current, now)


def retired(keys: PathKeys) -> PathKeys:
    """The replaced key is not accepted any more."""
    return replace(keys, previous=None)
