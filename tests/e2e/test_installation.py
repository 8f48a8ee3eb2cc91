"""The CA is replaced and the operator restarted on a real node, where two replicas are behind the Service."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scripts.localcluster import installation
from tests.integration.applies import Applies, ca_now

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.e2e


def test_a_deleted_ca_is_replaced_without_a_refusal(cluster: Cluster) -> None:
    before = ca_now(cluster).current

    def replaced() -> bool:
        held = ca_now(cluster)
        return bool(held and held.current and held.current != before and held.following is None)

    with Applies(cluster, "shop") as applies:
        cluster.run("-n", "mcp-system", "delete", "secret", "mcp-operator-ca", "--wait=false")
        installation.until("a new CA signs", replaced, 150)
        # Meanwhile both replicas move to certificates of the new CA.
        installation.until("more requests are answered", lambda goal=applies.done + 60: applies.done > goal, 60)

    assert applies.failures == []
    assert before.certificate in ca_now(cluster).previous


def webhook_pods(cluster: Cluster) -> set[str]:
    """A controller that does not lead logs nothing; each webhook logs its certificate."""
    selector = "app.kubernetes.io/name=mcp-operator-webhook"
    return set(cluster.run("-n", "mcp-system", "get", "pods", "-l", selector, "-o", "name").stdout.split())


def test_make_run_shows_the_logs_of_pods_that_a_rollout_brings(cluster: Cluster, tmp_path: Path) -> None:
    # SIGINT is ignored where the tests run in the background of a shell.
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from scripts import localcluster, run; run.follow(localcluster.find(sys.argv[1]))"
    log = tmp_path / "log"
    before = webhook_pods(cluster)
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", program, cluster.name], stdout=output)
        try:
            installation.until("the pods are shown", lambda: all(pod in log.read_text() for pod in before), 30)
            cluster.run("-n", "mcp-system", "rollout", "restart", "deployment/mcp-operator-webhook")
            cluster.run("-n", "mcp-system", "rollout", "status", "deployment/mcp-operator-webhook", "--timeout=120s")
            installation.until("the former pods are gone", lambda: not before & webhook_pods(cluster), 60)
            after = webhook_pods(cluster)
            installation.until("the new pods are shown", lambda: all(pod in log.read_text() for pod in after), 30)
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGINT)
            status = process.wait(timeout=30)
    assert status == 0
