"""The version, and the completion of a shell."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli import __main__ as command
from cli.commands import version
from crd.models import openapi

ROOT = Path(__file__).parents[2]


def test_the_version_names_the_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["version", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert set(found) == {"version", "revision", "schemas", "python"}
    assert found["schemas"] == version.schema_digest()
    assert found["version"] in capsys_text(capsys, ["version"])


def capsys_text(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    assert command.main(words) == 0
    return capsys.readouterr().out


def test_another_schema_has_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = version.schema_digest()
    definition = openapi.definition
    monkeypatch.setattr(openapi, "definition", lambda kind: {**definition(kind), "x": 1})

    assert before.startswith("sha256:")
    assert version.schema_digest() != before


def test_the_revision_is_that_of_the_image_then_of_the_installation_then_of_the_checkout(tmp_path: Path) -> None:
    source = json.dumps({"url": "https://example.com/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}})

    assert version.revision({version.REVISION_VARIABLE: "of-the-image"}, source, tmp_path) == "of-the-image"
    assert version.revision({version.REVISION_VARIABLE: ""}, source, tmp_path) == "abc"
    assert version.revision({}, json.dumps({"url": "file:///x", "dir_info": {}}), tmp_path) == version.UNKNOWN
    assert version.revision({}, None, tmp_path) == version.UNKNOWN


def test_the_revision_of_a_checkout_is_its_commit(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    run = {"cwd": tmp_path, "check": True, "capture_output": True, "env": environment}
    subprocess.run(["git", "init", "-q"], **run)
    assert version.revision(environment, None, tmp_path) == version.UNKNOWN

    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], **run)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], **run).stdout.decode().strip()

    assert version.revision(environment, None, tmp_path) == commit


def completed(script: str, folder: Path, *words: str) -> set[str]:
    """What bash offers for the last word."""
    line = " ".join(words)
    program = f"""
source /dev/stdin <<'SCRIPT'
{script}
SCRIPT
COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
COMP_CWORD={len(words) - 1}
COMP_LINE='{line}'
COMP_POINT={len(line)}
$(complete -p mcp-operator | sed -E 's/.*-F ([^ ]+).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", program], cwd=folder, capture_output=True, text=True, check=True, timeout=30
    )
    return set(done.stdout.split())


def test_bash_completes_commands_options_choices_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tools.yaml").touch()
    script = capsys_text(capsys, ["completion", "bash"])

    assert completed(script, tmp_path, "mcp-operator", "c") == {"check", "controller", "completion"}
    assert "--fail-on" in completed(script, tmp_path, "mcp-operator", "check", "--fail")
    assert "sarif" in completed(script, tmp_path, "mcp-operator", "check", "--format", "s")
    assert completed(script, tmp_path, "mcp-operator", "check", "too") == {"tools.yaml"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_with_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = capsys_text(capsys, ["completion", shell])

    assert all(word in script for word in ("check", "explain", "who-can", "--fail-on"))


def commands() -> list[str]:
    found: Any = next(action for action in command._parser()._actions if action.choices)
    return sorted(found.choices)


@pytest.mark.parametrize("name", commands())
def test_the_help_of_every_command_has_examples_that_can_be_parsed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main([name, "--help"])
    said = capsys.readouterr().out

    examples = said.partition("examples:\n")[2].partition("\n\n")[0].replace("\\\n", "")
    lines = [line[line.index("mcp-operator ") :] for line in examples.splitlines()]
    assert any(line.startswith(f"mcp-operator {name}") for line in lines)
    for line in lines:
        words = shlex.split(re.split(r" [|>] ", line)[0])
        assert callable(command._parser().parse_args(words[1:]).run)
