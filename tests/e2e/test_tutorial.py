"""The commands of the tutorial on a real cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.documentation import pages, tutorial

if TYPE_CHECKING:
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.e2e


def test_the_cluster_part_of_the_tutorial(cluster: Cluster, tmp_path: Path) -> None:
    environment = tutorial.environment(tmp_path, KUBECONFIG=str(cluster.kubeconfig))
    environment["PATH"] = f"{cluster.kubectl.parent}:{environment['PATH']}"

    done = pages.run(tutorial.text(), (*tutorial.LAPTOP, "On a cluster"), pages.checkout(tmp_path), environment)

    assert done > 20
