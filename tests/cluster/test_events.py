"""What happens again is one Event with a count."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cluster import events
from cluster.events import Recorder
from cluster.transport import ApiError
from crd.ref import Kind, Ref

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVER = Ref(Kind.SERVER, "shop", "main")


class Api:
    """Keeps Events by name, and refuses a second one of a name."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.error: Exception | None = None
        self.patched = True

    async def request(
        self, method: str, path: str, *, body: Any = None, content_type: str = "", **_: Any
    ) -> dict[str, Any]:
        if self.error:
            raise self.error
        if method == "PATCH":
            if not self.patched:
                raise ApiError(403, "Forbidden", "no")
            assert content_type == "application/merge-patch+json"
            self.events[path.rsplit("/", 1)[-1]] |= body
            return body
        name = body["metadata"]["name"]
        if name in self.events:
            raise ApiError(409, "AlreadyExists", "there is one")
        self.events[name] = dict(body)
        return dict(body)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def recorder(api: Any) -> Recorder:
    return Recorder(api, reporter="one", now=lambda: NOW)


async def record(recorder: Recorder, note: str = "image cannot be pulled", uid: str = "u") -> None:
    await recorder.record(SERVER, uid, reason="Unready", note=note, warning=True)


async def test_a_repetition_counts_in_the_series_of_the_first(api: Api, recorder: Recorder) -> None:
    for _ in range(3):
        await record(recorder)

    (event,) = api.events.values()
    assert event["series"] == {"count": 3, "lastObservedTime": "2026-01-01T00:00:00.000000Z"}
    assert (event["type"], event["reason"], event["note"]) == ("Warning", "Unready", "image cannot be pulled")
    assert event["metadata"]["namespace"] == "shop"
    assert event["regarding"] == {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "namespace": "shop",
        "name": "main",
        "uid": "u",
    }
    assert (event["eventTime"], event["reportingInstance"]) == ("2026-01-01T00:00:00.000000Z", "one")


async def test_another_text_and_another_object_are_events_of_their_own(api: Api, recorder: Recorder) -> None:
    await record(recorder)
    await record(recorder, note="x" * 2000)
    await record(recorder, uid="v")

    assert len(api.events) == 3
    assert max(len(event["note"]) for event in api.events.values()) == 1024


async def test_an_event_that_has_expired_begins_again(api: Api, recorder: Recorder) -> None:
    await record(recorder)
    await record(recorder)
    api.events.clear()
    await record(recorder)
    await record(recorder)

    (event,) = api.events.values()
    assert event["series"]["count"] == 2


async def test_counts_are_bounded_also_where_none_can_be_written(
    api: Api, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SERIES", 2)
    for _ in range(2):
        for number in range(5):
            await record(recorder, note=str(number))
            assert len(recorder._counts) <= 2
        api.patched = False


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", "no"), TimeoutError(), OSError("away")])
async def test_an_event_that_cannot_be_written_is_forgotten(api: Api, recorder: Recorder, error: Exception) -> None:
    api.error = error

    await record(recorder)

    assert api.events == {}


@pytest.mark.parametrize("namespace", ["shop", ""])
async def test_an_event_says_what_it_is_about(api: Api, recorder: Recorder, namespace: str) -> None:
    metadata = {"name": "main", "uid": "u"} | ({"namespace": namespace} if namespace else {})
    about = {"apiVersion": "v1", "kind": "Thing", "metadata": metadata}

    await recorder.record_about(about, reason="Unready", note="n" * 2000)

    ((name, event),) = api.events.items()
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": namespace or "default", "name": name},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Normal",
        "reason": "Unready",
        "note": "n" * 1024,
        "action": "Reconcile",
        "reportingController": "mcp.example.com/controller",
        "reportingInstance": "one",
        "regarding": {"apiVersion": "v1", "kind": "Thing", "namespace": namespace, "name": "main", "uid": "u"},
    }
    other = {**about, "metadata": {**metadata, "uid": "another"}}
    await recorder.record_about(other, reason="Unready", note="n" * 2000)
    assert len(api.events) == 2
