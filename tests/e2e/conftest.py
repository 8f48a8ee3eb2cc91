"""The operator on one real node for all tests of this folder. Tests fail where it cannot start; none is skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts import localcluster
from scripts.localcluster import installation

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cluster() -> Iterator[localcluster.Cluster]:
    with localcluster.running("e2e", node=True) as found:
        assert found.node, "these tests need root on Linux"
        installation.install(found)
        installation.examples(found)
        yield found


@pytest.fixture
def shop(cluster: localcluster.Cluster) -> Iterator[localcluster.Cluster]:
    """The shop of the examples, ready before and after a test."""
    yield cluster
    installation.examples(cluster)
