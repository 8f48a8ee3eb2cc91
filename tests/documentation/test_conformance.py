"""What `make conformance` reads from the suite, when it fails, and the page that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from scripts.conformance.__main__ import HERE, PAGE, SELECTED, SUITE, read
from scripts.conformance.outcome import (
    Check,
    Expected,
    baseline,
    judge,
    parse_checks,
    parse_expected,
    parse_name,
    render,
)

LISTED = Check("tools-list", "SUCCESS")
WIRE = Check("wire-schema-valid", "SUCCESS")
SAMPLED = Check("tools-call-sampling", "FAILURE", "Unknown tool")
EXPECTED = (
    Expected("No sampling.", ("tools-call-sampling", "server-stateless:asks")),
    Expected("No streams.", (), ("server-sse-polling",)),
)
RUN = {
    "tools-list": (LISTED, WIRE),
    "tools-call-sampling": (SAMPLED, WIRE),
    "server-stateless": (Check("asks", "FAILURE"), Check("answers", "SUCCESS")),
    "server-sse-polling": (),
}


def test_the_results_of_a_folder_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "server-tools-call-image-2026-11-26T22-06-39-355Z"
    folder.mkdir()
    note = {"id": "server-sse-streams-functional", "status": "INFO"}
    checks = [{"id": "tools-call-image", "status": "FAILURE", "errorMessage": "no image"}, note]
    (folder / "checks.json").write_text(json.dumps(checks))

    assert read(tmp_path) == {"tools-call-image": (Check("tools-call-image", "FAILURE", "no image"),)}
    assert parse_name("server-sep-2164-resource-not-found-2026-11-26T22-06-39-355Z") == "sep-2164-resource-not-found"
    assert parse_name("tools-call-image") is None


def test_what_is_expected_is_accepted() -> None:
    assert judge({"2025-11-25": RUN}, EXPECTED) == []


def test_a_failure_that_is_not_listed_is_a_problem() -> None:
    for status in ("FAILURE", "WARNING", "SKIPPED"):
        run = RUN | {"tools-list": (Check("tools-list", status, "no name"), WIRE)}
        assert judge({"2025-11-25": run}, EXPECTED) == [f"2025-11-25 tools-list: tools-list {status}: no name"]
    run = RUN | {"server-stateless": (Check("asks", "FAILURE"), Check("answers", "FAILURE", "404"))}
    assert judge({"2025-11-25": run}, EXPECTED) == ["2025-11-25 server-stateless: answers FAILURE: 404"]
    run = RUN | {"server-sse-polling": (Check("replays", "FAILURE", "nothing"),)}
    assert judge({"2025-11-25": run}, EXPECTED) == ["2025-11-25 server-sse-polling: replays FAILURE: nothing"]


def test_the_entry_of_a_scenario_does_not_hide_invalid_messages() -> None:
    run = RUN | {"tools-call-sampling": (SAMPLED, Check("wire-schema-valid", "FAILURE", "no id"))}

    assert judge({"2025-11-25": run}, EXPECTED) == ["2025-11-25 tools-call-sampling: wire-schema-valid FAILURE: no id"]


def test_an_entry_that_passes_is_a_problem() -> None:
    run = RUN | {
        "tools-call-sampling": (Check("tools-call-sampling", "SUCCESS"), WIRE),
        "server-stateless": (Check("asks", "SUCCESS"),),
    }

    assert judge({"2025-11-25": run}, EXPECTED) == [
        "2025-11-25 server-stateless:asks: passes; remove it from failing",
        "2025-11-25 tools-call-sampling: passes; remove it from failing",
    ]


def test_what_was_not_run_is_a_problem() -> None:
    assert judge({"2025-11-25": RUN, "2025-06-18": {}}, EXPECTED) == ["2025-06-18: the suite ran no scenario"]
    assert judge({"2025-11-25": RUN | {"tools-list": ()}}, EXPECTED) == [
        "2025-11-25 tools-list: the suite made no check"
    ]
    missing = {name: checks for name, checks in RUN.items() if name != "tools-call-sampling"}
    assert judge({"2025-11-25": missing}, EXPECTED) == ["tools-call-sampling: no revision has this scenario"]


def test_the_baseline_of_the_suite() -> None:
    assert baseline(EXPECTED) == {"server": ["server-stateless:asks", "tools-call-sampling"], "client": []}


def test_the_page_counts_what_applies() -> None:
    page = render({"2026-07-28": RUN, "2025-11-25": {"tools-list": (LISTED,)}}, EXPECTED, "a suite")

    assert "| 2026-07-28 | 4 | 1 | 1 | 2 | 3 of 4 |" in page
    assert "| `server-stateless` | 1 of 2 |  |" in page
    assert "| `tools-list` | 2 of 2 | 1 of 1 |" in page
    assert "| `server-sse-polling` | not applicable |  |" in page
    assert "| No streams. | `server-sse-polling` |" in page


def test_a_note_of_the_suite_does_not_count() -> None:
    assert parse_checks([{"id": "a", "status": "INFO"}, {"id": "b", "status": "SUCCESS"}]) == (Check("b", "SUCCESS"),)


def test_the_page_is_of_the_pinned_suite_and_of_what_is_expected() -> None:
    page = PAGE.read_text()
    version = json.loads((HERE / "package.json").read_text())["dependencies"][SUITE]

    assert f"`{SUITE}` {version} " in page
    assert all(f"| {revision} |" in page for revision in SELECTED)
    for each in parse_expected(yaml.safe_load((HERE / "expected.yaml").read_text())):
        names = ", ".join(f"`{name}`" for name in sorted((*each.failing, *each.unexercised)))
        assert f"| {each.reason} | {names} |" in page
        assert all(f"| `{name}` | " in page for name in each.scenarios())
