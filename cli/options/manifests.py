"""The subcommands that read manifests: check, test, graph, explain, who-can and export."""

from __future__ import annotations

import gc
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cli import environment, graph
from cli.check import report
from cli.expectations import rendering as expectation_formats
from cli.options import groups
from crd.finding import Level

if TYPE_CHECKING:
    import argparse

    from cli.options.groups import Commands

__all__ = ["add_check", "add_explain", "add_export", "add_graph", "add_test", "add_who_can"]

_EXIT_CHECK = """\
exit codes:
  0  no finding at or above --fail-on that is not in the baseline
  1  at least one such finding
  2  nothing could be validated: wrong arguments, no such file, no object of ours, no cluster

examples:
  mcp-operator check manifests/
  kubectl kustomize overlays/production | mcp-operator check - --strict-refs
  mcp-operator check manifests/ --format json > baseline.json
  mcp-operator check manifests/ --baseline baseline.json --fail-on warning
  mcp-operator check manifests/ --since origin/main
  mcp-operator check manifests/ --live --context staging
  mcp-operator check --explain DuplicateName
"""


_EXIT_TEST = """\
exit codes:
  0  all tests passed
  1  a test failed
  2  there is no test, or a file cannot be used

examples:
  mcp-operator test tests/
  mcp-operator test tests/ --format junit > report.xml
"""


_EXIT_GRAPH = """\
exit codes:
  0  the graph is complete
  1  the graph is printed, but some documents could not be read
  2  nothing to draw: wrong arguments, no such file, no object of ours, no cluster

examples:
  mcp-operator graph manifests/
  mcp-operator graph manifests/ --format mermaid > graph.mmd
  mcp-operator graph --live --context staging
"""


_EXIT_EXPLAIN = """\
exit codes:
  0  the request is printed
  1  the runtime would refuse the call
  2  nothing to explain: wrong arguments, no such tool or file

examples:
  mcp-operator explain search-orders --args '{"status": "open"}' -f manifests/
  mcp-operator explain shop/search-orders --args '{"status": "open"}' -f manifests/ -o json
"""


_EXIT_WHO_CAN = """\
exit codes:
  0  the tools are printed
  1  with --credential: this client may call none of them
  2  there is no such tool

examples:
  mcp-operator who-can manifests/
  mcp-operator who-can manifests/ --tool list_orders --credential token --scopes "orders:read"
"""


_EXAMPLES_EXPORT = """\
examples:
  mcp-operator export server-json manifests/
  mcp-operator export server-json manifests/ --server shop/main > server.json
"""


def add_check(commands: Commands) -> None:
    summary = "validate manifests offline with the webhook's rules"
    description = f"{summary[0].upper()}{summary[1:]}. All files together are one transaction."
    parser = groups.add(commands, "check", summary, description, _EXIT_CHECK)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files or folders, or - for standard input")
    parser.add_argument("--format", choices=report.FORMATS, default="text", help="format of the report (default: text)")
    parser.add_argument(
        "--strict-refs",
        action="store_true",
        help="treat references to missing Services and Secrets as errors",
    )
    parser.add_argument(
        "--fail-on",
        choices=[level.value for level in Level],
        default=Level.ERROR.value,
        help="lowest level that fails the run (default: error)",
    )
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="ignore findings recorded in this report")
    parser.add_argument(
        "--since",
        metavar="REF",
        help="compare with a revision of Git, or a folder: what breaks callers, and what servers no longer serve",
    )
    parser.add_argument("--live", action="store_true", help="validate together with a cluster, with dry-runs")
    groups.add_kubeconfig(parser)
    groups.add_files(parser)
    parser.add_argument(
        "--openapi", type=Path, metavar="FILE", help="find tools whose fields this OpenAPI description no longer has"
    )
    parser.add_argument("--explain", metavar="REASON", help="explain a reason and its repair, and exit")
    parser.add_argument("--list-reasons", action="store_true", help="list all reasons with their levels, and exit")
    groups.add_version(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="omit the summary")
    parser.set_defaults(run=lambda arguments: _run_check(parser, arguments))


def _run_check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from cli.commands import check, error_pages

    if arguments.explain is not None:
        return error_pages.explain(arguments.explain, out=sys.stdout, err=sys.stderr)
    if arguments.list_reasons:
        return error_pages.list_all(out=sys.stdout)
    if not arguments.paths:
        parser.error("the following arguments are required: PATH")
    if arguments.since is not None and arguments.live:
        parser.error("--since and --live cannot be used together")
    options = check.Options(
        paths=tuple(arguments.paths),
        format=arguments.format,
        strict_refs=arguments.strict_refs,
        fail_on=Level(arguments.fail_on),
        baseline=arguments.baseline,
        live=arguments.live,
        context=arguments.context,
        kubeconfig=arguments.kubeconfig,
        quiet=arguments.quiet,
        colour=sys.stdout.isatty() and not environment.read("NO_COLOR", ""),
        folder=str(Path.cwd()),
        version=metadata.version("mcp-operator"),
        exclude=tuple(arguments.exclude),
        namespace=arguments.namespace,
        openapi=arguments.openapi,
        since=arguments.since,
        environment={name: environment.read(name, "") for name in ("PATH", "HOME")},
        today=datetime.now(UTC).date(),  # noqa: TID251 -- an entry point
    )
    gc.disable()  # everything that is read lives to the end; collecting would take as long as validating
    try:
        return check.run(options, stdin=sys.stdin.buffer, out=sys.stdout, err=sys.stderr)
    finally:
        gc.enable()


def add_test(commands: Commands) -> None:
    description = "Run your own expectations: the verdict on a change, and the request that a call becomes. Offline."
    parser = groups.add(commands, "test", "run your own expectations about manifests", description, _EXIT_TEST)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files, or folders with files *.test.yaml")
    parser.add_argument(
        "--format", choices=expectation_formats.FORMATS, default="text", help="format of the report (default: text)"
    )
    groups.add_namespace(parser)
    parser.set_defaults(run=_run_test)


def _run_test(arguments: argparse.Namespace) -> int:
    from cli.commands import expectations

    options = expectations.Options(tuple(arguments.paths), arguments.format, arguments.namespace)
    return expectations.run(options, out=sys.stdout, err=sys.stderr)


def add_graph(commands: Commands) -> None:
    description = "Draw which MCPServer exposes what, and which Service answers: from files, a cluster, or both."
    parser = groups.add(commands, "graph", "draw which server exposes what", description, _EXIT_GRAPH)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files or folders, or - for standard input")
    parser.add_argument("--format", choices=graph.FORMATS, default="text", help="output format (default: text)")
    parser.add_argument("--live", action="store_true", help="draw the objects of a cluster, with the files applied")
    groups.add_kubeconfig(parser)
    parser.set_defaults(run=lambda arguments: _run_graph(parser, arguments))


def _run_graph(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from cli.commands import graph

    if not arguments.paths and not arguments.live:
        parser.error("the following arguments are required: PATH or --live")
    options = graph.Options(
        paths=tuple(arguments.paths),
        format=arguments.format,
        live=arguments.live,
        context=arguments.context,
        kubeconfig=arguments.kubeconfig,
    )
    return graph.run(options, stdin=sys.stdin.buffer, out=sys.stdout, err=sys.stderr)


def add_explain(commands: Commands) -> None:
    summary = "show the HTTP request of a tool call, offline"
    description = (
        "Show the exact HTTP request of a tool call and which field of the spec makes each part, without a cluster. "
        "Values of Secrets and ConfigMaps are not read: the request names them."
    )
    parser = groups.add(commands, "explain", summary, description, _EXIT_EXPLAIN)
    parser.add_argument("tool", metavar="TOOL", help="MCPTool as name or namespace/name, or a name that clients see")
    parser.add_argument("--args", default="{}", metavar="JSON", help="arguments of the call (default: {})")
    parser.add_argument("--claims", default="{}", metavar="JSON", help="claims of the client's token (default: {})")
    parser.add_argument(
        "-f", "--file", action="append", default=[], metavar="PATH", help="file or folder; may be repeated (default: .)"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format (default: text)")
    groups.add_namespace(parser)
    parser.set_defaults(run=_run_explain)


def _run_explain(arguments: argparse.Namespace) -> int:
    from cli.commands import explain

    options = explain.Options(
        tool=arguments.tool,
        arguments=arguments.args,
        claims=arguments.claims,
        paths=tuple(arguments.file) or (".",),
        format=arguments.output,
        namespace=arguments.namespace,
    )
    return explain.run(options, stdin=sys.stdin.buffer, out=sys.stdout, err=sys.stderr)


def add_who_can(commands: Commands) -> None:
    description = "Show who may call which tool, by the authentication of the servers and the required scopes. Offline."
    parser = groups.add(commands, "who-can", "show who may call which tool", description, _EXIT_WHO_CAN)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files or folders, or - for standard input")
    parser.add_argument("--server", metavar="NAME", help="only this MCPServer, with or without its namespace")
    parser.add_argument("--tool", metavar="NAME", help="only this tool: the name that clients see, or namespace/name")
    parser.add_argument(
        "--credential", choices=("none", "key", "token"), help="ask about a client with this credential, which is valid"
    )
    parser.add_argument("--scopes", default="", metavar="'A B'", help="the scopes of the client's token")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format (default: text)")
    groups.add_namespace(parser)
    parser.set_defaults(run=lambda arguments: _run_who_can(parser, arguments))


def _run_who_can(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from cli.commands import who_can
    from cli.permissions.decisions import Principal

    if arguments.scopes and arguments.credential != "token":
        parser.error("--scopes needs --credential token")
    credential = {"key": "API key"}.get(arguments.credential, arguments.credential)
    principal = Principal(credential, frozenset(arguments.scopes.split())) if credential is not None else None
    options = who_can.Options(
        tuple(arguments.paths), principal, arguments.server, arguments.tool, arguments.output, arguments.namespace
    )
    return who_can.run(options, stdin=sys.stdin.buffer, out=sys.stdout, err=sys.stderr)


def add_export(commands: Commands) -> None:
    description = "Print the servers of files in the format server.json of the MCP registry, for catalogs of services."
    parser = groups.add(commands, "export", "print servers for catalogs of services", description, _EXAMPLES_EXPORT)
    parser.add_argument("format", choices=("server-json",), help="server-json: the format of the MCP registry")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files or folders")
    parser.add_argument("--server", metavar="NAME", help="only this MCPServer, with or without its namespace")
    groups.add_namespace(parser)
    parser.set_defaults(run=_run_export)


def _run_export(arguments: argparse.Namespace) -> int:
    from cli.commands import export

    return export.run(arguments.paths, arguments.server, arguments.namespace, out=sys.stdout, err=sys.stderr)
