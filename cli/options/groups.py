"""Subcommands, and options that several of them have."""

from __future__ import annotations

import argparse
from importlib import metadata
from pathlib import Path
from typing import Any

from cli.options import values

__all__ = [
    "Commands",
    "add",
    "add_files",
    "add_injection",
    "add_kubeconfig",
    "add_namespace",
    "add_namespaces",
    "add_version",
]

# argparse hides the type of its subparsers.
Commands = Any


def add(commands: Commands, name: str, summary: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """The parser of a new subcommand."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def add_namespace(parser: argparse.ArgumentParser) -> None:
    """The namespace of objects that name none."""
    parser.add_argument(
        "-n", "--namespace", default="default", help="namespace of objects that name none (default: default)"
    )


def add_files(parser: argparse.ArgumentParser) -> None:
    """What is left out of folders, and the namespace of objects that name none."""
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out files and folders of this name, or path below the folder; may be repeated",
    )
    add_namespace(parser)


def add_kubeconfig(parser: argparse.ArgumentParser) -> None:
    """How a cluster is reached from outside of it."""
    parser.add_argument("--context", help="context of the kubeconfig")
    parser.add_argument("--kubeconfig", type=Path, help="kubeconfig file, for use outside of a cluster")


def add_namespaces(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """The namespaces that an operator without cluster-wide rights works for."""
    parser.add_argument(
        "--namespaces",
        type=values.namespaces,
        default=(),
        required=required,
        metavar="A,B",
        help="the namespaces to work for, with Roles there instead of cluster-wide rights"
        + ("" if required else " (default: all namespaces)"),
    )


def add_injection(parser: argparse.ArgumentParser) -> None:
    """The Certificate whose CA cert-manager writes into the webhook configurations."""
    parser.add_argument(
        "--inject-ca-from",
        metavar="CERTIFICATE",
        help="Certificate in the operator's namespace from which cert-manager writes the CA bundle into the webhook "
        "configurations (default: the operator's own CA)",
    )


def add_version(parser: argparse.ArgumentParser) -> None:
    """The option that prints the version, and exits."""
    version = f"mcp-operator {metadata.version('mcp-operator')}"
    parser.add_argument("--version", action="version", version=version)
