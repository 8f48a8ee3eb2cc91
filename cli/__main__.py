"""The console command ``mcp-operator``: parses arguments and starts a subcommand with its settings."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import io
import json
import logging
import os
import shlex
import signal
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvloop

from cli import graph
from cli.check import report
from cli.expectations import rendering as expectation_formats
from crd import addresses
from crd.finding import Level
from crd.published.settings import CONFIG_MAPS, SECRETS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from urllib.parse import SplitResult

    from cli.commands.mcp_imports import Source
    from runtime.state.redis_servers import Options

__all__ = ["main"]

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
_EXIT_EXPLAIN = """\
exit codes:
  0  the request is printed
  1  the runtime would refuse the call
  2  nothing to explain: wrong arguments, no such tool or file

examples:
  mcp-operator explain search-orders --args '{"status": "open"}' -f manifests/
  mcp-operator explain shop/search-orders --args '{"status": "open"}' -f manifests/ -o json
"""
_EXAMPLES_DEV = """\
examples:
  mcp-operator dev manifests/ --service shop/orders=http://127.0.0.1:9000
  MCP_SECRET_SHOP_CRM_TOKEN=... mcp-operator dev manifests/
  mcp-operator dev manifests/ --secret-file secrets.yaml --via-kubectl --context staging

Values of Secrets come from the files, --secret-file, and MCP_SECRET_<NAMESPACE>_<NAME>_<KEY>; the last one counts.
They are never printed.
"""
_EXAMPLES_INIT = """\
examples:
  mcp-operator init
  mcp-operator init shop-mcp
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
_EXAMPLES_WEBHOOK = """\
examples:
  mcp-operator webhook
  mcp-operator webhook --kubeconfig ~/.kube/config --name host.k3d.internal --port 8443
"""
_EXAMPLES_CONTROLLER = """\
examples:
  mcp-operator controller
  mcp-operator controller --kubeconfig ~/.kube/config --runtime-image localhost/mcp-operator:dev \\
    --webhook-url https://host.k3d.internal:8443 --webhook-next-url https://host.k3d.internal:8444
"""
_EXIT_IMPORT = """\
exit codes:
  0  the manifests are written
  1  the manifests are written, but a conflict or a finding needs a look
  2  nothing is written: wrong arguments, nothing that can be read, nothing left to import

examples:
  mcp-operator import openapi orders.yaml --service orders:8080 > tools.yaml
  mcp-operator import mcp http://127.0.0.1:3001/mcp --service github-mcp:3001 > tools.yaml
"""
_EXIT_IMPORT_OPENAPI = """\
exit codes:
  0  the manifests are written
  1  the manifests are written, but a conflict or a finding needs a look
  2  nothing is written: wrong arguments, no such file, not such a description, no operation left

examples:
  mcp-operator import openapi orders.yaml --service orders:8080 > tools.yaml
  mcp-operator import openapi orders.yaml --service orders:8080 --namespace shop --server shop --output shop/tools.yaml
  mcp-operator import openapi orders.yaml --service orders:http --include 'GET *' --budget 4000 --report report.json
  curl -s https://api.example.com/openapi.json | mcp-operator import openapi - --service orders:8080
"""
_EXIT_IMPORT_MCP = """\
exit codes:
  0  the manifests are written
  1  the manifests are written, but a conflict or a finding needs a look
  2  nothing is written: wrong arguments, the tools cannot be listed, no tool left

examples:
  mcp-operator import mcp http://127.0.0.1:3001/mcp --service everything:3001 --namespace tools --server everything
  mcp-operator import mcp https://mcp.example.com/mcp --service github-mcp:8000 --header Authorization=env:GITHUB_HEADER
  mcp-operator import mcp --stdio 'npx -y @modelcontextprotocol/server-memory' --service memory:8000 -o tools.yaml
"""
_EXIT_REGISTRATION = """\
exit codes:
  0  the objects are printed
  2  nothing is printed: wrong arguments, no cluster, or no CA yet because no controller has run

examples:
  mcp-operator registration --namespace mcp-shops --namespaces shop,bank | kubectl apply -f -
"""
_EXAMPLES_SERVE = """\
examples:
  mcp-operator serve --catalog-dir /etc/mcp/catalog --namespace shop --config-map main-mcp
  mcp-operator serve --catalog-dir ./catalog --host 127.0.0.1 --allow-loopback
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
_EXAMPLES_GENERATE = """\
examples:
  mcp-operator generate --root .
"""
# argparse hides the type of its subparsers.
Commands = Any

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


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
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_webhook(commands)
    _add_controller(commands)
    _add_registration(commands)
    _add_serve(commands)
    _add_check(commands)
    _add_test(commands)
    _add_init(commands)
    _add_who_can(commands)
    _add_export(commands)
    _add_graph(commands)
    _add_explain(commands)
    _add_dev(commands)
    _add_import(commands)
    _add_generate(commands)
    _add_version(commands)
    _add_completion(commands, parser)
    return parser


def _add(commands: Commands, name: str, summary: str, description: str, epilog: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _add_generate(commands: Commands) -> None:
    description = "Write the CustomResourceDefinitions, the API reference and the schemas for editors from the models."
    parser = _add(commands, "generate", "write the generated files of this project", description, _EXAMPLES_GENERATE)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="folder of the project (default: .)")
    parser.set_defaults(run=_run_generate)


def _run_generate(arguments: argparse.Namespace) -> int:
    from cli.commands import generate

    return generate.run(arguments.root)


def _add_version(commands: Commands) -> None:
    description = "Print the version, the commit it was built from, and the digest of the schemas of all kinds."
    parser = _add(commands, "version", "print the version", description, _EXAMPLES_VERSION)
    parser.add_argument("--json", action="store_true", help="print an object")
    parser.set_defaults(run=_run_version)


def _run_version(arguments: argparse.Namespace) -> int:
    from cli.commands import version

    environment = dict(os.environ)  # noqa: TID251 -- the entry point reads the environment
    return version.run(as_json=arguments.json, environment=environment, out=sys.stdout)


def _add_completion(commands: Commands, whole: argparse.ArgumentParser) -> None:
    description = "Print a script with which a shell completes the commands and options of mcp-operator."
    parser = _add(commands, "completion", "print the completion script of a shell", description, _EXAMPLES_COMPLETION)
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


def _add_webhook(commands: Commands) -> None:
    description = "Answer the AdmissionReviews of the API server over HTTPS. Runs until SIGTERM or SIGINT."
    parser = _add(commands, "webhook", "answer the API server's AdmissionReviews", description, _EXAMPLES_WEBHOOK)
    _add_cluster_options(parser)
    parser.add_argument("--port", type=_port, default=8443, help="HTTPS port (default: 8443)")
    parser.add_argument(
        "--next-port", type=_port, default=8444, help="HTTPS port with a certificate of the next CA (default: 8444)"
    )
    parser.add_argument("--service", default="mcp-operator-webhook", help="Service that the API server calls")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="further host name or IP address for the certificate; may be repeated",
    )
    parser.add_argument("--drain-seconds", type=float, default=10.0, help="seconds to finish open requests")
    parser.add_argument(
        "--requester-rights",
        choices=("Warn", "Enforce"),
        default="Warn",
        help="what to do with a change that requires rights the requester lacks: warn or refuse (default: Warn)",
    )
    parser.add_argument(
        "--ingress-annotation",
        action="append",
        default=[],
        metavar="KEY",
        help="allow this Ingress annotation, or a prefix that ends with *; never snippets; may be repeated",
    )
    parser.add_argument(
        "--ingress-hosts",
        choices=("Any", "Namespaced"),
        default="Any",
        help="Namespaced: only hosts that the Namespace lists in mcp.example.com/allowed-hosts (default: Any)",
    )
    parser.add_argument(
        "--certificate-secret",
        metavar="SECRET",
        help="Secret with tls.crt and tls.key, such as cert-manager writes (default: certificates of an own CA)",
    )
    parser.add_argument(
        "--client-ca-file",
        type=Path,
        metavar="FILE",
        help="answer only clients with a certificate of this CA (PEM); the file is read again when it changes",
    )
    parser.add_argument(
        "--client-name",
        action="append",
        default=[],
        metavar="NAME",
        help="with --client-ca-file: the certificate must have this common name or DNS name; may be repeated",
    )
    parser.set_defaults(run=_run_webhook)


def _run_webhook(arguments: argparse.Namespace) -> int:
    from webhook import program

    if arguments.client_name and arguments.client_ca_file is None:
        print("mcp-operator webhook: --client-name needs --client-ca-file", file=sys.stderr)
        return 2
    settings = program.Settings(
        namespace=arguments.namespace,
        service=arguments.service,
        host=arguments.host,
        port=arguments.port,
        next_port=arguments.next_port,
        health_port=arguments.health_port,
        hosts=tuple(arguments.name),
        context=arguments.context,
        kubeconfig=arguments.kubeconfig,
        drain_seconds=arguments.drain_seconds,
        requester_rights=arguments.requester_rights,
        ingress_annotations=tuple(arguments.ingress_annotation),
        namespaced_hosts=arguments.ingress_hosts == "Namespaced",
        client_ca=arguments.client_ca_file,
        certificate_secret=arguments.certificate_secret,
        client_names=tuple(arguments.client_name),
        namespaces=arguments.namespaces,
    )
    return _serve_until_signal(lambda stop: program.run(settings, stop))


def _add_controller(commands: Commands) -> None:
    description = "Reconcile the cluster with the admitted objects. One replica leads. Runs until SIGTERM or SIGINT."
    parser = _add(commands, "controller", "reconcile the cluster with the objects", description, _EXAMPLES_CONTROLLER)
    _add_cluster_options(parser)
    parser.add_argument(
        "--identity",
        default=_read_environment("POD_NAME", os.uname().nodename),
        help="name in the leader election (default: $POD_NAME, else the host name)",
    )
    parser.add_argument("--runtime-image", help="image of MCPServers without spec.image (default: that of this pod)")
    parser.add_argument("--webhook-service", default="mcp-operator-webhook", help="Service of the webhook")
    parser.add_argument("--webhook-url", help="https://host:port of a webhook that runs outside the cluster")
    parser.add_argument("--webhook-next-url", help="https://host:port of its --next-port")
    parser.add_argument(
        "--pod-access", choices=("direct", "proxy"), default="direct", help="reach pods by IP or via the API server"
    )
    parser.add_argument(
        "--cluster-domain",
        type=_domain,
        default="cluster.local",
        help="DNS domain of the cluster, for the pods of all servers (default: cluster.local)",
    )
    _add_injection(parser)
    parser.add_argument(
        "--jwks-over-http",
        action="store_true",
        help="let the pods fetch the keys of token issuers that are Services over http, too",
    )
    parser.add_argument(
        "--probe-seconds",
        type=_interval,
        default=60.0,
        help="seconds between two comparisons of pinned tools with their MCP server, by the pods (default: 60)",
    )
    parser.set_defaults(run=_run_controller)


def _run_controller(arguments: argparse.Namespace) -> int:
    from controller import program

    settings = program.Settings(
        namespace=arguments.namespace,
        identity=arguments.identity,
        pod=_read_environment("POD_NAME", "") or None,
        runtime_image=arguments.runtime_image,
        webhook_service=arguments.webhook_service,
        webhook_url=arguments.webhook_url,
        webhook_next_url=arguments.webhook_next_url,
        host=arguments.host,
        health_port=arguments.health_port,
        context=arguments.context,
        kubeconfig=arguments.kubeconfig,
        pod_access=arguments.pod_access,
        cluster_domain=arguments.cluster_domain,
        jwks_over_http=arguments.jwks_over_http,
        probe_seconds=arguments.probe_seconds,
        namespaces=arguments.namespaces,
        inject_ca_from=arguments.inject_ca_from,
    )
    return _serve_until_signal(lambda stop: program.run(settings, stop))


def _add_injection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--inject-ca-from",
        metavar="CERTIFICATE",
        help="Certificate in the operator's namespace from which cert-manager writes the CA bundle into the webhook "
        "configurations (default: the operator's own CA)",
    )


def _add_registration(commands: Commands) -> None:
    summary = "print the webhook configurations of an installation for some namespaces"
    description = (
        "Print the cluster-scoped objects that an administrator installs for webhook and controller with --namespaces: "
        "the webhook configurations, and with --crds the definitions. Reads the CA from its Secret."
    )
    parser = _add(commands, "registration", summary, description, _EXIT_REGISTRATION)
    namespace = _read_environment("POD_NAMESPACE", "mcp-system")
    parser.add_argument(
        "--namespace", default=namespace, help="namespace of the operator (default: $POD_NAMESPACE, else mcp-system)"
    )
    _add_namespaces(parser, required=True)
    parser.add_argument("--service", default="mcp-operator-webhook", help="Service of the webhook")
    parser.add_argument("--webhook-url", help="https://host:port of a webhook that runs outside the cluster")
    parser.add_argument("--webhook-next-url", help="https://host:port of its --next-port")
    parser.add_argument(
        "--failure-policy",
        choices=("Fail", "Ignore"),
        default="Fail",
        help="what the API server does with a change while no webhook answers (default: Fail)",
    )
    _add_injection(parser)
    parser.add_argument("--crds", action="store_true", help="print the CustomResourceDefinitions, too")
    _add_kubeconfig_options(parser)
    parser.set_defaults(run=_run_registration)


def _run_registration(arguments: argparse.Namespace) -> int:
    from cli.commands import registration

    options = registration.Options(
        namespace=arguments.namespace,
        namespaces=arguments.namespaces,
        service=arguments.service,
        webhook_url=arguments.webhook_url,
        webhook_next_url=arguments.webhook_next_url,
        failure_policy=arguments.failure_policy,
        crds=arguments.crds,
        inject_ca_from=arguments.inject_ca_from,
        context=arguments.context,
        kubeconfig=arguments.kubeconfig,
    )
    return registration.run(options, out=sys.stdout, err=sys.stderr)


def _add_serve(commands: Commands) -> None:
    description = "Serve a published catalog over MCP (Streamable HTTP) and REST. Runs until SIGTERM or SIGINT."
    parser = _add(commands, "serve", "run the MCP server of a pod", description, _EXAMPLES_SERVE)
    parser.add_argument("--catalog-dir", type=Path, required=True, help="folder with catalog.json or catalog.json.gz")
    parser.add_argument("--namespace", default="", help="namespace of the ConfigMap to watch")
    parser.add_argument("--config-map", help="ConfigMap to watch for newer catalogs")
    parser.add_argument(
        "--catalog-root", metavar="KEY", help="public key (base64) under which catalogs are signed (default: unsigned)"
    )
    parser.add_argument("--server-uid", metavar="UID", help="UID of the MCPServer for which catalogs are signed")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104 -- a pod's server
    parser.add_argument("--port", type=_port, default=8080, help="HTTP port (default: 8080)")
    parser.add_argument("--health-port", type=_port, default=9090, help="port of /healthz, /readyz and /metrics")
    parser.add_argument("--redis-host", help="Redis for sessions and rate limits (default: kept in memory)")
    parser.add_argument("--redis-port", type=_port, default=6379, help="port of Redis (default: 6379)")
    parser.add_argument("--redis-db", type=int, default=0, help="database number of Redis (default: 0)")
    parser.add_argument("--redis-cluster", action="store_true", help="the host leads to the nodes of a Redis Cluster")
    parser.add_argument(
        "--redis-sentinel-host", help="host of the Sentinels that know the master (default: no Sentinel)"
    )
    parser.add_argument(
        "--redis-sentinel-port", type=_port, default=26379, help="port of the Sentinels (default: 26379)"
    )
    parser.add_argument("--redis-sentinel-master", metavar="NAME", help="name of the master, as the Sentinels know it")
    parser.add_argument(
        "--redis-sentinel-credentials-dir", type=Path, help="folder with the files username and password, for Sentinels"
    )
    parser.add_argument("--redis-tls", action="store_true", help="connect to Redis with TLS and verify its certificate")
    parser.add_argument(
        "--redis-ca-file", type=Path, help="CA bundle that signed the certificate of Redis (default: system)"
    )
    parser.add_argument("--redis-credentials-dir", type=Path, help="folder with the files username and password")
    parser.add_argument("--key-prefix", default="mcp:", help="prefix of all keys in Redis (default: mcp:)")
    parser.add_argument("--secrets-dir", type=Path, default=Path(SECRETS), help="folder of mounted Secrets")
    parser.add_argument("--config-maps-dir", type=Path, default=Path(CONFIG_MAPS), help="folder of mounted ConfigMaps")
    parser.add_argument("--drain-seconds", type=float, default=27.0, help="seconds to finish open requests")
    parser.add_argument(
        "--allow-loopback", action="store_true", help="allow backends on loopback addresses, for local use"
    )
    parser.add_argument(
        "--cluster-domain",
        type=_domain,
        default="cluster.local",
        help="DNS domain of the cluster (default: cluster.local)",
    )
    parser.add_argument(
        "--jwks-over-http",
        action="store_true",
        help="fetch the keys of token issuers that are Services over http, too",
    )
    parser.add_argument(
        "--probe-seconds",
        type=_interval,
        default=60.0,
        help="seconds between two comparisons of pinned tools with the list of their MCP server (default: 60)",
    )
    parser.set_defaults(run=lambda arguments: _run_serve(parser, arguments))


def _run_serve(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from crd.published import signature
    from runtime.app import program
    from runtime.app.catalog_store import Trust

    redis = _redis_options(parser, arguments) if arguments.redis_host else None
    if bool(arguments.catalog_root) != bool(arguments.server_uid):
        parser.error("--catalog-root and --server-uid must be given together")
    trust = None
    if arguments.catalog_root:
        try:
            trust = Trust(signature.decode_root(arguments.catalog_root), arguments.server_uid)
        except ValueError as error:
            parser.error(f"--catalog-root: {error}")
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
        api_host=_read_environment("KUBERNETES_SERVICE_HOST", "") or None,
        api_port=int(_read_environment("KUBERNETES_SERVICE_PORT", "443")),
        api_directory=SERVICE_ACCOUNT if SERVICE_ACCOUNT.is_dir() else None,
        allow_loopback=arguments.allow_loopback,
        trust=trust,
        cluster_domain=arguments.cluster_domain,
        jwks_over_http=arguments.jwks_over_http,
        probe_seconds=arguments.probe_seconds,
        traces=_exports_traces(),
    )
    return _serve_until_signal(lambda stop: program.run(settings, stop))


def _exports_traces() -> bool:
    """Whether the standard variables of OpenTelemetry ask for traces over OTLP/HTTP."""
    endpoint = _read_environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    is_off = (
        _read_environment("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        or _read_environment("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    )
    if is_off or not (endpoint or _read_environment("OTEL_EXPORTER_OTLP_ENDPOINT", "")):
        return False
    common = _read_environment("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    protocol = _read_environment("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", common)
    if protocol != "http/protobuf":
        logging.getLogger(__name__).warning("no traces are exported: %s is not http/protobuf", protocol)
        return False
    if importlib.util.find_spec("opentelemetry.exporter") is None:
        logging.getLogger(__name__).warning("no traces are exported: mcp-operator[otlp] is not installed")
        return False
    return True


def _redis_options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Options:
    # Its driver is large.
    from runtime.state import redis_servers

    if bool(arguments.redis_sentinel_host) != bool(arguments.redis_sentinel_master):
        parser.error("--redis-sentinel-host and --redis-sentinel-master must be given together")
    if arguments.redis_cluster and (arguments.redis_sentinel_host or arguments.redis_db):
        parser.error("--redis-cluster excludes --redis-sentinel-host and --redis-db")
    sentinels = None
    if arguments.redis_sentinel_host:
        sentinels = redis_servers.Sentinels(
            arguments.redis_sentinel_host,
            arguments.redis_sentinel_master,
            arguments.redis_sentinel_port,
            arguments.redis_sentinel_credentials_dir,
        )
    return redis_servers.Options(
        host=arguments.redis_host,
        port=arguments.redis_port,
        db=arguments.redis_db,
        tls=arguments.redis_tls,
        ca_file=arguments.redis_ca_file,
        credentials=arguments.redis_credentials_dir,
        sentinels=sentinels,
        is_cluster=arguments.redis_cluster,
        cluster_domain=arguments.cluster_domain,
        allow_loopback=arguments.allow_loopback,
    )


def _add_check(commands: Commands) -> None:
    summary = "validate manifests offline with the webhook's rules"
    description = f"{summary[0].upper()}{summary[1:]}. All files together are one transaction."
    parser = _add(commands, "check", summary, description, _EXIT_CHECK)
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
    _add_kubeconfig_options(parser)
    _add_file_options(parser)
    parser.add_argument(
        "--openapi", type=Path, metavar="FILE", help="find tools whose fields this OpenAPI description no longer has"
    )
    parser.add_argument("--explain", metavar="REASON", help="explain a reason and its repair, and exit")
    parser.add_argument("--list-reasons", action="store_true", help="list all reasons with their levels, and exit")
    parser.add_argument("--version", action="version", version=_version())
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
        colour=sys.stdout.isatty() and not _read_environment("NO_COLOR", ""),
        folder=str(Path.cwd()),
        version=metadata.version("mcp-operator"),
        exclude=tuple(arguments.exclude),
        namespace=arguments.namespace,
        openapi=arguments.openapi,
        since=arguments.since,
        environment={name: _read_environment(name, "") for name in ("PATH", "HOME")},
        today=datetime.now(UTC).date(),  # noqa: TID251 -- an entry point
    )
    gc.disable()  # everything that is read lives to the end; collecting would take as long as validating
    try:
        return check.run(options, stdin=sys.stdin.buffer, out=sys.stdout, err=sys.stderr)
    finally:
        gc.enable()


def _add_init(commands: Commands) -> None:
    description = (
        "Write a commented starter folder: a server, a tool, a prompt, a resource, a test and a workflow. "
        "It overwrites nothing."
    )
    parser = _add(commands, "init", "write a starter folder", description, _EXAMPLES_INIT)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="folder (default: .)")
    parser.set_defaults(run=_run_init)


def _run_init(arguments: argparse.Namespace) -> int:
    from cli.commands import starter

    return starter.run(arguments.folder, out=sys.stdout, err=sys.stderr)


def _add_who_can(commands: Commands) -> None:
    description = "Show who may call which tool, by the authentication of the servers and the required scopes. Offline."
    parser = _add(commands, "who-can", "show who may call which tool", description, _EXIT_WHO_CAN)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files or folders, or - for standard input")
    parser.add_argument("--server", metavar="NAME", help="only this MCPServer, with or without its namespace")
    parser.add_argument("--tool", metavar="NAME", help="only this tool: the name that clients see, or namespace/name")
    parser.add_argument(
        "--credential", choices=("none", "key", "token"), help="ask about a client with this credential, which is valid"
    )
    parser.add_argument("--scopes", default="", metavar="'A B'", help="the scopes of the client's token")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format (default: text)")
    parser.add_argument(
        "-n", "--namespace", default="default", help="namespace of objects that name none (default: default)"
    )
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


def _add_export(commands: Commands) -> None:
    description = "Print the servers of files in the format server.json of the MCP registry, for catalogs of services."
    parser = _add(commands, "export", "print servers for catalogs of services", description, _EXAMPLES_EXPORT)
    parser.add_argument("format", choices=("server-json",), help="server-json: the format of the MCP registry")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files or folders")
    parser.add_argument("--server", metavar="NAME", help="only this MCPServer, with or without its namespace")
    parser.add_argument(
        "-n", "--namespace", default="default", help="namespace of objects that name none (default: default)"
    )
    parser.set_defaults(run=_run_export)


def _run_export(arguments: argparse.Namespace) -> int:
    from cli.commands import export

    return export.run(arguments.paths, arguments.server, arguments.namespace, out=sys.stdout, err=sys.stderr)


def _add_test(commands: Commands) -> None:
    description = "Run your own expectations: the verdict on a change, and the request that a call becomes. Offline."
    parser = _add(commands, "test", "run your own expectations about manifests", description, _EXIT_TEST)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files, or folders with files *.test.yaml")
    parser.add_argument(
        "--format", choices=expectation_formats.FORMATS, default="text", help="format of the report (default: text)"
    )
    parser.add_argument(
        "-n", "--namespace", default="default", help="namespace of objects that name none (default: default)"
    )
    parser.set_defaults(run=_run_test)


def _run_test(arguments: argparse.Namespace) -> int:
    from cli.commands import expectations

    options = expectations.Options(tuple(arguments.paths), arguments.format, arguments.namespace)
    return expectations.run(options, out=sys.stdout, err=sys.stderr)


def _add_graph(commands: Commands) -> None:
    description = "Draw which MCPServer exposes what, and which Service answers: from files, a cluster, or both."
    parser = _add(commands, "graph", "draw which server exposes what", description, _EXIT_GRAPH)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files or folders, or - for standard input")
    parser.add_argument("--format", choices=graph.FORMATS, default="text", help="output format (default: text)")
    parser.add_argument("--live", action="store_true", help="draw the objects of a cluster, with the files applied")
    _add_kubeconfig_options(parser)
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


def _add_explain(commands: Commands) -> None:
    summary = "show the HTTP request of a tool call, offline"
    description = (
        "Show the exact HTTP request of a tool call and which field of the spec makes each part, without a cluster. "
        "Values of Secrets and ConfigMaps are not read: the request names them."
    )
    parser = _add(commands, "explain", summary, description, _EXIT_EXPLAIN)
    parser.add_argument("tool", metavar="TOOL", help="MCPTool as name or namespace/name, or a name that clients see")
    parser.add_argument("--args", default="{}", metavar="JSON", help="arguments of the call (default: {})")
    parser.add_argument("--claims", default="{}", metavar="JSON", help="claims of the client's token (default: {})")
    parser.add_argument(
        "-f", "--file", action="append", default=[], metavar="PATH", help="file or folder; may be repeated (default: .)"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="format (default: text)")
    parser.add_argument(
        "-n", "--namespace", default="default", help="namespace of objects that name none (default: default)"
    )
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


def _add_dev(commands: Commands) -> None:
    summary = "serve the MCPServers of files on this machine, with a page to try them"
    description = (
        "Check the files, serve every MCPServer at http://127.0.0.1:8080/<namespace>/<server>/mcp without a cluster, "
        "and reload on save. The page at / lists, calls and explains."
    )
    parser = _add(commands, "dev", summary, description, _EXAMPLES_DEV)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files or folders")
    parser.add_argument("--port", type=_port, default=8080, help="HTTP port (default: 8080)")
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
    _add_file_options(parser)
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


def _add_import(commands: Commands) -> None:
    description = (
        "Make MCPTools and write the manifests to standard output. With --output, merge them into a file: what was "
        "edited by hand stays. What cannot be imported is listed on standard error, with the reason."
    )
    parser = _add(commands, "import", "make manifests from an API or an MCP server", description, _EXIT_IMPORT)
    formats = parser.add_subparsers(required=True, metavar="FORMAT")
    _add_import_openapi(formats)
    _add_import_mcp(formats)


def _add_import_openapi(formats: Commands) -> None:
    description = "Make an MCPTool from each operation of an OpenAPI 3.0 or 3.1 or Swagger 2.0 description."
    parser = _add(formats, "openapi", "from an OpenAPI description", description, _EXIT_IMPORT_OPENAPI)
    parser.add_argument("file", metavar="FILE", help="the description in JSON or YAML, or - for standard input")
    parser.add_argument(
        "--service", required=True, type=_service, metavar="NAME:PORT", help="Service that the tools call, and its port"
    )
    parser.add_argument("--scheme", choices=("http", "https"), default="http", help="protocol of the Service")
    parser.add_argument("--path", metavar="PATH", help="path before all paths (default: that of the first server)")
    _add_import_options(
        parser, 'operations of this operationId, path, "METHOD PATH", tag or tool name', "credentials of the API"
    )
    parser.add_argument("--deprecated", action="store_true", help="import deprecated operations, too")
    parser.add_argument(
        "--resources", action="store_true", help="make MCPResources of GETs that need texts in path and query only"
    )
    parser.set_defaults(run=_run_import_openapi)


def _add_import_mcp(formats: Commands) -> None:
    description = (
        "Make an MCPTool from each tool of an MCP server, and pin it: the pods compare the pin with what the server "
        "lists, and clients see the pin."
    )
    parser = _add(formats, "mcp", "from an MCP server", description, _EXIT_IMPORT_MCP)
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
    parser.add_argument(
        "--service",
        required=True,
        type=_service,
        metavar="NAME:PORT",
        help="Service at which the pods reach the server, and its port",
    )
    parser.add_argument("--scheme", choices=("http", "https"), default="http", help="protocol of the Service")
    parser.add_argument("--path", metavar="PATH", help="path of the endpoint (default: that of URL, else /mcp)")
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        type=_header_source,
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
        "--timeout", type=_interval, default=60.0, metavar="SECONDS", help="for the whole list (default: 60)"
    )
    _add_import_options(parser, "tools of this name", "values of --header")
    parser.set_defaults(run=lambda arguments: _run_import_mcp(parser, arguments))


def _add_import_options(parser: argparse.ArgumentParser, what: str, secret: str) -> None:
    parser.add_argument(
        "-n", "--namespace", default="default", type=_namespace_name, help="namespace of the objects (default: default)"
    )
    parser.add_argument(
        "--server", metavar="NAME", help="write an MCPServer of this name, too, which selects the tools"
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        type=_label,
        metavar="KEY=VALUE",
        help="label of every object (default: mcp.example.com/api=<Service>); may be repeated",
    )
    for name, verb in (("--include", "import only"), ("--exclude", "leave out")):
        parser.add_argument(name, action="append", default=[], metavar="GLOB", help=f"{verb} {what}; may be repeated")
    parser.add_argument(
        "--budget", type=_tokens, metavar="TOKENS", help="select tools that cost a model at most this many tokens"
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


def _run_import_openapi(arguments: argparse.Namespace) -> int:
    from cli.commands import imports
    from cli.imports import objects
    from cli.imports.selection import Placement

    name, port = arguments.service
    options = imports.Options(
        file=arguments.file,
        objects=objects.Options(
            placement=Placement(
                service=name,
                port=port,
                scheme=arguments.scheme,
                namespace=arguments.namespace,
                server=arguments.server,
                labels=tuple(arguments.label),
            ),
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


# What a program needs that is started for a person, as in the clients of MCP.
_PASSED_ON = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER")


def _run_import_mcp(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from cli.commands import imports, mcp_imports
    from cli.imports import mcp_tools
    from cli.imports.selection import Placement

    if (arguments.url is None) == (arguments.stdio is None):
        parser.error("exactly one of URL and --stdio is required")
    if arguments.stdio is not None and arguments.header:
        parser.error("--header goes with URL; pass variables on to --stdio with --env")
    url = _endpoint(parser, arguments.url) if arguments.url is not None else None
    command = shlex.split(arguments.stdio or "")
    if arguments.stdio is not None and not command:
        parser.error("--stdio needs a command")
    name, port = arguments.service
    variables = {each.variable for each in arguments.header if each.variable}
    options = mcp_imports.Options(
        tools=mcp_tools.Options(
            placement=Placement(
                service=name,
                port=port,
                scheme=arguments.scheme,
                namespace=arguments.namespace,
                server=arguments.server,
                labels=tuple(arguments.label),
            ),
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
            name: value for name in (*_PASSED_ON, *arguments.env) if (value := _read_environment(name, "")) != ""
        },
        variables={name: _read_environment(name, "") for name in variables},
        timeout=arguments.timeout,
        output=imports.Output(arguments.output, arguments.report),
    )
    return mcp_imports.run(options, out=sys.stdout, err=sys.stderr)


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


def _header_source(text: str) -> Source:
    from cli.commands.mcp_imports import Source

    name, _, rest = text.partition("=")
    kind, _, where = rest.partition(":")
    if not name or kind not in ("env", "file") or not where:
        message = "must be NAME=env:VARIABLE or NAME=file:FILE; a value is not taken from the command line"
        raise argparse.ArgumentTypeError(message)
    return Source(name, variable=where) if kind == "env" else Source(name, file=Path(where))


def _service(text: str) -> tuple[str, int | str]:
    """The name of a Service and a port of it, by number or name."""
    name, _, port = text.partition(":")
    if not addresses.is_label(name) or not addresses.is_label(port):
        raise argparse.ArgumentTypeError(f'must be NAME:PORT such as orders:8080, got "{text}"')
    if port.isdecimal() and not 1 <= int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"the port must be a number from 1 to 65535, got {port}")
    return name, int(port) if port.isdecimal() else port


def _namespace_name(text: str) -> str:
    """The name of a namespace: a DNS label."""
    if not addresses.is_label(text):
        raise argparse.ArgumentTypeError(
            f'must be lower-case letters, digits and "-", starting and ending with a letter or digit, got "{text}"'
        )
    return text


def _tokens(text: str) -> int:
    if not text.isdecimal() or not int(text[:9]):
        raise argparse.ArgumentTypeError(f'must be a number of tokens such as 4000, got "{text}"')
    return int(text[:9])


def _port(text: str) -> int:
    """The number of a port to listen on or to connect to; 0 is any free port."""
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'must be a port number up to 65535, got "{text}"')
    return int(text)


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f'must be a number of seconds from 0.1 to 86400, got "{text}"')
    return seconds


def _label(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError(f'must be KEY=VALUE, got "{text}"')
    return key, value


def _version() -> str:
    return f"mcp-operator {metadata.version('mcp-operator')}"


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out files and folders of this name, or path below the folder; may be repeated",
    )
    parser.add_argument(
        "-n", "--namespace", default="default", help="namespace of objects that name none (default: default)"
    )


def _add_cluster_options(parser: argparse.ArgumentParser) -> None:
    namespace = _read_environment("POD_NAMESPACE", "mcp-system")
    parser.add_argument(
        "--namespace", default=namespace, help="namespace of the operator (default: $POD_NAMESPACE, else mcp-system)"
    )
    _add_namespaces(parser)
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104 -- a pod's server
    parser.add_argument("--health-port", type=_port, default=9090, help="port of /healthz, /readyz and /metrics")
    _add_kubeconfig_options(parser)


def _add_namespaces(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    parser.add_argument(
        "--namespaces",
        type=_namespaces,
        default=(),
        required=required,
        metavar="A,B",
        help="the namespaces to work for, with Roles there instead of cluster-wide rights"
        + ("" if required else " (default: all namespaces)"),
    )


def _namespaces(text: str) -> tuple[str, ...]:
    names = tuple(sorted({name.strip() for name in text.split(",")}))
    for name in names:
        if not addresses.is_label(name):
            raise argparse.ArgumentTypeError(f'must be names of namespaces such as shop,bank, got "{text}"')
    return names


def _domain(text: str) -> str:
    """A DNS domain, as an argument. It becomes a part of every host name that pods call."""
    if not addresses.is_domain(text):
        raise argparse.ArgumentTypeError(f'must be a DNS domain such as cluster.local, got "{text}"')
    return text


def _add_kubeconfig_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--context", help="context of the kubeconfig")
    parser.add_argument("--kubeconfig", type=Path, help="kubeconfig file, for use outside of a cluster")


def _read_environment(name: str, default: str) -> str:
    return os.environ.get(name, default)  # noqa: TID251 -- the entry point reads the environment


def _serve_until_signal(program: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Run until SIGTERM or SIGINT; each log record is a line of JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])

    async def run_until_signal() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await program(stop)

    uvloop.run(run_until_signal())
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
