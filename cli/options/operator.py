"""The subcommands of the operator: webhook, controller and registration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli import environment
from cli.options import groups, values

if TYPE_CHECKING:
    import argparse

    from cli.options.groups import Commands

__all__ = ["add_controller", "add_registration", "add_webhook"]

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


_EXIT_REGISTRATION = """\
exit codes:
  0  the objects are printed
  2  nothing is printed: wrong arguments, no cluster, or no CA yet because no controller has run

examples:
  mcp-operator registration --namespace mcp-shops --namespaces shop,bank | kubectl apply -f -
"""


def add_webhook(commands: Commands) -> None:
    description = "Answer the AdmissionReviews of the API server over HTTPS. Runs until SIGTERM or SIGINT."
    parser = groups.add(commands, "webhook", "answer the API server's AdmissionReviews", description, _EXAMPLES_WEBHOOK)
    _add_cluster_options(parser)
    parser.add_argument("--port", type=values.port, default=8443, help="HTTPS port (default: 8443)")
    parser.add_argument(
        "--next-port",
        type=values.port,
        default=8444,
        help="HTTPS port with a certificate of the next CA (default: 8444)",
    )
    parser.add_argument("--service", default="mcp-operator-webhook", help="Service that the API server calls")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="further host name or IP address for the certificate; may be repeated",
    )
    parser.add_argument(
        "--drain-seconds",
        type=values.duration,
        default=10.0,
        metavar="SECONDS",
        help="after SIGTERM, reviews are accepted for so long, and then completed (default: 10)",
    )
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
    parser.set_defaults(run=lambda arguments: _run_webhook(parser, arguments))


def _run_webhook(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    from cli import processes
    from webhook import program

    if arguments.client_name and arguments.client_ca_file is None:
        parser.error("--client-name needs --client-ca-file")
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
    return processes.serve_until_signal(lambda stop: program.run(settings, stop))


def add_controller(commands: Commands) -> None:
    description = "Reconcile the cluster with the admitted objects. One replica leads. Runs until SIGTERM or SIGINT."
    parser = groups.add(
        commands, "controller", "reconcile the cluster with the objects", description, _EXAMPLES_CONTROLLER
    )
    _add_cluster_options(parser)
    parser.add_argument(
        "--identity",
        default=environment.read("POD_NAME", os.uname().nodename),
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
        type=values.domain,
        default="cluster.local",
        help="DNS domain of the cluster, for the pods of all servers (default: cluster.local)",
    )
    groups.add_injection(parser)
    parser.add_argument(
        "--jwks-over-http",
        action="store_true",
        help="let the pods fetch the keys of token issuers that are Services over http, too",
    )
    parser.add_argument(
        "--probe-seconds",
        type=values.interval,
        default=60.0,
        help="seconds between two comparisons of pinned tools with their MCP server, by the pods (default: 60)",
    )
    parser.set_defaults(run=_run_controller)


def _run_controller(arguments: argparse.Namespace) -> int:
    from cli import processes
    from controller import program

    settings = program.Settings(
        namespace=arguments.namespace,
        identity=arguments.identity,
        pod=environment.read("POD_NAME", "") or None,
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
    return processes.serve_until_signal(lambda stop: program.run(settings, stop))


def add_registration(commands: Commands) -> None:
    summary = "print the webhook configurations of an installation for some namespaces"
    description = (
        "Print the cluster-scoped objects that an administrator installs for webhook and controller with --namespaces: "
        "the webhook configurations, and with --crds the definitions. Reads the CA from its Secret."
    )
    parser = groups.add(commands, "registration", summary, description, _EXIT_REGISTRATION)
    namespace = environment.read("POD_NAMESPACE", "mcp-system")
    parser.add_argument(
        "--namespace", default=namespace, help="namespace of the operator (default: $POD_NAMESPACE, else mcp-system)"
    )
    groups.add_namespaces(parser, required=True)
    parser.add_argument("--service", default="mcp-operator-webhook", help="Service of the webhook")
    parser.add_argument("--webhook-url", help="https://host:port of a webhook that runs outside the cluster")
    parser.add_argument("--webhook-next-url", help="https://host:port of its --next-port")
    parser.add_argument(
        "--failure-policy",
        choices=("Fail", "Ignore"),
        default="Fail",
        help="what the API server does with a change while no webhook answers (default: Fail)",
    )
    groups.add_injection(parser)
    parser.add_argument("--crds", action="store_true", help="print the CustomResourceDefinitions, too")
    groups.add_kubeconfig(parser)
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


def _add_cluster_options(parser: argparse.ArgumentParser) -> None:
    namespace = environment.read("POD_NAMESPACE", "mcp-system")
    parser.add_argument(
        "--namespace", default=namespace, help="namespace of the operator (default: $POD_NAMESPACE, else mcp-system)"
    )
    groups.add_namespaces(parser)
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")  # noqa: S104 -- a pod's server
    parser.add_argument("--health-port", type=values.port, default=9090, help="port of /healthz, /readyz and /metrics")
    groups.add_kubeconfig(parser)
