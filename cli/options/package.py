"""The subcommands about the program itself: generate, version and completion."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.options import groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.options.groups import Commands

__all__ = ["add_completion", "add_generate", "add_version"]

_EXAMPLES_GENERATE = """\
examples:
  mcp-operator generate --root .
"""


_EXAMPLES_VERSION = """\
examples:
  mcp-operator version
  mcp-operator version --json
"""


_EXAMPLES_COMPLETION = """\
examples:
  mcp-operator completion bash > ~/.local/share/bash-completion/completions/mcp-operator
  mcp-operator completion zsh > ~/.zfunc/_mcp-operator
  mcp-operator completion fish > ~/.config/fish/completions/mcp-operator.fish
"""


def add_generate(commands: Commands) -> None:
    description = "Write the CustomResourceDefinitions, the API reference and the schemas for editors from the models."
    parser = groups.add(
        commands, "generate", "write the generated files of this project", description, _EXAMPLES_GENERATE
    )
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="folder of the project (default: .)")
    parser.set_defaults(run=_run_generate)


def _run_generate(arguments: argparse.Namespace) -> int:
    from cli.commands import generate

    return generate.run(arguments.root)


def add_version(commands: Commands) -> None:
    description = "Print the version, the commit it was built from, and the digest of the schemas of all kinds."
    parser = groups.add(commands, "version", "print the version", description, _EXAMPLES_VERSION)
    parser.add_argument("--json", action="store_true", help="print an object")
    parser.set_defaults(run=_run_version)


def _run_version(arguments: argparse.Namespace) -> int:
    from cli.commands import version

    environment = dict(os.environ)  # noqa: TID251 -- the entry point reads the environment
    return version.run(as_json=arguments.json, environment=environment, out=sys.stdout)


def add_completion(commands: Commands, whole: argparse.ArgumentParser) -> None:
    description = "Print a script with which a shell completes the commands and options of mcp-operator."
    parser = groups.add(
        commands, "completion", "print the completion script of a shell", description, _EXAMPLES_COMPLETION
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell")
    parser.set_defaults(run=lambda arguments: _run_completion(whole, arguments))


def _run_completion(whole: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    import shtab

    for action in _actions(whole):
        if action.metavar in ("PATH", "FILE", "DIR"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab reads this attribute
    print(shtab.complete(whole, shell=arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The options and arguments of a parser and of its subcommands."""
    for action in parser._actions:
        yield action
        for command in (action.choices or {}).values() if isinstance(action, argparse._SubParsersAction) else ():
            yield from _actions(command)
