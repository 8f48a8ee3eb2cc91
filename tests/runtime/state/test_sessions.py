"""Sessions in memory."""

from __future__ import annotations

import pytest

from runtime.state.sessions import MemorySessions, Session, StoreUnavailableError


async def test_sessions_in_memory_expire_and_are_limited() -> None:
    now = 0.0
    store = MemorySessions(lambda: now, limit=1)
    await store.create("a", Session("2025-11-25"), ttl=10)
    with pytest.raises(StoreUnavailableError):
        await store.create("b", Session("2025-11-25"), ttl=10)
    now = 9.0
    assert await store.use("a", "", ttl=10) is not None
    now = 20.0
    assert await store.use("a", "", ttl=10) is None
    await store.create("b", Session("2025-11-25"), ttl=10)
    now = 40.0
    await store.create("c", Session("2025-11-25"), ttl=10)
    assert not await store.end("b", "")
