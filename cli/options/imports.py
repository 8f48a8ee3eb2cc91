"""The subcommand import, with its formats openapi and mcp."""

from __future__ import annotations

import gc
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cli import environment
from cli.options import groups, values

if TYPE_CHECKING:
    import argparse
    from urllib.parse import SplitResult

    from cli.imports.selection import Placement
    from cli.options.groups import Commands

__all__ = ["add_import"]

_EXIT_CODES = """\
exit codes:
  0  the manifests are written
  1  the manifests are written, but a conflict or a finding needs a look
"""


_EXIT_IMPORT = f"""\
{_EXIT_CODES}  2  nothing is written: wrong arguments, nothing that can be read, nothing left to import

examples:
  mcp-operator import openapi orders.yaml --service orders:8080 > tools.yaml
  mcp-operator import mcp http://127.0.0.1:3001/mcp --service github-mcp:3001 > tools.yaml
"""


_EXIT_IMPORT_OPENAPI = f"""\
{_EXIT_CODES}  2  nothing is written: wrong arguments, no such file, not such a description, no operation left

examples:
  mcp-operator import openapi orders.yaml --service orders:8080 > tools.yaml
  mcp-operator import openapi orders.yaml --service orders:8080 --namespace shop --server shop --output shop/tools.yaml
  mcp-operator import openapi orders.yaml --service orders:http --include 'GET *' --budget 4000 --report report.json
  curl -s https://api.example.com/openapi.json | mcp-operator import openapi - --service orders:8080
"""


_EXIT_IMPORT_MCP = f"""\
{_EXIT_CODES}  2  nothing is written: wrong arguments, the tools cannot be listed, no tool left

examples:
  mcp-operator import mcp http://127.0.0.1:3001/mcp --service everything:3001 --namespace tools --server everything
  mcp-operator import mcp https://mcp.example.com/mcp --service github-mcp:8000 --header Authorization=env:GITHUB_HEADER
  mcp-operator import mcp --stdio 'npx -y @modelcontextprotocol/server-memory' --service memory:8000 -o tools.yaml
"""


# What a program needs that is started for a person, as in the clients of MCP.
_PASSED_ON = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER")


def add_import(commands: Commands) -> None:
    description = (
        "Make MCPTools and write the manifests to standard output. With --output, merge them into a file: what was "
        "edited by hand stays. What cannot be imported is listed on standard error, with the reason."
    )
    parser = groups.add(commands, "import", "make manifests from an API or an MCP server", description, _EXIT_IMPORT)
    formats = parser.add_subparsers(required=True, metavar="FORMAT")
    _add_import_openapi(formats)
    _add_import_mcp(formats)


def _add_import_openapi(formats: Commands) -> None:
    description = "Make an MCPTool from each operation of an OpenAPI 3.0 or 3.1 or Swagger 2.0 description."
    parser = groups.add(formats, "openapi", "from an OpenAPI description", description, _EXIT_IMPORT_OPENAPI)
    parser.add_argument("file", metavar="FILE", help="the description in JSON or YAML, or - for standard input")
    _add_service_options(parser, "Service that the tools call, and its port")
    parser.add_argument("--path", metavar="PATH", help="path before all paths (default: that of the first server)")
    _add_import_options(
        parser, 'operations of this operationId, path, "METHOD PATH", tag or tool name', "credentials of the API"
    )
    parser.add_argument("--deprecated", action="store_true", help="import deprecated operations, too")
    parser.add_argument(
        "--resources", action="store_true", help="make MCPResources of GETs that need texts in path and query only"
    )
    parser.set_defaults(run=_run_import_openapi)


def _run_import_openapi(arguments: argparse.Namespace) -> int:
    from cli.commands import imports
    from cli.imports import objects

    options = imports.Options(
        file=arguments.file,
        objects=objects.Options(
            placement=_placement(arguments),
            base_path=arguments.path,
            include=tuple(arguments.include),
            exclude=tuple(arguments.exclude),
            deprecated=arguments.deprecated,
            resources=arguments.resources,
            budget=arguments.budget,
            secret=arguments.secret,
        ),
        output=imports.Output(arguments.output, arguments.report),
    )
    gc.disable()  # as for check
    try:
        return imports.run(options, stdin=sys.stdin.buffer, out=sys.stdout, err=sys.stderr)
    finally:
        gc.enable()


def _add_import_mcp(formats: Commands) -> None:
    description = (
        "Make an MCPTool from each tool of an MCP server, and pin it: the pods compare the pin with what the server "
        "lists, and clients see the pin."
    )
    parser = groups.add(formats, "mcp", "from an MCP server", description, _EXIT_IMPORT_MCP)
    parser.add_argument("url", nargs="?", metavar="URL", help="the server's endpoint (Streamable HTTP)")
    parser.add_argument(
        "--stdio",
        metavar="COMMAND",
        help="start the server with this command and speak over its standard input and output",
    )
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="pass this variable on to COMMAND, besides HOME, PATH and the like; may be repeated",
    )
    _add_service_options(parser, "Service at which the pods reach the server, and its port")
    parser.add_argument("--path", metavar="PATH", help="path of the endpoint (default: that of URL, else /mcp)")
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        type=values.header_source,
        metavar="NAME=env:VARIABLE|NAME=file:FILE",
        help="header to ask with; the tools read it from a Secret. Its value is never printed; may be repeated",
    )
    parser.add_argument(
        "--protocol",
        choices=("Auto", "Modern", "Legacy"),
        default="Auto",
        help="MCP 2026-07-28, or the revisions with sessions (default: detected)",
    )
    parser.add_argument(
        "--on-drift",
        choices=("Report", "Refuse"),
        default="Report",
        help="what pods do with calls of a tool that is no longer as pinned (default: Report)",
    )
    parser.add_argument(
        "--timeout", type=values.interval, default=60.0, metavar="SECONDS", help="for the whole list (default: 60)"
    )
    _add_import_options(parser, "tools of this name", "values of --header")
    parser.set_defaults(run=lambda arguments: _run_import_mcp(parser, arguments))


def _run_import_mcp(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from cli.commands import imports, mcp_imports
    from cli.imports import mcp_tools

    if (arguments.url is None) == (arguments.stdio is None):
        parser.error("exactly one of URL and --stdio is required")
    if arguments.stdio is not None and arguments.header:
        parser.error("--header goes with URL; pass variables on to --stdio with --env")
    url = _endpoint(parser, arguments.url) if arguments.url is not None else None
    command = shlex.split(arguments.stdio or "")
    if arguments.stdio is not None and not command:
        parser.error("--stdio needs a command")
    variables = {each.variable for each in arguments.header if each.variable}
    options = mcp_imports.Options(
        tools=mcp_tools.Options(
            placement=_placement(arguments),
            path=arguments.path or (url.path if url is not None and url.path else "/mcp"),
            protocol=arguments.protocol,
            on_drift=arguments.on_drift,
            include=tuple(arguments.include),
            exclude=tuple(arguments.exclude),
            budget=arguments.budget,
            secret=arguments.secret,
        ),
        url=arguments.url or "",
        command=tuple(command),
        headers=tuple(arguments.header),
        environment={
            name: value for name in (*_PASSED_ON, *arguments.env) if (value := environment.read(name, "")) != ""
        },
        variables={name: environment.read(name, "") for name in variables},
        timeout=arguments.timeout,
        output=imports.Output(arguments.output, arguments.report),
    )
    return mcp_imports.run(options, out=sys.stdout, err=sys.stderr)


def _placement(arguments: argparse.Namespace) -> Placement:
    from cli.imports.selection import Placement

    name, port = arguments.service
    return Placement(
        service=name,
        port=port,
        scheme=arguments.scheme,
        namespace=arguments.namespace,
        server=arguments.server,
        labels=tuple(arguments.label),
    )


def _add_service_options(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--service", required=True, type=values.service, metavar="NAME:PORT", help=what)
    parser.add_argument("--scheme", choices=("http", "https"), default="http", help="protocol of the Service")


def _add_import_options(parser: argparse.ArgumentParser, what: str, secret: str) -> None:
    parser.add_argument(
        "-n",
        "--namespace",
        default="default",
        type=values.namespace_name,
        help="namespace of the objects (default: default)",
    )
    parser.add_argument(
        "--server", metavar="NAME", help="write an MCPServer of this name, too, which selects the tools"
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        type=values.label,
        metavar="KEY=VALUE",
        help="label of every object (default: mcp.example.com/api=<Service>); may be repeated",
    )
    for name, verb in (("--include", "import only"), ("--exclude", "leave out")):
        parser.add_argument(name, action="append", default=[], metavar="GLOB", help=f"{verb} {what}; may be repeated")
    parser.add_argument(
        "--budget", type=values.tokens, metavar="TOKENS", help="select tools that cost a model at most this many tokens"
    )
    parser.add_argument("--secret", metavar="NAME", help=f"Secret with the {secret} (default: <Service>-credentials)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="merge the manifests into this file; the last import is kept beside it, as .<FILE>.imported",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what became of each part, as JSON")


def _endpoint(parser: argparse.ArgumentParser, text: str) -> SplitResult:
    """The parts of the URL of an MCP endpoint."""
    try:
        url = urlsplit(text)
        is_url = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        is_url = False
    if not is_url:
        parser.error("URL must be one of http or https, such as http://127.0.0.1:3001/mcp")
    if url.username is not None or url.password is not None:
        parser.error("URL must not contain credentials; use --header")
    return url
