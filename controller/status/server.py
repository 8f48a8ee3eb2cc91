"""PURE. What the status of an MCPServer says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from controller.status import envelope
from controller.status.conditions import Condition
from controller.workloads import scaling, traffic
from crd import integrity
from crd.finding import Reason
from crd.models.server import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controller.planning.plan import Plan
    from controller.planning.state import ServerWorld
    from controller.status.envelope import Status
    from crd.compiler.compilation import Compilation
    from crd.finding import Verdict
    from crd.published import catalogs, entries

__all__ = ["status"]

LISTED = 200
# What the API server has dropped already, and what is measured here instead of estimated.
_UNTOLD = frozenset({Reason.UNKNOWN_FIELD, Reason.CATALOG_TOO_LARGE})


def status(world: ServerWorld, compilation: Compilation | None, plan: Plan) -> Status:
    """The status, as a manifest to apply."""
    spec = world.server.spec
    ready = [pod for pod in world.pods if pod.ready]
    synced = [pod for pod in ready if plan.digest and pod.digest == plan.digest]
    found: Status = {"replicas": len(world.pods), "readyReplicas": len(ready), "syncedReplicas": len(synced)}
    if compilation is not None and isinstance(spec, ServerSpec):
        ref = world.server.ref
        found |= {"url": traffic.url(ref.name, ref.namespace, spec), "catalogDigest": plan.digest}
        found |= _contents(compilation.catalog)
    findings = integrity.standing(world.catalog, world.server)
    accepted = _accepted(findings, compilation)
    of_members = (*compilation.unresolved, *compilation.rejected) if compilation else ()
    programmed = _programmed(plan, len(ready), len(synced))
    conditions = (
        accepted,
        envelope.resolved((*findings, *of_members)),
        programmed,
        _ready(accepted, programmed, spec, len(ready), len(synced)),
    )
    return envelope.written(world.server, found, conditions, world.now)


def _contents(catalog: catalogs.Catalog) -> Status:
    uris = (
        *(entry.uri for entry in catalog.resources),
        *(entry.uri for entry in catalog.http_resources),
        *(operation.uri_template for operation in catalog.operations if operation.uri_template),
    )
    return {
        "toolCount": len(catalog.tools),
        "promptCount": len(catalog.prompts),
        "resourceCount": len(uris),
        "serving": {
            "tools": _first(tool.name for tool in catalog.tools),
            "prompts": _first(prompt.name for prompt in catalog.prompts),
            "resources": _first(uris),
        },
        "contextBytes": len(orjson.dumps({"tools": [_listed(tool) for tool in catalog.tools]})),
    }


def _first(names: Iterable[str]) -> list[str]:
    return sorted(names)[:LISTED]


def _listed(tool: entries.Tool) -> dict[str, Any]:
    """A tool as a model reads it in tools/list (MCP, Tool)."""
    told = {
        "title": tool.title,
        "outputSchema": tool.output_schema,
        "annotations": tool.annotations,
        "description": tool.description or tool.name,
    }
    given = {name: value for name, value in told.items() if value}
    return {"name": tool.name, "inputSchema": tool.input_schema, **given}


def _accepted(findings: Verdict, compilation: Compilation | None) -> Condition:
    faults = [finding for finding in findings.errors if finding.reason not in _UNTOLD]
    if faults or compilation is None:
        reason = faults[0].reason if faults else Reason.INVALID_FIELD
        return Condition("Accepted", "False", reason, envelope.told(faults) or "the spec cannot be read")
    advice = [f for f in findings.warnings if f.reason not in _UNTOLD | envelope.REFERENCES]
    words = "; ".join(part for part in (_losers(compilation), envelope.told(advice)) if part)
    return Condition("Accepted", "True", "Accepted", words)


def _losers(compilation: Compilation) -> str:
    rejected = list(dict.fromkeys(finding.ref.key for finding in compilation.rejected))
    if not rejected:
        return "everything selected is served"
    return f"left out, at least in part: {', '.join(rejected[:10])}{', …' if len(rejected) > 10 else ''}"


def _programmed(plan: Plan, ready: int, synced: int) -> Condition:
    if plan.obstacle:
        return Condition("Programmed", "False", *plan.obstacle)
    if not plan.digest:
        return Condition("Programmed", "False", "NotAccepted", "nothing is published of a server that is not accepted")
    if ready == 0:
        return Condition("Programmed", "False", "NoReadyPods", "no pod is ready; see the Deployment and its pods")
    if synced < ready:
        message = f"{synced} of {ready} ready pods serve the published catalog"
        return Condition("Programmed", "False", "Pending", message)
    return Condition("Programmed", "True", "Programmed", "every ready pod serves the published catalog")


def _ready(accepted: Condition, programmed: Condition, spec: Any, ready: int, synced: int) -> Condition:
    wanted = scaling.fewest(spec) if isinstance(spec, ServerSpec) else 0
    if accepted.status != "True":
        return Condition("Ready", "False", accepted.reason, accepted.message)
    if wanted == 0 and ready == 0:
        return Condition("Ready", "False", "ScaledToZero", "spec.replicas is 0, so nothing is served; raise it")
    if programmed.status == "True" and ready >= wanted:
        return Condition("Ready", "True", "Ready", f"{ready} of {wanted} pods serve the published catalog")
    reason = programmed.reason if programmed.reason != "Programmed" else "Pending"
    return Condition("Ready", "False", reason, f"{synced} of {wanted} pods serve the published catalog")
