"""What is kept of schemas and patterns is forgotten between tests, so that each judges for itself."""

from __future__ import annotations

import pytest

from crd.rules import schemas
from crd.schema import patterns


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> None:
    schemas._KEPT.clear()
    schemas._LAST.clear()
    patterns._fault.cache_clear()
