"""PURE. What the status of each kind says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.conditions import Condition, merged
from crd import integrity, published
from crd.facts import Claim, MemberFact, Space
from crd.finding import Finding, Reason
from crd.models.server import ServerSpec
from crd.models.tool import ToolSpec
from crd.ref import GROUP, VERSION, Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from controller.plan import Plan
    from controller.world import MemberWorld, ServerWorld
    from crd.compiler import Compilation
    from crd.manifest import Object

__all__ = ["differs", "member_status", "server_status", "settled"]

Status = dict[str, Any]


def server_status(world: ServerWorld, compilation: Compilation | None, plan: Plan) -> Status:
    """The status of an MCPServer, as a manifest to apply."""
    spec = world.server.spec
    ready = [pod for pod in world.pods if pod.ready]
    synced = [pod for pod in ready if plan.digest and pod.digest == plan.digest]
    status: Status = {
        "replicas": len(world.pods),
        "readyReplicas": len(ready),
        "syncedReplicas": len(synced),
    }
    if compilation is not None and isinstance(spec, ServerSpec):
        catalog = compilation.catalog
        status |= {
            "url": _url(world.server.ref, spec),
            "toolCount": len(catalog.tools),
            "promptCount": len(catalog.prompts),
            "resourceCount": len(catalog.resources) + sum(bool(o.uri_template) for o in catalog.operations),
            "catalogDigest": plan.digest,
        }
    conditions = _server_conditions(world, compilation, plan, len(ready), len(synced))
    return _manifest(world.server, status, conditions, world.now)


def settled(status: Status) -> bool:
    """Whether nothing is awaited: every ready pod serves the published catalog, and all pods are there."""
    return any(c["type"] == "Ready" and c["status"] == "True" for c in status["status"]["conditions"])


def member_status(world: MemberWorld) -> Status:
    """The status of a tool, prompt or resource, as a manifest to apply."""
    member = world.member
    servers = [_served(world, ref, catalog) for ref, catalog in sorted(world.servers.items())]
    findings = tuple(integrity.standing(world.catalog, member))
    status: Status = {"servers": [entry for entry, _ in servers]}
    if isinstance(member.spec, ToolSpec):
        status["resolvedEndpoint"] = _endpoint(world, member.spec)
    accepted = _accepted(findings, servers)
    resolved = _resolved(findings)
    conditions = (accepted, resolved, _member_ready(accepted, resolved, bool(servers)))
    return _manifest(member, status, conditions, world.now)


def differs(stored: Mapping[str, Any] | None, wanted: Status) -> bool:
    """Whether writing the status would change it."""
    return bool(stored != wanted["status"])


def _manifest(item: Object, status: Status, conditions: Iterable[Condition], now: str) -> Status:
    stored = item.raw.get("status") or {}
    generation = int(item.metadata.get("generation") or 0)
    listed = merged(conditions, stored.get("conditions") or (), generation, now)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": item.ref.kind.value,
        "metadata": {"namespace": item.ref.namespace, "name": item.ref.name},
        "status": {**status, "observedGeneration": generation, "conditions": listed},
    }


def _server_conditions(
    world: ServerWorld, compilation: Compilation | None, plan: Plan, ready: int, synced: int
) -> Sequence[Condition]:
    own = [f for rule in integrity.OBJECT_RULES for f in rule(world.server) if f.reason is not Reason.UNKNOWN_FIELD]
    if own or compilation is None:
        reason = own[0].reason if own else Reason.INVALID_FIELD
        accepted = Condition("Accepted", "False", reason, _told(own) or "the spec cannot be read")
    else:
        accepted = Condition("Accepted", "True", "Accepted", _losers(compilation))
    resolved = _resolved((*_redis_missing(world), *(compilation.unresolved if compilation else ())))
    programmed = _programmed(plan, ready, synced)
    replicas = world.server.spec.replicas if isinstance(world.server.spec, ServerSpec) else 0
    if programmed.status == "True" and ready >= replicas:
        state = Condition("Ready", "True", "Ready", f"{ready} of {replicas} pods serve the published catalog")
    else:
        state = Condition("Ready", "False", "Pending", f"{synced} of {replicas} pods serve the published catalog")
    return accepted, resolved, programmed, state


def _programmed(plan: Plan, ready: int, synced: int) -> Condition:
    if plan.obstacle:
        return Condition("Programmed", "False", *plan.obstacle)
    if not plan.digest:
        return Condition("Programmed", "False", "NotAccepted", "nothing is published of a server that is not accepted")
    if ready == 0:
        return Condition("Programmed", "False", "NoReadyPods", "no pod is ready; see the Deployment and its pods")
    if synced < ready:
        return Condition(
            "Programmed", "False", "Pending", f"{synced} of {ready} ready pods serve the published catalog"
        )
    return Condition("Programmed", "True", "Programmed", "every ready pod serves the published catalog")


def _losers(compilation: Compilation) -> str:
    rejected = list(dict.fromkeys(finding.ref.key for finding in compilation.rejected))
    if not rejected:
        return "everything selected is served"
    return f"left out, at least in part: {', '.join(rejected[:10])}{', …' if len(rejected) > 10 else ''}"


def _redis_missing(world: ServerWorld) -> Iterator[Finding]:
    spec, namespace = world.server.spec, world.server.ref.namespace
    if isinstance(spec, ServerSpec) and spec.redis:
        service = Ref(Kind.SERVICE, namespace, spec.redis.service_name)
        if world.catalog.service(service) is None:
            path = ("spec", "redis", "serviceName")
            message = f"{service} does not exist; sessions are refused until it does"
            yield Finding.of(Reason.SERVICE_MISSING, world.server.ref, message, path=path, related=(service,))


def _resolved(findings: Iterable[Finding]) -> Condition:
    missing = [finding for finding in findings if finding.reason is Reason.SERVICE_MISSING]
    if missing:
        return Condition("ResolvedRefs", "False", Reason.SERVICE_MISSING, _told(missing))
    return Condition("ResolvedRefs", "True", "ResolvedRefs", "every Service it names exists")


def _told(findings: Sequence[Finding]) -> str:
    lines = list(dict.fromkeys(str(finding) for finding in findings))
    return "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")


def _url(ref: Ref, spec: ServerSpec) -> str:
    if spec.ingress:
        scheme = "https" if spec.ingress.tls_secret_name else "http"
        return f"{scheme}://{spec.ingress.host}{spec.ingress.path_prefix}"
    return f"http://{ref.name}-mcp.{ref.namespace}.svc/mcp"


def _endpoint(world: MemberWorld, spec: ToolSpec) -> str:
    namespace = spec.service.namespace or world.member.ref.namespace
    found = world.catalog.service(Ref(Kind.SERVICE, namespace, spec.service.name))
    port = found.port_number(spec.service.port) if found else None
    return f"http://{spec.service.name}.{namespace}.svc:{port or spec.service.port}{spec.service.path}"


def _served(world: MemberWorld, server: Ref, catalog: published.Catalog | None) -> tuple[Status, str]:
    """The entry of one server, and, if it does not serve the object, why."""
    fact = world.member.fact
    claims = [c for c in fact.claims if c.space is not Space.DOOR] if isinstance(fact, MemberFact) else []
    name = claims[0].value if claims else world.member.served_name
    if catalog is None:
        return {"name": server.name, "servedName": name, "accepted": False}, "Pending"
    lost = [claim for claim in claims if _source(catalog, claim) != world.member.ref.key]
    winners = [f"{world.member.ref.kind} {_source(catalog, c)}" for c in lost if _source(catalog, c)]
    why = f'{winners[0]} serves "{lost[0].value}" on {server}' if winners else ("Pending" if lost else "")
    return {"name": server.name, "servedName": name, "accepted": not lost}, why


def _source(catalog: published.Catalog, claim: Claim) -> str:
    """The ``namespace/name`` of whoever serves a claim; empty if nobody does."""
    match claim.space:
        case Space.TOOL_NAME:
            return next((tool.source for tool in catalog.tools if tool.name == claim.value), "")
        case Space.PROMPT_NAME:
            return next((prompt.source for prompt in catalog.prompts if prompt.name == claim.value), "")
        case _:
            served = ((entry.uri, entry.source) for entry in catalog.resources)
            templates = ((operation.uri_template, operation.source) for operation in catalog.operations)
            return next((source for uri, source in (*served, *templates) if uri == claim.value), "")


def _accepted(findings: Sequence[Finding], servers: Sequence[tuple[Status, str]]) -> Condition:
    faults = [f for f in findings if f.level == "error" and not f.related and f.reason is not Reason.UNKNOWN_FIELD]
    if faults:
        return Condition("Accepted", "False", faults[0].reason, _told(faults))
    conflicts = [why for _, why in servers if why not in ("", "Pending")]
    if conflicts:
        return Condition("Accepted", "False", Reason.NAME_CONFLICT, f"{conflicts[0]}; rename one of them")
    if any(why for _, why in servers):
        return Condition("Accepted", "Unknown", "Pending", "a server that selects this object has not published it yet")
    if not servers:
        return Condition("Accepted", "True", "NotSelected", "no MCPServer selects this object by its labels")
    names = ", ".join(entry["name"] for entry, _ in servers)
    return Condition("Accepted", "True", "Accepted", f"served by {names}")


def _member_ready(accepted: Condition, resolved: Condition, served: bool) -> Condition:
    if accepted.status == "True" and resolved.status == "True" and served:
        return Condition("Ready", "True", "Ready", "agents can use it")
    wrong = accepted if accepted.status != "True" or not served else resolved
    return Condition("Ready", "False", wrong.reason, wrong.message)
