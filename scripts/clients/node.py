"""Node.js with the TypeScript SDKs and a tokenizer, installed into the cache, and one process that judges with them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from scripts.localcluster import packages, paths, progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

__all__ = ["Judge", "install", "use_servers"]

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", ".npmrc", "judge.mjs", "sdk.mjs", "listen.mjs")
OLDEST = 20


def install(source: Path = HERE, files: Sequence[str] = FILES, what: str = "the TypeScript SDKs") -> Path:
    """The directory with the files of ``source`` and their packages; installed unless it is in the cache.

    Raises RuntimeError where Node.js is missing or too old and cannot be installed: a test that needs it fails then.
    """
    packages.ensure(packages.JAVASCRIPT)
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST:
        raise RuntimeError(f"the TypeScript SDK needs Node.js {OLDEST} or newer, got {version.strip()}; install it")
    contents = [(source / name).read_bytes() for name in files]
    directory = paths.cache() / f"{source.name}-{paths.fingerprint(*contents)}"
    with paths.locked(source.name):
        if not (directory / ".ready").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            for name, content in zip(files, contents, strict=True):
                (directory / name).write_bytes(content)
            with progress.step(f"installing {what} with npm"):
                command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
                done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
            (directory / ".ready").touch()
    return directory


class Judge:
    """One process of judge.mjs; its questions and answers are described there."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["node", "judge.mjs"], cwd=install(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _ask(self, **question: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(question)}\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def pattern(self, text: str) -> str | None:
        """Why a pattern does not compile in ECMA-262 with `u`; None if it does."""
        error: str | None = self._ask(pattern=text)["error"]
        return error

    def tools(self, tools: list[dict[str, Any]]) -> dict[str, str | None]:
        """Why each generation of the TypeScript SDK does not list these tools; None where it does."""
        return self._ask(tools=tools)

    def results(self, tool: dict[str, Any], results: list[Any]) -> dict[str, list[bool]]:
        """Whether each generation of the TypeScript SDK accepts each structured result of a tool."""
        return self._ask(tool=tool, results=results)

    def tokens(self, text: str) -> int:
        """The number of tokens of a text in o200k_base."""
        count: int = self._ask(text=text)["tokens"]
        return count


def use_servers(plans: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What both TypeScript clients list of each server, and what fails when they use it as planned; see sdk.mjs."""
    command = ["node", "sdk.mjs"]
    directory, given = install(), json.dumps([*plans])
    done = subprocess.run(command, cwd=directory, input=given, capture_output=True, text=True, check=True, timeout=300)
    reports: list[dict[str, Any]] = json.loads(done.stdout)
    return reports
