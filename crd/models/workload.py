"""PURE. The pods of a server, and the objects that expose, scale and protect them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from crd.models import patterns
from crd.models.amounts import Quantity, Share
from crd.models.metadata import ATOMIC, Model, ObjectName, PortNumber, Rule
from crd.models.scheduling import Affinity, Key, PlainSelector, Toleration, TopologySpreadConstraint, Value

__all__ = [
    "Autoscaling",
    "DisruptionBudget",
    "ImagePullSecret",
    "Ingress",
    "NetworkPeer",
    "NetworkPolicy",
    "PodTemplate",
    "Resources",
    "ServiceTemplate",
]

Annotations = Annotated[dict[Key, Annotated[str, Field(max_length=4096)]], Field(max_length=64)]
Labels = Annotated[dict[Key, Value], Field(max_length=64)]
Amounts = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=128, pattern=patterns.LABEL_KEY)], Quantity],
    Field(max_length=16),
]


class ImagePullSecret(Model):
    """A Secret with registry credentials."""

    name: ObjectName = Field(description="Name of the Secret, in the namespace of the MCPServer.")


class Autoscaling(Model):
    """Settings of the HorizontalPodAutoscaler."""

    rules: ClassVar = (
        Rule(
            "self.maxReplicas >= self.minReplicas",
            "maxReplicas must be ≥ minReplicas; raise it or lower minReplicas",
            lambda scaling: scaling.max_replicas >= scaling.min_replicas,
            at=("maxReplicas",),
        ),
    )

    min_replicas: Annotated[int, Field(ge=1, le=100)] = Field(1, description="Minimum number of pods.")
    max_replicas: Annotated[int, Field(ge=1, le=100)] = Field(description="Maximum number of pods.")
    target_cpu_utilization: Annotated[int, Field(ge=1, le=100)] = Field(
        70, alias="targetCPUUtilization", description="Target CPU utilization, in percent of the request."
    )


class Resources(Model):
    """CPU and memory of a pod, as in a container."""

    requests: Amounts = Field(default_factory=dict, description="Resource requests, as in a container.")
    limits: Amounts = Field(default_factory=dict, description="Resource limits, as in a container.")


class PodTemplate(Model):
    """Additional settings of the pods. Privileges and host access cannot be set."""

    labels: Labels = Field(default_factory=dict, description="Labels of the pods, in addition to the operator's own.")
    annotations: Annotations = Field(default_factory=dict, description="Annotations of the pods.")
    node_selector: Labels = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = Field(
        (), description="Taints that the pods tolerate.", json_schema_extra=ATOMIC
    )
    affinity: Affinity | None = Field(None, description="Node and pod affinity of the pods.")
    topology_spread_constraints: Annotated[tuple[TopologySpreadConstraint, ...], Field(max_length=8)] = Field(
        (),
        description="How pods are spread. Defaults to an even spread over nodes where possible.",
        json_schema_extra=ATOMIC,
    )
    priority_class_name: ObjectName | None = Field(None, description="PriorityClass of the pods.")
    service_account_name: ObjectName | None = Field(
        None,
        description="ServiceAccount of the pods. Defaults to one that is created for the server. Either is "
        "granted permission to read the catalog.",
    )


class Ingress(Model):
    """Settings of the Ingress."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=patterns.HOST)] = Field(
        description="Host name of the server."
    )
    class_name: ObjectName | None = Field(
        None,
        description="IngressClass. Defaults to the default class of the cluster. For nginx and haproxy, the "
        "annotations that streaming requires are added.",
    )
    tls_secret_name: ObjectName | None = Field(
        None, description="Secret of type kubernetes.io/tls with the certificate of the host."
    )
    path_prefix: Annotated[str, Field(min_length=2, max_length=128, pattern=patterns.PATH_PREFIX)] = Field(
        "/mcp", description="Path of the MCP endpoint; every ingressPath is below it."
    )
    annotations: Annotations = Field(
        default_factory=dict,
        description="Annotations of the Ingress; they override those that are added for the class.",
    )


class ServiceTemplate(Model):
    """Settings of the Service in front of the pods."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field("ClusterIP", description="Type of the Service.")
    port: PortNumber = Field(80, description="Port of the Service.")
    annotations: Annotations = Field(default_factory=dict, description="Annotations of the Service.")


class IPBlock(Model):
    """A range of IP addresses."""

    cidr: Annotated[str, Field(min_length=3, max_length=49, pattern=patterns.CIDR)] = Field(description="CIDR block.")
    except_: Annotated[
        tuple[Annotated[str, Field(min_length=3, max_length=49, pattern=patterns.CIDR)], ...], Field(max_length=16)
    ] = Field((), alias="except", description="CIDR blocks inside cidr that are excluded.", json_schema_extra=ATOMIC)


class NetworkPeer(Model):
    """A peer that may reach the pods (networking.k8s.io/v1 NetworkPolicyPeer)."""

    rules: ClassVar = (
        Rule(
            "has(self.ipBlock) ? !has(self.podSelector) && !has(self.namespaceSelector) : "
            "has(self.podSelector) || has(self.namespaceSelector)",
            "set either ipBlock or at least one of podSelector and namespaceSelector",
            lambda peer: (
                (peer.ip_block is not None) != (peer.pod_selector is not None or peer.namespace_selector is not None)
            ),
        ),
    )

    pod_selector: PlainSelector | None = Field(
        None, description="Pods; of this namespace unless namespaceSelector is set."
    )
    namespace_selector: PlainSelector | None = Field(None, description="Namespaces.")
    ip_block: IPBlock | None = Field(None, alias="ipBlock", description="A range of IP addresses.")


class NetworkPolicy(Model):
    """A NetworkPolicy for the pods: egress only to the backends of served objects, DNS, Redis and the API server."""

    enabled: bool = Field(False, description="Whether the NetworkPolicy is created.")
    ingress_from: Annotated[tuple[NetworkPeer, ...], Field(max_length=16)] = Field(
        (),
        description="Peers that may reach the MCP port. Without it, everyone. The operator can always reach "
        "its own ports.",
        json_schema_extra=ATOMIC,
    )


class DisruptionBudget(Model):
    """Settings of the PodDisruptionBudget."""

    min_available: Share = Field(
        1, description="Minimum number of available pods, as a number or a percentage such as 50%."
    )
