"""A control plane of its own, once for all tests of this folder. What cannot be brought up fails: no skips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts import localcluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def control_plane() -> Iterator[localcluster.Cluster]:
    """A real API server without a node: what is stored and refused is real, nothing runs."""
    with localcluster.running("integration") as cluster:
        yield cluster
