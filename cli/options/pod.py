"""The subcommand of the pods: serve."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from cli import environment
from cli.options import groups, values
from crd.published.settings import CONFIG_MAPS, SECRETS

if TYPE_CHECKING:
    import argparse

    from cli.options.groups import Commands
    from runtime.state.redis_servers import Options

__all__ = ["add_serve", "exports_traces"]

_EXAMPLES_SERVE = """\
examples:
  mcp-operator serve --catalog-dir /etc/mcp/catalog --namespace shop --config-map main-mcp
  mcp-operator serve --catalog-dir ./catalog --host 127.0.0.1 --allow-loopback
"""


SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def add_serve(commands: Commands) -> None:
    description = "Serve a published catalog over MCP (Streamable HTTP) and REST. Runs until SIGTERM or SIGINT."
    parser = groups.add(commands, "serve", "run the MCP server of a pod", description, _EXAMPLES_SERVE)
    parser.add_argument("--catalog-dir", type=Path, required=True, help="folder with catalog.json or catalog.json.gz")
    parser.add_argument("--namespace", default="", help="namespace of the ConfigMap to watch")
    parser.add_argument("--config-map", help="ConfigMap to watch for newer catalogs")
    parser.add_argument(
        "--catalog-root", metavar="KEY", help="public key (base64) under which catalogs are signed (default: unsigned)"
    )
    parser.add_argument("--server-uid", metavar="UID", help="UID of the MCPServer for which catalogs are signed")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104 -- a pod's server
    parser.add_argument("--port", type=values.port, default=8080, help="HTTP port (default: 8080)")
    parser.add_argument("--health-port", type=values.port, default=9090, help="port of /healthz, /readyz and /metrics")
    parser.add_argument("--redis-host", help="Redis for sessions and rate limits (default: kept in memory)")
    parser.add_argument("--redis-port", type=values.port, default=6379, help="port of Redis (default: 6379)")
    parser.add_argument("--redis-db", type=int, default=0, help="database number of Redis (default: 0)")
    parser.add_argument("--redis-cluster", action="store_true", help="the host leads to the nodes of a Redis Cluster")
    parser.add_argument(
        "--redis-sentinel-host", help="host of the Sentinels that know the master (default: no Sentinel)"
    )
    parser.add_argument(
        "--redis-sentinel-port", type=values.port, default=26379, help="port of the Sentinels (default: 26379)"
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
    parser.add_argument(
        "--drain-seconds",
        type=values.duration,
        default=27.0,
        metavar="SECONDS",
        help="after SIGTERM, requests are completed within this time (default: 27)",
    )
    parser.add_argument(
        "--allow-loopback", action="store_true", help="allow backends on loopback addresses, for local use"
    )
    parser.add_argument(
        "--cluster-domain",
        type=values.domain,
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
        type=values.interval,
        default=60.0,
        help="seconds between two comparisons of pinned tools with the list of their MCP server (default: 60)",
    )
    parser.set_defaults(run=lambda arguments: _run_serve(parser, arguments))


def _run_serve(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from cli import processes
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
        api_host=environment.read("KUBERNETES_SERVICE_HOST", "") or None,
        api_port=int(environment.read("KUBERNETES_SERVICE_PORT", "443")),
        api_directory=SERVICE_ACCOUNT if SERVICE_ACCOUNT.is_dir() else None,
        allow_loopback=arguments.allow_loopback,
        trust=trust,
        cluster_domain=arguments.cluster_domain,
        jwks_over_http=arguments.jwks_over_http,
        probe_seconds=arguments.probe_seconds,
        traces=exports_traces(),
    )
    return processes.serve_until_signal(lambda stop: program.run(settings, stop))


def exports_traces() -> bool:
    """Whether the standard variables of OpenTelemetry ask for traces over OTLP/HTTP."""
    endpoint = environment.read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    is_off = (
        environment.read("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        or environment.read("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    )
    if is_off or not (endpoint or environment.read("OTEL_EXPORTER_OTLP_ENDPOINT", "")):
        return False
    common = environment.read("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    protocol = environment.read("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", common)
    if protocol != "http/protobuf":
        logging.getLogger(__name__).warning("no traces are exported: %s is not http/protobuf", protocol)
        return False
    if importlib.util.find_spec("opentelemetry.exporter") is None:
        logging.getLogger(__name__).warning("no traces are exported: mcp-operator[otlp] is not installed")
        return False
    return True


def _redis_options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Options:
    # Its driver is large.
    from runtime.state import driver

    driver.load()
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
