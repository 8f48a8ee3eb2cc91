"""Node.js with the TypeScript SDKs for all tests of this folder. They fail where it cannot run; none is skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from scripts.clients.node import Judge

if TYPE_CHECKING:
    from collections.abc import Iterator


# `make clients` selects it; without it, the default number of examples keeps `make test` short.
settings.register_profile("clients", max_examples=2000)


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running
