"""The subcommands with which work on manifests begins: init and dev."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.options import groups, values

if TYPE_CHECKING:
    import argparse

    from cli.options.groups import Commands

__all__ = ["add_dev", "add_init"]

_EXAMPLES_INIT = """\
examples:
  mcp-operator init
  mcp-operator init shop-mcp
"""


_EXAMPLES_DEV = """\
examples:
  mcp-operator dev manifests/ --service shop/orders=http://127.0.0.1:9000
  MCP_SECRET_SHOP_CRM_TOKEN=... mcp-operator dev manifests/
  mcp-operator dev manifests/ --secret-file secrets.yaml --via-kubectl --context staging

Values of Secrets come from the files, --secret-file, and MCP_SECRET_<NAMESPACE>_<NAME>_<KEY>; the last one counts.
They are never printed.
"""


def add_init(commands: Commands) -> None:
    description = (
        "Write a commented starter folder: a server, a tool, a prompt, a resource, a test and a workflow. "
        "It overwrites nothing."
    )
    parser = groups.add(commands, "init", "write a starter folder", description, _EXAMPLES_INIT)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="folder (default: .)")
    parser.set_defaults(run=_run_init)


def _run_init(arguments: argparse.Namespace) -> int:
    from cli.commands import starter

    return starter.run(arguments.folder, out=sys.stdout, err=sys.stderr)


def add_dev(commands: Commands) -> None:
    summary = "serve the MCPServers of files on this machine, with a page to try them"
    description = (
        "Check the files, serve every MCPServer at http://127.0.0.1:8080/<namespace>/<server>/mcp without a cluster, "
        "and reload on save. The page at / lists, calls and explains."
    )
    parser = groups.add(commands, "dev", summary, description, _EXAMPLES_DEV)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files or folders")
    parser.add_argument("--port", type=values.port, default=8080, help="HTTP port (default: 8080)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--service",
        action="append",
        default=[],
        metavar="NAMESPACE/NAME=URL",
        help="address of this machine that answers for a Service; may be repeated",
    )
    parser.add_argument("--via-kubectl", action="store_true", help="reach other Services by kubectl port-forward")
    parser.add_argument("--context", help="with --via-kubectl: context of the kubeconfig")
    parser.add_argument(
        "--secret-file", action="append", default=[], metavar="FILE", help="file with Secrets; may be repeated"
    )
    parser.add_argument("--no-auth", action="store_true", help="authenticate no client, whatever spec.auth says")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="further name in Host; may be repeated"
    )
    parser.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN", help="origin of a web page that may call"
    )
    groups.add_files(parser)
    parser.set_defaults(run=lambda arguments: _run_dev(parser, arguments))


def _run_dev(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from cli.commands import dev
    from cli.dev import targets

    try:
        services = dict(map(targets.parse, arguments.service))
    except ValueError as error:
        parser.error(f"--service {error}")
    if "-" in arguments.paths:
        parser.error("PATH must be a file or a folder, which can be watched, not standard input")
    context = ("--context", arguments.context) if arguments.context else ()
    options = dev.Options(
        paths=tuple(arguments.paths),
        port=arguments.port,
        host=arguments.host,
        services=services,
        secret_files=tuple(arguments.secret_file),
        environment=dict(os.environ),  # noqa: TID251 -- the entry point reads the environment
        kubectl=("kubectl", *context) if arguments.via_kubectl else (),
        hosts=tuple(arguments.allow_host),
        origins=tuple(arguments.allow_origin),
        open_to_all=arguments.no_auth,
        exclude=tuple(arguments.exclude),
        namespace=arguments.namespace,
    )
    return dev.run(options, out=sys.stdout, err=sys.stderr)
