"""A real API server, once for all tests of this folder. What cannot be brought up fails; nothing is skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts import localcluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def control_plane() -> Iterator[localcluster.Cluster]:
    with localcluster.running("integration") as found:
        yield found
