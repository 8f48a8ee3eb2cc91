"""PURE. What the status of a tool, prompt or resource says."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from controller.status import envelope
from controller.status.conditions import Condition
from crd import integrity
from crd.facts import MemberFact, Space
from crd.finding import Reason
from crd.models.tool import ToolSpec
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from controller.planning.state import MemberWorld
    from controller.status.envelope import Status
    from crd.facts import Claim
    from crd.finding import Verdict

__all__ = ["status"]

_PENDING = "Pending"
# Who wins a clash is read off the published catalogs; what the API server dropped is no fault of what it stores.
_UNTOLD = integrity.CLASHES | {Reason.UNKNOWN_FIELD}
_DISABLED = Condition("Ready", "False", "Disabled", "spec.enabled is false, so it is not served; set it to true")


def status(world: MemberWorld) -> Status:
    """The status, as a manifest to apply."""
    member = world.member
    servers = [_served(world, ref, held) for ref, held in sorted(world.servers.items())]
    findings = integrity.standing(world.catalog, member)
    found: Status = {"servers": [entry for entry, _ in servers]}
    if isinstance(member.spec, ToolSpec):
        found |= {"resolvedEndpoint": _endpoint(world, member.spec), "schemaHash": _schema_hash(member.spec)}
    accepted = _accepted(findings, servers, disabled=_disabled(world))
    resolved = envelope.resolved(findings)
    conditions = (accepted, resolved, _ready(world, accepted, resolved))
    return envelope.written(member, found, conditions, world.now)


def _disabled(world: MemberWorld) -> bool:
    return isinstance(world.member.spec, ToolSpec) and not world.member.spec.enabled


def _served(world: MemberWorld, server: Ref, held: Mapping[Claim, Ref] | None) -> tuple[Status, str]:
    """The entry of one server, and, if it does not serve all of the object, why."""
    claims = tuple(_claims(world, server))
    named = [claim for claim in claims if claim.space is not Space.REST_PATH] or claims
    entry = {"name": server.name, "servedName": named[0].value if named else "", "accepted": False}
    if held is None or not named:
        return entry, _PENDING
    lost = [claim for claim in claims if held.get(claim) != world.member.ref]
    entry["accepted"] = not any(claim in named for claim in lost)
    winners = [f'{held[claim]} serves "{claim.value}" on {server}' for claim in lost if claim in held]
    return entry, winners[0] if winners else _PENDING if lost else ""


def _claims(world: MemberWorld, server: Ref) -> Iterator[Claim]:
    """What the object wants there, names with the server's prefix."""
    fact, there = world.member.fact, world.catalog.server(server)
    prefix = there.prefix if there else ""
    for claim in fact.claims if isinstance(fact, MemberFact) else ():
        prefixed = claim.space in (Space.TOOL_NAME, Space.PROMPT_NAME)
        yield replace(claim, value=f"{prefix}{claim.value}") if prefixed else claim


def _accepted(findings: Verdict, servers: Sequence[tuple[Status, str]], *, disabled: bool) -> Condition:
    faults = [finding for finding in findings.errors if finding.reason not in _UNTOLD]
    if faults:
        return Condition("Accepted", "False", faults[0].reason, envelope.told(faults))
    if disabled:
        return Condition("Accepted", "True", "Disabled", "nothing is wrong with it; spec.enabled is false")
    conflicts = [why for _, why in servers if why not in ("", _PENDING)]
    if conflicts:
        return Condition("Accepted", "False", Reason.NAME_CONFLICT, f"{conflicts[0]}; rename one of them")
    if any(why for _, why in servers):
        return Condition("Accepted", "Unknown", _PENDING, "a server that selects this object has not published it yet")
    if not servers:
        return Condition("Accepted", "True", "NotSelected", "no MCPServer selects this object by its labels")
    names = ", ".join(entry["name"] for entry, _ in servers)
    return Condition("Accepted", "True", "Accepted", f"served by {names}")


def _ready(world: MemberWorld, accepted: Condition, resolved: Condition) -> Condition:
    if _disabled(world):
        return _DISABLED
    if accepted.status != "True" or not world.servers:
        return Condition("Ready", "False", accepted.reason, accepted.message)
    if resolved.status != "True":
        return Condition("Ready", "False", resolved.reason, resolved.message)
    for server, missing in sorted(world.unmounted.items()):
        names = ", ".join(map(str, missing))
        message = f"not every pod of {server} has mounted {names} yet; calls there answer misconfigured until it has"
        return Condition("Ready", "False", _PENDING, message)
    return Condition("Ready", "True", "Ready", "agents can use it")


def _endpoint(world: MemberWorld, spec: ToolSpec) -> str:
    """Where calls go, placeholders of the path as they are written."""
    service = spec.service
    namespace = service.namespace or world.member.ref.namespace
    found = world.catalog.service(Ref(Kind.SERVICE, namespace, service.name))
    port = found.port_number(service.port) if found else None
    more = spec.mcp.path if spec.mcp else spec.http.path if spec.http else ""
    path = f"{service.path.rstrip('/')}{more}" if more else service.path
    return f"{service.scheme}://{service.name}.{namespace}.svc:{port or service.port}{path}"


def _schema_hash(spec: ToolSpec) -> str:
    schemas = {"input": spec.input_schema, "output": spec.output_schema}
    return f"sha256:{hashlib.sha256(orjson.dumps(schemas, option=orjson.OPT_SORT_KEYS)).hexdigest()}"
