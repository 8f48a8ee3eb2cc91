"""The pages of the reasons: cause, purpose of the rule, repair, and the real message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from cli import __main__ as command
from crd.finding import Level, Reason
from tests.examples import corpus

if TYPE_CHECKING:
    from pathlib import Path

PAGES = corpus.ROOT / "docs" / "errors"
TABLE = (PAGES / "README.md").read_text()
LINK = re.compile(r"\]\(\.\./\.\./(manifests/examples/[^)]+)\)")
SHOWN = sorted(set(Reason) - corpus.STATUS_ONLY)


def page_of(reason: Reason) -> str:
    return (PAGES / f"{reason}.md").read_text()


def example_of(reason: Reason) -> Path:
    """The example that the page links first."""
    first: str = LINK.findall(page_of(reason))[0]
    return corpus.ROOT / first


def message_of(reason: Reason) -> str:
    return page_of(reason).partition("```text\n")[2].partition("\n```")[0]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_page(reason: Reason) -> None:
    page = page_of(reason)

    assert page.startswith(f"# {reason}\n")
    assert len(page.splitlines()) <= 40
    for part in ("**Why.**", "**Repair.**", "```yaml", f"```text\n{reason}: "):
        assert part in page


def test_every_page_has_a_reason() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == {reason.value for reason in Reason}


@pytest.mark.parametrize("reason", list(Reason))
def test_the_table_has_every_reason_at_its_level(reason: Reason) -> None:
    (row,) = [line for line in TABLE.splitlines() if line.startswith(f"| [{reason}]({reason}.md) |")]
    level = "status" if reason in corpus.STATUS_ONLY else "denied" if reason.level is Level.ERROR else "warning"

    assert row.split(" | ")[2].startswith(level)


def test_the_table_is_sorted() -> None:
    named = re.findall(r"^\| \[(\w+)\]", TABLE, re.MULTILINE)

    assert named == sorted(named)


@pytest.mark.parametrize("reason", SHOWN)
def test_a_page_links_existing_examples(reason: Reason) -> None:
    linked = [corpus.ROOT / name for name in LINK.findall(page_of(reason))]

    assert corpus.reason_of(linked[0]) is reason
    assert all(file.exists() for file in linked)


@pytest.mark.parametrize("reason", [reason for reason in SHOWN if reason not in corpus.FILES_ONLY | corpus.ADVICE])
def test_a_page_shows_the_message_of_its_example(reason: Reason) -> None:
    assert message_of(reason) in [str(finding) for finding in corpus.verdict(example_of(reason))]


@pytest.mark.parametrize("reason", sorted(corpus.FILES_ONLY | corpus.ADVICE))
def test_a_page_shows_the_message_of_check(
    reason: Reason, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus.ROOT)
    command.main(["check", str(example_of(reason).relative_to(corpus.ROOT))])

    assert message_of(reason) in capsys.readouterr().out


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_links_between_pages_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([A-Za-z]+\.md)\)", page.read_text()):
        assert (PAGES / target).exists()
