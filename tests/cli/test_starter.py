"""mcp-operator init: the starter folder passes its own checks and tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cli import __main__ as command


def test_the_starter_passes_check_and_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["init", str(tmp_path / "shop")]) == 0
    manifests, tests = str(tmp_path / "shop" / "manifests"), str(tmp_path / "shop" / "tests")
    capsys.readouterr()

    assert command.main(["check", manifests, "--fail-on", "warning"]) == 0
    assert "7 files: 0 errors, 0 warnings" in capsys.readouterr().out
    assert command.main(["test", tests]) == 0
    assert "3 passed, 0 failed" in capsys.readouterr().out
    listed = yaml.safe_load((tmp_path / "shop" / "manifests" / "kustomization.yaml").read_text())["resources"]
    files = {path.name for path in (tmp_path / "shop" / "manifests").iterdir()} - {"kustomization.yaml"}
    assert {*listed} == files
    assert (tmp_path / "shop" / ".github" / "workflows" / "mcp.yaml").is_file()


def test_the_next_command_can_be_copied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert command.main(["init"]) == 0
    assert "\nnext: mcp-operator check manifests/" in capsys.readouterr().out
    assert command.main(["init", "my shop"]) == 0
    assert "\nnext: cd 'my shop' && mcp-operator check manifests/" in capsys.readouterr().out


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "README.md").write_text("mine")

    assert command.main(["init", str(tmp_path)]) == 2
    assert (tmp_path / "README.md").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert "README.md is there already" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_ends_with_two(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert command.main(["init", str(tmp_path / "file" / "below")]) == 2
