"""One real API server for all tests of this folder. Tests fail, and are not skipped, where it cannot start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts import localcluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[localcluster.Cluster]:
    version = request.config.getoption("--kubernetes")
    with localcluster.running("integration", kubernetes=version) as found:
        found.run("apply", "-f", str(Path(__file__).parent / "referencegrants.yaml"))
        yield found
