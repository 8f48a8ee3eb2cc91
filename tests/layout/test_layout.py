"""Rules of the repository itself: imports, generated files, names, pages, commands and links."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from cli.commands import generate
from crd.finding import Reason

ROOT = Path(__file__).parents[2]
PACKAGES = ("crd", "cluster", "certs", "webhook", "controller", "runtime", "cli")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text()))


def test_generated_files_are_current() -> None:
    assert {name: (ROOT / name).read_text() for name in generate.render_files()} == generate.render_files()


def test_a_definition_fits_into_the_annotation_of_kubectl_apply() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "manifests/base/crds").glob("mcp*.yaml")}

    assert len(sizes) == 4
    assert max(sizes.values()) <= 256 * 1024


def test_the_pure_modules_are_those_of_the_pure_packages() -> None:
    """A module that claims to be pure is held to it by the import contract, and so is all of a pure package."""
    contract = next(c for c in PYPROJECT["tool"]["importlinter"]["contracts"] if c["name"].startswith("Pure"))
    listed = tuple(contract["source_modules"])
    pure = {dotted(path) for path in MODULES if (docstring(path) or "").startswith("PURE.")}
    held = {name for name in map(dotted, MODULES) if name in listed or name.startswith(tuple(f"{s}." for s in listed))}

    assert pure == held
    assert set(listed) <= held


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_page_and_an_example(reason: Reason) -> None:
    assert (ROOT / "docs" / "errors" / f"{reason}.md").exists()
    examples = [*(ROOT / "manifests/examples").rglob(f"{reason}--*.yaml")]
    # What only the controller finds.
    assert examples or reason is Reason.NAME_CONFLICT


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_has_a_docstring_and_lists_its_public_names(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    named = [n for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"]
    assert named or path.name == "__init__.py"


def commands(document: str) -> list[str]:
    """The command lines of a document's shell blocks."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    lines = [line.removeprefix("$ ").partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/operations/README.md"])
def test_the_commands_of_the_documents_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in commands(document):
        words = [word for word in line.split() if "=" not in word or word.startswith("-")]
        if words[0] == "make":
            assert set(words[1:]) <= targets, line
        if "mcp-operator" in words[0]:
            done = subprocess.run(
                [ROOT / ".venv/bin/mcp-operator", words[1], "--help"], capture_output=True, check=False
            )
            assert done.returncode == 0, line


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "docs/operations/README.md",
        "docs/tools.md",
        "docs/integrity.md",
        "docs/ci.md",
        "docs/errors/README.md",
        "docs/reference/README.md",
        "manifests/examples/README.md",
    ],
)
def test_the_files_that_the_documents_name_exist(document: str) -> None:
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / document).parent / target).exists(), target


def test_the_words_of_the_project_are_its_own() -> None:
    foreign = re.compile(
        r"\b(pypi\.org|deb\.debian\.org|proxy\.golang\.org|registry\.npmjs|/work/|claude)\b", re.IGNORECASE
    )
    texts = [name for name in TRACKED if not name.endswith((".lock", ".sum")) and name != "tests/layout/test_layout.py"]

    assert [name for name in texts if foreign.search((ROOT / name).read_text(errors="replace"))] == []


SECURITY = (ROOT / "docs/security.md").read_text()
THREATS = re.findall(r"^\| ([^|]+) \| [^|]+ \| `(tests/[^`:]+)::([a-z0-9_]+)` \|$", SECURITY, re.MULTILINE)


@pytest.mark.parametrize(("threat", "file", "test"), THREATS)
def test_the_attack_of_a_threat_is_tested(threat: str, file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}

    assert test in tests, threat


def test_every_threat_names_a_test() -> None:
    table = SECURITY.partition("## Threats")[2].partition("What is not promised")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| threat")]

    assert len(rows) == len(THREATS) > 50
