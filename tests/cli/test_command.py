"""The console command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli import __main__ as command
from cli.commands import generate

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "manifests" / "examples"
BACKEND = str(EXAMPLES / "backend" / "service.yaml")


def test_generating_twice_writes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.run(tmp_path) == 0
    assert "wrote manifests/base/crds/mcptools.yaml" in capsys.readouterr().out

    assert generate.run(tmp_path) == 0
    assert capsys.readouterr().out == ""


def test_help_lists_the_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])

    said = capsys.readouterr().out
    assert all(word in said for word in ("webhook", "controller", "serve", "check", "graph", "generate"))


def test_a_wrong_level_is_told_with_the_levels(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["check", ".", "--fail-on", "warnin"])
    assert "argument --fail-on: invalid choice: 'warnin' (choose from 'error', 'warning')" in capsys.readouterr().err


def test_check_and_generate_run_from_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check", str(EXAMPLES / "valid"), BACKEND]) == 0
    assert command.main(["generate", "--root", str(tmp_path)]) == 0
    assert ": 0 errors, " in capsys.readouterr().out


# Windows has none of these.
CHECK_WITHOUT = """
import sys
for name in ("uvloop", "fcntl", "grp", "pwd", "resource"):
    sys.modules[name] = None
from cli import __main__
sys.exit(__main__.main(sys.argv[1:]))
"""


def test_check_needs_nothing_that_windows_lacks() -> None:
    words = ["check", str(EXAMPLES / "valid"), BACKEND]
    done = subprocess.run([sys.executable, "-c", CHECK_WITHOUT, *words], capture_output=True, text=True, cwd=ROOT)

    assert (done.returncode, done.stderr) == (0, "")
    assert ": 0 errors, " in done.stdout


@pytest.mark.parametrize("words", [["serve"], ["webhook", "--port", "x"], ["check"], ["graph"], []])
def test_wrong_arguments_exit_with_two(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(words)

    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--catalog-root", "x" * 44], "must be given together"),
        (["--server-uid", "uid-1"], "must be given together"),
        (["--catalog-root", "AAAA", "--server-uid", "uid-1"], "base64 of 32 bytes"),
    ],
)
def test_serve_never_starts_with_half_a_trust(words: list[str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["serve", "--catalog-dir", ".", *words])

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "86401", "soon", ""])
@pytest.mark.parametrize("words", [["webhook"], ["serve", "--catalog-dir", "."]], ids=lambda words: words[0])
def test_a_drain_has_an_end(words: list[str], seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([*words, f"--drain-seconds={seconds}"])

    assert ended.value.code == 2
    assert f'--drain-seconds: must be a number of seconds from 0 to 86400, got "{seconds}"' in capsys.readouterr().err


def test_a_name_of_clients_needs_their_ca(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["webhook", "--client-name", "kube-apiserver"])

    assert ended.value.code == 2
    assert "error: --client-name needs --client-ca-file" in capsys.readouterr().err


def started(*words: str) -> Any:
    return subprocess.Popen([sys.executable, "-m", "cli", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_serve_logs_json_and_ends_on_sigterm(tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text('{"format": 0}')
    ports = ("--host", "127.0.0.1", "--port", "0", "--health-port", "0")
    process = started("serve", "--catalog-dir", str(tmp_path), *ports, "--drain-seconds", "0")

    line = json.loads(process.stderr.readline())
    process.terminate()

    assert (line["level"], line["logger"]) == ("warning", "runtime.app.catalog_store")
    assert process.wait(20) == 0
