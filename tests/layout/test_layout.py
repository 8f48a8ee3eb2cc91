"""Rules of the repository itself: imports, generated files, names, pages, commands and links."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from cli import __main__ as command
from cli.commands import generate
from crd.finding import Reason
from scripts.localcluster import binaries

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


DOCUMENTS = [
    name
    for name in TRACKED
    if name.endswith(".md") and not name.startswith(("docs/decisions/", "CHANGELOG")) and (ROOT / name).exists()
]


SPANS = [
    pytest.param(line, id=f"{name}: {line}")
    for name in DOCUMENTS
    for line in sorted(
        {
            " ".join(span.split())
            for span in re.findall(
                r"(?<!`)`((?:make|python3?|pytest|poe|mcp-operator) [^`]+)`(?!`)", (ROOT / name).read_text()
            )
        }
    )
]


@pytest.mark.parametrize("line", SPANS)
def test_a_command_within_a_sentence_exists(line: str) -> None:
    """The blocks of commands run in tests/documentation."""
    program, *words = shlex.split(line.replace("NAME:PORT", "orders:8080"))
    if program == "make":
        targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in words if "=" not in word} <= targets
    elif program == "poe":
        assert words[0] in PYPROJECT["tool"]["poe"]["tasks"]
    elif program == "mcp-operator":
        named = not any(word.startswith("-") for word in words)
        assert parses(words) or (named and parses([*words, "--help"]))
    elif words[0] == "-m":
        assert words[1] == "…" or importlib.util.find_spec(words[1])
    else:
        assert all((ROOT / word).exists() for word in words if word.endswith(".py"))


def parses(words: list[str]) -> bool:
    """Whether the command takes these arguments; ``--help`` and ``--version`` end it in another way."""
    try:
        return callable(command._parser().parse_args(words).run)
    except SystemExit as ended:
        return ended.code == 0


def test_the_programs_of_the_makefile_exist() -> None:
    recipes = (ROOT / "Makefile").read_text()
    modules = set(re.findall(r"-m (scripts\.[a-z_.]+[a-z])", recipes))
    scripts = set(re.findall(r"(?<![a-z/])scripts/[a-z0-9-]+\.sh", recipes))

    assert len(modules) > 5
    assert [name for name in modules if not importlib.util.find_spec(name)] == []
    assert [name for name in scripts if not (ROOT / name).exists()] == []
    assert set(re.findall(r"\$\(POE\) ([a-z-]+)", recipes)) <= set(PYPROJECT["tool"]["poe"]["tasks"])


def test_the_page_of_operations_says_what_is_known_of_each_version_of_kubernetes() -> None:
    """A version that `make test-matrix` runs has a row with what was run and what came out."""
    matrix = re.search(r"^KUBERNETES \?= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    page = (ROOT / "docs/operations/README.md").read_text()
    rows = re.findall(r"^\| (v1\.\d+\.\d+) \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)

    assert matrix is not None
    assert sorted(rows) == sorted(matrix[1].split())
    assert rows[0] == binaries.DEFAULT_KUBERNETES


@pytest.mark.parametrize("document", DOCUMENTS)
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


def test_no_two_decisions_have_one_number() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs/decisions").glob("*.md")]

    assert sorted(numbers) == sorted(set(numbers))
