"""The site of the documentation: its navigation, and links that leave it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from scripts import site

ROOT = Path(__file__).parents[2]
PAGE = PurePosixPath("docs/errors/README.md")


def test_a_link_to_another_file_of_the_repository_leads_there() -> None:
    shown = site.lead_outside("[x](../../crd/finding.py#L1) [y](../concepts.md) [z](README.md)", PAGE)

    assert shown == f"[x]({site.REPOSITORY}/crd/finding.py#L1) [y](../concepts.md) [z](README.md)"


@pytest.mark.parametrize("target", ["../../crd/gone.py", "../../../outside", "../gone.md"])
def test_a_link_to_no_file_is_an_error(target: str) -> None:
    with pytest.raises(site.BrokenLinkError):
        site.lead_outside(f"[x]({target})", PAGE)


def pages(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    return [page for each in (node.values() if isinstance(node, dict) else node) for page in pages(each)]


def test_every_page_is_in_the_navigation() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    apart = tuple(line.strip("/") + "/" for line in config["not_in_nav"].split())
    found = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    listed = pages(config["nav"])
    assert len(listed) == len(set(listed))
    assert {name for name in found if not name.startswith(apart)} | {"errors/README.md"} == set(listed)
