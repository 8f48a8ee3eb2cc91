"""The commands of the pages do what they say: each runs here, on a cluster in tests/e2e, or in a test of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

from tests.documentation import pages, places, tutorial

ROOT = pages.ROOT
HERE = [name for name in places.PAGES if name not in places.WHOLE]
SHELLS = {"bash", "shell", "zsh", "shell-session", "terminal"}


def apart(line: str) -> bool:
    return places.needs_a_cluster(line) or places.normalised(line) in places.APART


def lines(name: str) -> list[str]:
    steps = pages.read((ROOT / name).read_text())
    return [step.line for step in steps if isinstance(step, pages.Command)]


@pytest.mark.parametrize("name", [name for name in HERE if not all(map(apart, lines(name)))])
def test_the_commands_of_a_page(name: str, tmp_path: Path) -> None:
    text = tutorial.with_free_ports((ROOT / name).read_text())
    folder = tmp_path / "folder"
    folder.mkdir()
    environment = tutorial.environment(tmp_path, GITHUB_AUTHORIZATION="Bearer none")
    environment["PATH"] = f"{places.programs(tmp_path)}:{environment['PATH']}"

    with McpServer(text) as server:
        done = pages.run(server.page, None, places.prepare(name, folder), environment, apart)

    assert done == len([line for line in lines(name) if not apart(line)]) > 0


class McpServer:
    """The MCP server that a page imports from port 8000, on another port."""

    def __init__(self, page: str) -> None:
        self.page = page

    def __enter__(self) -> Self:
        self._process = None
        if "http://127.0.0.1:8000/mcp" in self.page:
            port = str(pages.free_port())
            program = [sys.executable, str(ROOT / "tests/e2e/mcp_backend.py"), "Find notes by words.", port]
            self._process = subprocess.Popen(program, stdout=subprocess.PIPE)
            assert self._process.stdout is not None
            self._process.stdout.readline()
            self.page = self.page.replace("http://127.0.0.1:8000/mcp", f"http://127.0.0.1:{port}/mcp")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            assert self._process.stdout is not None
            self._process.stdout.close()


def test_what_runs_elsewhere_is_on_a_page() -> None:
    every = {places.normalised(line) for name in places.PAGES for line in lines(name)}

    assert set(places.APART) <= every
    assert set(places.WHOLE) <= set(places.PAGES)


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/**/*.md")), ids=lambda path: path.name)
def test_no_command_hides_in_a_block_of_another_kind(path: Path) -> None:
    """A block that is neither console nor sh is not run."""
    for kind, block in re.findall(r"^ *```(\S*)\n(.*?)^ *```$", path.read_text(), re.MULTILINE | re.DOTALL):
        assert kind not in SHELLS, f"{path.name}: use sh"
        if kind not in ("console", "sh", "python", "makefile"):
            assert not re.search(r"^\$ ", block, re.MULTILINE), f"{path.name}: use console"
