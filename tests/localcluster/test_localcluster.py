"""The local cluster: it removes what it creates, reports components that died, and runs beside others."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from scripts import localcluster
from scripts.localcluster import binaries, cluster, components, images, installation, network, paths, wheels


def processes() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(str(paths.cluster_directory("x").parent).encode() in word for word in words):
                found.add(entry.name)
    return found


def traces() -> dict[str, set[str]]:
    """Everything that a cluster could leave on this machine."""

    def lines(*command: str) -> set[str]:
        return set(subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines())

    return {
        "processes": processes(),
        "mounts": set(Path("/proc/self/mounts").read_text().splitlines()),
        "interfaces": {line.partition(":")[2].split("@")[0] for line in lines("ip", "-o", "link")},
        "routes": lines("ip", "route"),
        "network namespaces": lines("ip", "netns") | {str(path) for path in Path("/run/netns").glob("*")},
        "packet filters": {line for line in lines("iptables-save") if line.startswith(":")},
        "directories": {str(path) for path in paths.cluster_directory("x").parent.glob("*")},
    }


@pytest.mark.e2e
def test_two_clusters_run_side_by_side_and_down_removes_everything() -> None:
    before = traces()
    first = localcluster.up("left-one", node=True)
    second = localcluster.up("left-two", node=True)
    try:
        assert first.host_address != second.host_address
        for each in (first, second):
            each.run("create", "deployment", "web", f"--image={components.PAUSE}")
            each.run("rollout", "status", "deployment/web", "--timeout=60s")
        assert traces() != before
    finally:
        first.down()
        second.down()

    assert traces() == before


@pytest.mark.e2e
def test_a_pod_resolves_names_and_its_log_can_be_read() -> None:
    with localcluster.running("names", node=True) as found:
        found.load_image(images.operator())
        program = "import socket; print(socket.gethostbyname('kubernetes.default.svc'))"
        found.run("run", "asks", "--image=localhost/mcp-operator:dev", "--restart=Never", "--command", "--",
                  "python3.14", "-c", program)  # fmt: skip
        installation.until("it has ended", lambda: phase(found) == "Succeeded", 60)

        answer = found.run("logs", "asks").stdout.strip()
        assert answer == found.run("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}").stdout


def phase(found: localcluster.Cluster) -> str:
    return found.run("get", "pod", "asks", "-o", "jsonpath={.status.phase}").stdout


@pytest.mark.integration
def test_a_dead_component_is_reported_with_the_end_of_its_log() -> None:
    with localcluster.running("dying") as found:
        os.kill(found.pids()["kube-scheduler"], signal.SIGKILL)
        installation.until("the exit is noticed", lambda: bool(found.dead()), 20)

        assert found.dead()["kube-scheduler"].startswith("kube-scheduler exited with -9:")


@pytest.mark.integration
def test_up_cleans_a_cluster_whose_parent_was_killed() -> None:
    found = localcluster.up("orphan")
    parent = int(cluster._read(found.directory / "spec.json")["parent"])
    os.kill(parent, signal.SIGKILL)
    time.sleep(0.5)
    assert localcluster.find("orphan") is None

    again = localcluster.up("orphan")

    assert "default" in again.run("get", "namespaces", "-o", "name").stdout
    again.down()
    assert localcluster.find("orphan") is None


def test_down_of_a_missing_cluster_succeeds() -> None:
    localcluster.down("never-was")


@pytest.mark.parametrize("slot", [0, 7, 199])
def test_networks_of_two_slots_share_nothing(slot: int) -> None:
    one, other = network.Network(slot, "a"), network.Network(slot + 1, "b")

    assert not {one.node, one.host, one.pods, one.services, one.outer} & {
        other.node, other.host, other.pods, other.services, other.outer,
    }  # fmt: skip
    assert len(one.outer) <= 15


def test_only_what_production_needs_goes_into_the_image() -> None:
    lines = wheels.locked_requirements(paths.ROOT / "poetry.lock")

    names = {line.partition("==")[0] for line in lines}
    assert {"aiohttp", "pydantic", "redis"} <= names
    assert not {"pytest", "mypy", "mcp"} & names
    assert all("--hash=sha256:" in line for line in lines)


def test_another_version_of_kubernetes_changes_every_module_of_it(tmp_path: Path) -> None:
    module = tmp_path / "go.mod"
    module.write_text((paths.SOURCES / "kubernetes" / "go.mod").read_text())

    binaries._retarget(module, "v1.34.4")

    text = module.read_text()
    assert "k8s.io/kubernetes v1.34.4" in text
    assert "k8s.io/api => k8s.io/api v0.34.4" in text
    assert "36.3" not in text
