"""The examples of docs/ci.md, the action and the hook definition, run as their runners would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from scripts import requirements
from tests.cli.samples import SERVER, SERVICE, tool

ROOT = Path(__file__).parents[3]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PAGE = (ROOT / "docs" / "ci.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def example(having: str) -> Any:
    """The one YAML block of the page with this member at its top."""
    (found,) = [data for kind, text in BLOCKS if kind == "yaml" and having in (data := yaml.safe_load(text))]
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one clean and one broken tool, and the command on its PATH."""
    manifests = tmp_path / "repo" / "manifests"
    manifests.mkdir(parents=True)
    for name, text in {"a": tool("a"), "b": tool("b", served="a"), "server": SERVER, "service": SERVICE}.items():
        (manifests / f"{name}.yaml").write_text(text)
    program = tmp_path / "temp" / "mcp-operator" / "bin" / "mcp-operator"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m cli "$@"\n')
    program.chmod(0o755)
    return tmp_path / "repo"


def ran(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A script as the runners run it: bash, ended by the first failure."""
    temp = folder.parent / "temp"
    path = f"{temp}/mcp-operator/bin:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={"PATH": path, "RUNNER_TEMP": str(temp), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def action(step: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """The last step of the action with a workflow's inputs, expressions filled in."""
    inputs = {name: definition["default"] for name, definition in ACTION["inputs"].items()} | step.get("with", {})
    check = ACTION["runs"]["steps"][-1]
    filled = {
        key: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: str(inputs[match[1]]), value)
        for key, value in check["env"].items()
    }
    return ran(check["run"], folder, **filled)


def test_the_github_example_fails_at_the_line_and_writes_a_sarif_file(checkout: Path) -> None:
    workflow = example("jobs")
    (step,) = [s for s in workflow["jobs"]["check"]["steps"] if "mcp-operator" in s["uses"]]
    assert set(step["with"]) <= set(ACTION["inputs"])

    done = action(step, checkout)

    assert done.returncode == 1, done.stderr
    assert "::error file=manifests/b.yaml,line=8,col=3,title=DuplicateName::" in done.stdout
    results = json.loads((checkout / step["with"]["sarif"]).read_text())["runs"][0]["results"]
    assert "DuplicateName" in [result["ruleId"] for result in results]


def test_the_action_succeeds_on_valid_files_and_fails_without_objects(checkout: Path) -> None:
    (checkout / "manifests" / "b.yaml").unlink()

    assert action({}, checkout).returncode == 0
    assert action({"with": {"paths": "nowhere", "sarif": "x"}}, checkout).returncode == 2


def test_inputs_of_the_action_are_not_executed(checkout: Path) -> None:
    done = action({"with": {"paths": "manifests\n$(touch owned)\n; touch owned"}}, checkout)

    assert done.returncode == 2
    assert not (checkout / "owned").exists()
    assert all("inputs." not in step["run"] for step in ACTION["runs"]["steps"])


def test_a_path_of_the_action_is_never_an_option(checkout: Path) -> None:
    """The names of changed files come from whoever opens the pull request."""
    (checkout / "--fail-on=never").mkdir()
    (checkout / "--baseline=x.yaml").write_text("kind: [")

    done = action({"with": {"paths": "--baseline=x.yaml\n--fail-on=never\nmanifests"}}, checkout)

    assert done.returncode == 1
    assert "::error file=--baseline=x.yaml,line=1,col=8,title=InvalidDocument::" in done.stdout
    assert "DuplicateName" in done.stdout


def test_the_action_installs_locked_versions_only() -> None:
    install = ACTION["runs"]["steps"][0]["run"].splitlines()

    installed = [line.split(maxsplit=1)[1] for line in install if line.startswith("pip ")]
    assert installed == [
        '--require-hashes --requirement "$GITHUB_ACTION_PATH/requirements.txt"',
        '--no-deps --no-build-isolation "$GITHUB_ACTION_PATH"',
    ]
    assert (ROOT / "requirements.txt").read_text() == requirements.render()
    backend = requirements.BACKEND.split("==")[0]
    assert backend in (ROOT / "pyproject.toml").read_text().partition("[build-system]")[2]


def test_the_gitlab_example_fails_and_writes_a_report(checkout: Path) -> None:
    job = example("check manifests")["check manifests"]

    done = ran("\n".join(job["script"]), checkout)

    assert done.returncode == 1, done.stderr
    root = ET.parse(checkout / job["artifacts"]["reports"]["junit"]).getroot()
    assert root.get("failures") == "1"


def test_the_pre_commit_hook_runs(checkout: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (used,) = example("repos")["repos"][0]["hooks"]

    assert used["id"] == hook["id"]
    for arguments in (used["args"], hook["args"]):
        assert ran(" ".join([hook["entry"], *arguments]), checkout).returncode == 1


def test_the_baseline_example_ignores_recorded_findings(checkout: Path) -> None:
    first, second = next(text for kind, text in BLOCKS if "baseline" in text and kind == "sh").splitlines()

    assert ran(first, checkout).returncode == 1
    done = ran(second, checkout)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0, "3 objects in 4 files: 0 errors, 0 warnings, 3 known"
    )  # fmt: skip


def test_the_page_lists_every_option() -> None:
    said = ran("mcp-operator check --help", ROOT, PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin").stdout

    for option in set(re.findall(r"--[a-z-]+", said)) - {"--help", "--kubeconfig", "--context", "--quiet"}:
        assert f"`{option}" in PAGE, option


@pytest.mark.long
def test_the_action_installs_the_command(tmp_path: Path) -> None:
    install = ACTION["runs"]["steps"][0]["run"]
    repository = tmp_path / "action"
    copied = [
        path
        for path in ROOT.iterdir()
        if path.name in {"pyproject.toml", "README.md", "LICENSE", "docs", "requirements.txt"}
    ]
    packages = [path for path in ROOT.iterdir() if (path / "__init__.py").exists()]
    repository.mkdir()
    for path in (*copied, *packages):
        subprocess.run(["cp", "-r", str(path), str(repository)], check=True)
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", f"export PYTHON={sys.executable}\n{install}"],
        env={**variables, "RUNNER_TEMP": str(tmp_path), "GITHUB_ACTION_PATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    program = tmp_path / "mcp-operator" / "bin" / "mcp-operator"
    said = subprocess.run([program, "check", "--explain", "DuplicateName"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("# DuplicateName")
