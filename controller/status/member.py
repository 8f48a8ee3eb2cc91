"""PURE. The status of a tool, prompt or resource."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from controller.planning.state import ServerReadiness
from controller.status import envelope
from controller.status.conditions import Condition
from crd import integrity
from crd.facts import Space
from crd.finding import Reason, Verdict
from crd.rules import budgets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from controller.kept import ToolFacts
    from controller.planning.state import MemberState
    from controller.status.envelope import Status
    from crd.facts import Claim
    from crd.ref import Ref

__all__ = ["DRIFTED", "status"]

DRIFTED = "Drifted"

_Served: TypeAlias = "tuple[Status, str, str]"
_PENDING = "Pending"
# The published catalogs say who holds a claim; an unknown field was dropped by the API server.
_UNREPORTED = integrity.CLASHES | {Reason.UNKNOWN_FIELD}


def status(state: MemberState) -> Status:
    """The status, as a manifest to apply."""
    member = state.member
    servers = [_served(state, ref, held) for ref, held in sorted(state.servers.items())]
    relations = integrity.relations(state.snapshot, member.fact) if member.fact else ()
    findings = Verdict.of((*member.compiled.findings, *relations))
    found: Status = {"servers": [entry for entry, _, _ in servers]}
    if member.tool is not None:
        found |= {"resolvedEndpoint": _endpoint(state, member.tool), "schemaHash": member.tool.schema_hash}
        if member.tool.context_bytes:
            found |= {"contextBytes": member.tool.context_bytes, "contextTokens": member.tool.context_tokens}
    accepted = _accepted(findings, servers, disabled=_disabled(state))
    resolved = envelope.resolved(findings)
    drifted = _drifted(state)
    ready = _ready(state, accepted, resolved, drifted)
    conditions = (
        accepted,
        resolved,
        *((ready,) if ready else ()),
        *((drifted,) if drifted else ()),
        *_stalled(accepted),
    )
    return envelope.manifest_of(member.ref, member.generation, member.status(), found, conditions, state.now)


def _disabled(state: MemberState) -> bool:
    return state.member.tool is not None and not state.member.tool.enabled


def _served(state: MemberState, server: Ref, held: Mapping[Claim, Ref] | None) -> _Served:
    """The entry of one server, and, if it does not serve all of the object, why: the reason and a text."""
    fact, ref = state.member.fact, state.member.ref
    settings = state.snapshot.server(server)
    claims = fact.claims if fact else ()
    named = [claim for claim in claims if claim.space is not Space.REST_PATH] or claims
    entry = {"name": server.name, "servedName": _value(state, server, named[0]) if named else "", "accepted": False}
    if held is None or not named:
        return entry, _PENDING, ""
    lost = [claim for claim in claims if held.get(claim) != ref]
    # Nobody has the name, as with a tool that is about to be published.
    if fact and fact.tokens and settings and named[0] not in held and budgets.excess(state.snapshot, settings):
        return entry, Reason.CONTEXT_BUDGET_EXCEEDED, budgets.not_served(settings, fact).message
    entry["accepted"] = not any(claim in named for claim in lost)
    for claim in lost:
        if claim in held:
            message = f'{held[claim]} serves "{_value(state, server, claim)}" on {server}; rename one of them'
            return entry, Reason.NAME_CONFLICT, message
    return entry, _PENDING if lost else "", ""


def _value(state: MemberState, server: Ref, claim: Claim) -> str:
    """The value of a claim as it is served there: names with the server's prefix."""
    fact = state.snapshot.server(server)
    prefixed = fact is not None and claim.space in (Space.TOOL_NAME, Space.PROMPT_NAME)
    return f"{fact.prefix}{claim.value}" if fact and prefixed else claim.value


def _accepted(findings: Verdict, servers: Sequence[_Served], *, disabled: bool) -> Condition:
    faults = [finding for finding in findings.errors if finding.reason not in _UNREPORTED]
    if faults:
        return Condition("Accepted", "False", faults[0].reason, envelope.text_of(faults))
    if disabled:
        return Condition("Accepted", "True", "Disabled", "the object is valid; spec.enabled is false")
    for _, reason, message in servers:
        if reason and reason != _PENDING:
            return Condition("Accepted", "False", reason, message)
    if any(reason for _, reason, _ in servers):
        return Condition("Accepted", "Unknown", _PENDING, "a server that selects this object has not published it yet")
    if not servers:
        return Condition("Accepted", "True", "NotSelected", "no MCPServer selects this object by its labels")
    names = ", ".join(entry["name"] for entry, _, _ in servers)
    return Condition("Accepted", "True", "Accepted", f"served by {names}")


def _drifted(state: MemberState) -> Condition | None:
    """Whether a pinned tool is still what was reviewed; None for a tool without a pin, and for one that is not served.

    What the pods found last stays while they cannot compare, for as long as the spec is the same.
    """
    fact, verdict = state.member.fact, state.verdict
    if fact is None or not fact.pinned:
        return None
    if verdict is None:
        for known in state.member.status().get("conditions") or ():
            if known.get("type") == DRIFTED and known.get("observedGeneration") == state.member.generation:
                return Condition(DRIFTED, known["status"], known["reason"], known["message"])
        if not state.servers:
            return None
        return Condition(DRIFTED, "Unknown", "NotCompared", "no pod has compared the tool with its pin yet")
    if not verdict.is_drift:
        return Condition(DRIFTED, "False", "AsPinned", "the MCP server lists the tool as it was reviewed")
    repair = "run mcp-operator import mcp again and review the difference"
    if verdict.vanished:
        return Condition(DRIFTED, "True", "Vanished", f"the MCP server no longer lists the tool; {repair}")
    changed = ", ".join(verdict.changed)
    message = f"the MCP server has changed {changed} of the tool since it was reviewed; {repair}"
    return Condition(DRIFTED, "True", "Changed", message)


def _ready(state: MemberState, accepted: Condition, resolved: Condition, drifted: Condition | None) -> Condition | None:
    """Whether clients can use it; None for what is not meant to be served now."""
    if accepted.status != "True":
        return Condition("Ready", "False", accepted.reason, accepted.message)
    if _disabled(state) or not state.servers:
        return None
    if resolved.status != "True":
        return Condition("Ready", "False", resolved.reason, resolved.message)
    by = {server: state.serving.get(server, ServerReadiness.NOT_READY) for server in sorted(state.servers)}
    if set(by.values()) == {ServerReadiness.SCALED_TO_ZERO}:
        return None
    if ServerReadiness.READY not in by.values():
        names = ", ".join(map(str, by))
        return Condition("Ready", "False", "ServerNotReady", f"{names} is not ready; see its conditions")
    for server, missing in sorted(state.unmounted.items()):
        names = ", ".join(map(str, missing))
        message = f"not every pod of {server} has mounted {names} yet; until then calls fail as misconfigured"
        return Condition("Ready", "False", _PENDING, message)
    refuses = state.member.tool is not None and state.member.tool.refuses_drift
    if refuses and drifted is not None and drifted.status == "True":
        return Condition("Ready", "False", DRIFTED, f"calls are refused: {drifted.message}")
    if state.deserted:
        names = ", ".join(map(str, state.deserted))
        return Condition("Ready", "False", "NoEndpoints", f"{names} has no ready endpoint; calls fail until it has one")
    return Condition("Ready", "True", "Ready", "clients can use it")


def _stalled(accepted: Condition) -> tuple[Condition, ...]:
    """By the conventions of kstatus: what only a change of the object, or of another one, can repair."""
    return (Condition("Stalled", "True", accepted.reason, accepted.message),) if accepted.status == "False" else ()


def _endpoint(state: MemberState, tool: ToolFacts) -> str:
    """Where calls go, placeholders of the path as they are written."""
    fact = state.member.fact
    if fact is None:
        return ""
    backend = fact.backends[0]
    found = state.snapshot.service(backend.service)
    port = found.port_number(backend.port) if found else None
    return f"{tool.scheme}://{backend.service.name}.{backend.service.namespace}.svc:{port or backend.port}{tool.path}"
