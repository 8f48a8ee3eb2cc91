"""check --since: what a change does to callers, from a folder or from the history of Git."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.commands import revisions
from cli.manifests import documents, transaction
from crd.finding import Level
from tests.cli.samples import SERVER, SERVICE, run_check, tool

ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/local/bin"}
NARROW = "  inputSchema: {type: object, properties: {status: {type: string, maxLength: 4}}}\n"
WIDE = "  inputSchema: {type: object, properties: {status: {type: string}}}\n"


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit: a server, a Service and two tools."""
    folder = tmp_path / "repository" / "manifests"
    folder.mkdir(parents=True)
    for name, text in {
        "server": SERVER,
        "service": SERVICE,
        "a": tool("list-orders") + WIDE,
        "b": tool("count-orders") + WIDE,
    }.items():
        (folder / f"{name}.yaml").write_text(text)
    git(folder.parent, "init", "-q", "-b", "main")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-qm", "first")
    return folder


def since(folder: Path, revision: str, **options: Any) -> tuple[int, str, str]:
    return run_check(str(folder), since=revision, environment=ENVIRONMENT, **options)


def test_nothing_changed_says_nothing(repository: Path) -> None:
    assert since(repository, "main") == run_check(str(repository))


def test_a_narrower_schema_is_a_finding_with_the_server_it_hits(repository: Path) -> None:
    (repository / "a.yaml").write_text(tool("list-orders") + NARROW)

    code, out, _ = since(repository, "main", fail_on=Level.WARNING)

    assert "a.yaml:10:67: warning: BreakingSchemaChange: " in out
    assert "maxLength 4 is stricter than before, so MCPServer shop/main rejects calls that were valid" in out
    assert code == 1


def test_names_that_vanish_and_the_cost_of_the_list_are_told(repository: Path) -> None:
    (repository / "a.yaml").write_text(tool("list-orders", served="find_orders") + WIDE)
    (repository / "b.yaml").unlink()

    _, out, _ = since(repository, "main", format="json")

    (change,) = json.loads(out)["changes"]
    assert change["gone"] == ['tool name "count_orders"', 'tool name "list_orders"']
    assert change["new"] == ['tool name "find_orders"']
    assert change["tokens"]["before"] > change["tokens"]["after"] > 0
    _, out, _ = since(repository, "main")
    assert '  no longer serves tool name "count_orders" and tool name "list_orders"' in out.splitlines()
    _, out, _ = since(repository, "main", format="github")
    assert "::notice title=Changes::MCPServer shop/main: the tool list costs " in out


def test_a_label_that_changes_the_selection_is_told(repository: Path) -> None:
    (repository / "b.yaml").write_text((tool("count-orders") + WIDE).replace("app: shop", "app: other"))

    _, out, _ = since(repository, "main")

    assert "  no longer selects MCPTool shop/count-orders" in out.splitlines()


def test_what_would_be_refused_on_the_way_is_an_error(repository: Path) -> None:
    """The new owner of a name is applied before the old one is deleted."""
    (repository / "b.yaml").write_text(tool("sum-orders", served="list_orders") + WIDE)
    (repository / "a.yaml").unlink()

    code, out, _ = since(repository, "main")

    assert (code, "error: DuplicateName: " in out) == (1, True)
    assert run_check(str(repository))[0] == 0


def test_a_folder_is_a_former_state_as_well(repository: Path, tmp_path: Path) -> None:
    former = tmp_path / "former"
    former.mkdir()
    for file in repository.iterdir():
        (former / file.name).write_text(file.read_text())
    (repository / "b.yaml").unlink()

    assert 'no longer serves tool name "count_orders"' in since(repository, str(former))[1]


def test_files_that_the_revision_does_not_have_are_new(repository: Path) -> None:
    other = repository.parent / "other"
    other.mkdir()
    (other / "all.yaml").write_text("---\n".join((SERVER, SERVICE, tool("x"))))

    assert '  now serves tool name "x"' in since(other, "HEAD")[1].splitlines()


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("--output=/tmp/x", "must be a folder or a revision of Git"),
        ("-", "must be a folder or a revision of Git"),
        ("", "must be a folder or a revision of Git"),
        ("no-such-branch", "there is no such commit"),
        ("main --help", "there is no such commit"),
    ],
)
def test_a_revision_that_is_none_ends_with_two(repository: Path, revision: str, message: str) -> None:
    code, out, err = since(repository, revision)

    assert (code, out) == (2, "")
    assert message in err


def test_a_folder_outside_of_a_repository_ends_with_two(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(tool("a"))

    code, _, err = since(tmp_path, "main")

    assert (code, "the folder is in no Git repository" in err) == (2, True)


def test_standard_input_has_no_former_state() -> None:
    assert run_check("-", stdin=SERVER.encode(), since="main")[0] == 2


def slow_git(folder: Path, script: str) -> dict[str, str]:
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_git_has_a_deadline(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "DEADLINE", 0.2)
    environment = slow_git(tmp_path / "bin", "exec sleep 60")

    code, _, err = run_check(str(repository), since="main", environment=environment)

    assert (code, "took longer than" in err) == (2, True)


def test_what_git_prints_is_bounded(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "MAX_LISTING", 1000)
    environment = slow_git(tmp_path / "bin", "exec cat /dev/zero")

    with pytest.raises(revisions.NoRevisionError, match="printed more than"):
        revisions._Git(repository, environment).bytes("ls-tree", most=1000)
    assert run_check(str(repository), since="main", environment={"PATH": str(tmp_path)})[0] == 2


def test_links_of_a_revision_are_not_followed(repository: Path) -> None:
    (repository / "link.yaml").symlink_to("/etc/hostname")
    git(repository.parent, "add", ".")
    git(repository.parent, "commit", "-qm", "link")
    (repository / "link.yaml").unlink()

    reading = revisions.read("main", [str(repository)], (), ENVIRONMENT)

    assert {document.source.name.rpartition("/")[2] for document in reading.documents} == {
        "a.yaml", "b.yaml", "server.yaml", "service.yaml",
    }  # fmt: skip
    assert all(document.source.name.startswith("main:") for document in reading.documents)
    assert len(transaction.sort_documents(reading.documents, ()).objects) == 3
    assert isinstance(reading.documents[0], documents.Document)
