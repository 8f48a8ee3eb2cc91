"""The commands of the how-to pages print what the pages show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documentation import pages, tutorial

FOLDER = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if "```console" in path.read_text())


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_page(name: str, tmp_path: Path) -> None:
    page = (FOLDER / f"{name}.md").read_text()
    sections = {step.section for step in pages.read(page)}

    assert pages.run(page, sections, tmp_path, tutorial.environment(tmp_path)) > 0
