"""A cluster of its own: these tests stop and kill parts of it. What cannot be brought up fails; nothing is skipped."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest

from scripts import localcluster
from tests.faults.replicas import Installation, install_rights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[localcluster.Cluster]:
    with localcluster.running("faults", kubernetes=request.config.getoption("--kubernetes")) as found:
        yield found


@pytest.fixture(scope="module")
def accounts(cluster: localcluster.Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return install_rights(cluster, tmp_path_factory.mktemp("accounts"))


@pytest.fixture
def shop(cluster: localcluster.Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"shop-{zlib.crc32(request.node.name.encode()):x}"
    cluster.run("create", "namespace", name)
    yield name
    cluster.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def installed(
    cluster: localcluster.Cluster, accounts: dict[str, Path], shop: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    """The operator; the parameter gives the number of webhook replicas and of controllers."""
    assert shop
    webhooks, controllers = getattr(request, "param", (2, 1))
    found = Installation(cluster, accounts, tmp_path, webhooks=webhooks, controllers=controllers)
    try:
        found.start()
        yield found
    finally:
        found.stop()
