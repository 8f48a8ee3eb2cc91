"""The command as a person meets it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli import __main__ as command
from cli import check, generate

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "manifests" / "examples"
BACKEND = str(EXAMPLES / "backend" / "service.yaml")


def checked(*names: str, strict: bool = False) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = check.run(names, strict=strict, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


def test_the_valid_examples_are_clean() -> None:
    code, out, _ = checked(str(EXAMPLES / "valid"), strict=False)

    assert code == 0
    assert " 0 errors, " in out


def test_a_clash_between_files_is_an_error_that_names_file_and_object() -> None:
    code, out, _ = checked(str(EXAMPLES / "valid"), str(EXAMPLES / "invalid" / "DuplicateName--tool.yaml"))

    assert code == 1
    line = next(line for line in out.splitlines() if "DuplicateName" in line)
    assert ": error: MCPTool shop/" in line
    assert ".yaml" in line


def test_a_missing_service_is_an_error_only_when_references_are_strict() -> None:
    tool = str(EXAMPLES / "valid" / "tool-count-orders.yaml")

    assert checked(tool)[0] == 0
    assert checked(tool, strict=True)[0] == 1


def test_the_findings_are_those_of_the_webhook_for_every_invalid_example() -> None:
    for file in sorted((EXAMPLES / "invalid").glob("*.yaml")):
        code, out, _ = checked(str(EXAMPLES / "valid"), str(file))
        assert code == 1, file
        assert file.stem.partition("--")[0] in out


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("kind: ConfigMap\napiVersion: v1\n", 2, "no MCPServer"),
        ("a: [", 2, "is not YAML"),
        ("", 2, "no MCPServer"),
        ("7\n---\n- a\n", 2, "no MCPServer"),
    ],
)
def test_what_cannot_be_judged_is_said(tmp_path: Path, text: str, code: int, said: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)

    found, _, err = checked(str(file))

    assert found == code
    assert said in err


def test_a_path_that_is_not_there_is_said() -> None:
    assert "does not exist" in checked("/nowhere/at/all")[2]


def test_a_list_from_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = {
        "apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPTool", "metadata": {"name": "a"},
        "spec": {"service": {"name": "s", "port": 80}},
    }  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"kind": "List", "items": [tool]})))

    code, out, _ = checked("-")

    assert code == 0
    assert out.startswith("-: warning: MCPTool default/a: ServiceMissing")


def test_a_date_is_text_as_kubernetes_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        "apiVersion: mcp.example.com/v1alpha1\nkind: MCPPrompt\nmetadata: {name: a}\n"
        "spec: {template: '{{day}}', variables: [{name: day, default: 2026-01-31}]}\n"
    )

    assert checked(str(file))[0] == 0


def test_generating_twice_writes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.run(tmp_path) == 0
    assert "wrote manifests/base/crds/mcptools.yaml" in capsys.readouterr().out

    assert generate.run(tmp_path) == 0
    assert capsys.readouterr().out == ""


def test_the_subcommands_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])

    said = capsys.readouterr().out
    assert all(word in said for word in ("webhook", "controller", "serve", "check", "generate"))


def test_check_and_generate_run_from_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check", str(EXAMPLES / "valid"), BACKEND]) == 0
    assert command.main(["generate", "--root", str(tmp_path)]) == 0
    assert "objects: 0 errors" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["serve"], ["webhook", "--port", "x"], ["check"], []])
def test_wrong_words_end_with_two(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words)

    assert ended.value.code == 2


def started(*words: str) -> Any:
    return subprocess.Popen([sys.executable, "-m", "cli", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_serve_logs_json_and_ends_when_told(tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text('{"format": 0}')
    ports = ("--host", "127.0.0.1", "--port", "0", "--health-port", "0")
    process = started("serve", "--catalog-dir", str(tmp_path), *ports, "--drain-seconds", "0")

    line = json.loads(process.stderr.readline())
    process.terminate()

    assert (line["level"], line["logger"]) == ("warning", "runtime.catalog")
    assert process.wait(20) == 0
