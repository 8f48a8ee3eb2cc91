"""PURE. The objects that are made of a description: an MCPTool or MCPResource for each operation, and an MCPServer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cli.imports import replies, request, selection, texts
from cli.imports.credentials import Schemes
from cli.imports.outcomes import Outcome, Why
from cli.imports.repairs import repair
from cli.imports.request import CannotMapError
from cli.imports.schemas import SCALARS, Schemas
from cli.imports.selection import Candidate
from crd.ref import GROUP, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cli.imports.credentials import Credentials
    from cli.imports.description import Description, Operation
    from cli.imports.request import Request
    from cli.imports.selection import Imported, Placement

__all__ = ["API_ANNOTATION", "OPERATION_ANNOTATION", "Options", "import_description", "names_of"]

# Where an object comes from: the title of the description, and the operation.
API_ANNOTATION = f"{GROUP}/openapi-title"
OPERATION_ANNOTATION = f"{GROUP}/openapi-operation"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_HINTS: dict[str, dict[str, bool]] = {
    "GET": {"readOnlyHint": True, "idempotentHint": True},
    "PUT": {"readOnlyHint": False, "idempotentHint": True},
    "DELETE": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True},
    "PATCH": {"readOnlyHint": False},
    "POST": {"readOnlyHint": False},
}
_ORDER = {method: index for index, method in enumerate(_METHODS)}
_PLACEHOLDER = re.compile(r"\{([^{}+]+)(\+?)\}")


@dataclass(frozen=True, slots=True)
class Options:
    """What to import, and for which Service. ``base_path`` is that of the description's server if it is None.

    ``names`` gives the names of operations that were imported before, so that they keep them.
    """

    placement: Placement
    base_path: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    deprecated: bool = False
    resources: bool = False
    budget: int | None = None
    secret: str | None = None
    names: tuple[tuple[str, str, str], ...] = ()


_NO_CREDENTIALS = (
    "the description names no credentials of these operations that are sent in a header; "
    "if the API needs some, add spec.headersFrom to the tools"
)


def import_description(description: Description, options: Options) -> Imported:
    """The objects of a description. Raises UnusableError for too many operations."""
    operations = tuple(description.operations())
    # The name of an operation that is gone is free: most often the same operation is at another path now.
    there = {operation.key for operation in operations}
    kept = tuple(each for each in options.names if each[0] in there)
    importer = _Importer(description, replace(options, names=kept))
    made, names = [], []
    for operation in operations:
        names.append(_names(operation))
        raw, outcome = importer.convert(operation)
        group = operation.tags[0] if operation.tags else ""
        made.append(Candidate(outcome, raw, group, _ORDER.get(operation.method, len(_ORDER))))
    chosen = selection.choose(made, options.placement, options.budget)
    unused = selection.find_unused(names, options.include, options.exclude)
    if options.secret is not None and not any(raw["spec"].get("headersFrom") for raw in chosen.objects):
        unused += (f"--secret {options.secret} is not used: {_NO_CREDENTIALS}",)
    return replace(chosen, unused=unused)


def names_of(objects: Iterable[Mapping[str, Any]]) -> tuple[tuple[str, str, str], ...]:
    """The names that operations had in an earlier import: operation, metadata.name, spec.name."""
    found = []
    for raw in objects:
        metadata, spec = raw.get("metadata", {}), raw.get("spec", {})
        operation = metadata.get("annotations", {}).get(OPERATION_ANNOTATION)
        if operation is not None:
            found.append((operation, metadata["name"], spec.get("name", metadata["name"])))
    return tuple(found)


def _names(operation: Operation) -> tuple[str, ...]:
    """What --include and --exclude are compared with."""
    return (operation.id, operation.key, operation.path, texts.tool_name(operation), *operation.tags)


class _Importer:
    def __init__(self, description: Description, options: Options) -> None:
        self._description = description
        self._options = options
        self._inputs = Schemas(description, output=False)
        self._outputs = Schemas(description, output=True)
        self._schemes = Schemes(description, options.secret or f"{options.placement.service}-credentials")
        self._kept = {operation: (name, served) for operation, name, served in options.names}
        self._objects = {name for name, _ in self._kept.values()}
        self._served = {served for _, served in self._kept.values()}
        self._uris: set[str] = set()

    def convert(self, operation: Operation) -> tuple[dict[str, Any] | None, Outcome]:
        """The object of an operation, if one is made, and the outcome."""
        outcome = Outcome(operation.key, operation.id)
        refused = self._refuse(operation)
        if refused is not None:
            return None, replace(outcome, why=refused[0], message=refused[1])
        try:
            mapped = request.map_request(self._description, operation, self._inputs, self._schemes.parameters)
        except CannotMapError as error:
            return None, replace(outcome, why=Why.NOT_SUPPORTED, message=str(error))
        credentials = self._schemes.of(operation)
        notes = [*mapped.notes, *credentials.notes]
        base = self._base_path(operation, notes)
        if self._options.resources and self._can_be_resource(operation, mapped):
            raw = self._resource(operation, mapped, credentials, base)
        else:
            raw = self._tool(operation, mapped, credentials, base, notes)
        raw, told, left = repair(raw)
        if left is not None:
            return None, replace(outcome, why=Why.NOT_SUPPORTED, message=left)
        name, served = raw["metadata"]["name"], raw["spec"]["name"]
        self._objects.add(name)
        self._served.add(served)
        self._uris.add(str(raw["spec"].get("uri") or raw["spec"].get("uriTemplate")))
        found = replace(
            outcome,
            kind=raw["kind"],
            name=name,
            tokens=selection.count_tokens(raw),
            notes=tuple(dict.fromkeys([*notes, *told])),
        )
        return raw, found

    def _refuse(self, operation: Operation) -> tuple[Why, str] | None:
        """Why an operation is not even converted."""
        if operation.method == "*" or (operation.faults and not operation.content):
            return Why.INVALID, operation.faults[0]
        known = _names(operation)
        if self._options.include and not selection.matches(known, self._options.include):
            return Why.EXCLUDED, "no --include names it"
        if selection.matches(known, self._options.exclude):
            return Why.EXCLUDED, "an --exclude names it"
        if operation.method not in _METHODS:
            return Why.NOT_SUPPORTED, f"a tool has no method {operation.method}"
        if operation.content.get("deprecated") is True and not self._options.deprecated:
            return Why.DEPRECATED, "import it with --deprecated"
        return None

    def _base_path(self, operation: Operation, notes: list[str]) -> str:
        if self._options.base_path is not None:
            return self._options.base_path or "/"
        base = self._description.base_path(operation.servers)
        if operation.servers is not None and self._description.base_path() != base:
            notes.append(f'the operation has a server of its own; only its path "{base}" is used')
        return base

    def _identity(self, operation: Operation) -> tuple[dict[str, Any], str]:
        """Metadata, and the name that clients see."""
        kept = self._kept.get(operation.key)
        if kept is not None:
            name, served = kept
        else:
            served = texts.unique(texts.tool_name(operation), self._served, operation.key)
            name = texts.unique(texts.object_name(served), self._objects, operation.key, "-")
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": self._options.placement.namespace,
            "labels": self._options.placement.all_labels,
            "annotations": {OPERATION_ANNOTATION: operation.key},
        }
        if self._description.title:
            metadata["annotations"][API_ANNOTATION] = texts.shorten(texts.clean(self._description.title))
        return metadata, served

    def _service(self, base: str) -> dict[str, Any]:
        placement = self._options.placement
        service: dict[str, Any] = {"name": placement.service, "port": placement.port}
        if placement.scheme != "http":
            service["scheme"] = placement.scheme
        if base != "/":
            service["path"] = base
        return service

    def _tool(
        self, operation: Operation, mapped: Request, credentials: Credentials, base: str, notes: list[str]
    ) -> dict[str, Any]:
        metadata, served = self._identity(operation)
        input_schema, told = self._input_schema(mapped)
        notes += told
        spec: dict[str, Any] = {"name": served}
        title = texts.title_of(operation)
        if title:
            spec["title"] = title
        spec["description"] = texts.describe(operation, self._description.title)
        spec |= {
            "annotations": _HINTS[operation.method],
            "service": self._service(base),
            "method": operation.method,
            "http": mapped.http,
            "inputSchema": input_schema,
        }
        output, told = replies.output_schema(self._description, operation, self._outputs)
        notes += told
        if output is not None:
            spec["outputSchema"] = output
        headers = self._headers_from(mapped, credentials)
        if headers:
            spec["headersFrom"] = headers
        return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "MCPTool", "metadata": metadata, "spec": spec}

    def _input_schema(self, mapped: Request) -> tuple[dict[str, Any], list[str]]:
        root: dict[str, Any] = {"type": "object", "properties": mapped.arguments}
        if mapped.required:
            root["required"] = [*dict.fromkeys(mapped.required)]
        if not mapped.open:
            root["additionalProperties"] = False
        converted = self._inputs.convert({})
        converted.schema, converted.references, converted.nodes = root, mapped.references, mapped.nodes
        return self._inputs.assemble(converted)

    def _headers_from(self, mapped: Request, credentials: Credentials) -> list[dict[str, Any]]:
        taken = {entry["name"].lower() for entry in mapped.headers}
        return [header for header in credentials.headers if header["name"].lower() not in taken]

    def _can_be_resource(self, operation: Operation, mapped: Request) -> bool:
        """Whether a GET needs nothing but texts for its path and, if the client wants, for its query."""
        if operation.method != "GET" or mapped.headers or any("style" in entry for entry in mapped.query):
            return False
        path = {match[1] for match in _PLACEHOLDER.finditer(mapped.path)}
        entries = [entry for entry in mapped.query if "argument" in entry]
        return set(mapped.required) <= path and all(
            entry["argument"] in mapped.arguments and self._inputs.types(mapped.arguments[entry["argument"]]) <= SCALARS
            for entry in entries
        )

    def _resource(self, operation: Operation, mapped: Request, credentials: Credentials, base: str) -> dict[str, Any]:
        metadata, served = self._identity(operation)
        scheme = re.sub(r"[^a-z0-9+.-]", "-", self._options.placement.service)
        scheme = scheme if scheme[0].isalpha() else f"api-{scheme}"
        path = _PLACEHOLDER.sub(lambda match: f"{{{'+' if match[2] else ''}{match[1]}}}", mapped.path)
        queried = [entry["argument"] for entry in mapped.query if "argument" in entry]
        uri = texts.unique(f"{scheme}://{path.strip('/') or 'root'}", self._uris, operation.key)
        template = uri + (f"{{?{','.join(queried)}}}" if queried else "")
        http = {key: value for key, value in mapped.http.items() if key in ("path", "query")}
        spec: dict[str, Any] = {"name": served}
        title = texts.title_of(operation)
        if title:
            spec["title"] = title
        spec["description"] = texts.describe(operation, self._description.title)
        spec |= {
            "uriTemplate" if "{" in template else "uri": template,
            "service": self._service(base),
            "http": http,
        }
        headers = self._headers_from(mapped, credentials)
        if headers:
            spec["headersFrom"] = headers
        return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "MCPResource", "metadata": metadata, "spec": spec}
