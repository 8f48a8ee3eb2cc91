"""Runs a page of the documentation: its files are written, its commands typed, and what they print is compared.

A block of ``console`` has commands after ``$``; a command goes on after a backslash at the end of a line, and in a here
document. What follows is the output. ``...`` in it stands for any text. A block of ``sh`` has commands without their
output: each must succeed. A block of ``yaml`` whose first line is ``# NAME`` is a file.
"""

from __future__ import annotations

import re
import subprocess
import textwrap
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripts.localcluster.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

__all__ = ["ROOT", "Command", "File", "Shell", "checkout", "difference", "free_port", "read", "run"]

ROOT = Path(__file__).parents[2]

DEADLINE = 180.0
_END = "--end-of-the-command--"
_BLOCK = re.compile(r"^([ ]*)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SERVES = re.compile(r"^(?:\.venv/bin/)?mcp-operator dev\b(?!.*&$)")
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a page."""

    section: str
    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a page, with the output that the page shows; None if the page shows none."""

    section: str
    line: str
    output: str | None


def read(page: str) -> Iterator[File | Command]:
    """The steps of a page, each with the heading of its section."""
    for block in _BLOCK.finditer(page):
        headings = _HEADING.findall(page, 0, block.start())
        section = headings[-1] if headings else ""
        _, kind, text = block.groups()
        text = textwrap.dedent(text)
        if kind == "yaml" and text.startswith("# "):
            yield File(section, text[2:].partition("\n")[0], text.partition("\n")[2])
        elif kind == "console":
            lines = text.splitlines()
            while lines:
                if not lines[0].startswith("$ "):
                    raise ValueError(f"output without a command: {lines[0]}")
                typed = _typed(lines)
                output = []
                while lines and not lines[0].startswith("$ "):
                    output.append(lines.pop(0) + "\n")
                yield Command(section, typed[2:], "".join(output))
        elif kind == "sh":
            lines = [line for line in text.splitlines() if line and not line.startswith("#")]
            while lines:
                yield Command(section, _typed(lines), None)


def _typed(lines: list[str]) -> str:
    """Take the lines of one command."""
    typed = [lines.pop(0)]
    here = re.search(r"<<'(\w+)'", typed[0])
    while typed[-1].endswith("\\") or (here and typed[-1] != here[1]):
        typed.append(lines.pop(0))
    return "\n".join(typed)


def difference(shown: str, printed: str) -> str | None:
    """What a command printed if the page shows something else; blanks at the ends of lines do not count."""
    wanted, found = ("\n".join(map(str.rstrip, text.splitlines())).rstrip() for text in (shown, printed))
    pattern = ".*".join(map(re.escape, wanted.split("...")))
    # Three dots on a line of their own also stand for no line.
    pattern = re.sub(r"(^|\\\n)\.\*(\\\n|$)", r"(?:\1.*)?\2", pattern)
    return None if re.fullmatch(pattern, found, re.DOTALL) else printed


class Shell:
    """One bash in which all commands of a page run. ``close`` ends what is still running."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.folder = folder

    def run(self, line: str) -> tuple[int, str]:
        """The exit code of a command, and what it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\nprintf '\\n%s %s %s\\n' {_END} $? \"$PWD\"\n")
        self._process.stdin.flush()
        printed: list[str] = []
        watchdog = threading.Timer(DEADLINE, self._process.kill)
        watchdog.start()
        try:
            for text in self._process.stdout:
                if text.startswith(_END):
                    _, code, folder = text.rstrip("\n").split(" ", 2)
                    self.folder = Path(folder)
                    # The line end before the mark is ours.
                    return int(code), "".join(printed)[:-1]
                printed.append(text)
        finally:
            watchdog.cancel()
        raise AssertionError(f"the shell ended, or {DEADLINE:.0f} s passed, at: {line}\n{''.join(printed)}")

    def close(self) -> None:
        """End the shell and its background commands."""
        assert self._process.stdin is not None
        self._process.stdin.write("kill $(jobs -p) 2> /dev/null\nexit\n")
        self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()


def _ended(line: str, port: int) -> str:
    """The command `mcp-operator dev`, which serves until it is ended, on a free port: ended as soon as it serves."""
    return (
        f"{line.partition(' #')[0]} --port {port} > served.log 2>&1 &\n"
        "until grep -q '^page: ' served.log || ! kill -0 $! 2> /dev/null; do sleep 0.05; done\n"
        f"kill $!; wait $!; ended=$?; sed 's/:{port}/:8080/' served.log; rm served.log; (exit $ended)"
    )


def run(
    page: str,
    sections: Collection[str] | None,
    folder: Path,
    environment: Mapping[str, str],
    apart: Callable[[str], bool] = lambda line: False,
) -> int:
    """Do the steps of some sections of a page, beginning in a folder. Returns the number of commands.

    None is all sections; commands that are ``apart`` are left out. Fails for a command that prints something else than
    the page shows, or that exits with another code than 0 although the page does not show an error.
    """
    shell, count = Shell(folder, environment), 0
    try:
        for step in read(page):
            if sections is not None and step.section not in sections:
                continue
            if isinstance(step, File):
                file = shell.folder / step.name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(step.content)
                continue
            if apart(step.line):
                continue
            served = _SERVES.match(step.line)
            code, printed = shell.run(_ended(step.line, free_port()) if served else step.line)
            count += 1
            shown = step.output
            differs = shown is not None and difference(shown, printed) is not None
            if differs or (code != 0 and "rror" not in (shown or "")):
                pytest.fail(f"$ {step.line}\nexit code {code}, the page shows:\n{shown}\nprinted:\n{printed}")
    finally:
        shell.close()
    return count


def checkout(folder: Path) -> Path:
    """A folder that looks like this checkout after ``make dev``."""
    made = folder / "checkout"
    made.mkdir()
    for entry in ROOT.iterdir():
        if entry.name != "Makefile":
            (made / entry.name).symlink_to(entry)
    (made / "Makefile").write_text("dev:\n\t@true\n")
    return made
