"""The summary of mutation tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scripts import mutation

if TYPE_CHECKING:
    from pathlib import Path


def test_outcomes_are_counted_by_package(tmp_path: Path) -> None:
    codes = {"a": 1, "b": 0, "c": 33, "d": None, "e": -24, "f": 36}
    for file, found in (("certs/paths.py.meta", codes), ("crd/rules/names.py.meta", {"g": 1}), ("cli/x.py.meta", {})):
        path = tmp_path / file
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"exit_code_by_key": found}))

    page = mutation.render(mutation.summarise(tmp_path))

    assert page.endswith("|---|---|---|---|---|\n| `certs` | 5 | 3 | 1 | 1 |\n| `crd.rules` | 1 | 1 | 0 | 0 |\n")
