"""What is kept of schemas and expressions is forgotten between tests, so that each judges for itself."""

from __future__ import annotations

import pytest

from crd.rules import schemas
from crd.schema import ambiguity


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> None:
    schemas._faults.cache_clear()
    ambiguity.exponential.cache_clear()
