"""The tour names files and functions that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.layout.test_routes import BOUNDS

ROOT = Path(__file__).parents[2]
TOUR = (ROOT / "docs" / "tour.md").read_text()
NAMES = re.compile(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`(?: `([A-Za-z_.]+)`)?")


def definitions(file: Path) -> set[str]:
    """Functions and classes of a file, methods as ``Class.method``."""
    found: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (n.name for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{method}" for method in methods}
    return found


@pytest.mark.parametrize(("place", "name"), sorted(set(NAMES.findall(TOUR))))
def test_what_the_tour_names_exists(place: str, name: str) -> None:
    path = ROOT / place

    assert path.exists()
    assert not name or name in definitions(path)


def test_the_tour_names_its_steps() -> None:
    assert len(NAMES.findall(TOUR)) > 40


def test_the_tour_states_the_bounds_of_the_route() -> None:
    stated = re.search(r"at most (\d+) of our functions, at most (\d+) of\s+them", TOUR)

    assert stated is not None
    assert (int(stated[1]), int(stated[2])) == (BOUNDS[None], BOUNDS["webhook"])
