"""The way from a mistake to its repair in docs/tools.md is what the commands print."""

from __future__ import annotations

from scripts import walkthrough


def test_the_page_shows_what_the_commands_print() -> None:
    page = walkthrough.FILE.read_text()

    assert page.count(walkthrough.BEGIN) == page.count(walkthrough.END) == 1
    assert walkthrough.update(page) == page


def test_all_mistakes_are_shown_at_once_and_the_repaired_tool_has_none() -> None:
    section = walkthrough.render()
    first, second = (part.partition("```")[0] for part in section.split("$ mcp-operator check shop\n")[1:])

    assert all(f" error: {reason}: " in first for reason in ("InvalidName", "InvalidSchema", "UndeclaredPlaceholder"))
    assert "SelectsNothing" not in first
    assert first.endswith("exit code 1\n")
    assert second == "2 objects in 3 files: 0 errors, 0 warnings\nexit code 0\n"
