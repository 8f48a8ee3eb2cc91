"""What client-go's informers do, ours do; all of it in simulated time."""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import Any

import pytest

from cluster.informers import informer as informers
from cluster.informers.turns import Turns
from cluster.transport import ApiError, LongEventError


def test_all_pages_are_listed_before_it_is_synced(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a", "b", "c")
        api.page_size = 1
        async with running(api) as run:
            assert run.informer.synced.is_set()
            assert run.names == ["a", "b", "c"]
            assert [query.get("continue") for query in api.asks("LIST")] == [None, "1", "2"]
            # Without a resourceVersion the read is consistent.
            assert all("resourceVersion" not in query for query in api.asks("LIST"))

    simulate(main())


def test_before_the_first_list_is_complete_it_is_not_ready(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        api.state = "hung"
        async with running(api) as run:
            assert run.informer.unready() == "mcptools not listed yet"
            api.turn("up")
            await asyncio.sleep(0.1)
            assert run.informer.unready() is None

    simulate(main())


def test_changes_are_followed_and_told(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api, lambda manifest: manifest["spec"].get("v", 0)) as run:
            api.put("b", v=1)
            api.put("b", v=2)
            api.delete("b")
            await asyncio.sleep(0.1)
            assert run.names == ["a"]
            assert run.changes == [("a", None, 0), ("b", None, 1), ("b", 1, 2), ("b", 2, None)]
            assert run.informer.version("shop", "a") == 101
            assert run.informer.version("shop", "b") is None

    simulate(main())


def test_what_is_kept_has_a_type_and_no_managed_fields(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        async with running(api_type("a")) as run:
            found = run.informer.get("shop", "a")
            metadata = {"namespace": "shop", "name": "a", "resourceVersion": "101", "labels": {"app": "shop"}}
            assert found == {
                "apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPTool", "metadata": metadata, "spec": {},
            }  # fmt: skip
            # Labels of many objects are kept once.
            ((name, value),) = found["metadata"]["labels"].items()
            assert (name is sys.intern(str(name)), value is sys.intern(str(value))) == (True, True)

    simulate(main())


def test_fifteen_idle_minutes_leave_it_ready(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        api.bookmarks = 178.0
        async with running(api) as run:
            await asyncio.sleep(900)
            assert run.refusals == []
            assert run.informer.silent_for() <= informers.SILENCE
            assert len(api.asks("LIST")) == 1
            assert {"silent"} == set(run.ends)
            assert run.changes == [("a", None, run.informer.get("shop", "a"))]
            api.put("b")
            await asyncio.sleep(0.1)
            assert run.names == ["a", "b"]

    simulate(main())


@pytest.mark.parametrize(("state", "seconds"), [("hung", 100), ("down", 130)])
def test_an_outage_is_over_when_it_is_over(
    simulate: Any, api_type: Any, running: Any, state: str, seconds: int
) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api) as run:
            await asyncio.sleep(30)
            api.turn(state)
            await asyncio.sleep(seconds)
            api.turn("up")
            await asyncio.sleep(1.1)
            api.put("b")
            await asyncio.sleep(0.1)
            assert run.refusals == []
            assert run.names == ["a", "b"]

    simulate(main())


def test_a_long_outage_makes_it_unready_until_the_first_answer(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api) as run:
            api.turn("down")
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(600)
            api.turn("up")
            answered = asyncio.get_running_loop().time()
            await asyncio.sleep(10)
            first, last = run.refusals[0], run.refusals[-1]
            assert first[0] - began == pytest.approx(informers.OUTAGE, abs=2)
            assert "has answered no list or watch of mcptools for 15" in first[1]
            assert last[0] - answered < 1.2

    simulate(main())


def test_an_outage_begins_with_the_first_question_that_is_not_answered(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api) as run:
            api.turn("hung")
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(600)
            # The watch is silent, as one may be; then it is to be opened again.
            assert run.refusals[0][0] - began == pytest.approx(informers.SILENCE + informers.OUTAGE, abs=2)

    simulate(main())


def test_silence_is_the_time_since_the_last_answer_or_event(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api) as run:
            await asyncio.sleep(40)
            assert run.informer.silent_for() == pytest.approx(40, abs=1)
            await asyncio.sleep(api.bookmarks - 30)
            assert run.informer.silent_for() == pytest.approx(10, abs=1)
            api.put("b")
            await asyncio.sleep(1)
            assert run.informer.silent_for() == pytest.approx(1, abs=0.1)

    simulate(main())


def test_a_silent_watch_is_opened_again_from_its_last_version(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        api.bookmarks = 1000.0
        async with running(api) as run:
            api.put("b")
            await asyncio.sleep(informers.SILENCE + 1)
            assert [query["resourceVersion"] for query in api.asks("WATCH")] == ["101", "102"]
            assert run.ends == ["silent"]

    simulate(main())


def test_a_bookmark_moves_the_version_and_nothing_else(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api) as run:
            api.version = 999  # other resources have changed
            await asyncio.sleep(61)
            api.cut()
            await asyncio.sleep(2)
            assert api.asks("WATCH")[-1]["resourceVersion"] == "999"
            assert len(run.changes) == 1

    simulate(main())


def test_after_gone_a_list_replaces_everything_and_tells_what_changed(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type("same", "changed", "vanished")
        async with running(api, lambda manifest: manifest["spec"].get("v", 0)) as run:
            run.changes.clear()
            api.turn("down")
            api.put("changed", v=1)
            api.delete("vanished")
            api.put("new", v=2)
            api.compacted = api.version
            api.turn("up")
            api.cut()
            await asyncio.sleep(2)
            assert run.names == ["changed", "new", "same"]
            assert sorted(run.changes, key=str) == [("changed", 0, 1), ("new", None, 2), ("vanished", 0, None)]
            assert "expired" in run.ends

    simulate(main())


def test_gone_again_and_again_is_asked_for_less_and_less_often(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        api.compacted = 10_000
        async with running(api) as run:
            await asyncio.sleep(120)
            assert 8 < len(api.asks("LIST") + api.asks("METADATA")) < 15
            assert run.refusals == []
            assert len(run.changes) == 1

    simulate(main())


def test_watches_that_end_at_once_back_off_and_are_replaced_by_lists(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type("a")
        api.ends = 1_000
        async with running(api) as run:
            await asyncio.sleep(60)
            assert 5 < len(api.asks("WATCH")) < 12
            api.objects.clear()  # no event tells of it
            await asyncio.sleep(60)
            assert run.names == []
            api.ends = 0
            await asyncio.sleep(31)
            api.put("b")
            await asyncio.sleep(0.1)
            assert run.names == ["b"]
            # A watch that lived makes the next one come at once.
            api.ends = 1
            api.cut()
            await asyncio.sleep(0.1)
            api.put("c")
            await asyncio.sleep(0.1)
            assert run.names == ["b", "c"]

    simulate(main())


@pytest.mark.parametrize("error", [KeyError("bug"), RuntimeError("bug"), ValueError("a file is used by transport")])
def test_an_exception_in_keep_is_counted_and_makes_it_unready_until_a_list_succeeds(
    simulate: Any, api_type: Any, running: Any, error: Exception
) -> None:
    broken: set[str] = set()

    def keep(manifest: dict[str, Any]) -> str:
        if manifest["metadata"]["name"] in broken:
            raise error
        return str(manifest["metadata"]["name"])

    async def main() -> None:
        api = api_type("a")
        async with running(api, keep) as run:
            broken.add("b")
            api.put("b")
            await asyncio.sleep(0.3)
            assert run.informer.unready() == f"watching mcptools failed: {type(error).__name__}: {error}"
            assert set(run.ends) == {"failed"}
            broken.clear()
            await asyncio.sleep(60)
            assert run.informer.unready() is None
            assert run.names == ["a", "b"]

    simulate(main())


def test_an_exception_in_a_handler_leaves_the_change_to_be_told_again(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api, lambda manifest: manifest["spec"].get("v", 0)) as run:
            trouble = [RuntimeError("once")]

            def handle(_key: Any, _old: Any, _new: Any) -> None:
                if trouble:
                    raise trouble.pop()

            run.informer.on_change(handle)
            run.changes.clear()
            api.put("a", v=1)
            await asyncio.sleep(5)
            assert run.changes == [("a", 0, 1), ("a", 0, 1)]
            assert run.informer.unready() is None

    simulate(main())


def test_an_error_answer_is_tried_again_within_a_second(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        of_uvloop = RuntimeError("File descriptor 29 is used by transport <TCPTransport closed=False>")
        api.errors = [ApiError(500, "InternalError", "no"), ApiError(403, "Forbidden", "no"), TimeoutError(), of_uvloop]
        async with running(api) as run:
            await asyncio.sleep(4)
            assert run.names == ["a"]
            assert run.ends == ["unreachable"] * 4

    simulate(main())


def test_a_restored_etcd_is_noticed_after_the_interruption(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a", "b")
        async with running(api) as run:
            api.turn("down")
            backup = api_type("a")
            api.objects, api.version, api.history = backup.objects, 50, []
            api.objects["shop", "a"]["metadata"]["resourceVersion"] = "40"
            api.turn("up")
            api.cut()
            await asyncio.sleep(2)
            assert run.names == ["a"]
            assert run.informer.version("shop", "a") == 40
            assert api.asks("WATCH")[-1]["resourceVersion"] == "50"

    simulate(main())


@pytest.mark.parametrize(
    "trouble",
    [
        ConnectionRefusedError("refused"),
        ApiError(500, "InternalError", "no"),
        RuntimeError("File descriptor 29 is used by transport <TCPTransport closed=False>"),
    ],
)
def test_a_restored_etcd_is_noticed_whatever_kept_the_next_watch_from_being_opened(
    simulate: Any, api_type: Any, running: Any, trouble: Exception
) -> None:
    async def main() -> None:
        api = api_type("a", "b")
        api.bookmarks = 1000.0
        async with running(api) as run:
            api.objects, api.version, api.history = api_type("a").objects, 50, []
            api.objects["shop", "a"]["metadata"]["resourceVersion"] = "40"
            api.errors = [trouble]
            # The watch is silent, and is to be opened again.
            await asyncio.sleep(informers.SILENCE + 2)
            assert run.ends[:2] == ["silent", "unreachable"]
            assert run.names == ["a"]
            assert api.asks("WATCH")[-1]["resourceVersion"] == "50"

    simulate(main())


def test_a_selection_is_asked_for(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api, field_selector="metadata.name=a", label_selector="x=y", namespace="shop"):
            for query in (api.asks("LIST")[0], api.asks("WATCH")[0]):
                assert (query["fieldSelector"], query["labelSelector"]) == ("metadata.name=a", "x=y")

    simulate(main())


@pytest.mark.parametrize("status", [403, 404])
def test_of_an_optional_type_that_is_not_shown_there_are_no_objects(
    simulate: Any, api_type: Any, running: Any, status: int
) -> None:
    async def main() -> None:
        api = api_type("a")
        api.errors = [ApiError(status, "x", "no")]
        async with running(api, optional=True) as run:
            assert run.informer.unready() is None
            assert run.names == []
            await asyncio.sleep(45)
            assert run.names == ["a"]

    simulate(main())


def test_an_optional_type_loses_its_objects_only_if_it_stays_away(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api, optional=True) as run:
            api.errors = [ApiError(403, "Forbidden", "roles are not known yet")] * 5
            api.cut()
            await asyncio.sleep(5)
            assert run.names == ["a"]
            api.errors = [ApiError(404, "NotFound", "no")] * 1000
            api.cut()
            await asyncio.sleep(20)
            assert run.names == []
            assert run.informer.unready() is None

    simulate(main())


def test_any_other_type_has_to_be_shown(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        api.errors = [ApiError(404, "NotFound", "no")] * 1000
        async with running(api) as run:
            await asyncio.sleep(60)
            assert not run.informer.synced.is_set()

    simulate(main())


def test_the_next_page_is_asked_for_while_one_is_taken_and_no_further_one(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type(*map(str, range(8)))
        api.page_size = 2
        asked: list[int] = []

        def keep(manifest: dict[str, Any]) -> dict[str, Any]:
            asked.append(len(api.asks("LIST")))
            return manifest

        # Each turn is over after one item.
        async with running(api, keep, turns=Turns(itertools.count().__next__)) as run:
            assert len(run.names) == 8
            assert asked == [1, 2, 2, 3, 3, 4, 4, 4]

    simulate(main())


def test_a_page_that_was_asked_for_ahead_is_given_up_with_the_list(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type(*map(str, range(4)))
        api.page_size = 2

        def keep(manifest: dict[str, Any]) -> dict[str, Any]:
            if manifest["metadata"]["name"] == "1" and len(api.asks("LIST")) == 2:
                api.turn("hung")
                raise ValueError("broken")
            return manifest

        before = asyncio.all_tasks()
        async with running(api, keep, turns=Turns(itertools.count().__next__)) as run:
            assert run.ends == ["failed"]
            # The informer, its observer, and the first page of the next list; nobody waits for the page.
            assert len(asyncio.all_tasks() - before) == 3
            api.turn("up")
            await asyncio.sleep(60)
            assert len(run.names) == 4

    simulate(main())


def test_a_page_ahead_that_is_refused_ends_the_list_after_the_page_before(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type(*map(str, range(4)))
        api.page_size = 2

        def keep(manifest: dict[str, Any]) -> dict[str, Any]:
            if not run_once:
                run_once.append(1)
                api.errors.append(ApiError(410, "Expired", "the token is too old"))
            return manifest

        run_once: list[int] = []
        async with running(api, keep) as run:
            await asyncio.sleep(60)
            assert (run.ends[0], len(run.names)) == ("expired", 4)
            assert [query.get("continue") for query in api.asks("LIST")] == [None, "2", None, "2"]

    simulate(main())


def test_the_size_of_a_page_follows_the_size_of_its_items(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type()
        for number in range(100):
            api.put(f"small-{number}")
        for number in range(100):
            api.put(f"big-{number}", text="x" * 50_000)
        async with running(api) as run:
            assert len(run.names) == 200
            limits = [int(query["limit"]) for query in api.asks("LIST")]
            assert limits[:2] == [informers.FIRST_LIMIT, 2 * informers.FIRST_LIMIT]
            # The last pages held the big ones.
            assert limits[-1] < 50
            api.compacted = api.version + 1
            api.cut()
            await asyncio.sleep(1)
            # Their metadata is small.
            assert [int(query["limit"]) for query in api.asks("METADATA")][:2] == limits[:2]

    simulate(main())


def test_a_read_that_the_watch_has_overtaken_never_wins(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type()
        async with running(api, lambda manifest: manifest["spec"]["v"]) as run:
            token = run.informer.sequence()
            stale = api.put("a", v=1)
            api.put("a", v=2)
            await asyncio.sleep(0.1)
            assert not run.informer.offer_read(("shop", "a"), stale, token)
            assert run.informer.get("shop", "a") == 2
            token = run.informer.sequence()
            api.delete("a")
            await asyncio.sleep(0.1)
            assert not run.informer.offer_read(("shop", "a"), stale, token)
            assert run.informer.get("shop", "a") is None

    simulate(main())


def test_an_event_that_a_read_has_overtaken_is_history(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api, lambda manifest: manifest["spec"].get("v", 0)) as run:
            api.turn("hung")
            token = run.informer.sequence()
            api.put("a", v=1)
            latest = api.put("a", v=2)
            assert run.informer.offer_read(("shop", "a"), latest, token)
            api.turn("up")
            await asyncio.sleep(0.1)
            assert [change[2] for change in run.changes] == [0, 2, 2]

    simulate(main())


def test_the_first_reason_of_several_informers_is_given(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        up, away = api_type("a"), api_type("a")
        away.state = "down"
        async with running(up) as one, running(away) as other:
            assert informers.unready([one.informer, other.informer]) == "mcptools not listed yet"
            assert informers.unready([one.informer]) is None

    simulate(main())


def lists_again(api: Any) -> None:
    """The watch has lost its version, and everything is to be listed."""
    api.compacted = api.version
    api.turn("up")
    api.cut()


def pages(api: Any) -> list[dict[str, str]]:
    """The pages of whole objects that were listed; one of a single object only asks for the present version."""
    return [query for query in api.asks("LIST") if query["limit"] != "1"]


def value(manifest: dict[str, Any]) -> Any:
    return manifest["spec"].get("v", 0)


def test_a_list_that_finds_nothing_new_is_one_of_metadata(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a", "b", "c")
        api.page_size = 2
        async with running(api, value) as run:
            run.changes.clear()
            api.version += 1  # another resource has changed
            lists_again(api)
            await asyncio.sleep(2)
            assert [query.get("continue") for query in api.asks("METADATA")] == [None, "2"]
            assert (len(pages(api)), api.asks("READ"), run.changes) == (2, [], [])
            assert run.informer.reached == api.version
            assert api.asks("WATCH")[-1]["resourceVersion"] == str(api.version)

    simulate(main())


def test_what_a_metadata_list_shows_as_changed_is_read(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("same", "changed", "vanished")
        async with running(api, value, label_selector="x=y", field_selector="spec.z=1") as run:
            run.changes.clear()
            api.turn("down")
            api.put("changed", v=1)
            api.delete("vanished")
            api.put("new", v=2)
            lists_again(api)
            await asyncio.sleep(2)
            assert sorted(run.changes, key=str) == [("changed", 0, 1), ("new", None, 2), ("vanished", 0, None)]
            assert len(pages(api)) == 1
            assert {(query["labelSelector"], query["fieldSelector"]) for query in api.asks("READ")} == {
                ("x=y", "spec.z=1,metadata.name=changed"),
                ("x=y", "spec.z=1,metadata.name=new"),
            }

    simulate(main())


def test_what_changes_between_the_metadata_list_and_the_read_is_taken_as_it_is_then(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api, value) as run:
            run.changes.clear()
            api.turn("down")
            api.put("a", v=1)
            listed = api.version
            api.before_read = lambda: api.put("a", v=api.version)
            lists_again(api)
            await asyncio.sleep(0.2)
            assert len(api.asks("READ")) == 1
            # The watch begins at the version of the list, so it shows the later state once more, and no other one.
            assert api.asks("WATCH")[-1]["resourceVersion"] == str(listed)
            assert run.changes == [("a", 0, listed), ("a", listed, listed)]
            assert run.informer.version("shop", "a") == listed + 1

    simulate(main())


@pytest.mark.parametrize("known", [True, False])
def test_what_is_deleted_between_the_metadata_list_and_the_read_is_gone(
    simulate: Any, api_type: Any, running: Any, *, known: bool
) -> None:
    async def main() -> None:
        api = api_type("b", *(["a"] if known else []))
        async with running(api, value) as run:
            run.changes.clear()
            api.turn("down")
            api.put("a", v=1)
            api.before_read = lambda: api.delete("a")
            lists_again(api)
            await asyncio.sleep(0.2)
            assert run.names == ["b"]
            assert run.changes == ([("a", 0, None)] if known else [])
            assert run.informer.reached == api.version
            assert set(run.ends) <= {"unreachable", "expired"}

    simulate(main())


def test_what_is_deleted_and_created_again_before_the_read_is_the_new_object(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api, value) as run:
            api.turn("down")
            api.put("a", v=1)

            def replace() -> None:
                api.delete("a")
                api.put("a", v=2)

            api.before_read = replace
            lists_again(api)
            await asyncio.sleep(0.2)
            # The deletion of the former object is older than what the read has shown.
            assert None not in [new for _, _, new in run.changes]
            assert run.informer.get("shop", "a") == 2

    simulate(main())


def test_if_much_has_changed_whole_pages_are_listed(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type()
        async with running(api, value) as run:
            api.turn("down")
            for number in range(informers.MAX_READS + 1):
                api.put(f"a{number}")
            api.page_size = informers.MAX_READS + 1
            api.put("last")
            lists_again(api)
            await asyncio.sleep(2)
            assert len(run.names) == informers.MAX_READS + 2
            assert api.asks("READ") == []
            assert len(pages(api)) > 1

    simulate(main())


def test_an_api_server_that_does_not_leave_anything_out_is_understood(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type("a")
        api.leaves_out = False
        async with running(api, value) as run:
            api.turn("down")
            api.put("a", v=1)
            lists_again(api)
            await asyncio.sleep(2)
            assert run.informer.get("shop", "a") == 1
            assert (len(pages(api)), api.asks("READ")) == (1, [])

    simulate(main())


def test_a_read_that_fails_leaves_everything_to_the_next_list(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api, value) as run:
            api.turn("down")
            api.put("a", v=1)
            failures = [ApiError(500, "InternalError", "no")]

            def fail() -> None:
                if failures:
                    api.errors.append(failures.pop())

            api.before_read = fail
            lists_again(api)
            await asyncio.sleep(3)
            assert run.informer.get("shop", "a") == 1
            assert len(api.asks("METADATA")) == len(api.asks("READ")) == 2

    simulate(main())


def test_an_event_that_is_too_long_is_counted_and_replaced_by_a_list(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api) as run:
            api.errors = [LongEventError("too long")]
            api.cut()
            await asyncio.sleep(2)
            assert run.ends == ["unreachable", "long_event"]
            assert len(api.asks("METADATA")) == 1
            assert run.refusals == []

    simulate(main())


def test_a_watch_that_the_api_server_closes_is_counted_only_if_it_was_of_no_use(
    simulate: Any, api_type: Any, running: Any
) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api) as run:
            await asyncio.sleep(1000)
            assert len(api.asks("WATCH")) >= 2
            assert run.ends == []

        api = api_type("a")
        api.ends = 5
        async with running(api) as run:
            await asyncio.sleep(60)
            assert run.ends == ["finished"] * 5

    simulate(main())


def test_after_three_fruitless_watches_it_lists_again(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        api.ends = 4
        async with running(api):
            await asyncio.sleep(60)
            asked = [verb for _, verb, _ in api.asked]
        assert asked[:6] == ["LIST", "WATCH", "WATCH", "WATCH", "METADATA", "WATCH"]

    simulate(main())


def test_one_event_makes_a_watch_useful(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api):
            for number in range(6):
                api.put(f"b{number}")
                await asyncio.sleep(0.1)
                api.cut()
                await asyncio.sleep(0.1)
            # Each connection that broke was opened again at once.
            assert len(api.asks("WATCH")) == 7

    simulate(main())


@pytest.mark.parametrize("hung", ["the first list", "the comparison", "a read"])
def test_a_question_that_is_not_answered_is_asked_again(simulate: Any, api_type: Any, running: Any, hung: str) -> None:
    """A server that accepts connections and answers nothing from some question on."""

    async def main() -> None:
        api, loop = api_type("a"), asyncio.get_running_loop()
        if hung == "the first list":
            api.turn("hung")
        async with running(api, value):
            if hung != "the first list":
                api.turn("down")
                api.put("a", v=1)
                await asyncio.sleep(0.01)
            if hung == "the comparison":
                api.turn("hung")
            elif hung == "a read":
                api.before_read = lambda: setattr(api, "state", "hung")
                lists_again(api)
            await asyncio.sleep(4 * informers.LIST_TIMEOUT)
            asked = [*(at for at, _, _ in api.asked), loop.time()]
            assert max(later - at for at, later in itertools.pairwise(asked)) <= informers.LIST_TIMEOUT + 1.0

    simulate(main())


def test_of_a_namespace_nothing_else_is_listed_or_covered(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        async with running(api_type("a"), namespace="shop") as run, running(api_type("a")) as whole:
            assert (run.informer.covers("shop"), run.informer.covers("bank")) == (True, False)
            assert (whole.informer.covers("shop"), whole.informer.covers("bank")) == (True, True)
            assert run.informer._path.endswith("/namespaces/shop/mcptools")
            assert not whole.informer._path.endswith("/namespaces/shop/mcptools")

    simulate(main())


@pytest.mark.parametrize(("changed", "read"), [(informers.MAX_READS, True), (informers.MAX_READS + 1, False)])
def test_up_to_a_number_of_changes_each_is_read(
    simulate: Any, api_type: Any, running: Any, changed: int, *, read: bool
) -> None:
    async def main() -> None:
        api = api_type()
        async with running(api, value) as run:
            api.turn("down")
            for number in range(changed):
                api.put(f"a{number}")
            lists_again(api)
            await asyncio.sleep(5)
            assert len(run.names) == changed
            assert (len(api.asks("READ")) == changed) is read
            assert bool(api.asks("READ")) is read

    simulate(main())


def test_a_watch_is_asked_for_with_bookmarks_and_an_end(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api):
            assert api.asks("WATCH") == [
                {"allowWatchBookmarks": "true", "resourceVersion": "101", "timeoutSeconds": "450"}
            ]

    simulate(main())


def test_a_read_that_does_not_count_is_not_decoded(simulate: Any, api_type: Any, running: Any) -> None:
    async def main() -> None:
        decoded: list[str] = []

        def keep(manifest: dict[str, Any]) -> str:
            decoded.append(manifest["metadata"]["resourceVersion"])
            return decoded[-1]

        api = api_type("a")
        async with running(api, keep) as run:
            before = api.put("a")
            api.put("a")
            await asyncio.sleep(0.1)
            decoded.clear()
            assert not run.informer.offer_read(("shop", "a"), before, run.informer.sequence())
            assert decoded == []

    simulate(main())


@pytest.mark.parametrize(
    ("status", "logged"),
    [
        ({"code": 503, "reason": "Busy", "message": "later"}, "watching mcptools: 503 Busy: later"),
        ({}, "watching mcptools: 500 Unknown: "),
    ],
)
def test_an_error_within_a_watch_is_logged_as_it_was_sent(
    simulate: Any, api_type: Any, running: Any, caplog: pytest.LogCaptureFixture, status: Any, logged: str
) -> None:
    async def main() -> None:
        api = api_type("a")
        async with running(api) as run:
            api.version += 1
            api._happened("ERROR", status)
            await asyncio.sleep(0.1)
            assert run.ends[0] == "unreachable"

    simulate(main())
    assert logged in [record.getMessage() for record in caplog.records]
