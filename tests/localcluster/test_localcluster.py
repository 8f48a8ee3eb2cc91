"""The local cluster: it removes what it creates, reports components that died, and runs beside others."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts import localcluster
from scripts.localcluster import binaries, cluster, components, images, installation, network, paths, wheels

if TYPE_CHECKING:
    from collections.abc import Callable


# The names of the clusters whose traces are looked for begin with it. Other tests run clusters at the same time.
LEFT = "left-"


def processes() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(str(paths.cluster_directory(LEFT)).encode() in word for word in words):
                found.add(entry.name)
    return found


def traces() -> dict[str, set[str]]:
    """Everything that the clusters could leave on this machine."""

    def lines(*command: str) -> set[str]:
        return set(subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines())

    return {
        "processes": processes(),
        "mounts": set(Path("/proc/self/mounts").read_text().splitlines()),
        "interfaces": {line.partition(":")[2].split("@")[0] for line in lines("ip", "-o", "link")},
        "routes": lines("ip", "route"),
        "network namespaces": lines("ip", "netns") | {str(path) for path in Path("/run/netns").glob("*")},
        "packet filters": {line for line in lines("iptables-save") if line.startswith(":")},
        "directories": {str(path) for path in paths.state_directory().glob(f"{LEFT}*")},
    }


@pytest.mark.e2e
def test_two_clusters_run_side_by_side_and_down_removes_everything() -> None:
    before = traces()
    first = localcluster.up(f"{LEFT}one", node=True)
    second = localcluster.up(f"{LEFT}two", node=True)
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


def test_the_image_has_the_extra_for_traces_and_others_need_not() -> None:
    lock = paths.ROOT / "poetry.lock"
    plain, image = set(wheels.locked_requirements(lock)), set(wheels.locked_requirements(lock, wheels.EXTRAS))

    assert plain < image
    assert {"opentelemetry-sdk", "opentelemetry-proto", "protobuf", "requests"} <= {
        line.partition("==")[0] for line in image - plain
    }
    assert not [line for line in image if "extra" in line]


def test_another_version_of_kubernetes_changes_every_module_of_it(tmp_path: Path) -> None:
    module = tmp_path / "go.mod"
    module.write_text((paths.SOURCES / "kubernetes" / "go.mod").read_text())

    binaries._retarget(module, "v1.34.4")

    text = module.read_text()
    assert "k8s.io/kubernetes v1.34.4" in text
    assert "k8s.io/api => k8s.io/api v0.34.4" in text
    assert "36.3" not in text


def test_the_directory_of_root_is_where_only_root_can_create_it() -> None:
    directory = paths.state_directory()

    if os.geteuid() == 0:
        assert directory.parent.stat().st_uid == 0
        assert not directory.parent.stat().st_mode & 0o022
    assert paths.private(directory).stat().st_mode & 0o777 == 0o700


def test_a_directory_that_is_created_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert paths.private(tmp_path / "state").stat().st_mode & 0o777 == 0o700
        assert paths.private(tmp_path / "state") == tmp_path / "state"
    finally:
        os.umask(before)


def linked(directory: Path) -> None:
    (directory.parent / "target").mkdir(mode=0o700)
    directory.symlink_to("target")


def dangling(directory: Path) -> None:
    directory.symlink_to("/var/lib/never-was")


def plain(directory: Path) -> None:
    directory.write_text("")


def open_to_others(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (linked, "is a symbolic link"),
        (dangling, "is a symbolic link"),
        (plain, "is not a directory"),
        (open_to_others, "has mode 0777"),
    ],
)
def test_a_directory_that_somebody_else_prepared_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: Callable[[Path], None], message: str
) -> None:
    """The attack: another user makes the directory before root starts a cluster, and plants what root runs or kills."""
    directory = tmp_path / "state"
    attack(directory)
    monkeypatch.setattr(paths, "state_directory", lambda: directory)

    for use in (paths.clusters, lambda: localcluster.find("dev"), lambda: localcluster.down("dev"),
                lambda: localcluster.up("dev")):  # fmt: skip
        with pytest.raises(RuntimeError, match=message):
            use()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "state"
    (directory / "dev").mkdir(parents=True)
    directory.chmod(0o700)
    victim = subprocess.Popen(["sleep", "60"])
    (directory / "dev" / "spec.json").write_text(f'{{"parent": {victim.pid}, "namespaces": false}}')
    os.chown(directory, 65534, 65534)
    monkeypatch.setattr(paths, "state_directory", lambda: directory)

    try:
        with pytest.raises(RuntimeError, match="belongs to user 65534"):
            localcluster.down("dev")
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_root_runs_no_program_from_a_cache_that_others_can_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert paths.cache() == tmp_path / "mcp-operator"

    (tmp_path / "mcp-operator").chmod(0o777)
    with pytest.raises(RuntimeError, match="others can change"):
        paths.cache()


def test_the_cache_keeps_the_files_that_were_used_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for age, name in enumerate(("operator-3.tar", "operator-1.tar", "operator-2.tar", "python-4.tar")):
        (paths.cache() / name).touch()
        os.utime(paths.cache() / name, (1000 - age, 1000 - age))

    paths.keep_newest("operator-*.tar", 2)

    assert {file.name for file in paths.cache().iterdir()} == {"operator-3.tar", "operator-1.tar", "python-4.tar"}


def test_an_image_that_is_used_again_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    base = tmp_path / "base.tar"
    wheel = tmp_path / "project.whl"
    monkeypatch.setattr(images.packages, "ensure", lambda _packages: None)
    monkeypatch.setattr(images, "_debian", lambda *_what: base)
    monkeypatch.setattr(wheels, "wheelhouse", lambda: [wheel])
    monkeypatch.setattr(images, "_build", lambda *arguments: arguments[-1].touch())
    built = []
    for state in range(images.KEPT_IMAGES + 1):
        wheel.write_text(str(state))
        built.append(images.operator())
        os.utime(built[-1], (state, state))
        wheel.write_text("0")
        assert images.operator() == built[0]

    assert sorted(file for file in built if file.exists()) == sorted([built[0], *built[2:]])


LINKS = "1: lo: <LOOPBACK>\n7: mcplc0o@if6: <BROADCAST>\n"


@pytest.mark.parametrize(
    ("routes", "slot"),
    [
        ("default via 10.0.0.1 dev eth0\n10.0.0.0/8 dev vpn scope link\n", 1),
        ("10.112.1.0/24 dev vpn\n", 2),
        ("10.113.1.128/25 via 10.0.0.1 dev vpn\n10.111.2.1 dev vpn\n", 3),
        ("blackhole 10.112.1.0/24\nunreachable default metric 4278198272\n", 2),
    ],
)
def test_a_network_to_which_the_host_has_a_route_is_not_used(routes: str, slot: int) -> None:
    assert network.unused("a", LINKS, routes).slot == slot


def test_a_machine_without_an_unused_network_says_so() -> None:
    routes = "".join(f"10.112.{slot}.0/24 dev vpn\n" for slot in range(network.SLOTS))

    with pytest.raises(RuntimeError, match="routes to their subnets"):
        network.unused("a", LINKS, routes)


def test_no_route_of_the_host_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(network, "_ip", lambda *words: ran.append(words))

    network.Network(3, "mcp-a").create()

    assert ("route", "add", "10.112.3.0/24", "via", "10.111.3.2") in ran
    assert not [words for words in ran if "replace" in words]
