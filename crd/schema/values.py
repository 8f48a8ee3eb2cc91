"""PURE. The values in a schema (defaults, examples, members of enums), tried against the schema that contains them.

All of them are tried with one compiled validator and one validation. The cost is limited by the number of values that
are tried, and by their size times the number of schemas that apply to one value; values beyond the limits are not
tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import orjson

from crd.finding import shorten
from crd.schema.arguments import ANY
from crd.schema.validation import compile_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import jsonschema_rs

    from crd.schema.references import Graph
    from crd.schema.subschemas import Path

__all__ = ["BOOLEAN_NAMES", "YAML_WORD", "contradictions"]

YAML_WORD = 'YAML 1.1 reads on, off, yes, no, y and n as true or false; put the word in quotes, such as "on"'

MAX_VALUES = 256
# Bytes of a value times the schemas that apply to it, for all values together. Each value is tried with each schema,
# however small it is: that costs as much as so many bytes.
MAX_COST, COST_OF_VALUE = 32 * 1024, 16
_ID = "urn:mcp:schema"
# kubectl writes a key that YAML reads as a boolean like this.
BOOLEAN_NAMES = frozenset({"true", "false"})


class _Value(NamedTuple):
    """``path`` leads to the value, ``owner`` to its schema."""

    path: Path
    owner: Path
    node: Mapping[str, Any]
    value: Any


def contradictions(schema: Mapping[str, Any], graph: Graph) -> Iterator[tuple[Path, str]]:
    """The values that their own schema rejects, each with its path and a message.

    ``graph`` is that of the schema, which must compile and not exceed the limits of `Graph.excess`.
    """
    nodes = graph.nodes
    sizes = {path: size for (path, _), size in zip(nodes, graph.sizes, strict=True)}
    most = max(graph.sizes)
    tried: list[_Value] = []
    cost = 0
    for each in _values(nodes):
        # The parts of a list or an object may be validated against more schemas than the whole.
        schemas = most if isinstance(each.value, list | dict) and each.value else sizes[each.owner]
        cost += (len(orjson.dumps(each.value)) + COST_OF_VALUE) * schemas
        if len(tried) == MAX_VALUES or cost > MAX_COST:
            break
        tried.append(each)
    faults = _faults(schema, tried) if tried else {}
    for index, each in enumerate(tried):
        if index in faults:
            yield each.path, _describe(each, faults[index])
    for path, node in nodes:
        if isinstance(node, dict) and "type" not in node and isinstance(node.get("enum"), list):
            yield from _suspicious_booleans((*path, "enum"), node["enum"])
        members = node.get("properties") if isinstance(node, dict) else None
        for name in BOOLEAN_NAMES.intersection(members) if isinstance(members, dict) else ():
            message = f'a property is named "{name}"; {YAML_WORD}'
            yield (*path, "properties", name), message


def _values(nodes: Sequence[tuple[Path, Any]]) -> Iterator[_Value]:
    """Defaults first, because they are used in calls."""
    schemas = [(path, node) for path, node in nodes if isinstance(node, dict)]
    for path, node in schemas:
        if "default" in node:
            yield _Value((*path, "default"), path, node, node["default"])
    for keyword in ("enum", "examples"):
        for path, node in schemas:
            values = node.get(keyword)
            # A single contradiction of an enum with one member is reported as an unsatisfiable schema.
            if isinstance(values, list):
                for index, value in enumerate(values):
                    yield _Value((*path, keyword, index), path, node, value)


def _faults(schema: Mapping[str, Any], tried: Sequence[_Value]) -> dict[int, str]:
    """The first fault of each value that has one, by index."""
    given = schema.get("$id")
    base = given.rstrip("#") if isinstance(given, str) else _ID
    wrapper = {
        "prefixItems": [{"$ref": f"{base}#{_pointer(each.owner)}"} for each in tried],
        "$defs": {"schema": {**schema, "$id": base}},
    }
    try:
        validator = compile_schema(wrapper)
    except ValueError:
        return {}  # an $id inside the schema makes its parts unreachable by the path from the root
    found: dict[int, str] = {}
    for error in validator.iter_errors([each.value for each in tried]):
        index = error.instance_path[0]
        if isinstance(index, int):
            found.setdefault(index, _first_line(error))
    return found


def _first_line(error: jsonschema_rs.ValidationError) -> str:
    return error.message.splitlines()[0]


def _pointer(path: Path) -> str:
    steps = (quote(str(step).replace("~", "~0").replace("/", "~1"), safe="~") for step in path)
    return "".join(f"/{step}" for step in steps)


def _describe(found: _Value, fault: str) -> str:
    keyword = found.path[len(found.owner)]
    effect = {
        "default": "so the default is not used",
        "enum": "so this value of enum is always rejected",
        "examples": "so a client that follows the example is rejected",
    }[str(keyword)]
    return f"{_cut(fault)}, {effect}; {_repair(found)}"


def _cut(text: str) -> str:
    """A text, cut to 200 characters."""
    return text if len(text) <= 200 else f"{text[:199]}…"


def _repair(found: _Value) -> str:
    types = _stated_types(found.node)
    if isinstance(found.value, bool) and "string" in types:
        return YAML_WORD
    if found.value is None:
        stated = ", ".join(f'"{each}"' for each in sorted(types))
        return f'write type: [{stated}, "null"] or remove null' if types != ANY else "remove null or allow it"
    if isinstance(found.value, int | float) and types == {"string"}:
        return f"put it in quotes: {shorten(str(found.value))}"
    return "correct the value or the schema"


def _stated_types(node: Mapping[str, Any]) -> frozenset[str]:
    stated = node.get("type")
    if isinstance(stated, str):
        return frozenset({stated})
    return frozenset(each for each in stated if isinstance(each, str)) if isinstance(stated, list) else ANY


def _suspicious_booleans(path: Path, values: Sequence[Any]) -> Iterator[tuple[Path, str]]:
    """Booleans among strings, which are usually words that YAML read as booleans."""
    if any(isinstance(value, str) for value in values):
        for index, value in enumerate(values):
            if isinstance(value, bool):
                word = str(value).lower()
                message = f"{word} is a boolean among strings; YAML 1.1 reads on, off, yes and no as booleans; "
                yield (*path, index), f'{message}put the word in quotes, such as "on", or write type'
