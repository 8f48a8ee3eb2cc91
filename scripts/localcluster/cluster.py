"""Starts, finds and stops local clusters: the Python API of this package."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.localcluster import binaries, certificates, components, images, network, packages, paths, progress
from scripts.localcluster.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Cluster", "down", "find", "running", "up"]

READY_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. ``host_address`` is the address of this machine as seen from the cluster."""

    name: str
    directory: Path
    node: bool
    host_address: str
    kubernetes: str

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the administrator."""
        return self.directory / "kubeconfig"

    @property
    def kubectl(self) -> Path:
        """A kubectl of the cluster's version."""
        return self.directory / "bin" / "kubectl"

    def run(self, *words: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl against the cluster."""
        command = [str(self.kubectl), "--kubeconfig", str(self.kubeconfig), *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done

    def log(self, component: str) -> str:
        """The log of a component."""
        return (self.directory / "logs" / f"{component}.log").read_text(errors="replace")

    def load_image(self, archive: Path) -> None:
        """Load the images of a Docker archive into the node."""
        images.load(self.directory / "containerd.sock", archive)

    def dead(self) -> dict[str, str]:
        """The components that have exited, with the last lines of their logs."""
        return dict(_state(self.directory).get("dead", {}))

    def pids(self) -> dict[str, int]:
        """The process IDs of the components in the PID namespace of the cluster."""
        return dict(_state(self.directory).get("pids", {}))

    def pause(self, component: str) -> None:
        """Stop a component where it stands: its connections stay open, and nothing is answered."""
        self._signal(component, signal.SIGSTOP)

    def resume(self, component: str) -> None:
        """Let a paused component go on."""
        self._signal(component, signal.SIGCONT)

    def kill(self, component: str) -> None:
        """Kill a component, and wait until it is known to be dead."""
        self._signal(component, signal.SIGKILL)
        while component not in self.dead():
            time.sleep(0.05)

    def start(self, component: str) -> None:
        """Start a component again that was killed; it may take a while until it answers."""
        request = self.directory / f"start-{component}"
        request.touch()
        while request.exists():
            time.sleep(0.05)

    def argument(self, component: str, flag: str) -> str:
        """The value of a flag on a component's command line. Raises StopIteration if it has no such flag."""
        command = next(part["command"] for part in self._spec()["components"] if part["name"] == component)
        return str(next(word.partition("=")[2] for word in command if word.startswith(f"{flag}=")))

    def down(self) -> None:
        """Stop the cluster and remove everything that it created."""
        down(self.name)

    def _spec(self) -> dict[str, Any]:
        return _read(self.directory / "spec.json")

    def _signal(self, component: str, number: signal.Signals) -> None:
        pid = self.pids()[component]
        os.kill(self._outside(pid) if self.node else pid, number)

    def _outside(self, pid: int) -> int:
        """The process ID of a component of a cluster with a node, as it is known outside its PID namespace."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                ids = re.search(r"^NSpid:\t(.*)$", (folder / "status").read_text(), re.MULTILINE)
                is_ours = str(self.directory) in (folder / "cmdline").read_text()
                if is_ours and ids is not None and ids[1].split()[1:] == [str(pid)]:
                    return int(folder.name)
        raise RuntimeError(f"process {pid} of cluster {self.name} is gone")


@contextlib.contextmanager
def running(
    name: str, *, node: bool = False, kubernetes: str = binaries.DEFAULT_KUBERNETES, api_flags: Sequence[str] = ()
) -> Iterator[Cluster]:
    """Run a cluster for the duration of a block."""
    cluster = up(name, node=node, kubernetes=kubernetes, api_flags=api_flags)
    try:
        yield cluster
    finally:
        cluster.down()


def up(
    name: str = "dev",
    *,
    node: bool = False,
    kubernetes: str = binaries.DEFAULT_KUBERNETES,
    api_flags: Sequence[str] = (),
) -> Cluster:
    """Start a cluster, or return the running one of this name. Raises RuntimeError if it fails.

    ``api_flags`` are further flags of the API server.
    """
    if node and (os.geteuid() != 0 or platform.system() != "Linux"):
        progress.note("a node needs root on Linux: starting the control plane only")
        node = False
    existing = find(name)
    if existing is not None and not existing.dead():
        if (existing.node or not node) and existing.kubernetes == kubernetes:
            return existing
        what = f"Kubernetes {existing.kubernetes}{' with a node' if existing.node else ', control plane only'}"
        raise RuntimeError(f'cluster "{name}" already runs {what}; stop it or use another name')
    down(name)
    if node:
        packages.ensure(packages.NODE)
    programs = _programs(kubernetes, node=node)
    try:
        return _start(name, programs, node=node, kubernetes=kubernetes, api_flags=api_flags)
    except BaseException:
        down(name)
        raise


def down(name: str = "dev") -> None:
    """Stop a cluster and remove its processes, mounts, interfaces and files. Does nothing if it does not exist."""
    directory = paths.cluster_directory(name)
    spec = _read(directory / "spec.json")
    if spec.get("parent"):
        _end(int(spec["parent"]), directory, gently=not spec["namespaces"])
    if spec.get("network"):
        network.Network(**spec["network"]).remove()
    _remove_cgroups(name)
    shutil.rmtree(directory, ignore_errors=True)


def find(name: str) -> Cluster | None:
    """The cluster of this name if its parent process is alive, else None."""
    directory = paths.cluster_directory(name)
    spec = _read(directory / "spec.json")
    if not spec.get("ready") or not _is_ours(int(spec["parent"]), directory):
        return None
    return Cluster(name, directory, bool(spec["namespaces"]), spec["host"], spec["kubernetes"])


def _programs(kubernetes: str, *, node: bool) -> dict[str, str]:
    """The path of each program. A multi-call binary is started through links with the names of its programs."""
    programs = {name: str(binaries.kubernetes(kubernetes)) for name in _MULTI_CALL}
    assets = os.environ.get("KUBEBUILDER_ASSETS")  # noqa: TID251 -- the convention of envtest
    if assets:
        programs |= {name: str(Path(assets) / name) for name in ("etcd", "kube-apiserver")}
    if node:
        programs |= {"coredns": str(binaries.coredns()), "containerd": "/usr/bin/containerd"}
    return programs


_MULTI_CALL = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
)  # fmt: skip


def _start(name: str, programs: dict[str, str], *, node: bool, kubernetes: str, api_flags: Sequence[str]) -> Cluster:
    directory = paths.cluster_directory(name)
    (directory / "logs").mkdir(parents=True)
    (directory / "bin").mkdir()
    for program, target in programs.items():
        (directory / "bin" / program).symlink_to(target)
    linked = {program: str(directory / "bin" / program) for program in programs}
    with paths.locked("network"):
        net = network.free(name) if node else network.loopback()
        ports = components.Ports() if node else components.Ports(*[free_port() for _ in range(5)])
        # Written first, so that `down` can clean up after a failure or interruption.
        _write(directory, {"namespaces": node, "network": asdict(net)})
        net.create()
    with progress.step(f"starting Kubernetes {kubernetes}{' with a node' if node else ', control plane only'}"):
        server = f"https://{net.node}:{ports.api}"
        authority = certificates.Authority(directory / "pki")
        authority.kubeconfig(directory / "kubeconfig", server, "admin", ["system:masters"])
        authority.issue("admin", "admin", ["system:masters"])
        parts = components.control_plane(directory, linked, authority, net, ports, api_flags)
        if node:
            parts += components.node(directory, linked, authority, net, ports, f"node-{name}")
        spec = {
            "namespaces": node,
            "network": asdict(net),
            "host": net.host,
            "kubernetes": kubernetes,
            "server": server,
            "components": [asdict(part) for part in parts],
        }
        _write(directory, spec)
        parent = _spawn(directory, net.namespace)
        _write(directory, {**spec, "parent": parent})
        cluster = Cluster(name, directory, node, net.host, kubernetes)
        _wait(cluster, "the API server", lambda: bool(_state(directory)))
        if node:
            _finish_node(cluster, net)
        _wait(
            cluster, "the default namespace", lambda: "default" in _out(cluster, "get", "serviceaccounts", "-o", "name")
        )
        _write(directory, {**spec, "parent": parent, "ready": True})
    return cluster


def _finish_node(cluster: Cluster, net: network.Network) -> None:
    cluster.run("apply", "-f", "-", stdin=json.dumps(_dns_manifests(net)))
    _wait(cluster, "containerd", lambda: (cluster.directory / "containerd.sock").exists())
    cluster.load_image(images.pause(components.PAUSE))
    ready = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
    _wait(cluster, "the node", lambda: _out(cluster, "get", "nodes", "-o", ready) == "True")


def _dns_manifests(net: network.Network) -> dict[str, Any]:
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    service = {"clusterIP": net.dns, "ports": ports}
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [net.node], "conditions": {"ready": True}}],
    }
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service}, endpoints],
    }


def _spawn(directory: Path, namespace: str | None) -> int:
    command = [sys.executable, "-m", "scripts.localcluster.parent", str(directory)]
    if namespace:
        # Not `ip netns exec`: it would hide /sys/fs/cgroup.
        inside = ["nsenter", f"--net=/run/netns/{namespace}", "unshare", "--mount", "--propagation", "private"]
        command = [*inside, "--pid", "--fork", "--kill-child", *command]
    with (directory / "logs" / "parent.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=paths.ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    return process.pid


def _wait(cluster: Cluster, what: str, there: Any) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        dead = cluster.dead()
        if dead:
            raise RuntimeError("\n".join(dead.values()))
        if there():
            return
        if time.monotonic() > deadline:
            logs = "\n".join(f"{log.name}: {log.read_text()[-500:]}" for log in (cluster.directory / "logs").iterdir())
            raise RuntimeError(f"{what} was not ready within {READY_SECONDS} s\n{logs}")
        time.sleep(0.1)


def _out(cluster: Cluster, *words: str) -> str:
    return cluster.run(*words, check=False).stdout.strip()


def _is_ours(pid: int, directory: Path) -> bool:
    """Whether the process is the parent of this cluster, and not another one with a reused PID."""
    with contextlib.suppress(OSError):
        return str(directory) in Path(f"/proc/{pid}/cmdline").read_text()
    return False


def _end(pid: int, directory: Path, *, gently: bool) -> None:
    deadline = time.monotonic() + 10
    while _is_ours(pid, directory):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM if gently and time.monotonic() < deadline else signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.1)


def _remove_cgroups(_name: str) -> None:
    """Remove the empty control groups of deleted containers."""
    for base in Path("/sys/fs/cgroup").glob("*/k8s.io"):
        for group in sorted(base.rglob("*"), reverse=True):
            if group.is_dir():
                with contextlib.suppress(OSError):
                    group.rmdir()


def _write(directory: Path, spec: dict[str, Any]) -> None:
    temporary = directory / "spec.json.new"
    temporary.write_text(json.dumps(spec))
    temporary.rename(directory / "spec.json")


def _read(file: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, json.JSONDecodeError):
        return dict(json.loads(file.read_text()))
    return {}


def _state(directory: Path) -> dict[str, Any]:
    return _read(directory / "state.json")
