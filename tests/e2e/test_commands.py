"""The commands of the pages that need a cluster, as they are written: each is run here or by another test."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from scripts.localcluster import installation
from tests.documentation import pages, places, tutorial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.localcluster import Cluster

pytestmark = pytest.mark.e2e

ROOT = pages.ROOT
# What takes an installation away, or speaks of objects of the reader, and who runs it.
ELSEWHERE = {
    "kubectl port-forward -n shop service/github-mcp 8000 &": "test_tutorial.py, of a Service that there is",
    "kubectl get mcptool find-orders -o jsonpath='{.status.conditions[?(@.type==\"Drifted\")]}'": "test_drift.py",
    "kubectl -n mcp-system get configmap mcp-operator-ledger-shop -o yaml": "tests/integration, of a Strict server",
    "kubectl apply -k manifests/overlays/production": "installation.install, with overlays/dev",
    "kubectl delete -k manifests/overlays/production": "test_removal.py, with overlays/dev",
    "kubectl delete -k manifests/base/crds": "test_removal.py",
    "kubectl -n mcp-system delete secret mcp-operator-ca": "tests/integration/test_installation.py",
    "kubectl -n mcp-system patch secret mcp-operator-ca --type=json -p "
    '\'[{"op": "remove", "path": "/data/previous.crt"}]\'': "tests/integration/test_installation.py",
    "kubectl delete namespace mcp-system": "test_removal.py",
    "kubectl -n mcp-shops rollout status deployment/mcp-operator-controller": "the same for mcp-system is run here",
    "kubectl scale mcpserver NAME --replicas=N": "test_conditions.py, of a server that there is",
    "kubectl rollout restart": "test_installation.py, of a Deployment that there is",
    "kubectl -n mcp-system delete secret mcp-operator-catalog-keys": "tests/controller/signing",
    "kubectl delete validatingwebhookconfigurations,mutatingwebhookconfigurations -l "
    "app.kubernetes.io/part-of=mcp-operator": "tests/integration/programs.py, when no controller runs",
    "mcp-operator registration --namespace mcp-shops --namespaces bank,shop > registration.yaml": (
        "tests/integration/test_namespaced.py"
    ),
    "kubectl apply -f registration.yaml": "tests/integration/test_namespaced.py",
    "kubectl delete -f registration.yaml": "tests/integration/test_namespaced.py",
    "kubectl apply -k manifests/overlays/namespaced": "tests/integration/test_namespaced.py",
    "kubectl delete -k manifests/overlays/namespaced": "tests/integration/test_namespaced.py",
}

# Pages whose namespace is that of the examples, too, and the namespace that is used instead.
APART = {"cli/starter/README.md": "starter"}


def commands(name: str) -> Iterator[pages.Command]:
    """The commands in the blocks of a page that need a cluster, and those within its sentences."""
    text = (ROOT / name).read_text()
    for step in pages.read(text):
        if isinstance(step, pages.Command) and places.needs_a_cluster(step.line):
            yield step
    for line in re.findall(r"(?<!`)`(kubectl(?: -n \S+)? [a-z]+ (?!--)[^`]+)`(?!`)", text):
        yield pages.Command("", " ".join(line.split()), None)


FOUND = {
    places.normalised(found.line): (name, found)
    for name in places.DOCUMENTS
    if name not in places.WHOLE
    for found in commands(name)
}
RUN = [pytest.param(*FOUND[line], id=f"{FOUND[line][0]}: {line}") for line in FOUND if line not in ELSEWHERE]


def without_ages(printed: str) -> str:
    """The ages at the ends of the lines are replaced."""
    return re.sub(r" (\d+[smhd])+$", " 1s", printed, flags=re.MULTILINE)


@pytest.mark.parametrize(("name", "command"), RUN)
def test_a_command_of_the_pages_does_what_it_says(
    cluster: Cluster, name: str, command: pages.Command, tmp_path: Path
) -> None:
    environment = tutorial.environment(tmp_path, KUBECONFIG=str(cluster.kubeconfig))
    folder = places.prepare(name, tmp_path)
    if name in APART:
        for file in folder.rglob("*.yaml"):
            file.write_text(re.sub(r"\b((?:namespace|name): )shop\b", rf"\1{APART[name]}", file.read_text()))
    done = subprocess.run(
        ["bash", "-uc", f"set -o pipefail; {command.line}"],
        cwd=folder,
        env={**environment, "PATH": f"{cluster.kubectl.parent}:{environment['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )

    if command.output is not None:
        assert pages.difference(without_ages(command.output), without_ages(done.stdout)) is None, done.stdout
    assert done.returncode == 0 or "rror" in (command.output or ""), done.stdout
    if name in APART:
        cluster.run("delete", "namespace", APART[name], "--wait=false")
    installation.until("admission is in force", lambda: installation.failure_policy(cluster) == "Fail", 120)


def test_every_command_is_run_here_or_elsewhere() -> None:
    assert set(ELSEWHERE) <= set(FOUND)
    assert len(RUN) >= 8
