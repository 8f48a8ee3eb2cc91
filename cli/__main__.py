"""The console command ``mcp-operator``: which program, with which settings. The programs are elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from cli.check import report
from cli.graph import drawing
from crd.finding import Level
from crd.published.settings import CONFIG_MAPS, SECRETS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["main"]

_CHECK = """Judge manifests as the webhook would, all together, with no cluster or beside the objects of one.
0: clean, or only what is let pass. 1: findings. 2: nothing could be judged."""
_GRAPH = """Draw which server exposes what, backed by which Service: of files, of a cluster, or of files in a cluster.
0: drawn. 1: drawn, but for documents that cannot be read. 2: nothing to draw."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def main(words: Sequence[str] | None = None) -> int:
    """Run a subcommand. 0: done. 1: findings. 2: the words, or what they name, cannot be used."""
    arguments = _parser().parse_args(words)
    code: int = arguments.run(arguments)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mcp-operator", description="MCP servers on Kubernetes.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _webhook(commands)
    _controller(commands)
    _serve(commands)
    _check(commands)
    _graph(commands)
    generating = commands.add_parser("generate", help="write the generated files, for this project's own build")
    generating.add_argument("--root", type=Path, default=Path.cwd(), help="the project's folder")
    generating.set_defaults(run=_run_generate)
    return parser


def _run_generate(arguments: argparse.Namespace) -> int:
    from cli.commands import generate

    return generate.run(arguments.root)


Commands = Any


def _webhook(commands: Commands) -> None:
    parser = commands.add_parser("webhook", help="answer the API server's admission reviews")
    _in_cluster(parser)
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--service", default="mcp-operator-webhook", help="the Service in front of it")
    parser.add_argument("--name", action="append", default=[], help="a further host name or address it is called by")
    parser.add_argument("--drain-seconds", type=float, default=10.0)
    parser.set_defaults(run=_run_webhook)


def _run_webhook(arguments: argparse.Namespace) -> int:
    from webhook import program

    settings = program.Settings(
        namespace=arguments.namespace,
        service=arguments.service,
        host=arguments.host,
        port=arguments.port,
        health_port=arguments.health_port,
        hosts=tuple(arguments.name),
        context=arguments.context,
        kubeconfig=arguments.kubeconfig,
        drain_seconds=arguments.drain_seconds,
    )
    return _served(lambda stop: program.run(settings, stop))


def _controller(commands: Commands) -> None:
    parser = commands.add_parser("controller", help="make the cluster what the objects say")
    _in_cluster(parser)
    parser.add_argument("--identity", default=_environment("POD_NAME", os.uname().nodename), help="who leads")
    parser.add_argument("--runtime-image", help="image of servers that name none (default: this pod's own)")
    parser.add_argument("--webhook-service", default="mcp-operator-webhook")
    parser.add_argument("--webhook-url", help="https://host:port of a webhook that runs outside the cluster")
    parser.add_argument("--pod-access", choices=("direct", "proxy"), default="direct")
    parser.set_defaults(run=_run_controller)


def _run_controller(arguments: argparse.Namespace) -> int:
    from controller import program

    settings = program.Settings(
        namespace=arguments.namespace,
        identity=arguments.identity,
        runtime_image=arguments.runtime_image,
        webhook_service=arguments.webhook_service,
        webhook_url=arguments.webhook_url,
        host=arguments.host,
        health_port=arguments.health_port,
        context=arguments.context,
        kubeconfig=arguments.kubeconfig,
        pod_access=arguments.pod_access,
    )
    return _served(lambda stop: program.run(settings, stop))


def _serve(commands: Commands) -> None:
    parser = commands.add_parser("serve", help="the MCP server of the pods")
    parser.add_argument("--catalog-dir", type=Path, required=True, help="folder with catalog.json or catalog.json.gz")
    parser.add_argument("--namespace", default="", help="namespace of the ConfigMap to watch")
    parser.add_argument("--config-map", help="ConfigMap to watch for newer catalogs")
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 -- a pod's server
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--health-port", type=int, default=9090)
    parser.add_argument("--redis-host", help="without it, sessions and limits are kept in memory")
    parser.add_argument("--redis-port", type=int, default=6379)
    parser.add_argument("--redis-db", type=int, default=0)
    parser.add_argument("--redis-tls", action="store_true", help="speak TLS to Redis, and verify it")
    parser.add_argument("--redis-ca-file", type=Path, help="authority of Redis (default: those of the system)")
    parser.add_argument("--redis-credentials-dir", type=Path, help="folder with the files username and password")
    parser.add_argument("--key-prefix", default="mcp:", help="before every key in Redis")
    parser.add_argument("--secrets-dir", type=Path, default=Path(SECRETS), help="folder of the mounted Secrets")
    parser.add_argument("--config-maps-dir", type=Path, default=Path(CONFIG_MAPS), help="and of the ConfigMaps")
    parser.add_argument("--drain-seconds", type=float, default=27.0)
    parser.add_argument("--allow-loopback", action="store_true", help="backends on this machine, for trying out")
    parser.set_defaults(run=_run_serve)


def _run_serve(arguments: argparse.Namespace) -> int:
    from runtime.app import program
    from runtime.state.redis import Options

    redis = None
    if arguments.redis_host:
        redis = Options(
            host=arguments.redis_host,
            port=arguments.redis_port,
            db=arguments.redis_db,
            tls=arguments.redis_tls,
            ca_file=arguments.redis_ca_file,
            credentials=arguments.redis_credentials_dir,
        )
    settings = program.Settings(
        catalog_dir=arguments.catalog_dir,
        namespace=arguments.namespace,
        config_map=arguments.config_map,
        host=arguments.host,
        port=arguments.port,
        health_port=arguments.health_port,
        redis=redis,
        key_prefix=arguments.key_prefix,
        secrets_dir=arguments.secrets_dir,
        config_maps_dir=arguments.config_maps_dir,
        drain_seconds=arguments.drain_seconds,
        api_host=_environment("KUBERNETES_SERVICE_HOST", "") or None,
        api_port=int(_environment("KUBERNETES_SERVICE_PORT", "443")),
        api_directory=SERVICE_ACCOUNT if SERVICE_ACCOUNT.is_dir() else None,
        allow_loopback=arguments.allow_loopback,
    )
    return _served(lambda stop: program.run(settings, stop))


def _check(commands: Commands) -> None:
    parser = commands.add_parser("check", help="the webhook's verdicts on files", description=_CHECK)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files or folders, or - for standard input")
    parser.add_argument("--format", choices=report.FORMATS, default="text", help="of the report")
    parser.add_argument("--strict-refs", action="store_true", help="what is named but in no file is an error")
    parser.add_argument(
        "--fail-on", type=Level, choices=list(Level), default=Level.ERROR, help="what exit code 1 is for"
    )
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="an earlier JSON report: what is in it passes")
    parser.add_argument("--live", action="store_true", help="judge beside a cluster's objects, and ask its API server")
    _of_cluster(parser)
    parser.add_argument("--explain", metavar="REASON", help="print what a reason means and how to repair it")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the findings only")
    parser.set_defaults(run=lambda arguments: _run_check(parser, arguments))


def _run_check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from cli.commands import check, pages

    if arguments.explain is not None:
        return pages.explain(arguments.explain, out=sys.stdout, err=sys.stderr)
    if not arguments.paths:
        parser.error("the following arguments are required: PATH")
    options = check.Options(
        paths=tuple(arguments.paths),
        format=arguments.format,
        strict_refs=arguments.strict_refs,
        fail_on=arguments.fail_on,
        baseline=arguments.baseline,
        live=arguments.live,
        context=arguments.context,
        kubeconfig=arguments.kubeconfig,
        quiet=arguments.quiet,
        colour=sys.stdout.isatty() and not _environment("NO_COLOR", ""),
        folder=str(Path.cwd()),
        version=metadata.version("mcp-operator"),
    )
    gc.disable()  # what is read lives to the end; looking for garbage in it takes as long as judging it
    try:
        return check.run(options, stdin=sys.stdin.buffer, out=sys.stdout, err=sys.stderr)
    finally:
        gc.enable()


def _graph(commands: Commands) -> None:
    parser = commands.add_parser("graph", help="which server exposes what", description=_GRAPH)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files or folders, or - for standard input")
    parser.add_argument("--format", choices=tuple(drawing.FORMATS), default="text", help="of the drawing")
    parser.add_argument("--live", action="store_true", help="draw a cluster's objects, and the files among them")
    _of_cluster(parser)
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


def _in_cluster(parser: argparse.ArgumentParser) -> None:
    namespace = _environment("POD_NAMESPACE", "mcp-system")
    parser.add_argument("--namespace", default=namespace, help="the operator's own namespace")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104 -- a pod's server
    parser.add_argument("--health-port", type=int, default=9090, help="port of /healthz, /readyz and /metrics")
    _of_cluster(parser)


def _of_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--context", help="context of the kubeconfig, outside of a cluster")
    parser.add_argument("--kubeconfig", type=Path, help="kubeconfig, outside of a cluster")


def _environment(name: str, default: str) -> str:
    return os.environ.get(name, default)  # noqa: TID251 -- the command is where the environment is read


def _served(program: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run until SIGTERM or SIGINT, with one JSON line a log record."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])

    async def supervised() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await program(stop)

    uvloop.run(supervised())
    return 0


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
