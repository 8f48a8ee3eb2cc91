"""The commands of the tutorial print what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documentation import pages, tutorial


def test_the_laptop_and_ci_parts_of_the_tutorial(tmp_path: Path) -> None:
    sections = (*tutorial.LAPTOP, "In CI")

    done = pages.run(tutorial.text(), sections, pages.checkout(tmp_path), tutorial.environment(tmp_path))

    assert done > 20


def test_a_command_that_prints_something_else_fails(tmp_path: Path) -> None:
    page = "```console\n$ echo one; exit_with() { return $1; }\none\n$ echo two\nthree\n```\n"

    with pytest.raises(pytest.fail.Exception, match="printed:\ntwo"):
        pages.run(page, ("",), tmp_path, tutorial.environment(tmp_path))


def test_a_command_that_fails_where_no_error_is_shown_fails(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="exit code 3"):
        pages.run("```console\n$ (exit 3)\n```\n", ("",), tmp_path, tutorial.environment(tmp_path))


@pytest.mark.parametrize(
    ("shown", "printed"),
    [("a\n...\nd\n", "a\nb\nc\nd\n"), ("...\nd\n", "a\nd\n"), ("x-...-y\n", "x-123-y\n"), ("a\n...\n", "a\nb\n")],
)
def test_three_dots_stand_for_any_text(shown: str, printed: str) -> None:
    assert pages.difference(shown, printed) is None


@pytest.mark.parametrize(("shown", "printed"), [("a\n...\nd\n", "a\nb\nc\n"), ("a\n", "a\nb\n"), ("a.b\n", "axb\n")])
def test_another_text_is_a_difference(shown: str, printed: str) -> None:
    assert pages.difference(shown, printed) == printed


def test_the_steps_of_a_page() -> None:
    page = "## One\n```yaml\n# a/b.yaml\nx: 1\n```\n"
    page += "```console\n$ cat <<'END'\ntext\nEND\ntext\n$ true \\\n  && true\n```\n"

    assert list(pages.read(page)) == [
        pages.File("One", "a/b.yaml", "x: 1\n"),
        pages.Command("One", "cat <<'END'\ntext\nEND", "text\n"),
        pages.Command("One", "true \\\n  && true", ""),
    ]
