"""Runs a page of the documentation: its files are written, its commands typed, and what they print is compared.

A block of ``console`` has commands after ``$``; a command goes on after a backslash at the end of a line, and in a here
document. What follows is the output. ``...`` in it stands for any text. A block of ``yaml`` whose first line is
``# NAME`` is a file.
"""

from __future__ import annotations

import re
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["Command", "File", "Shell", "checkout", "difference", "read", "run"]

ROOT = Path(__file__).parents[2]

DEADLINE = 180.0
_END = "--end-of-the-command--"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a page."""

    section: str
    name: str
    content: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a page, with the output that the page shows."""

    section: str
    line: str
    output: str


def read(page: str) -> Iterator[File | Command]:
    """The steps of a page, each with the heading of its section."""
    for block in _BLOCK.finditer(page):
        headings = _HEADING.findall(page, 0, block.start())
        section = headings[-1] if headings else ""
        kind, text = block.groups()
        if kind == "yaml" and text.startswith("# "):
            yield File(section, text[2:].partition("\n")[0], text.partition("\n")[2])
        elif kind == "console":
            yield from _commands(section, text)


def _commands(section: str, text: str) -> Iterator[Command]:
    lines = text.splitlines()
    while lines:
        line = lines.pop(0)
        if not line.startswith("$ "):
            raise ValueError(f"output without a command: {line}")
        typed = [line[2:]]
        while typed[-1].endswith("\\"):
            typed.append(lines.pop(0))
        here = re.search(r"<<'(\w+)'", line)
        while here and typed[-1] != here[1]:
            typed.append(lines.pop(0))
        output = []
        while lines and not lines[0].startswith("$ "):
            output.append(lines.pop(0) + "\n")
        yield Command(section, "\n".join(typed), "".join(output))


def difference(shown: str, printed: str) -> str | None:
    """What a command printed if the page shows something else; line ends at the end do not count."""
    wanted, found = shown.rstrip("\n"), printed.rstrip("\n")
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


def run(page: str, sections: Collection[str], folder: Path, environment: Mapping[str, str]) -> int:
    """Do the steps of some sections of a page, beginning in a folder. Returns the number of commands.

    Fails for a command that prints something else than the page shows, or that exits with another code than 0 although
    the page does not show an error.
    """
    shell, count = Shell(folder, environment), 0
    try:
        for step in read(page):
            if step.section not in sections:
                continue
            if isinstance(step, File):
                file = shell.folder / step.name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(step.content)
                continue
            code, printed = shell.run(step.line)
            count += 1
            if difference(step.output, printed) is not None or (code != 0 and "rror" not in step.output):
                pytest.fail(f"$ {step.line}\nexit code {code}, the page shows:\n{step.output}\nprinted:\n{printed}")
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
