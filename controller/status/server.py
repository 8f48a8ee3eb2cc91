"""PURE. The status of an MCPServer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.planning.plan import Apply, Repair, Scale
from controller.status import envelope
from controller.status.conditions import Condition
from controller.workloads import scaling, traffic
from controller.workloads.inputs import SERVER_LABEL
from crd import integrity
from crd.finding import Reason
from crd.models.server import ServerSpec
from crd.published import signature

if TYPE_CHECKING:
    from controller.planning.plan import Plan
    from controller.planning.state import Rollout, ServerState
    from controller.status.envelope import Status
    from crd.compiler.compilation import Compilation
    from crd.finding import Verdict
    from crd.published.signature import Order

__all__ = ["status"]

LISTED = 200
# Reasons that keep a pod from starting until somebody changes something.
STUCK = frozenset({"ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CrashLoopBackOff"})
# An unknown field was dropped by the API server; the size of the catalog is measured here and not estimated; the budget
# keeps tools from being served, and not the server.
_UNREPORTED = frozenset({Reason.UNKNOWN_FIELD, Reason.CATALOG_TOO_LARGE, Reason.CONTEXT_BUDGET_EXCEEDED})


@dataclass(frozen=True, slots=True)
class _Pods:
    """The pods of a server in numbers.

    ``desired`` is the lowest number that the spec allows. ``trouble`` is the first reason that keeps a pod from
    becoming ready, and the pod. ``rollout`` is None as long as the Deployment is still to be written.
    """

    desired: int
    total: int
    ready: int
    synced: int
    is_behind: bool
    rollout: Rollout | None
    trouble: tuple[str, str] | None

    @property
    def are_current(self) -> bool:
        """Whether all pods are of the present template."""
        return self.rollout is not None and self.rollout.is_complete(self.desired)

    @property
    def stuck(self) -> tuple[str, str] | None:
        """Reason and message if the pods of the present template do not become ready."""
        if self.trouble and self.trouble[0] in STUCK:
            return self.trouble[0], f"pod {self.trouble[1]} does not become ready: {self.trouble[0]}"
        if self.rollout and self.rollout.is_late:
            return "RolloutLate", "the Deployment has exceeded its progress deadline; see its conditions and pods"
        return None


def status(state: ServerState, plan: Plan, order: Order | None = None) -> Status:
    """The status, as a manifest to apply. ``order`` is that of the newest published catalog.

    A condition that was True for the present generation of the spec stays True while pods load a new catalog, and
    while the Deployment replaces pods, as long as enough of them serve.
    """
    spec, compilation = state.server.spec, state.compilation
    pods = _pods_of(state, plan)
    found: Status = {"replicas": pods.total, "readyReplicas": pods.ready, "syncedReplicas": pods.synced}
    if compilation is not None and isinstance(spec, ServerSpec):
        ref = state.server.ref
        found |= {"url": traffic.url(ref.name, ref.namespace, spec), "catalogDigest": plan.digest}
        found |= {"selector": f"{SERVER_LABEL}={ref.name}"}
        found |= _contents(compilation)
    if order is not None:
        found["catalogVersion"] = signature.format_order(order)
    findings = integrity.standing(state.snapshot, state.server)
    accepted = _accepted(findings, compilation)
    of_members = (*compilation.unresolved, *compilation.rejected) if compilation else ()
    generation = int(state.server.metadata.get("generation") or 0)
    stored = state.server.raw.get("status") or {}
    held = {
        condition.get("type")
        for condition in stored.get("conditions") or ()
        if condition.get("status") == "True" and condition.get("observedGeneration") == generation
    }
    programmed = _programmed(plan, pods, held="Programmed" in held)
    ready = _ready(accepted, programmed, plan, pods, held="Ready" in held)
    conditions = (
        accepted,
        envelope.resolved((*findings, *of_members)),
        programmed,
        ready,
        *_progress(accepted, ready, plan, pods),
    )
    return envelope.manifest_of(state.server.ref, generation, stored, found, conditions, state.now)


def _pods_of(state: ServerState, plan: Plan) -> _Pods:
    ready = [pod for pod in state.pods if pod.ready]
    # What is about to be written is not in the state yet.
    written = {each.manifest["kind"] for each in plan.actions if isinstance(each, Apply | Repair | Scale)}
    troubles = sorted((pod.trouble, pod.name) for pod in state.pods if pod.trouble and not pod.ready)
    troubles.sort(key=lambda trouble: trouble[0] not in STUCK)
    return _Pods(
        scaling.fewest(state.server.spec) if isinstance(state.server.spec, ServerSpec) else 0,
        len(state.pods),
        len(ready),
        sum(1 for pod in ready if plan.digest and pod.digest == plan.digest),
        state.is_behind,
        None if "Deployment" in written else state.rollout,
        troubles[0] if troubles else None,
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
        "contextTokens": compilation.tokens,
    }


def _accepted(findings: Verdict, compilation: Compilation | None) -> Condition:
    faults = [finding for finding in findings.errors if finding.reason not in _UNREPORTED]
    if faults or compilation is None:
        reason = faults[0].reason if faults else Reason.INVALID_FIELD
        return Condition("Accepted", "False", reason, envelope.text_of(faults) or "the spec cannot be read")
    advice = [f for f in findings.warnings if f.reason not in _UNREPORTED | envelope.REFERENCES]
    advice += [finding for finding in findings.errors if finding.reason is Reason.CONTEXT_BUDGET_EXCEEDED]
    parts = (_rejected(compilation), envelope.text_of(advice))
    return Condition("Accepted", "True", "Accepted", "; ".join(filter(None, parts)))


def _rejected(compilation: Compilation) -> str:
    rejected = list(dict.fromkeys(finding.ref.key for finding in compilation.rejected))
    if not rejected:
        return "all selected objects are served"
    return f"partially served: {', '.join(rejected[:10])}{', …' if len(rejected) > 10 else ''}"


def _programmed(plan: Plan, pods: _Pods, *, held: bool) -> Condition:
    if plan.blocked_by:
        return Condition("Programmed", "False", *plan.blocked_by)
    if not plan.digest:
        return Condition("Programmed", "False", "NotAccepted", "the server is not accepted, so no catalog is published")
    if pods.desired == pods.total == 0:
        message = "the catalog is published; spec.replicas is 0, so there are no pods"
        return Condition("Programmed", "True", "ScaledToZero", message)
    if pods.ready == 0:
        return Condition("Programmed", "False", "NoReadyPods", "no pod is ready; see the Deployment and its pods")
    if pods.synced < pods.ready:
        message = f"{pods.synced} of {pods.ready} ready pods serve the published catalog"
        if held and not pods.is_behind:
            return Condition("Programmed", "True", "Programmed", f"{message}; the others are loading it")
        return Condition("Programmed", "False", "Pending", message)
    return Condition("Programmed", "True", "Programmed", "every ready pod serves the published catalog")


def _ready(accepted: Condition, programmed: Condition, plan: Plan, pods: _Pods, *, held: bool) -> Condition:
    if accepted.status != "True":
        return Condition("Ready", "False", accepted.reason, accepted.message)
    if plan.blocked_by:
        return Condition("Ready", "False", *plan.blocked_by)
    if programmed.reason == "ScaledToZero":
        return Condition("Ready", "True", "ScaledToZero", "spec.replicas is 0, so the server has no pods, as desired")
    serving = f"{pods.synced} of {pods.desired} pods serve the published catalog"
    if not (held or pods.are_current):
        return Condition(
            "Ready", "False", *(pods.stuck or ("RolloutInProgress", f"{serving}; pods are being replaced"))
        )
    if programmed.status == "True" and pods.ready >= pods.desired > 0:
        return Condition("Ready", "True", "Ready", f"{pods.ready} of {pods.desired} pods serve the published catalog")
    if pods.trouble:
        reason, pod = pods.trouble
        return Condition("Ready", "False", reason, f"{serving}; pod {pod} is not ready: {reason}")
    reason = programmed.reason if programmed.status != "True" else "Pending"
    return Condition("Ready", "False", reason, serving)


def _progress(accepted: Condition, ready: Condition, plan: Plan, pods: _Pods) -> tuple[Condition, ...]:
    """Reconciling or Stalled, by the conventions of kstatus: each is there only while it is True."""
    if accepted.status != "True":
        return (Condition("Stalled", "True", accepted.reason, accepted.message),)
    if plan.blocked_by:
        return (Condition("Stalled", "True", *plan.blocked_by),)
    if pods.stuck:
        return (Condition("Stalled", "True", *pods.stuck),)
    if ready.status != "True":
        return (Condition("Reconciling", "True", ready.reason, ready.message),)
    if pods.desired > 0 and not pods.are_current:
        return (Condition("Reconciling", "True", "RolloutInProgress", "pods are being replaced"),)
    return ()
