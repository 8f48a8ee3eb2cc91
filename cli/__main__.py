"""The console command ``mcp-operator``: parses arguments and starts a subcommand with its settings."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from typing import TYPE_CHECKING

from cli.options import groups, imports, laptop, manifests, operator, package, pod

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(words: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code; 2 for wrong arguments.

    A reader that has gone (EPIPE) and Ctrl-C end the command quietly, with the exit codes of the signals.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the encoding of a terminal may lack characters
    try:
        arguments = _parser().parse_args(words)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Otherwise the interpreter would report the error again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mcp-operator",
        description="Run MCP servers on Kubernetes, and validate their manifests.",
        epilog="mcp-operator COMMAND --help shows the options of a command, with examples.",
    )
    groups.add_version(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    operator.add_webhook(commands)
    operator.add_controller(commands)
    operator.add_registration(commands)
    pod.add_serve(commands)
    manifests.add_check(commands)
    manifests.add_test(commands)
    laptop.add_init(commands)
    manifests.add_who_can(commands)
    manifests.add_export(commands)
    manifests.add_graph(commands)
    manifests.add_explain(commands)
    laptop.add_dev(commands)
    imports.add_import(commands)
    package.add_generate(commands)
    package.add_version(commands)
    package.add_completion(commands, parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
