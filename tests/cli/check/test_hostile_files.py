"""Files from somebody else: `check` never hangs, follows no link out of the folder, and prints no control character."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from cli.commands import contents, files
from cli.manifests import transaction
from tests.cli.samples import SERVICE, findings, run_check, tool

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
HOSTILE = "a\n::error::x\x1b[2J\x07\u202e\u0085,%:\udcff\ufffe.yaml"


def messages(*paths: str, **options: object) -> list[tuple[str, str]]:
    return [(found["level"], found["message"]) for found in findings(*paths, **options)]


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has a limit
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("make", "kind"),
    [(fifo, "a FIFO"), (unix_socket, "a socket"), (device, "a device")],
    ids=["fifo", "socket", "zero"],
)
def test_what_is_not_a_regular_file_is_a_finding_and_nothing_waits(
    tmp_path: Path, make: Callable[[Path], None], kind: str
) -> None:
    special = tmp_path / "a.yaml"
    make(special)
    (tmp_path / "b.yaml").write_text(tool("b").replace("port: 80", "port: 0"))

    (named,) = messages(str(special))
    assert named[0] == "error"
    assert named[1].startswith(f"{kind}, which is not read; ")
    if not special.is_symlink():
        assert named in messages(str(tmp_path))
    assert "InvalidField" in {found["reason"] for found in findings(str(tmp_path))}


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("password: hunter2\n  broken: [")
    (tmp_path / "more").mkdir()
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "more").symlink_to(tmp_path / "more")
    (folder / "zero.yaml").symlink_to("/dev/zero")

    found = findings(str(folder))

    assert [(f["level"], Path(f["file"]).name) for f in found] == [
        ("error", "a.yaml"), ("warning", "more"), ("error", "zero.yaml"),
    ]  # fmt: skip
    assert all("not followed" in f["message"] for f in found)
    assert "hunter2" not in run_check(str(folder))[1]


def test_a_link_within_the_folders_is_followed_and_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(tool("a").replace("port: 80", "port: 0"))
    (tmp_path / "b.yaml").symlink_to("a.yaml")

    assert [f["reason"] for f in findings(str(tmp_path))].count("InvalidField") == 1


@pytest.mark.parametrize("target", ["nowhere", "a.yaml"], ids=["broken", "loop"])
def test_a_link_that_leads_nowhere_is_a_finding(tmp_path: Path, target: str) -> None:
    (tmp_path / "a.yaml").symlink_to(target)

    for path in (tmp_path, tmp_path / "a.yaml"):
        ((level, message),) = messages(str(path))
        assert (level, message.startswith("a symbolic link ")) == ("error", True)


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(tool("a"))
    (tmp_path / "b.yaml").write_text(tool("b").replace("port: 80", "port: 0"))
    opened = os.open

    def refuse(path: str | Path, flags: int) -> int:
        if Path(path).name == "a.yaml":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags)

    monkeypatch.setattr(contents.os, "open", refuse)
    found = findings(str(tmp_path))

    message = "cannot be read: Permission denied; change its permissions, or leave it out with --exclude"
    assert ("InvalidDocument", message) in [(f["reason"], f["message"]) for f in found]
    assert "InvalidField" in {f["reason"] for f in found}


@pytest.mark.parametrize("named", [True, False])
def test_the_size_of_a_file_is_limited(tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_FILE_BYTES", 1000)
    (tmp_path / "a.yaml").write_text(tool("a") + "#" * 1000)
    (tmp_path / "data.json").write_text('{"a": "' + "x" * 1000 + '"}')

    found = messages(str(tmp_path / "a.yaml") if named else str(tmp_path))

    assert [level for level, message in found if "too large for manifests; split it" in message] == ["error"]
    if named:
        assert len(messages(str(tmp_path / "data.json"))) == 1


def test_standard_input_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 1000)

    ((level, message),) = messages("-", stdin=b"#" * 1001)

    assert (level, "too large" in message) == ("error", True)


def test_the_size_of_a_tree_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        (tmp_path / f"{name}.yaml").write_text(tool(name))

    monkeypatch.setattr(files, "MAX_FILES", 2)
    assert [m for _, m in messages(str(tmp_path)) if m.startswith("more than 2 files")]
    monkeypatch.undo()
    monkeypatch.setattr(contents, "MAX_TREE_BYTES", 300)
    assert [m for _, m in messages(str(tmp_path)) if m.startswith("the files before it have ")]


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """A file with a hostile name, and an object with hostile values."""
    text = tool("a").replace("  name: a\n", '  name: "a\\n::error::y\\e[2J\\u202e\\u0085\\ufffe"\n')
    (tmp_path / HOSTILE).write_text(text)
    (tmp_path / f"b{HOSTILE}").write_text("kind: [")
    return str(tmp_path)


def is_plain(text: str) -> bool:
    return all(character.isprintable() for line in text.removesuffix("\n").split("\n") for character in line)


@pytest.mark.parametrize("form", ["text", "github"])
def test_names_and_values_cannot_forge_lines_or_move_the_cursor(hostile: str, form: str) -> None:
    _, out, _ = run_check(hostile, format=form, folder=hostile)

    assert is_plain(out)
    starts = ("::error ", "::warning ") if form == "github" else (hostile,)
    assert all(line.startswith(starts) for line in out.splitlines()[:-1])
    if form == "github":
        first = out.splitlines()[0].split("::")[1]
        assert len(first.split(",")) == 4


def test_the_reports_for_programs_are_well_formed(hostile: str) -> None:
    junit = run_check(hostile, format="junit")[1]
    assert ET.fromstring(junit.encode()) is not None
    assert is_plain(junit)

    for form in ("json", "sarif"):
        out = run_check(hostile, format=form)[1]
        assert is_plain(out)
        assert json.loads(out.encode())
    (run,) = json.loads(run_check(hostile, format="sarif")[1])["runs"]
    uris = [result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]]
    assert all("%0A%3A%3Aerror%3A%3Ax%1B" in uri and uri.isascii() and "%FF" in uri for uri in uris)


def test_errors_of_the_command_are_escaped() -> None:
    _, _, err = run_check("nowhere\n::error::\x1b[2J")

    assert err == "mcp-operator check: nowhere\\n::error::\\x1b[2J does not exist\n"


def started(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    # With unbuffered output, Python takes a write that the reader cut short for a complete one.
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}  # noqa: TID251 -- of a child
    command = [sys.executable, "-m", "cli", "check", *words]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, **options)


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("---\n".join(tool(f"t{n}") for n in range(800)))
    process = started(str(tmp_path), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()

    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(30) == 128 + signal.SIGPIPE


def test_ctrl_c_ends_it_quietly() -> None:
    process = started("-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 30
    # It reads standard input once it waits in a system call with the signal handler of Python in place.
    while "pipe" not in Path(f"/proc/{process.pid}/wchan").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)

    assert process.wait(30) == 128 + signal.SIGINT
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_objects_that_name_no_namespace_get_that_of_the_command_line(tmp_path: Path) -> None:
    """The namespace of the command line is that of objects that name none, as with kubectl."""
    (tmp_path / "a.yaml").write_text(tool("a").replace("  namespace: shop\n", ""))
    (tmp_path / "s.yaml").write_text(SERVICE)
    reading = files.read([str(tmp_path)], sys.stdin.buffer)

    (item,) = transaction.sort_documents(reading.documents, reading.faults, "shop").objects
    assert item.ref.namespace == "shop"
    assert "ServiceMissing" in {f["reason"] for f in findings(str(tmp_path))}
    assert "ServiceMissing" not in {f["reason"] for f in findings(str(tmp_path), namespace="shop")}
