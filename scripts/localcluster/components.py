"""The components of a cluster: their command lines and configuration files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scripts.localcluster.certificates import Authority
    from scripts.localcluster.network import Network

__all__ = ["PAUSE", "Component", "Ports", "control_plane", "node"]

PAUSE = "localhost/pause:1"
DOMAIN = "cluster.local"


@dataclass(frozen=True, slots=True)
class Component:
    """A component and its command line."""

    name: str
    command: list[str]


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the control plane: the defaults in a network namespace, free ports on loopback."""

    etcd: int = 2379
    peer: int = 2380
    api: int = 6443
    controller_manager: int = 10257
    scheduler: int = 10259


def control_plane(
    directory: Path,
    programs: dict[str, str],
    authority: Authority,
    network: Network,
    ports: Ports,
    api_flags: Sequence[str] = (),
) -> list[Component]:
    """etcd, API server, controller-manager and scheduler. ``api_flags`` are further flags of the API server."""
    server = f"https://{network.node}:{ports.api}"
    etcd = f"http://127.0.0.1:{ports.etcd}"
    peer = f"http://127.0.0.1:{ports.peer}"
    signing = authority.signing_key()
    hosts = (
        network.node, "127.0.0.1", "localhost", network.service_api, "kubernetes", "kubernetes.default",
        "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}",
    )  # fmt: skip
    certificate, key = authority.issue("apiserver", "kube-apiserver", hosts=hosts)
    kubelet_client, kubelet_key = authority.issue("apiserver-kubelet", "kube-apiserver", ["system:masters"])
    manager = authority.kubeconfig(directory / "controller-manager.conf", server, "system:kube-controller-manager")
    scheduler = authority.kubeconfig(directory / "scheduler.conf", server, "system:kube-scheduler")
    return [
        Component("etcd", [
            programs["etcd"], f"--data-dir={directory / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
        ]),
        Component("kube-apiserver", [
            programs["kube-apiserver"], f"--etcd-servers={etcd}", f"--secure-port={ports.api}",
            f"--bind-address={network.node}", f"--advertise-address={network.node}",
            f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}", f"--client-ca-file={authority.ca_file}",
            f"--kubelet-client-certificate={kubelet_client}", f"--kubelet-client-key={kubelet_key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={signing}", f"--service-account-signing-key-file={signing}",
            f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
            f"--service-cluster-ip-range={network.services}", "--authorization-mode=Node,RBAC",
            "--allow-privileged=true", "--endpoint-reconciler-type=lease" if network.namespace else
            "--endpoint-reconciler-type=none", "--shutdown-delay-duration=0s", *api_flags,
        ]),
        Component("kube-controller-manager", [
            programs["kube-controller-manager"], f"--kubeconfig={manager}", "--leader-elect=false",
            f"--service-account-private-key-file={signing}", f"--root-ca-file={authority.ca_file}",
            "--use-service-account-credentials=true", "--bind-address=127.0.0.1",
            f"--secure-port={ports.controller_manager}",
        ]),
        Component("kube-scheduler", [
            programs["kube-scheduler"], f"--kubeconfig={scheduler}", "--leader-elect=false",
            "--bind-address=127.0.0.1", f"--secure-port={ports.scheduler}",
        ]),
    ]  # fmt: skip


def node(
    directory: Path, programs: dict[str, str], authority: Authority, network: Network, ports: Ports, name: str
) -> list[Component]:
    """containerd, kubelet, kube-proxy and CoreDNS."""
    server = f"https://{network.node}:{ports.api}"
    kubelet = authority.kubeconfig(directory / "kubelet.conf", server, f"system:node:{name}", ["system:nodes"])
    proxy = authority.kubeconfig(directory / "proxy.conf", server, "system:kube-proxy")
    dns = authority.kubeconfig(directory / "coredns.conf", server, "coredns", ["system:masters"])
    certificate, key = authority.issue("kubelet-server", name, hosts=(name, network.node))
    socket = directory / "containerd.sock"
    _write(directory / "containerd.toml", _containerd(directory, socket))
    _write(directory / "cni" / "10-bridge.conflist", json.dumps(_cni(network)))
    _write(directory / "kubelet.json", json.dumps(_kubelet(authority, network, socket, certificate, key)))
    _write(directory / "proxy.json", json.dumps(_proxy(network, proxy)))
    _write(directory / "Corefile", _corefile(network, dns))
    return [
        Component("containerd", [programs["containerd"], "--config", str(directory / "containerd.toml")]),
        Component("kubelet", [
            programs["kubelet"], f"--config={directory / 'kubelet.json'}", f"--kubeconfig={kubelet}",
            f"--root-dir={directory / 'kubelet'}", f"--node-ip={network.node}", f"--hostname-override={name}",
        ]),
        Component("kube-proxy", [programs["kube-proxy"], f"--config={directory / 'proxy.json'}",
                                 f"--hostname-override={name}"]),
        Component("coredns", [programs["coredns"], "-conf", str(directory / "Corefile")]),
    ]  # fmt: skip


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _containerd(directory: Path, socket: Path) -> str:
    # restrict_oom_score_adj: runc fails where the machine forbids lowering the score.
    return f"""
version = 2
root = "{directory / "containerd"}"
state = "{directory / "containerd-state"}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{directory / "cni"}"
"""


def _cni(network: Network) -> dict[str, object]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": network.pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, portmap]}


def _kubelet(authority: Authority, network: Network, socket: Path, certificate: Path, key: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.node,
        "authentication": {
            "x509": {"clientCAFile": str(authority.ca_file)},
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "containerRuntimeEndpoint": f"unix://{socket}",
        "clusterDNS": [network.dns],
        "clusterDomain": DOMAIN,
        "resolvConf": "",
        "podLogsDir": str(socket.parent / "pod-logs"),
        "failSwapOn": False,
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "evictionHard": {},
        "imageGCHighThresholdPercent": 100,
        "healthzBindAddress": "127.0.0.1",
        "syncFrequency": "10s",
        "configMapAndSecretChangeDetectionStrategy": "Watch",
    }


def _proxy(network: Network, kubeconfig: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "iptables",
        "clusterCIDR": network.pods,
        "conntrack": {"maxPerCore": 0, "min": 0},
        "iptables": {"minSyncPeriod": "100ms"},
    }


def _corefile(network: Network, kubeconfig: Path) -> str:
    return f""".:53 {{
    bind {network.node}
    errors
    health 127.0.0.1:8181
    ready 127.0.0.1:8182
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig} localcluster
        ttl 1
    }}
    cache 1
}}
"""
