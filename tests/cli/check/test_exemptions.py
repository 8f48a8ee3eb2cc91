"""Exceptions with an end: the annotation mcp.example.com/except."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from crd.finding import Level
from tests.cli.samples import SERVER, SERVICE, files, run_check, tool

TODAY = date(2026, 11, 26)
WARNED = "warning: WeakDescription: spec.description: "


def checked(folder: Path, line: str, *, form: str = "text", today: date = TODAY) -> tuple[int, str]:
    annotated = tool("list-orders").replace(
        "  labels:", f"  annotations:\n    mcp.example.com/except: {json.dumps(line)}\n  labels:"
    )
    place = files(folder, all=f"{SERVER}---\n{SERVICE}---\n{annotated}")
    code, out, _ = run_check(place, today=today, fail_on=Level.WARNING, format=form)
    return code, out


@pytest.mark.parametrize("today", [TODAY, date(2027, 1, 31)])
def test_an_excepted_warning_does_not_count_and_is_listed(tmp_path: Path, today: date) -> None:
    code, out = checked(tmp_path, "WeakDescription until 2027-01-31: the API is renamed", today=today)

    assert code == 0
    assert "warning: " not in out
    line = "excepted until 2027-01-31: WeakDescription: the API is renamed (MCPTool shop/list-orders): 1 warning\n"
    assert f"all.yaml:20:5: {line}" in out
    assert out.endswith("0 errors, 0 warnings, 1 excepted\n")


def test_an_expired_exception_counts_again(tmp_path: Path) -> None:
    code, out = checked(tmp_path, "WeakDescription until 2026-11-25: the API is renamed")

    assert code == 1
    assert "(the exception ended on 2026-11-25)" in out
    assert "exception ended on 2026-11-25: WeakDescription: the API is renamed" in out


def test_another_warning_counts(tmp_path: Path) -> None:
    code, out = checked(tmp_path, "LongName until 2027-01-31: a name of the API")

    assert (code, WARNED in out) == (1, True)
    assert "excepted until 2027-01-31: LongName: a name of the API (MCPTool shop/list-orders): 0 warnings" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("DuplicateName until 2027-01-31: both are needed", "only warnings can be excepted"),
        ("WeakDescription", "must be lines of the form"),
        ("WeakDescription until 2027-02-31: no such day", "day is out of range for month"),
        ("Nonsense until 2027-01-31: x", "'Nonsense' is not a valid Reason"),
        ("WeakDescription until 2027-01-31:", "must be lines of the form"),
        ("\n".join(["WeakDescription until 2027-01-31: x"] * 51), "must have at most 50 lines"),
    ],
)
def test_what_cannot_be_excepted_is_a_finding(tmp_path: Path, line: str, message: str) -> None:
    code, out = checked(tmp_path, line)

    assert code == 1
    assert "warning: InvalidField: metadata.annotations.mcp.example.com/except: " in out
    assert message in out


def test_a_program_reads_what_is_excepted(tmp_path: Path) -> None:
    _, out = checked(tmp_path, "WeakDescription until 2027-01-31: the API is renamed", form="json")

    report = json.loads(out)
    assert [found["excepted"] for found in report["findings"]] == [True]
    (exception,) = report["exceptions"]
    assert (exception["until"], exception["expired"], exception["warnings"]) == ("2027-01-31", False, 1)
