"""A cluster of its own: these tests stop and kill parts of it. What cannot be brought up fails; nothing is skipped.

The tests of a module share one installation. Before each of them, what the one before has killed is started again.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest

from scripts import localcluster
from tests.faults.replicas import Installation, install_rights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[localcluster.Cluster]:
    with localcluster.running("faults", kubernetes=request.config.getoption("--kubernetes")) as found:
        yield found


@pytest.fixture(scope="session")
def accounts(cluster: localcluster.Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return install_rights(cluster, tmp_path_factory.mktemp("accounts"))


@pytest.fixture
def shop(cluster: localcluster.Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"shop-{zlib.crc32(request.node.name.encode()):x}"
    cluster.run("create", "namespace", name)
    yield name
    cluster.run("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def installation(
    cluster: localcluster.Cluster,
    accounts: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Installation]:
    """The operator; ``INSTALLATION`` of the module has the arguments."""
    found = Installation(cluster, accounts, tmp_path_factory.mktemp("installation"), **request.module.INSTALLATION)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture
def installed(installation: Installation, shop: str) -> Installation:
    assert shop
    installation.start()
    return installation
