"""PURE. The MCPTools that are made of the tools of another MCP server, each with the pin of what was imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cli.imports import drafts, selection, texts
from cli.imports.outcomes import Outcome, Why
from cli.imports.repairs import repair
from cli.imports.selection import Candidate
from crd.published import pins
from crd.ref import GROUP, VERSION
from crd.rules.texts import UNSAFE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cli.imports.selection import Imported, Placement

__all__ = ["Credential", "Options", "import_tools", "names_of"]

_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
# Limits of the API, in characters.
_MAX_NAME, _MAX_TITLE, _MAX_DESCRIPTION = 128, 256, 2048


@dataclass(frozen=True, slots=True)
class Credential:
    """A header that the server was asked with, without its value. ``key`` is that of the Secret."""

    name: str
    key: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """What to import, and for which Service.

    ``names`` gives the names of tools that were imported before: the tool, metadata.name, spec.name.
    """

    placement: Placement
    path: str = "/mcp"
    protocol: str = "Auto"
    on_drift: str = "Report"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    budget: int | None = None
    secret: str | None = None
    credentials: tuple[Credential, ...] = ()
    names: tuple[tuple[str, str, str], ...] = ()


def import_tools(listed: Sequence[Mapping[str, Any]], options: Options) -> Imported:
    """The objects of the tools that a server lists, and the outcome of each tool."""
    importer = _Importer(options)
    made = selection.choose([importer.convert(tool) for tool in listed], options.placement, options.budget)
    names = [(name,) for tool in listed if isinstance(name := tool.get("name"), str)]
    return replace(made, unused=selection.find_unused(names, options.include, options.exclude, "tool"))


def names_of(objects: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str, str], ...]:
    """The names that tools had in an earlier import."""
    found = []
    for raw in objects:
        spec, name = raw.get("spec", {}), raw.get("metadata", {}).get("name")
        tool = (spec.get("mcp") or {}).get("toolName")
        if isinstance(tool, str):
            found.append((tool, name, spec.get("name", name)))
    return tuple(found)


class _Importer:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._kept = {tool: (name, served) for tool, name, served in options.names}
        self._objects = {name for name, _ in self._kept.values()}
        self._served = {served for _, served in self._kept.values()}
        self._seen: set[str] = set()

    def convert(self, tool: Mapping[str, Any]) -> Candidate:
        """The object of a tool, if one is made, and the outcome."""
        name = tool.get("name")
        if not isinstance(name, str) or not name:
            return Candidate(Outcome("(no name)", why=Why.INVALID, message="the tool has no name"), None)
        outcome = Outcome(name)
        refused = self._refuse(name, tool)
        if refused is not None:
            return Candidate(replace(outcome, why=refused[0], message=refused[1]), None)
        self._seen.add(name)
        notes: list[str] = []
        raw, told, left = repair(self._object(name, tool, notes))
        if left is not None:
            return Candidate(replace(outcome, why=Why.NOT_SUPPORTED, message=left), None)
        metadata, served = raw["metadata"], raw["spec"]["name"]
        self._objects.add(metadata["name"])
        self._served.add(served)
        made = replace(
            outcome,
            kind=raw["kind"],
            name=metadata["name"],
            tokens=selection.count_tokens(raw),
            notes=tuple(dict.fromkeys([*notes, *told])),
        )
        only_reads = raw["spec"].get("annotations", {}).get("readOnlyHint") is True
        return Candidate(made, raw, rank=0 if only_reads else 1)

    def _refuse(self, name: str, tool: Mapping[str, Any]) -> tuple[Why, str] | None:
        options = self._options
        if name in self._seen:
            return Why.INVALID, "an earlier tool has the same name"
        if len(name) > _MAX_NAME or UNSAFE.search(name) or not name.isprintable():
            return Why.INVALID, f"the name must have at most {_MAX_NAME} printable characters"
        if options.include and not selection.matches((name,), options.include):
            return Why.EXCLUDED, "no --include names it"
        if selection.matches((name,), options.exclude):
            return Why.EXCLUDED, "an --exclude names it"
        for member in ("inputSchema", "outputSchema"):
            if member in tool and tool[member] is not None and not isinstance(tool[member], dict):
                return Why.INVALID, f"{member} must be an object"
        if not isinstance(tool.get("inputSchema"), dict):
            return Why.INVALID, "the tool has no inputSchema"
        execution = tool.get("execution")
        if isinstance(execution, dict) and execution.get("taskSupport") == "required":
            return Why.NOT_SUPPORTED, "the tool runs as a task only, and tasks are not passed on"
        unread = [
            part
            for part, digest in zip(pins.PARTS, pins.pin_of(tool).digests, strict=True)
            if digest == pins.UNREADABLE
        ]
        if unread:
            limit = f"{pins.MAX_BYTES // 1024} KiB or {pins.MAX_DEPTH} levels"
            return Why.NOT_SUPPORTED, f"{unread[0]} has more than {limit}"
        return None

    def _identity(self, name: str) -> tuple[str, str]:
        kept = self._kept.get(name)
        if kept is not None:
            return kept
        served = texts.unique(texts.served_name(name), self._served, name)
        return texts.unique(texts.object_name(served), self._objects, name, "-"), served

    def _object(self, name: str, tool: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
        options, placement = self._options, self._options.placement
        own, served = self._identity(name)
        if served != name:
            notes.append(f'clients see the name "{served}"')
        given = tool.get("annotations")
        annotations: Mapping[str, Any] = given if isinstance(given, dict) else {}
        spec: dict[str, Any] = {"name": served}
        title = self._text("title", tool.get("title") or annotations.get("title"), _MAX_TITLE, notes)
        if title:
            spec["title"] = title
        description = self._text("description", tool.get("description"), _MAX_DESCRIPTION, notes)
        if description:
            spec["description"] = description
        hints = self._hints(annotations, notes)
        if hints:
            spec["annotations"] = hints
        spec["service"] = {"name": placement.service, "port": placement.port}
        if placement.scheme != "http":
            spec["service"]["scheme"] = placement.scheme
        mcp: dict[str, Any] = {"path": options.path, "toolName": name}
        if options.protocol != "Auto":
            mcp["protocol"] = options.protocol
        if options.on_drift != "Report":
            mcp["onDrift"] = options.on_drift
        digests = zip(pins.PARTS, pins.pin_of(tool).digests, strict=True)
        spec["mcp"] = {**mcp, "pin": {part: digest for part, digest in digests if digest}}
        spec["inputSchema"] = drafts.modernize(tool["inputSchema"])
        if tool.get("outputSchema") is not None:
            spec["outputSchema"] = drafts.modernize(tool["outputSchema"])
        if options.credentials:
            secret = options.secret or f"{placement.service}-credentials"
            spec["headersFrom"] = [
                {
                    "name": each.name,
                    **({"prefix": each.prefix} if each.prefix else {}),
                    "secretKeyRef": {"name": secret, "key": each.key},
                }
                for each in options.credentials
            ]
        metadata = {"name": own, "namespace": placement.namespace, "labels": placement.all_labels}
        return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "MCPTool", "metadata": metadata, "spec": spec}

    @staticmethod
    def _text(what: str, given: Any, most: int, notes: list[str]) -> str:
        """A text as the server wrote it, as far as reviewers can see it."""
        if not isinstance(given, str):
            return ""
        text = UNSAFE.sub("", given)
        if text != given:
            notes.append(f"{what}: characters that reviewers cannot see are left out")
        text = text.strip()
        if len(text) > most:
            notes.append(f"{what}: cut, because it has {len(text)} characters and an object holds {most}")
            text = texts.shorten(text, most)
        return text

    @staticmethod
    def _hints(annotations: Mapping[str, Any], notes: list[str]) -> dict[str, bool]:
        hints = {}
        for name in _HINTS:
            value = annotations.get(name)
            if isinstance(value, bool):
                hints[name] = value
            elif value is not None:
                notes.append(f"annotations.{name} is left out: it is not a boolean")
        if hints.get("readOnlyHint") and hints.get("destructiveHint"):
            del hints["destructiveHint"]
            notes.append("annotations.destructiveHint is left out: it means nothing for a tool that only reads")
        return hints
