"""The parent of a cluster's processes: starts and watches them, and ends them when it exits.

With a node it is the first process of a PID and a mount namespace, so all processes and mounts of the cluster end with
it. Without a node, its children have a parent-death signal.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

__all__ = ["main"]

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
MS_NODEV_NOSUID_NOEXEC = 0x4 | 0x2 | 0x8
FIRST = ("etcd", "containerd")
TAIL = 15
# containerd, CNI and kubelet write here whatever their configuration says: mounted only in this mount namespace.
PRIVATE = tuple(map(Path, ("/run/netns", "/run/containerd", "/var/lib/cni", "/var/log/containers")))


def main(directory: Path) -> int:
    """Run the components of ``spec.json`` until SIGTERM or SIGINT, and report their state in ``state.json``."""
    spec = json.loads((directory / "spec.json").read_text())
    if spec["namespaces"]:
        _prepare_namespaces()
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", "")  # noqa: TID251 -- a script
    running: dict[str, subprocess.Popen[bytes]] = {}
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    commands = {component["name"]: component["command"] for component in spec["components"]}
    order = [name for name in commands if name in FIRST] + ["kube-apiserver"]
    for name in order:
        running[name] = _start(directory, name, commands[name])
    _wait_for_api(directory, spec["server"], running, stopping)
    for name, command in commands.items():
        if name not in running:
            running[name] = _start(directory, name, command)
    _write(directory, running, {})
    dead: dict[str, str] = {}
    while not stopping:
        _reap(running, dead, directory)
        for name in [name for name in dead if (directory / f"start-{name}").exists()]:
            running[name] = _start(directory, name, commands[name])
            del dead[name]
            _write(directory, running, dead)
            (directory / f"start-{name}").unlink()
        time.sleep(0.2)
    for process in reversed(running.values()):
        process.terminate()
    deadline = time.monotonic() + 5
    for process in running.values():
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
    return 0


def _prepare_namespaces() -> None:
    """Mount /proc of the new PID namespace and private directories, and enable forwarding."""
    if LIBC.mount(b"proc", b"/proc", b"proc", MS_NODEV_NOSUID_NOEXEC, None) != 0:
        raise OSError(ctypes.get_errno(), "mounting /proc")
    for place in PRIVATE:
        place.mkdir(parents=True, exist_ok=True)
        if LIBC.mount(b"tmpfs", str(place).encode(), b"tmpfs", 0, None) != 0:
            raise OSError(ctypes.get_errno(), f"mounting a tmpfs at {place}")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _start(directory: Path, name: str, command: list[str]) -> subprocess.Popen[bytes]:
    log = (directory / "logs" / f"{name}.log").open("ab")
    parent = os.getpid()

    def set_death_signal() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    environment = {key: value for key, value in os.environ.items() if not key.startswith("KUBE")}  # noqa: TID251
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=set_death_signal,
        env=environment,
        cwd=directory,
    )


def _wait_for_api(directory: Path, server: str, running: dict[str, Any], stopping: list[int]) -> None:
    context = ssl.create_default_context(cafile=str(directory / "pki" / "ca.crt"))
    context.load_cert_chain(directory / "pki" / "admin.crt", directory / "pki" / "admin.key")
    while not stopping:
        _reap(running, {}, directory)
        try:
            with urllib.request.urlopen(f"{server}/readyz", context=context, timeout=2) as answer:  # noqa: S310 -- https
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)


def _reap(running: dict[str, Any], dead: dict[str, str], directory: Path) -> None:
    """Record components that have exited and, as the first process, reap orphans."""
    changed = False
    for name, process in running.items():
        if name not in dead and process.poll() is not None:
            log = (directory / "logs" / f"{name}.log").read_text(errors="replace").splitlines()
            dead[name] = f"{name} exited with {process.returncode}:\n" + "\n".join(log[-TAIL:])
            changed = True
    if changed:
        _write(directory, running, dead)
    if os.getpid() == 1:
        known = {process.pid for process in running.values()}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in known:
                return
            os.waitpid(found.si_pid, 0)


def _write(directory: Path, running: dict[str, Any], dead: dict[str, str]) -> None:
    state = {"pids": {name: process.pid for name, process in running.items()}, "dead": dead}
    temporary = directory / "state.json.new"
    temporary.write_text(json.dumps(state))
    temporary.rename(directory / "state.json")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
