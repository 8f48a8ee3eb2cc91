"""The signing keys of this installation: read from their Secret, made where they are missing, rotated by age.

Every replica reads them, because a standby judges catalogs as well. Only a leader replaces what is old or damaged.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cluster import objects, resources
from cluster.transport import ApiError
from controller.signing import keys as signing

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from cluster.clock import Clock
    from cluster.transport import Transport
    from controller.signing.keys import Keys

__all__ = ["Keyring"]

logger = logging.getLogger(__name__)

# Seconds between two readings of the Secret: within these a lost or damaged key is noticed.
INTERVAL = 60.0
RETRY = 2.0
# Attempts to write while others write, too.
ATTEMPTS = 5


class Keyring:
    """The keys in the Secret ``namespace``/``name``. A working key is used for ``lifetime``; ``now`` is the wall clock.

    ``changed`` is called after other keys have taken the place of those in use.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str,
        name: str,
        lifetime: timedelta,
        now: Callable[[], datetime],
        clock: Clock,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._name = name
        self._lifetime = lifetime
        self._now = now
        self._clock = clock
        self._changed = changed
        self._keys: Keys | None = None

    @property
    def keys(self) -> Keys:
        """The keys in use. Raises RuntimeError before `open` has read them."""
        if self._keys is None:
            raise RuntimeError("the signing keys are not read yet")
        return self._keys

    async def open(self) -> None:
        """Read the keys, or make them if there is no Secret; tries until that is done."""
        while self._keys is None:
            try:
                await self._read(repair=False)
            except (ApiError, TimeoutError, OSError) as error:
                logger.warning("Secret %s/%s cannot be read: %s; retrying", self._namespace, self._name, error)
                await self._clock.sleep(RETRY)

    async def maintain(self, *, lead: Callable[[], bool]) -> None:
        """Read the Secret again and again until cancelled; while ``lead``, replace what is old, lost or damaged."""
        while True:
            try:
                await self._read(repair=lead())
            except (ApiError, TimeoutError, OSError) as error:
                logger.warning("Secret %s/%s cannot be read: %s", self._namespace, self._name, error)
            await self._clock.sleep(INTERVAL)

    async def reach(self, generation: int) -> None:
        """Have a working key of at least this generation, which a catalog of ours has. Raises as `objects.get`."""
        await self._read(repair=True, least=generation)

    async def refresh(self) -> None:
        """Read the Secret now, and replace what is old, lost or damaged. Raises as `objects.get`."""
        await self._read(repair=True)

    async def _read(self, *, repair: bool, least: int = 1) -> None:
        for _ in range(ATTEMPTS):
            stored = await objects.get(self._transport, resources.SECRETS, self._namespace, self._name)
            parsed = signing.parse(stored)
            is_complete = parsed is not None and parsed.root is not None and parsed.working is not None
            if not repair and is_complete:
                self._use(parsed)
                return
            if not repair and self._keys is not None:
                # A standby waits for what the leader makes of it.
                return
            keys = signing.advance(parsed, self._now(), self._lifetime, least=least)
            if keys is not parsed:
                if self._keys is not None and (parsed is None or parsed.root is None):
                    logger.error(
                        "Secret %s/%s holds no root key: a new one is made, and the pods of all servers are replaced",
                        self._namespace,
                        self._name,
                    )
                try:
                    await self._store(stored, keys)
                except ApiError as error:
                    if error.status != 409:
                        raise
                    continue
            self._use(keys)
            return
        raise TimeoutError(f"Secret {self._namespace}/{self._name} was changed by others {ATTEMPTS} times")

    async def _store(self, stored: dict[str, object] | None, keys: Keys) -> None:
        if stored is None:
            await objects.create(self._transport, signing.manifest(self._namespace, self._name, keys))
            return
        metadata = stored["metadata"]
        assert isinstance(metadata, dict)
        try:
            written = signing.manifest(self._namespace, self._name, keys, metadata["resourceVersion"])
            await objects.replace(self._transport, written)
        except ApiError as error:
            if error.status != 422:
                raise
            # Immutable, or of another type: only another Secret under this name can hold the keys.
            uid = str(metadata.get("uid") or "")
            await objects.delete(self._transport, resources.SECRETS, self._namespace, self._name, uid=uid)
            await objects.create(self._transport, signing.manifest(self._namespace, self._name, keys))

    def _use(self, keys: Keys | None) -> None:
        before, self._keys = self._keys, keys
        if before is None or keys is None:
            return
        if (before.argument, before.generation) != (keys.argument, keys.generation):
            logger.info("catalogs are signed with working key %d from now on", keys.generation)
            self._changed()
