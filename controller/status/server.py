"""PURE. The status of an MCPServer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.status import envelope
from controller.status.conditions import Condition
from controller.workloads import scaling, traffic
from crd import integrity
from crd.finding import Reason
from crd.models.server import ServerSpec

if TYPE_CHECKING:
    from controller.planning.plan import Plan
    from controller.planning.state import ServerState
    from controller.status.envelope import Status
    from crd.compiler.compilation import Compilation
    from crd.finding import Verdict

__all__ = ["status"]

LISTED = 200
# An unknown field was dropped by the API server; the size of the catalog is measured here and not estimated.
_UNREPORTED = frozenset({Reason.UNKNOWN_FIELD, Reason.CATALOG_TOO_LARGE})


def status(state: ServerState, plan: Plan) -> Status:
    """The status, as a manifest to apply."""
    spec, compilation = state.server.spec, state.compilation
    ready = [pod for pod in state.pods if pod.ready]
    synced = [pod for pod in ready if plan.digest and pod.digest == plan.digest]
    found: Status = {"replicas": len(state.pods), "readyReplicas": len(ready), "syncedReplicas": len(synced)}
    if compilation is not None and isinstance(spec, ServerSpec):
        ref = state.server.ref
        found |= {"url": traffic.url(ref.name, ref.namespace, spec), "catalogDigest": plan.digest}
        found |= _contents(compilation)
    findings = integrity.standing(state.snapshot, state.server)
    accepted = _accepted(findings, compilation)
    of_members = (*compilation.unresolved, *compilation.rejected) if compilation else ()
    programmed = _programmed(plan, len(ready), len(synced))
    conditions = (
        accepted,
        envelope.resolved((*findings, *of_members)),
        programmed,
        _ready(accepted, programmed, spec, len(ready), len(synced)),
    )
    return envelope.manifest_of(
        state.server.ref,
        int(state.server.metadata.get("generation") or 0),
        state.server.raw.get("status") or {},
        found,
        conditions,
        state.now,
    )


def _contents(compilation: Compilation) -> Status:
    tools, prompts = compilation.keys("tools"), compilation.keys("prompts")
    templates = (key.rpartition("\0")[2] for key in compilation.keys("operations"))
    uris = [*compilation.keys("resources"), *compilation.keys("http_resources"), *filter(None, templates)]
    return {
        "toolCount": len(tools),
        "promptCount": len(prompts),
        "resourceCount": len(uris),
        "serving": {"tools": tools[:LISTED], "prompts": prompts[:LISTED], "resources": sorted(uris)[:LISTED]},
        # {"tools":[…]}, with a comma between two.
        "contextBytes": len('{"tools":[]}') + compilation.context + max(0, len(tools) - 1),
    }


def _accepted(findings: Verdict, compilation: Compilation | None) -> Condition:
    faults = [finding for finding in findings.errors if finding.reason not in _UNREPORTED]
    if faults or compilation is None:
        reason = faults[0].reason if faults else Reason.INVALID_FIELD
        return Condition("Accepted", "False", reason, envelope.text_of(faults) or "the spec cannot be read")
    advice = [f for f in findings.warnings if f.reason not in _UNREPORTED | envelope.REFERENCES]
    parts = (_rejected(compilation), envelope.text_of(advice))
    return Condition("Accepted", "True", "Accepted", "; ".join(filter(None, parts)))


def _rejected(compilation: Compilation) -> str:
    rejected = list(dict.fromkeys(finding.ref.key for finding in compilation.rejected))
    if not rejected:
        return "all selected objects are served"
    return f"partially served: {', '.join(rejected[:10])}{', …' if len(rejected) > 10 else ''}"


def _programmed(plan: Plan, ready: int, synced: int) -> Condition:
    if plan.blocked_by:
        return Condition("Programmed", "False", *plan.blocked_by)
    if not plan.digest:
        return Condition("Programmed", "False", "NotAccepted", "the server is not accepted, so no catalog is published")
    if ready == 0:
        return Condition("Programmed", "False", "NoReadyPods", "no pod is ready; see the Deployment and its pods")
    if synced < ready:
        message = f"{synced} of {ready} ready pods serve the published catalog"
        return Condition("Programmed", "False", "Pending", message)
    return Condition("Programmed", "True", "Programmed", "every ready pod serves the published catalog")


def _ready(accepted: Condition, programmed: Condition, spec: Any, ready: int, synced: int) -> Condition:
    desired = scaling.fewest(spec) if isinstance(spec, ServerSpec) else 0
    if accepted.status != "True":
        return Condition("Ready", "False", accepted.reason, accepted.message)
    if desired == 0 and ready == 0:
        return Condition("Ready", "False", "ScaledToZero", "spec.replicas is 0, so the server has no pods; raise it")
    if programmed.status == "True" and ready >= desired:
        return Condition("Ready", "True", "Ready", f"{ready} of {desired} pods serve the published catalog")
    reason = programmed.reason if programmed.reason != "Programmed" else "Pending"
    return Condition("Ready", "False", reason, f"{synced} of {desired} pods serve the published catalog")
