"""The laws are not traced for coverage: it would double their time. What they run is covered by the tests of units."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _untraced(no_cover: None) -> None:
    """`no_cover` is the switch of pytest-cov."""
