"""The CA is replaced on a real node, where two replicas of the webhook are behind the Service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.localcluster import installation
from tests.integration.applies import Applies, ca_now

if TYPE_CHECKING:
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.e2e


def test_a_deleted_ca_is_replaced_without_a_refusal(cluster: Cluster) -> None:
    before = ca_now(cluster).current

    def replaced() -> bool:
        held = ca_now(cluster)
        return bool(held and held.current and held.current != before and held.following is None)

    with Applies(cluster, "shop") as applies:
        cluster.run("-n", "mcp-system", "delete", "secret", "mcp-operator-ca")
        installation.until("a new CA signs", replaced, 150)
        # Meanwhile both replicas move to certificates of the new CA.
        installation.until("more requests are answered", lambda goal=applies.done + 60: applies.done > goal, 60)

    assert applies.failures == []
    assert before.certificate in ca_now(cluster).previous
