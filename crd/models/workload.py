"""PURE. What the pods of a server are made of, and what stands around them."""

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
    """Lets a HorizontalPodAutoscaler decide how many pods there are."""

    rules: ClassVar = (
        Rule(
            "self.maxReplicas >= self.minReplicas",
            "maxReplicas must be ≥ minReplicas; raise it or lower minReplicas",
            lambda scaling: scaling.max_replicas >= scaling.min_replicas,
            at=("maxReplicas",),
        ),
    )

    min_replicas: Annotated[int, Field(ge=1, le=100)] = Field(1, description="Fewest pods.")
    max_replicas: Annotated[int, Field(ge=1, le=100)] = Field(description="Most pods.")
    target_cpu_utilization: Annotated[int, Field(ge=1, le=100)] = Field(
        70, alias="targetCPUUtilization", description="Share of the requested CPU that is aimed at, in percent."
    )


class Resources(Model):
    """CPU and memory of a pod, as in a container."""

    requests: Amounts = Field(default_factory=dict, description="What a pod is given for sure.")
    limits: Amounts = Field(default_factory=dict, description="What it never exceeds.")


class PodTemplate(Model):
    """What is added to the pods. What would loosen them (privileges, host access) is no part of it."""

    labels: Labels = Field(default_factory=dict, description="Labels of the pods, beside the operator's own.")
    annotations: Annotations = Field(default_factory=dict, description="Annotations of the pods.")
    node_selector: Labels = Field(default_factory=dict, description="Labels that a node must carry.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = Field(
        (), description="Taints that the pods accept.", json_schema_extra=ATOMIC
    )
    affinity: Affinity | None = Field(None, description="Where pods are drawn to, and what they keep away from.")
    topology_spread_constraints: Annotated[tuple[TopologySpreadConstraint, ...], Field(max_length=8)] = Field(
        (),
        description="How evenly pods are spread. Without it, over nodes as far as it goes.",
        json_schema_extra=ATOMIC,
    )
    priority_class_name: ObjectName | None = Field(None, description="PriorityClass of the pods.")
    service_account_name: ObjectName | None = Field(
        None,
        description="ServiceAccount of the pods. Without it, one of the server's own. The right to read the catalog is "
        "bound to whichever it is.",
    )


class Ingress(Model):
    """The way in from outside the cluster."""

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=patterns.HOST)] = Field(
        description="Host name under which the server is reached."
    )
    class_name: ObjectName | None = Field(
        None,
        description="IngressClass. Without it, the cluster's default. The settings that streams need are added for "
        "nginx and haproxy.",
    )
    tls_secret_name: ObjectName | None = Field(
        None, description="Secret of type kubernetes.io/tls with the certificate of the host."
    )
    path_prefix: Annotated[str, Field(min_length=2, max_length=128, pattern=patterns.PATH_PREFIX)] = Field(
        "/mcp", description="Path of the MCP endpoint; ingressPath doors lie below it."
    )
    annotations: Annotations = Field(
        default_factory=dict, description="Annotations of the Ingress; they win over the ones added for the class."
    )


class ServiceTemplate(Model):
    """The Service in front of the pods."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field("ClusterIP", description="Type of the Service.")
    port: PortNumber = Field(80, description="Port of the Service.")
    annotations: Annotations = Field(default_factory=dict, description="Annotations of the Service.")


class IPBlock(Model):
    """A range of addresses."""

    cidr: Annotated[str, Field(min_length=3, max_length=49, pattern=patterns.CIDR)] = Field(description="The network.")
    except_: Annotated[
        tuple[Annotated[str, Field(min_length=3, max_length=49, pattern=patterns.CIDR)], ...], Field(max_length=16)
    ] = Field((), alias="except", description="Networks in it that are left out.", json_schema_extra=ATOMIC)


class NetworkPeer(Model):
    """Who may reach the pods (networking.k8s.io/v1 NetworkPolicyPeer)."""

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

    pod_selector: PlainSelector | None = Field(None, description="Pods, of this namespace if no other is selected.")
    namespace_selector: PlainSelector | None = Field(None, description="Namespaces.")
    ip_block: IPBlock | None = Field(None, alias="ipBlock", description="A range of addresses.")


class NetworkPolicy(Model):
    """A NetworkPolicy around the pods: out only to what the served objects call, DNS, Redis and the API server."""

    enabled: bool = Field(False, description="Whether there is one.")
    ingress_from: Annotated[tuple[NetworkPeer, ...], Field(max_length=16)] = Field(
        (),
        description="Who may reach the MCP port. Without it, everybody. Ports of the operator stay open to it.",
        json_schema_extra=ATOMIC,
    )


class DisruptionBudget(Model):
    """A PodDisruptionBudget, where there may be more than one pod."""

    min_available: Share = Field(1, description="How many pods stay, as a number or a share such as 50%.")
