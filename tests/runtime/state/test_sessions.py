"""Sessions in memory."""

from __future__ import annotations

import pytest

from runtime.state import sessions
from runtime.state.sessions import MemorySessions, Session, StoreUnavailableError


async def test_sessions_in_memory_expire_and_are_limited() -> None:
    now = 0.0
    store = MemorySessions(lambda: now, limit=1)
    await store.create("a", Session("2025-11-25"), ttl=10, client="at:1")
    with pytest.raises(StoreUnavailableError):
        await store.create("b", Session("2025-11-25"), ttl=10, client="at:1")
    now = 9.0
    assert await store.use("a", "", ttl=10) is not None
    now = 20.0
    assert await store.use("a", "", ttl=10) is None
    await store.create("b", Session("2025-11-25"), ttl=10, client="at:1")
    now = 40.0
    await store.create("c", Session("2025-11-25"), ttl=10, client="at:1")
    assert not await store.end("b", "")


async def test_a_client_has_a_number_of_sessions_and_others_keep_theirs() -> None:
    store = MemorySessions(lambda: 0.0, limit=10, per_client=2)
    await store.create("other", Session("2025-11-25"), ttl=10, client="at:2")
    for identifier in ("a", "b"):
        await store.create(identifier, Session("2025-11-25"), ttl=10, client="at:1")
    assert await store.use("a", "", ttl=10)

    await store.create("c", Session("2025-11-25"), ttl=10, client="at:1")

    found = [await store.use(identifier, "", ttl=10) is not None for identifier in ("a", "b", "c", "other")]
    assert found == [True, False, True, True]
    assert await store.end("a", "")
    await store.create("d", Session("2025-11-25"), ttl=10, client="at:1")
    assert await store.use("c", "", ttl=10)


async def test_expired_sessions_are_removed_before_the_limit_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "EXPIRED", 2)
    now = 0.0
    store = MemorySessions(lambda: now, limit=100)
    for number in range(60):
        now = float(number)
        await store.create(str(number), Session("2025-11-25"), ttl=10, client="at:1")
        if number == 30:
            assert await store.use("21", "", ttl=10)

    held = [number for number in range(60) if await store.end(str(number), "")]

    # Those that have expired are gone before anybody asks for them.
    assert held == list(range(50, 60))


async def test_a_new_expiry_applies_to_sessions_that_are_open() -> None:
    now = 0.0
    store = MemorySessions(lambda: now, limit=1)
    await store.create("a", Session("2025-11-25"), ttl=86_400, client="at:1")
    now = 60.0
    await store.create("b", Session("2025-11-25"), ttl=60, client="at:1")

    assert await store.use("a", "", ttl=86_400) is None
