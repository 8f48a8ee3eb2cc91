"""PURE. The rights that a change needs: what its author may not do directly, MCP objects must not do for the author.

A change that names a Secret or ConfigMap, or that decides what pods, Ingresses and Services are created, *demands*
rights of its requester. The webhook and ``check --live`` ask the API server; this module says what to ask and words the
findings. A demand is met by any one of its rights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from crd.facts import MemberFact
from crd.finding import Finding, Reason, format_path, shorten
from crd.models.server import ServerSpec
from crd.ref import GROUP, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crd.finding import Level
    from crd.integrity import Change
    from crd.manifest import Object
    from crd.ref import Ref

__all__ = [
    "HARMLESS",
    "HOSTS_ANNOTATION",
    "Demand",
    "Requester",
    "Right",
    "demands",
    "forbidden",
    "forbidden_host",
    "new_host",
]

Path = tuple[str | int, ...]

# Fields of a spec of which a change demands nothing: texts and hints for clients, and the number of pods, which the
# scale subresource changes as well. Every other field can decide where a credential is sent, or by whom it is used.
HARMLESS = frozenset({"title", "description", "annotations", "info", "replicas"})
# On a Namespace: the hosts that Ingresses of its MCPServers may have, separated by commas.
HOSTS_ANNOTATION = f"{GROUP}/allowed-hosts"
# `use` is a verb of this product: a Role can grant it without `get`, so that its holder may refer to a Secret that
# only the pods of a server read.
_READ_VERBS = ("get", "use")
_PLURALS = {Kind.SECRET: "secrets", Kind.CONFIG_MAP: "configmaps"}


class Right(NamedTuple):
    """One verb on one resource of a namespace; an empty name stands for every object."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""


class Demand(NamedTuple):
    """What the requester must be allowed: at least one of the rights. ``path`` is the field that requires it."""

    rights: tuple[Right, ...]
    path: Path


@dataclass(frozen=True, slots=True)
class Requester:
    """The user that sent a request, as the API server authenticated it (authentication.k8s.io/v1 UserInfo)."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def demands(change: Change) -> tuple[Demand, ...]:
    """What a change demands, in the order of the fields. A deletion and an object with problems demand nothing."""
    new = change.new
    if new is None or new.spec is None or new.fact is None:
        return ()
    found = [*_read_demands(new)]
    if found and not _reaches_elsewhere(change.old, new):
        found = []
    if isinstance(new.spec, ServerSpec):
        former = change.old.spec if change.old is not None else None
        found += _workload_demands(new.ref, former if isinstance(former, ServerSpec) else None, new.spec)
    return tuple(found)


def forbidden(ref: Ref, demand: Demand, user: str, level: Level | None = None) -> Finding:
    """The finding about a demand of which the user has no right. Without ``user``, the one who runs the command."""
    who = f"user {shorten(user)}" if user else "the current user"
    first = demand.rights[0]
    if first.name:
        verbs = " nor ".join(right.verb for right in demand.rights)
        kind = "Secret" if first.resource == "secrets" else "ConfigMap"
        message = (
            f"{who} may neither {verbs} {kind} {first.namespace}/{first.name}; grant one of these verbs on "
            f"{first.resource} or remove the reference"
        )
        return Finding.of(Reason.SECRET_FORBIDDEN, ref, message, path=demand.path, level=level)
    named = [f"{right.resource}.{right.group}" if right.group else right.resource for right in demand.rights]
    may = f"may create neither {' nor '.join(named)}" if len(named) > 1 else f"may not create {named[0]}"
    message = (
        f"{who} {may} in namespace {first.namespace}, as {format_path(demand.path)} requires; grant the verb create "
        "or remove the field"
    )
    return Finding.of(Reason.WORKLOAD_FORBIDDEN, ref, message, path=demand.path, level=level)


def new_host(change: Change) -> str:
    """The host that the change gives the Ingress of a server; empty if it has none or keeps it."""
    new, old = (item.spec if item is not None else None for item in (change.new, change.old))
    if not isinstance(new, ServerSpec) or new.ingress is None:
        return ""
    former = old.ingress.host if isinstance(old, ServerSpec) and old.ingress is not None else ""
    return new.ingress.host if new.ingress.host != former else ""


def forbidden_host(ref: Ref, host: str, allowed: str) -> Finding | None:
    """The finding about a host that is not in a list; None if it is.

    ``*.example.com`` in the list stands for all names below example.com and not for itself, ``*`` for every name.
    """
    name = host.lower()
    for entry in (part.strip().lower() for part in allowed.split(",")):
        if entry == "*" or name == entry or (entry.startswith("*.") and name.endswith(entry[1:])):
            return None
    message = (
        f"namespace {ref.namespace} may not use the host {shorten(host)}; use a host that the annotation "
        f"{HOSTS_ANNOTATION} of the Namespace lists, or have a cluster administrator add it there"
    )
    return Finding.of(Reason.HOST_FORBIDDEN, ref, message, path=("spec", "ingress", "host"))


def _reaches_elsewhere(old: Object | None, new: Object) -> bool:
    """Whether anything but harmless fields changed: the spec, or the labels by which servers select a member."""
    if old is None or old.spec is None:
        return True
    if isinstance(new.fact, MemberFact) and old.labels != new.labels:
        return True
    before, after = (
        {name: value for name, value in vars(item.spec).items() if name not in HARMLESS} for item in (old, new)
    )
    return before != after


def _read_demands(item: Object) -> Iterator[Demand]:
    """Secrets and ConfigMaps whose content pods or the Ingress controller use for the object."""
    fact, spec = item.fact, item.spec
    named = [(mount.ref.kind, mount.ref.name, mount.path) for mount in fact.mounts] if fact is not None else []
    if isinstance(spec, ServerSpec):
        for index, secret in enumerate(spec.image_pull_secrets):
            named.append((Kind.SECRET, secret.name, ("spec", "imagePullSecrets", index, "name")))
    for kind, name, path in named:
        rights = tuple(Right(verb, "", _PLURALS[kind], item.ref.namespace, name) for verb in _READ_VERBS)
        yield Demand(rights, path)


def _workload_demands(ref: Ref, old: ServerSpec | None, new: ServerSpec) -> Iterator[Demand]:
    """What the author decides about pods, the Ingress and the Service, as far as the change decides it anew."""
    namespace = ref.namespace
    pods = (Right("create", "", "pods", namespace), Right("create", "apps", "deployments", namespace))
    for name, field_name in (("image", "image"), ("pod_template", "podTemplate"), ("resources", "resources")):
        value = getattr(new, name)
        if value is not None and (old is None or value != getattr(old, name)):
            yield Demand(pods, ("spec", field_name))
    if new.ingress is not None and (old is None or _ingress_of(new) != _ingress_of(old)):
        yield Demand((Right("create", "networking.k8s.io", "ingresses", namespace),), ("spec", "ingress"))
    # NetworkPolicies add up: one more opens what a policy of the namespace closes. A budget can stop a drain of nodes.
    policy, budget = new.network_policy, new.pod_disruption_budget
    if policy is not None and policy.enabled and (old is None or policy != old.network_policy):
        yield Demand((Right("create", "networking.k8s.io", "networkpolicies", namespace),), ("spec", "networkPolicy"))
    if budget is not None and (old is None or budget != old.pod_disruption_budget):
        right = Right("create", "policy", "poddisruptionbudgets", namespace)
        yield Demand((right,), ("spec", "podDisruptionBudget"))
    service = new.service
    if service is not None and (old is None or service != old.service):
        if service.type != "ClusterIP":
            yield Demand((Right("create", "", "services", namespace),), ("spec", "service", "type"))
        elif service.annotations:
            yield Demand((Right("create", "", "services", namespace),), ("spec", "service", "annotations"))


def _ingress_of(spec: ServerSpec) -> tuple[object, object]:
    """What decides about the Ingress; ``auth.resource`` names one of its paths, that of the metadata (RFC 9728)."""
    return spec.ingress, spec.auth.resource if spec.auth else None
