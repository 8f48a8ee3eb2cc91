"""Every field of an MCPServer, and exactly what it says in a workload."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from cli import __main__ as cli_program
from controller import program
from controller.workloads import inputs, scaling, traffic
from crd.ref import Kind, Ref
from tests.controller.states import ROOT, built, pod_of, secret, server

OWN = inputs.labels("main")


def container(**spec: Any) -> dict[str, Any]:
    return dict(pod_of(built(server(**spec)))["containers"][0])


def words(**spec: Any) -> list[str]:
    return list(container(**spec)["args"])


def test_a_server_without_wishes_has_no_more_than_it_needs() -> None:
    assert list(built(server())) == ["ServiceAccount", "Role", "RoleBinding", "Deployment", "Service"]


def test_everything_is_owned_by_the_server_and_carries_its_labels() -> None:
    everything = built(
        server(
            autoscaling={"maxReplicas": 3}, ingress={"host": "a.example.com"}, networkPolicy={"enabled": True},
            podDisruptionBudget={},
        )
    )  # fmt: skip

    assert len(everything) == 9
    for found in everything.values():
        assert found["metadata"]["name"] == "main-mcp"
        assert found["metadata"]["labels"] == OWN
        assert found["metadata"]["ownerReferences"][0]["uid"] == "uid-main"


def test_the_pods_are_hardened() -> None:
    pod = pod_of(built(server()))

    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip


def test_the_pods_may_read_their_own_catalog_and_server_and_nothing_else() -> None:
    assert built(server())["Role"]["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["main-catalog"],
         "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["mcp.example.com"], "resources": ["mcpservers"], "resourceNames": ["main"], "verbs": ["get"]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "member", "expected"),
    [
        ({}, "image", "operator:1"),
        ({"image": "other:2"}, "image", "other:2"),
        ({"imagePullPolicy": "Always"}, "imagePullPolicy", "Always"),
        ({}, "resources", {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}),
        ({"resources": {"requests": {"memory": "1Gi"}}}, "resources", {"requests": {"memory": "1Gi"}}),
        ({"resources": {"limits": {"cpu": 2}}}, "resources", {"limits": {"cpu": 2}}),
        (
            {"resources": {"limits": {"memory": "1Gi"}}, "autoscaling": {"maxReplicas": 2}},
            "resources",
            {"requests": {"cpu": "50m"}, "limits": {"memory": "1Gi"}},
        ),
        (
            {"resources": {"limits": {"cpu": "1"}}, "autoscaling": {"maxReplicas": 2}},
            "resources",
            {"limits": {"cpu": "1"}},
        ),
    ],
)
def test_a_field_of_the_container(spec: dict[str, Any], member: str, expected: Any) -> None:
    assert container(**spec)[member] == expected


def test_without_a_pull_policy_the_cluster_decides() -> None:
    assert "imagePullPolicy" not in container()


@pytest.mark.parametrize(
    ("template", "member", "expected"),
    [
        ({"nodeSelector": {"disk": "ssd", "node-role/x": ""}}, "nodeSelector", {"disk": "ssd", "node-role/x": ""}),
        (
            {"tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}]},
            "tolerations",
            [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}],
        ),
        (
            {"tolerations": [{"key": "gpu", "value": "yes"}]},
            "tolerations",
            [{"key": "gpu", "operator": "Equal", "value": "yes"}],
        ),
        ({"priorityClassName": "high"}, "priorityClassName", "high"),
        ({"serviceAccountName": "robot"}, "serviceAccountName", "robot"),
        ({}, "serviceAccountName", "main-mcp"),
        (
            {"topologySpreadConstraints": [{"topologyKey": "zone", "minDomains": 2}]},
            "topologySpreadConstraints",
            [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2,
              "labelSelector": {"matchLabels": OWN}}],
        ),
        (
            {"topologySpreadConstraints": [
                {"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 3,
                 "labelSelector": {"matchLabels": {"app": "x"}}},
            ]},
            "topologySpreadConstraints",
            [{"maxSkew": 3, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
              "labelSelector": {"matchLabels": {"app": "x"}}}],
        ),
        (
            {},
            "topologySpreadConstraints",
            [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
              "labelSelector": {"matchLabels": OWN}}],
        ),
        (
            {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "arch", "operator": "In", "values": ["arm64"]}]}],
            }}}},
            "affinity",
            {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "arch", "operator": "In", "values": ["arm64"]}]}],
            }}},
        ),
        (
            {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "namespaceSelector": {},
                                                  "labelSelector": {"matchLabels": {"app": ""}}}},
            ]}}},
            "affinity",
            {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "namespaceSelector": {},
                                                  "labelSelector": {"matchLabels": {"app": ""}}}},
            ]}},
        ),
    ],
)  # fmt: skip
def test_a_field_of_the_pod_template(template: dict[str, Any], member: str, expected: Any) -> None:
    assert pod_of(built(server(podTemplate=template)))[member] == expected


def test_labels_of_an_author_stand_beside_ours_which_win() -> None:
    template = {"labels": {"team": "x", "app.kubernetes.io/name": "stolen"}, "annotations": {"note": "y"}}

    deployment = built(server(podTemplate=template))["Deployment"]["spec"]

    assert deployment["template"]["metadata"] == {"labels": {"team": "x", **OWN}, "annotations": {"note": "y"}}
    assert deployment["selector"] == {"matchLabels": OWN}


def test_an_account_of_the_author_gets_the_right_and_no_account_is_made() -> None:
    found = built(server(podTemplate={"serviceAccountName": "robot"}))

    assert "ServiceAccount" not in found
    assert found["RoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": "robot", "namespace": "shop"}]
    assert pod_of(found)["automountServiceAccountToken"] is True


def test_pull_secrets_are_named() -> None:
    assert pod_of(built(server(imagePullSecrets=[{"name": "registry"}])))["imagePullSecrets"] == [{"name": "registry"}]


def test_without_redis_the_pods_are_told_nothing_of_it() -> None:
    assert words() == [
        "serve", "--catalog-dir", "/etc/mcp/catalog", "--namespace", "shop", "--config-map", "main-catalog",
        "--catalog-root", ROOT, "--server-uid", "uid-main",
        "--port", "8080", "--health-port", "9090", "--drain-seconds", "27",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("redis", "expected"),
    [
        ({}, ["--redis-host", "redis.shop.svc", "--redis-port", "6379", "--key-prefix", "mcp:shop:main:"]),
        ({"port": 6380}, ["--redis-host", "redis.shop.svc", "--redis-port", "6380", "--key-prefix", "mcp:shop:main:"]),
        (
            {"db": 3, "keyPrefix": "own:"},
            ["--redis-host", "redis.shop.svc", "--redis-port", "6379", "--redis-db", "3", "--key-prefix", "own:"],
        ),
        (
            {"tls": {"enabled": True}},
            ["--redis-host", "redis.shop.svc", "--redis-port", "6379", "--redis-tls", "--key-prefix", "mcp:shop:main:"],
        ),
        (
            {"tls": {"enabled": True, "caSecretName": "ca"}, "credentialsSecretName": "login"},
            ["--redis-host", "redis.shop.svc", "--redis-port", "6379", "--redis-tls",
             "--redis-ca-file", "/etc/mcp/secrets/ca/ca.crt", "--redis-credentials-dir", "/etc/mcp/secrets/login",
             "--key-prefix", "mcp:shop:main:"],
        ),
        (
            {"mode": "Cluster"},
            ["--redis-host", "redis.shop.svc", "--redis-port", "6379", "--redis-cluster",
             "--key-prefix", "mcp:shop:main:"],
        ),
        (
            {"mode": "Sentinel", "sentinel": {"masterName": "m"}},
            ["--redis-host", "redis.shop.svc", "--redis-port", "6379",
             "--redis-sentinel-host", "redis.shop.svc", "--redis-sentinel-port", "26379",
             "--redis-sentinel-master", "m", "--key-prefix", "mcp:shop:main:"],
        ),
        (
            {"mode": "Sentinel",
             "sentinel": {"masterName": "m", "serviceName": "s", "port": 1, "credentialsSecretName": "login"}},
            ["--redis-host", "redis.shop.svc", "--redis-port", "6379",
             "--redis-sentinel-host", "s.shop.svc", "--redis-sentinel-port", "1", "--redis-sentinel-master", "m",
             "--redis-sentinel-credentials-dir", "/etc/mcp/secrets/login", "--key-prefix", "mcp:shop:main:"],
        ),
        (
            {"tls": {"enabled": False}},
            ["--redis-host", "redis.shop.svc", "--redis-port", "6379", "--key-prefix", "mcp:shop:main:"],
        ),
    ],
)  # fmt: skip
def test_where_redis_is_stands_in_the_arguments(redis: dict[str, Any], expected: list[str]) -> None:
    assert words(redis={"serviceName": "redis", **redis})[17:] == expected


def test_a_collector_of_traces_stands_in_the_variables_of_opentelemetry() -> None:
    assert "env" not in pod_of(built(server()))["containers"][0]
    assert "env" not in pod_of(built(server(telemetry={})))["containers"][0]
    traces = {"serviceName": "collector", "port": 4319, "sampleRatio": "0.25"}

    env = pod_of(built(server(telemetry={"traces": traces})))["containers"][0]["env"]

    assert env[0]["valueFrom"] == {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}
    attributes = (
        "service.namespace=shop,k8s.namespace.name=shop,service.instance.id=$(POD_NAME),k8s.pod.name=$(POD_NAME)"
    )
    assert [(each["name"], each.get("value")) for each in env] == [
        ("POD_NAME", None),
        ("OTEL_SERVICE_NAME", "main"),
        ("OTEL_RESOURCE_ATTRIBUTES", attributes),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector.shop.svc:4319/v1/traces"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
    ]


def test_the_program_in_the_pods_reads_every_argument_by_its_exact_name() -> None:
    parser = cli_program._parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    arguments = words(
        redis={
            "serviceName": "redis", "port": 6380, "db": 3, "keyPrefix": "own:", "credentialsSecretName": "login",
            "tls": {"enabled": True, "caSecretName": "ca"},
            "mode": "Sentinel",
            "sentinel": {"masterName": "m", "serviceName": "s", "port": 5, "credentialsSecretName": "guards"},
        }
    )  # fmt: skip

    # argparse accepts an unambiguous beginning of an option; a second option with that beginning would break the pods.
    assert {word for word in arguments if word.startswith("--")} <= set(
        commands.choices["serve"]._option_string_actions
    )
    read = parser.parse_args(arguments)
    assert (read.redis_host, read.redis_port, read.redis_db, read.redis_tls) == ("redis.shop.svc", 6380, 3, True)
    assert read.redis_ca_file == Path("/etc/mcp/secrets/ca/ca.crt")
    assert read.redis_credentials_dir == Path("/etc/mcp/secrets/login")
    assert (read.redis_sentinel_host, read.redis_sentinel_port, read.redis_sentinel_master) == ("s.shop.svc", 5, "m")
    assert read.redis_sentinel_credentials_dir == Path("/etc/mcp/secrets/guards")
    assert read.key_prefix == "own:"
    assert (read.namespace, read.config_map, read.catalog_dir) == ("shop", "main-catalog", Path("/etc/mcp/catalog"))
    assert (read.port, read.health_port, read.drain_seconds) == (8080, 9090, 27.0)


def options_of(command: str) -> set[str]:
    (commands,) = (a for a in cli_program._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {name for name in commands.choices[command]._option_string_actions if name.startswith("--")}


def test_the_pods_get_every_option_but_those_whose_default_is_right_for_a_pod() -> None:
    settings = program.Settings(
        "mcp-system", "me", cluster_domain="corp.example", jwks_over_http=True, probe_seconds=30.0
    )
    redis = {
        "serviceName": "redis", "db": 3, "credentialsSecretName": "login",
        "tls": {"enabled": True, "caSecretName": "ca"},
        "mode": "Sentinel", "sentinel": {"masterName": "m", "credentialsSecretName": "guards"},
    }  # fmt: skip
    pod = pod_of(built(server(redis=redis), arguments=program.pod_arguments(settings)))
    cluster = words(redis={"serviceName": "redis", "mode": "Cluster"})
    given = {word for word in (*pod["containers"][0]["args"], *cluster) if word.startswith("--")}

    assert options_of("serve") - given == {
        "--help", "--host", "--secrets-dir", "--config-maps-dir", "--allow-loopback",
    }  # fmt: skip
    assert {"--cluster-domain", "--jwks-over-http", "--probe-seconds"} <= options_of("controller")
    assert pod["containers"][0]["args"][-5:] == [
        "--cluster-domain", "corp.example", "--jwks-over-http", "--probe-seconds", "30",
    ]  # fmt: skip


def test_defaults_of_the_controller_change_no_pod() -> None:
    assert program.pod_arguments(program.Settings("mcp-system", "me")) == ()


@pytest.mark.parametrize("domain", ["", ".", "a..b", "Cluster.Local", "cluster.local.", "a b", "x" * 254, "-a"])
def test_a_cluster_domain_is_a_domain(domain: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli_program._parser().parse_args(["controller", f"--cluster-domain={domain}"])
    assert "must be a DNS domain such as cluster.local" in capsys.readouterr().err


def test_what_the_pods_read_is_mounted_one_volume_each_and_may_be_absent() -> None:
    names = (Ref(Kind.CONFIG_MAP, "shop", "tenants"), secret("a.b"))

    pod = pod_of(built(server(), mounts=names))

    volumes, places = pod["volumes"][2:], pod["containers"][0]["volumeMounts"][2:]
    assert [{k: v for k, v in volume.items() if k != "name"} for volume in volumes] == [
        {"configMap": {"name": "tenants", "optional": True}},
        {"secret": {"secretName": "a.b", "optional": True}},
    ]
    assert [(place["mountPath"], place["readOnly"]) for place in places] == [
        ("/etc/mcp/configmaps/tenants", True), ("/etc/mcp/secrets/a.b", True),
    ]  # fmt: skip
    assert [volume["name"] for volume in volumes] == [place["name"] for place in places]
    assert all(len(volume["name"]) <= 63 and "." not in volume["name"] for volume in volumes)


def test_an_autoscaler_aims_at_a_share_of_the_requested_cpu() -> None:
    found = built(server(autoscaling={"minReplicas": 2, "maxReplicas": 9, "targetCPUUtilization": 55}))

    assert found["HorizontalPodAutoscaler"]["apiVersion"] == "autoscaling/v2"
    assert found["HorizontalPodAutoscaler"]["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "main-mcp"},
        "minReplicas": 2,
        "maxReplicas": 9,
        "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {
                "type": "Utilization", "averageUtilization": 55}}},
        ],
    }  # fmt: skip
    assert "replicas" not in found["Deployment"]["spec"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [({}, 1), ({"replicas": 0}, 0), ({"replicas": 4}, 4), ({"autoscaling": {"minReplicas": 2, "maxReplicas": 3}}, 2)],
)
def test_the_fewest_pods_there_are_to_be(spec: dict[str, Any], expected: int) -> None:
    assert scaling.fewest(server(**spec).spec) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "available"),
    [
        ({"replicas": 3, "podDisruptionBudget": {}}, 1),
        ({"replicas": 3, "podDisruptionBudget": {"minAvailable": "50%"}}, "50%"),
        ({"autoscaling": {"maxReplicas": 2}, "podDisruptionBudget": {}}, 1),
        ({"podDisruptionBudget": {}}, None),
        ({"replicas": 1, "podDisruptionBudget": {}}, None),
        ({"replicas": 3}, None),
    ],
)
def test_a_budget_is_there_when_it_is_wished_and_there_may_be_more_than_one_pod(
    spec: dict[str, Any], available: Any
) -> None:
    found = built(server(**spec)).get("PodDisruptionBudget")

    assert (found and found["spec"]) == (
        None if available is None else {"minAvailable": available, "selector": {"matchLabels": OWN}}
    )


@pytest.mark.parametrize(
    ("desired", "kind", "port", "annotations"),
    [
        (None, "ClusterIP", 80, None),
        ({"type": "LoadBalancer"}, "LoadBalancer", 80, None),
        ({"type": "NodePort", "port": 8443, "annotations": {"a": "b"}}, "NodePort", 8443, {"a": "b"}),
    ],
)
def test_the_service(desired: Any, kind: str, port: int, annotations: Any) -> None:
    found = built(server(**({"service": desired} if desired else {})))["Service"]

    assert found["spec"] == {
        "type": kind,
        "selector": OWN,
        "ports": [{"name": "http", "port": port, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}],
    }
    assert found["metadata"].get("annotations") == annotations


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "http://main-mcp.shop.svc/mcp"),
        ({"service": {"port": 8080}}, "http://main-mcp.shop.svc:8080/mcp"),
        ({"ingress": {"host": "a.example.com", "pathPrefix": "/x"}}, "http://a.example.com/x"),
        ({"ingress": {"host": "a.example.com", "tlsSecretName": "t"}, "service": {"port": 81}},
         "https://a.example.com/mcp"),
    ],
)  # fmt: skip
def test_the_url_is_where_clients_reach_the_endpoint(spec: dict[str, Any], expected: str) -> None:
    assert traffic.url("main", "shop", server(**spec).spec) == expected  # type: ignore[arg-type]


def ingress(config: dict[str, Any] | None = None, auth: Any = None, **desired: Any) -> dict[str, Any]:
    spec = {"ingress": {"host": "a.example.com", **desired}, "config": config or {}, **({"auth": auth} if auth else {})}
    return built(server(**spec))["Ingress"]


BACKEND = {"service": {"name": "main-mcp", "port": {"name": "http"}}}


def test_the_ingress_leads_the_prefix_and_all_doors_below_it_to_the_service() -> None:
    assert ingress(pathPrefix="/shop", className="other", tlsSecretName="cert")["spec"] == {
        "ingressClassName": "other",
        "tls": [{"hosts": ["a.example.com"], "secretName": "cert"}],
        "rules": [
            {"host": "a.example.com",
             "http": {"paths": [{"path": "/shop", "pathType": "Prefix", "backend": BACKEND}]}},
        ],
    }  # fmt: skip
    assert set(ingress()["spec"]) == {"rules"}


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ({}, "/.well-known/oauth-protected-resource/mcp"),
        ({"resource": "https://api.example.com/agents/"}, "/.well-known/oauth-protected-resource/agents"),
        ({"resource": "https://api.example.com"}, "/.well-known/oauth-protected-resource"),
    ],
)
def test_with_tokens_their_metadata_is_reachable_at_the_root_of_the_host(resource: dict[str, Any], path: str) -> None:
    jwt = {"issuer": "https://i.example.com", "audiences": ["a"], "jwksURL": "https://i.example.com/keys"}

    paths = ingress(auth={"type": "JWT", "jwt": jwt, **resource})["spec"]["rules"][0]["http"]["paths"]

    assert paths[1:] == [{"path": path, "pathType": "Exact", "backend": BACKEND}]


NGINX = {
    "nginx.ingress.kubernetes.io/proxy-buffering": "off",
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
    "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600",
    "nginx.ingress.kubernetes.io/proxy-body-size": "1048576",
    "nginx.org/proxy-buffering": "False",
    "nginx.org/proxy-read-timeout": "3600s",
    "nginx.org/proxy-send-timeout": "3600s",
    "nginx.org/client-max-body-size": "1048576",
}
HAPROXY = {"haproxy.org/timeout-server": "3600s", "haproxy-ingress.github.io/timeout-server": "3600s"}


@pytest.mark.parametrize(
    ("desired", "expected"),
    [
        ({"className": "nginx"}, NGINX),
        ({"className": "nginx-internal"}, NGINX),
        ({"className": "haproxy"}, HAPROXY),
        ({"className": "traefik"}, None),
        ({"className": "other"}, None),
        ({}, NGINX | HAPROXY),
        ({"className": "haproxy", "annotations": {"haproxy.org/timeout-server": "5s", "mine": "x"}},
         HAPROXY | {"haproxy.org/timeout-server": "5s", "mine": "x"}),
    ],
    ids=["nginx", "one of several nginx", "haproxy", "traefik", "unknown", "default class", "the author's win"],
)  # fmt: skip
def test_streams_pass_the_ingress(desired: dict[str, Any], expected: Any) -> None:
    assert ingress(**desired)["metadata"].get("annotations") == expected


def test_the_ingress_takes_requests_as_large_as_the_server_does() -> None:
    annotations = ingress({"maxRequestBytes": "4Mi"}, className="nginx")["metadata"]["annotations"]

    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "4194304"


@pytest.mark.parametrize("build", [traffic.ingress, scaling.autoscaler, scaling.budget])
def test_what_is_not_wished_cannot_be_built(build: Any) -> None:
    item = server()

    with pytest.raises(ValueError, match="MCPServer shop/main has no "):
        build(inputs.Inputs(item, item.spec, "i", "root"))  # type: ignore[arg-type]


def test_the_kubelet_probes_the_port_of_the_metrics() -> None:
    (container,) = pod_of(built(server()))["containers"]

    def get(path: str) -> dict[str, Any]:
        return {"httpGet": {"path": path, "port": "metrics", "scheme": "HTTP"}}

    assert container["startupProbe"] == {**get("/healthz"), "periodSeconds": 1, "failureThreshold": 60}
    assert container["livenessProbe"] == {**get("/healthz"), "periodSeconds": 10, "timeoutSeconds": 5}
    assert container["readinessProbe"] == {**get("/readyz"), "periodSeconds": 2, "timeoutSeconds": 2}
    assert container["ports"] == [
        {"name": "http", "containerPort": 8080, "protocol": "TCP"},
        {"name": "metrics", "containerPort": 9090, "protocol": "TCP"},
    ]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
