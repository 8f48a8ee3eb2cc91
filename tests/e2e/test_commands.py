"""The commands of docs/operations as they are written there, on a node: each is run here or by another test."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.localcluster import installation

if TYPE_CHECKING:
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "operations").glob("*.md"))
# What takes an installation away, or needs an image registry, and who runs it.
ELSEWHERE = {
    "make wheels": "scripts.localcluster.images, for the image of this cluster",
    "docker build --tag REGISTRY/mcp-operator:TAG .": "needs Docker",
    "docker push REGISTRY/mcp-operator:TAG": "needs a registry",
    "(cd manifests/overlays/production && kustomize edit set image mcp-operator=REGISTRY/mcp-operator:TAG)": (
        "needs kustomize"
    ),
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


def commands(page: Path) -> list[str]:
    """The commands in the shell blocks of a page, and those within its sentences."""
    text = page.read_text()
    blocks = "\n".join(re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
    within = re.findall(r"(?<!`)`(kubectl -?[^`]{12,})`(?!`)", text)
    return [" ".join(line.split()) for line in (*blocks.splitlines(), *within) if line.strip()]


FOUND = {command: page for page in PAGES for command in commands(page)}
RUN = [
    pytest.param(command, id=f"{page.stem}: {command}") for command, page in FOUND.items() if command not in ELSEWHERE
]


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_pages_does_what_it_says(cluster: Cluster, command: str) -> None:
    path = f"{cluster.kubectl.parent}:{os.environ['PATH']}"  # noqa: TID251 -- as in a shell
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "KUBECONFIG": str(cluster.kubeconfig)},  # noqa: TID251 -- as in a shell
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    installation.until("admission is in force", lambda: installation.failure_policy(cluster) == "Fail", 120)


def test_every_command_is_run_here_or_elsewhere() -> None:
    assert set(ELSEWHERE) <= set(FOUND)
    assert len(RUN) >= 8
