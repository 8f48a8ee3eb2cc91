"""``make run``: the product on a local cluster of its own or, with a context, on a cluster of yours."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

from mcp import Client

from scripts import localcluster
from scripts.localcluster import installation, paths, progress
from scripts.localcluster.ports import free_port

REFUSED = paths.ROOT / "manifests" / "examples" / "invalid" / "DuplicateName--tool.yaml"
PROGRAM = [sys.executable, "-m", "cli"]


def main() -> int:
    """0 after Ctrl-C or ``--once``; 1 if something did not come up."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--context", default="", help="use this context of your kubeconfig; nothing else is touched")
    parser.add_argument("--name", default="dev", help="name of the local cluster")
    parser.add_argument("--once", action="store_true", help="show everything, then clean up at once")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.context:
            return _on_context(arguments.context, once=arguments.once)
        return _on_local_cluster(arguments.name, once=arguments.once)
    except KeyboardInterrupt:
        return 0
    except RuntimeError as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1


def _on_local_cluster(name: str, *, once: bool) -> int:
    cluster = localcluster.up(name, node=True)
    try:
        if not cluster.node:
            return _as_processes(cluster, once=once)
        installation.install(cluster)
        installation.examples(cluster)
        _show_refusal(cluster)
        address = cluster.run("-n", "shop", "get", "service", "main-mcp", "-o", "jsonpath={.spec.clusterIP}").stdout
        url = f"http://{address}/mcp"
        _show_call(url)
        print(f"\nMCP endpoint   {url}\nkubectl        export KUBECONFIG={cluster.kubeconfig}")
        print(f"               {cluster.kubectl} get mcp -n shop")
        if not once:
            print("\nThe operator's log follows; Ctrl-C takes everything down.\n", flush=True)
            follow(cluster)
        return 0
    finally:
        with progress.step("taking the cluster down"):
            cluster.down()


def _show_refusal(cluster: localcluster.Cluster) -> None:
    print(f"\n$ kubectl apply -f {REFUSED.relative_to(paths.ROOT)}")
    done = cluster.run("apply", "-f", str(REFUSED), check=False)
    print((done.stdout + done.stderr).strip())
    if done.returncode == 0:
        raise RuntimeError("a conflicting tool was admitted; this is a bug of the operator")


def _show_call(url: str) -> None:
    async def call() -> str:
        async with Client(url) as client:
            result = await client.call_tool("search_orders", {"status": "open"})
            return "\n".join(getattr(block, "text", "") for block in result.content)

    print(f'\nMCP tools/call search_orders {{"status": "open"}} at {url}')
    print(asyncio.run(call()), flush=True)


def follow(cluster: localcluster.Cluster) -> None:
    """Print the logs of the operator's pods, and of the pods that replace them, until KeyboardInterrupt."""
    selector = "app.kubernetes.io/name in (mcp-operator-webhook, mcp-operator-controller)"
    running = ["get", "pods", "--selector", selector, "--field-selector=status.phase=Running", "-o", "name"]
    command = [str(cluster.kubectl), "--kubeconfig", str(cluster.kubeconfig), "-n", "mcp-system", "logs", "--prefix"]
    followed: dict[str, subprocess.Popen[bytes]] = {}
    try:
        while True:
            for pod in cluster.run("-n", "mcp-system", *running, check=False).stdout.split():
                if pod not in followed:
                    followed[pod] = subprocess.Popen([*command, "--follow", "--tail=20", pod])
                elif followed[pod].poll() is not None:
                    # The container was restarted, or the pod is about to go.
                    followed[pod] = subprocess.Popen([*command, "--follow", "--since=1s", pod])
            time.sleep(1)
    except KeyboardInterrupt:
        pass
    finally:
        for process in followed.values():
            process.terminate()
        for process in followed.values():
            process.wait()


def _as_processes(cluster: localcluster.Cluster, *, once: bool) -> int:
    """Without a node the operator runs here, and the servers' Deployments stay without pods."""
    flags = ["--kubeconfig", str(cluster.kubeconfig)]
    kubectl = [str(cluster.kubectl), *flags]
    return _operate(kubectl, flags, "127.0.0.1", "https://127.0.0.1", once=once, pods=False)


def _on_context(context: str, *, once: bool) -> int:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise RuntimeError("CONTEXT needs kubectl on the PATH")
    # The API server has to reach a process of this machine; k3d gives the machine a name.
    host = os.environ.get("WEBHOOK_HOST") or ("host.k3d.internal" if context.startswith("k3d-") else _own_address())  # noqa: TID251 -- a script
    flags = ["--context", context]
    return _operate([kubectl, *flags], flags, host, f"https://{host}", once=once, pods=True)


def _operate(kubectl: list[str], flags: list[str], host: str, url: str, *, once: bool, pods: bool) -> int:
    ports = [free_port() for _ in range(4)]
    with progress.step("applying the CustomResourceDefinitions and namespaces"):
        for words in (
            ["apply", "-f", str(paths.ROOT / "manifests/base/namespace.yaml")],
            ["apply", "-k", str(paths.ROOT / "manifests/base/crds")],
            ["apply", "-f", str(paths.ROOT / "manifests/examples/valid/00-namespace.yaml")],
        ):
            _checked([*kubectl, *words])
    programs = [
        [*PROGRAM, "webhook", *flags, "--port", str(ports[0]), "--next-port", str(ports[3]),
         "--health-port", str(ports[1]), "--name", host, "--drain-seconds", "0"],
        [*PROGRAM, "controller", *flags, "--health-port", str(ports[2]), "--webhook-url", f"{url}:{ports[0]}",
         "--webhook-next-url", f"{url}:{ports[3]}", "--runtime-image", "localhost/mcp-operator:dev",
         "--pod-access", "proxy"],
    ]  # fmt: skip
    running = [subprocess.Popen(program, cwd=paths.ROOT) for program in programs]
    try:
        policy = ["get", "validatingwebhookconfiguration", "mcp-operator-validating", "-o",
                  "jsonpath={.webhooks[0].failurePolicy}"]  # fmt: skip
        with progress.step("webhook and controller, as processes of this machine"):
            installation.until("admission is in force", lambda: _output([*kubectl, *policy]) == "Fail", 60)
        _checked([*kubectl, "apply", "-f", str(paths.ROOT / "manifests/examples/valid")])
        print(f"\n$ kubectl apply -f {REFUSED.relative_to(paths.ROOT)}", flush=True)
        subprocess.run([*kubectl, "apply", "-f", str(REFUSED)], check=False)
        if not pods:
            print("\nWithout a node there are no pods: no tool can be called. A node needs root on Linux.", flush=True)
        while not once and all(process.poll() is None for process in running):
            time.sleep(0.5)
        return 0 if once else 1
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
        # Without these processes the webhook would refuse every change, so its configurations are deleted with them.
        kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
        _output([*kubectl, "delete", kinds, "--selector", "app.kubernetes.io/part-of=mcp-operator"])


def _checked(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[-3:])}: {done.stderr.strip()}")


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


if __name__ == "__main__":
    sys.exit(main())
