"""PURE. Compile a member independently of any server: its own faults, and its entries.

A member is compiled once per generation; every server that selects it places the result. Only a few facts and
compressed JSON are kept, not the manifest or the decoded spec, because there may be 50,000 members.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from crd import integrity
from crd.compiler import assembly
from crd.facts import Claim, MemberFact, Space
from crd.finding import Level, Reason
from crd.models.prompt import PromptSpec
from crd.models.resource import ResourceSpec, template_of
from crd.models.tool import ToolSpec
from crd.published import catalogs
from crd.ref import Kind, Ref
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crd.finding import Finding
    from crd.manifest import Object
    from crd.models.calls import ServiceRef
    from crd.published import entries

__all__ = ["SECTIONS", "CompiledMember", "PlacedEntry", "compile_member", "context_of", "place"]

# The lists of a published catalog, in its order.
SECTIONS = ("tools", "prompts", "resources", "http_resources", "operations")
_NO_SERVICES = Snapshot()


@dataclass(frozen=True, slots=True)
class CompiledMember:
    """``findings`` are those of the rules about a single object. ``fact`` is None if the spec is invalid.

    ``entries`` is compressed JSON for `place`. ``context`` is its size in the list of tools of a server without a
    prefix, in bytes; 0 for what is not listed as a tool.
    """

    ref: Ref
    fact: MemberFact | None
    findings: tuple[Finding, ...]
    entries: bytes
    context: int = 0

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that prevent the member from being served; not unknown fields, which the API server dropped."""
        return tuple(f for f in self.findings if f.level is Level.ERROR and f.reason is not Reason.UNKNOWN_FIELD)


@dataclass(frozen=True, slots=True)
class PlacedEntry:
    """An entry as a server serves it.

    ``key`` is its sort key in the section. ``context`` is its size in tools/list, in bytes; 0 if it is not a tool.
    """

    section: str
    key: str
    text: bytes
    context: int = 0


def compile_member(item: Object, *, is_faultless: bool = False) -> CompiledMember:
    """Check an object by itself and make its entries. If it ``is_faultless``, no rule finds anything in it."""
    rules = () if is_faultless else integrity.OBJECT_RULES[item.ref.kind]
    findings = tuple(finding for rule in rules for finding in rule(item))
    fact = item.fact if isinstance(item.fact, MemberFact) else None
    made = CompiledMember(item.ref, fact, findings, b"")
    if fact is None or made.errors:
        return made
    rows = [*_entries(item)]
    context = sum(len(_listed(row[-1])) for row in rows if row[0] == "tools")
    return CompiledMember(item.ref, fact, findings, zlib.compress(orjson.dumps(rows), 1), context)


def place(
    member: CompiledMember, prefix: str, holds: Callable[[Claim], bool], snapshot: Snapshot
) -> Iterator[PlacedEntry]:
    """The entries of a member on a server, limited to the claims that it holds there.

    Named ports are looked up in the Services of ``snapshot``; the number is 0 if the port is unknown.
    """
    if not member.entries:
        return
    for section, name, uri, rest_path, service, entry in orjson.loads(zlib.decompress(member.entries)):
        names = [Claim(Space(space), value) for space, value in (name, uri) if value]
        held = [claim for claim in names if holds(claim)]
        keeps_path = bool(rest_path) and holds(Claim(Space.REST_PATH, rest_path))
        if not held and not (section == "operations" and keeps_path):
            continue
        if service is not None:
            namespace, service_name, port = service
            found = snapshot.service(Ref(Kind.SERVICE, namespace, service_name))
            number = found.port_number(port) if found else None
            entry["backend"]["port"] = number if number is not None else port if isinstance(port, int) else 0
        match section:
            case "tools" | "prompts":
                entry["name"] = f"{prefix}{entry['name']}"
                if not keeps_path:
                    entry.pop("ingress_path", None)
                key = entry["name"]
            case "operations":
                if not held:
                    entry.pop("uri_template", None)
                if not keeps_path:
                    entry["ingress_path"] = ""
                parts = (entry["ingress_path"], entry["method"], entry["name"], entry.get("uri_template", ""))
                key = "\0".join(parts)
            case _:
                key = entry["uri"]
        listed = _listed(entry) if section == "tools" else b""
        yield PlacedEntry(section, key, orjson.dumps(entry), len(listed))


def context_of(member: CompiledMember) -> tuple[int, int]:
    """The bytes and tokens of a tool in the list of a server without a prefix; 0 for what is not listed as a tool."""
    return member.context, member.fact.tokens if member.fact else 0


def _entries(item: Object) -> Iterator[tuple[Any, ...]]:
    """Section, name, URI, REST path, Service and entry of everything that an object provides.

    Names and URIs are ``(space, value)``, a Service is ``(namespace, name, port)`` or None.
    """
    ref, spec, name = item.ref, item.spec, item.served_name

    def row(
        entry: entries.Tool | entries.Prompt | entries.InlineResource | entries.HttpResource | entries.Operation,
        section: str,
        *,
        named: tuple[Space, str] | None = None,
        uri: str = "",
        rest_path: str = "",
        service: ServiceRef | None = None,
    ) -> tuple[Any, ...]:
        target = (service.namespace or ref.namespace, service.name, service.port) if service else None
        return section, named or (Space.URI, ""), (Space.URI, uri), rest_path, target, catalogs.lean(entry)

    match spec:
        case ToolSpec() if spec.enabled:
            path = spec.ingress_path or ""
            yield row(
                assembly.tool(ref, name, spec, _NO_SERVICES, path),
                "tools",
                named=(Space.TOOL_NAME, name),
                rest_path=path and f"POST {path}",
                service=spec.service,
            )
        case PromptSpec():
            path = spec.ingress_path or ""
            yield row(
                assembly.prompt(ref, name, spec, path),
                "prompts",
                named=(Space.PROMPT_NAME, name),
                rest_path=path and f"GET {path}",
            )
        case ResourceSpec():
            if spec.content:
                yield row(assembly.inline_resource(ref, name, spec), "resources", uri=spec.content.uri)
            if spec.http is not None:
                yield row(
                    assembly.http_resource(ref, name, spec, _NO_SERVICES),
                    "http_resources",
                    uri=spec.uri or spec.uri_template or "",
                    service=spec.service,
                )
            for wanted in spec.operations or ():
                path, uri = wanted.ingress_path, template_of(name, wanted) if wanted.method == "GET" else ""
                yield row(
                    assembly.operation(ref, name, spec, wanted, _NO_SERVICES, uri=uri, rest_path=path),
                    "operations",
                    uri=uri,
                    rest_path=f"{wanted.method} {path}",
                    service=wanted.service,
                )


def _listed(tool: dict[str, Any]) -> bytes:
    """A tool in tools/list (MCP, Tool)."""
    listed = {
        "name": tool["name"],
        "inputSchema": tool["input_schema"],
        "title": tool.get("title"),
        "outputSchema": tool.get("output_schema"),
        "annotations": tool.get("annotations"),
        "description": tool.get("description") or tool["name"],
    }
    return orjson.dumps({name: value for name, value in listed.items() if value or name == "inputSchema"})
