"""PURE. The schemas of a tool: valid JSON Schema 2020-12, limited, self-contained, safe and satisfiable.

Also the changes of a schema that break callers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import orjson

from crd.finding import Finding, Reason
from crd.models.tool import ToolSpec
from crd.schema import bounds, changes, keywords, param_headers, patterns, plain, satisfiable, values
from crd.schema.references import Graph
from crd.schema.validation import DIALECT, compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from crd.manifest import Object
    from crd.ref import Ref
    from crd.schema.subschemas import Path

__all__ = ["Break", "breaking_changes", "breaks", "invalid_schema", "wrong_defaults"]

# The maximum number of servers in a message.
NAMED = 3
_TYPES = "array, boolean, integer, null, number, object, string"
_COPY = "copy it into $defs"
# What an author who follows another dialect means by a value that the meta-schema rejects.
_OF_OTHER_DIALECTS = {
    "exclusiveMaximum": "in JSON Schema 2020-12 it is the bound itself: write exclusiveMaximum instead of maximum",
    "exclusiveMinimum": "in JSON Schema 2020-12 it is the bound itself: write exclusiveMinimum instead of minimum",
    "items": "in JSON Schema 2020-12 a list of schemas is prefixItems",
    "required": "in JSON Schema 2020-12 it is a list of names beside properties",
}
_BOOLEANS_FOR_STRINGS = ('true is not of type "string"', 'false is not of type "string"')
Fault = tuple[Reason, "Path", str]
Break = tuple["Path", str]


# The faults of schemas by the digest of their text; the oldest entry is evicted first.
KEPT_SCHEMAS, KEPT_FAULTS = 4096, 10
_KEPT: dict[tuple[bytes, bool], tuple[Fault, ...]] = {}
# The last one with more faults than that: several rules ask for them within one judgement.
_LAST: dict[tuple[bytes, bool], tuple[Fault, ...]] = {}
_META = compile_schema({"$ref": DIALECT})


def invalid_schema(item: Object) -> Iterator[Finding]:
    """The faults of the schemas of a tool, each with its path."""
    spec = item.spec
    if not isinstance(spec, ToolSpec):
        return
    for member, schema in (("inputSchema", spec.input_schema), ("outputSchema", spec.output_schema)):
        if schema is None:
            continue
        paged = spec.http is not None and spec.http.pagination is not None
        if member == "inputSchema" or not paged:
            yield from _root(item.ref, member, schema)
        for reason, path, message in _faults(schema, of_arguments=member == "inputSchema"):
            # An exceeded limit is the same fault whatever the amount, so only the path distinguishes it.
            at = ("spec", member, *path)
            shown = at if reason is not Reason.SCHEMA_TOO_LARGE else at[:2]
            yield Finding.of(reason, item.ref, message, subject=tuple(map(str, at)), path=shown)


def wrong_defaults(schema: dict[str, Any]) -> frozenset[str]:
    """The top-level arguments whose default is not valid by their own schema."""
    faults = _faults(schema, of_arguments=True)
    return frozenset(
        str(path[1])
        for reason, path, _ in faults
        if reason is Reason.CONTRADICTORY_VALUE and len(path) == 3 and path[::2] == ("properties", "default")
    )


def breaks(old: Object, new: Object) -> tuple[Break, ...]:
    """The breaking changes of an inputSchema, each with its path."""
    if not isinstance(old.spec, ToolSpec) or not isinstance(new.spec, ToolSpec):
        return ()
    before, after = old.spec.input_schema, new.spec.input_schema
    return (*changes.breaking(before, after),)


def breaking_changes(ref: Ref, broken: Sequence[Break], servers: Sequence[Ref]) -> Iterator[Finding]:
    """Findings about the `breaks` of a tool, with the servers that serve it; none if no server does."""
    if not servers:
        return
    named = ", ".join(server.key for server in servers[:NAMED])
    more = f" and {len(servers) - NAMED} more" if len(servers) > NAMED else ""
    for path, what in broken:
        message = f"{what}, so MCPServer {named}{more} rejects calls that were valid before; "
        # A schema that is too complex to be compared has no path.
        optional = path[-1:] == ("required",)
        repair = "make it optional or give it a default" if optional else "restore it or create a new tool"
        at = ("spec", "inputSchema", *path)
        yield Finding.of(
            Reason.BREAKING_SCHEMA_CHANGE,
            ref,
            f"{message}{repair}",
            subject=(*map(str, at), what),
            path=at,
            related=tuple(servers[:NAMED]),
        )


def _root(ref: Ref, member: str, schema: dict[str, Any]) -> Iterator[Finding]:
    root = schema.get("type")
    if root != "object":
        given = "no type" if root is None else orjson.dumps(root).decode()
        message = f'the type of {member} must be "object", got {given}; set type to "object"'
        yield Finding.of(Reason.INVALID_SCHEMA, ref, message, path=("spec", member, "type"))


def _faults(schema: dict[str, Any], *, of_arguments: bool) -> tuple[Fault, ...]:
    """All faults of a schema; cached, because most changes of a tool do not change the schema."""
    key = hashlib.blake2b(orjson.dumps(schema), digest_size=24).digest(), of_arguments
    known = _KEPT.get(key, _LAST.get(key))
    if known is not None:
        return known
    found = () if plain.is_plain(schema) else _find_faults(schema, of_arguments)
    if len(found) <= KEPT_FAULTS:
        if len(_KEPT) >= KEPT_SCHEMAS:
            _KEPT.pop(next(iter(_KEPT)), None)
        _KEPT[key] = found
    else:
        _LAST.clear()
        _LAST[key] = found
    return found


def _find_faults(schema: dict[str, Any], of_arguments: bool) -> tuple[Fault, ...]:
    large: list[Fault] = [(Reason.SCHEMA_TOO_LARGE, (bound,), message) for bound, message in bounds.excesses(schema)]
    if large:
        return tuple(large)
    found: list[Fault] = [(Reason.INVALID_SCHEMA, path, message) for path, message in _breaches(schema)]
    if found:
        return tuple(found)
    graph = Graph(schema)
    found += _dialect(graph.nodes)
    found += (
        (Reason.INVALID_SCHEMA, path, "another schema in this one has the same $id; change one of them")
        for path in graph.repeated_ids
    )
    for each in graph.references:
        if each.remote:
            message = f'"{each.text}" is outside the schema, and remote schemas are not fetched; {_COPY}'
            found.append((Reason.REMOTE_REFERENCE, each.path, message))
        elif each.target is None:
            message = f'"{each.text}" is not a schema of this document; correct the reference or add the definition'
            found.append((Reason.INVALID_SCHEMA, each.path, message))
    found += (
        (
            Reason.INVALID_SCHEMA,
            each.path,
            f'reference cycle: "{each.text}" refers back to itself; remove one reference of the cycle',
        )
        for each in graph.cycles()
    )
    if found:
        return tuple(found)
    excess = graph.excess()
    if excess is not None:
        return ((Reason.SCHEMA_TOO_LARGE, (*excess[0], "expansion"), excess[1]),)
    found += ((fault.reason, fault.path, fault.message) for fault in patterns.faults(graph.nodes))
    if of_arguments:
        found += ((Reason.INVALID_SCHEMA, path, message) for path, message in param_headers.faults(graph.nodes))
    if found:
        return tuple(found)
    found += _compile_faults(schema)
    if found:
        return tuple(found)
    found += ((Reason.UNSATISFIABLE_SCHEMA, path, message) for path, message in satisfiable.contradictions(schema))
    empty = {path for _, path, _ in found}
    tried = values.contradictions(schema, graph)
    # The members of an enum without a valid one are one fault.
    found += ((Reason.CONTRADICTORY_VALUE, path, message) for path, message in tried if path[:-1] not in empty)
    ignored = keywords.without_effect(graph.nodes, graph.references)
    found += ((Reason.INEFFECTIVE_KEYWORD, path, message) for path, message in ignored)
    return tuple(found)


def _breaches(schema: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Violations of the meta-schema."""
    for error in _META.iter_errors(schema):
        path = tuple(error.instance_path)
        if path == ("type",):
            continue  # `_root` reports it
        yield path, _describe(path, error.message)


def _dialect(nodes: Iterable[tuple[Path, Any]]) -> Iterator[Fault]:
    for path, node in nodes:
        given = node.get("$schema") if isinstance(node, dict) else None
        if given is not None and str(given).rstrip("#") != DIALECT:
            message = f'must be JSON Schema 2020-12 ("{DIALECT}"), got "{given}"; change it or remove $schema'
            yield Reason.INVALID_SCHEMA, (*path, "$schema"), message


def _compile_faults(schema: dict[str, Any]) -> Iterator[Fault]:
    """Faults that only the validator finds."""
    try:
        compile_schema(schema)
    except jsonschema_rs.ValidationError as error:
        path = tuple(error.instance_path)
        yield Reason.INVALID_SCHEMA, path, _describe(path, error.message)
    except ValueError as error:
        yield Reason.INVALID_SCHEMA, (), f"{str(error).splitlines()[0]}; correct it (JSON Schema 2020-12)"


def _describe(path: Path, message: str) -> str:
    if path and path[-1] == "type":
        return f"{message.partition(' is not ')[0]} is not a JSON Schema type; use one of {_TYPES}"
    hint = _OF_OTHER_DIALECTS.get(str(path[-1])) if path else None
    if message.startswith(_BOOLEANS_FOR_STRINGS):
        hint = values.YAML_WORD
    return f"{message.splitlines()[0]}; {hint or 'correct it (JSON Schema 2020-12)'}"
