"""PURE. The limits of clients that a tool exceeds, by the facts in `crd.clients.profiles`.

The tool is judged as clients see it: its schemas in the form of `crd.clients.listing`.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from crd.clients import ecma, tokens
from crd.clients.listing import listed
from crd.clients.profiles import PROFILES, Limit, Loss
from crd.finding import shorten
from crd.schema import subschemas

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from crd.clients.profiles import ClientName, Fact, Profile
    from crd.schema.subschemas import Path

__all__ = ["PORTABLE_NAME", "Excess", "Seen", "excesses", "name_excesses", "see"]

# No client has a limit that such a name exceeds.
PORTABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,47}")
Fault = tuple["Path", str]
Value = str | int | tuple[str, ...]
# The maximum number of names in a message.
NAMED = 3
# The maximum number of faults of one limit in a tool.
MOST = 20
_DEFINITIONS = frozenset({"$defs", "definitions"})


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that a tool exceeds: where in the spec, what is wrong and repairs it, and for which clients.

    ``refused``: an official SDK loses the tool or the list, so the tool is invalid. ``announced`` as in a `Fact`.
    """

    path: Path
    message: str
    clients: tuple[Profile, ...]
    loss: Loss
    refused: bool
    announced: bool

    @property
    def names(self) -> tuple[ClientName, ...]:
        """The names of the profiles."""
        return tuple(client.name for client in self.clients)


class _Tool(NamedTuple):
    """The inputSchema of a tool as clients see it, and the nodes of both schemas with their paths in the spec.

    ``numbers`` are the nodes of both as they are written, because a format is not listed in an outputSchema; none if no
    large number can be among them.
    """

    input_schema: dict[str, Any]
    inputs: list[tuple[Path, dict[str, Any]]]
    outputs: list[tuple[Path, dict[str, Any]]]
    numbers: list[tuple[Path, dict[str, Any]]]


class Seen(NamedTuple):
    """What clients see in the schemas of a tool.

    ``unsupported`` has each client whose limits are exceeded, with the path and the message of one excess. ``tokens``
    are those of the schemas in a list of tools.
    """

    excesses: tuple[Excess, ...]
    unsupported: tuple[tuple[ClientName, Path, str], ...]
    tokens: int


# By the digest of the text of the schemas, because a review, the watch after it and each edit of another field ask for
# the same; the oldest entry is evicted first.
KEPT = 1024
_KEPT: dict[bytes, Seen] = {}


def excesses(input_schema: Mapping[str, Any], output_schema: Mapping[str, Any] | None) -> tuple[Excess, ...]:
    """The limits that the schemas of a tool exceed, in the order of the profiles.

    Schemas that break a rule of `crd.rules.schemas` are read as far as they are schemas.
    """
    return see(input_schema, output_schema).excesses


def see(input_schema: Mapping[str, Any], output_schema: Mapping[str, Any] | None) -> Seen:
    """The schemas of a tool as clients see them, in the form of `crd.clients.listing`."""
    written = orjson.dumps((input_schema, output_schema))
    key = hashlib.blake2b(written, digest_size=24).digest()
    known = _KEPT.get(key)
    if known is None:
        known = _see(input_schema, output_schema, has_large_numbers=_may_have_large_numbers(written))
        if len(_KEPT) >= KEPT:
            _KEPT.pop(next(iter(_KEPT)), None)
        _KEPT[key] = known
    return known


def _see(input_schema: Mapping[str, Any], output_schema: Mapping[str, Any] | None, *, has_large_numbers: bool) -> Seen:
    inputs = listed(input_schema, of_arguments=True)
    outputs = None if output_schema is None else listed(output_schema, of_arguments=False)
    text = orjson.dumps({"inputSchema": inputs, "outputSchema": outputs} if outputs else {"inputSchema": inputs})
    numbers: list[tuple[Path, dict[str, Any]]] = []
    if has_large_numbers:
        numbers = _nodes("inputSchema", input_schema) + _nodes("outputSchema", output_schema)
    tool = _Tool(inputs, _nodes("inputSchema", inputs), _nodes("outputSchema", outputs), numbers)
    present: set[str] = set().union(*(node for _, node in tool.inputs), *(node for _, node in tool.outputs))
    faults: dict[Fault, tuple[tuple[Profile, Fact], ...]] = {}
    for limit, value, about, users in _SCHEMA_FACTS:
        if not about or not about.isdisjoint(present):
            for fault in islice(_CHECKS[limit](tool, value), MOST):
                faults[fault] = (*faults.get(fault, ()), *users)
    found = tuple(_excess(*fault, users) for fault, users in faults.items())
    unsupported: dict[ClientName, tuple[ClientName, Path, str]] = {}
    for excess in found:
        for client in excess.clients:
            if client.name not in unsupported:
                unsupported[client.name] = (client.name, _shared(excess.path), sys.intern(excess.message))
    return Seen(found, tuple(unsupported.values()), tokens.of_schemas(text))


def _nodes(member: str, schema: Mapping[str, Any] | None) -> list[tuple[Path, dict[str, Any]]]:
    """The schemas in a schema of a tool that are objects, with their paths; in the order of `subschemas.walk`."""
    found: list[tuple[Path, dict[str, Any]]] = [(("spec", member), schema)] if isinstance(schema, dict) else []
    for path, node in found:
        found += [((*path, *step), child) for step, child in subschemas.children(node) if isinstance(child, dict)]
    return found


@lru_cache(maxsize=KEPT)
def _shared(path: Path) -> Path:
    """The path. Tools of one cluster have few different ones, and their facts stay in memory."""
    return path


def name_excesses(name: str, path: Path) -> Iterator[Excess]:
    """The limits that the name of a tool exceeds; ``path`` is the field that gives it."""
    if PORTABLE_NAME.fullmatch(name):
        return
    for limit, value, _, users in _NAME_FACTS:
        if limit is Limit.TOOL_NAME_LENGTH:
            if len(name) > int(str(value)):
                message = f'the tool name "{name}" has {len(name)} characters, at most {value} are shown; shorten it'
                yield _excess(path, message, users)
        elif not re.fullmatch(str(value), name[:64]):  # a longer name has a warning of its own, LongName
            message = f'the tool name "{name}" must match ^{value}$; use letters, digits, "_" and "-"'
            yield _excess(path, message, users)


def _excess(path: Path, message: str, users: tuple[tuple[Profile, Fact], ...]) -> Excess:
    return Excess(
        path,
        message,
        tuple(client for client, _ in users),
        users[0][1].loss,
        refused=any(client.official and fact.limit in _OF_OUTPUT for client, fact in users),
        announced=any(fact.announced for _, fact in users),
    )


def _root_keywords(tool: _Tool, value: Value) -> Iterator[Fault]:
    for keyword in value if isinstance(value, tuple) else ():
        if keyword in tool.input_schema:
            yield (
                ("spec", "inputSchema", keyword),
                f'"{keyword}" must not be at the root of inputSchema; describe it and check it in the backend',
            )


def _property_names(tool: _Tool, value: Value) -> Iterator[Fault]:
    allowed = re.compile(str(value))
    names = tool.input_schema.get("properties")
    refused = [name for name in names if not allowed.fullmatch(name)] if isinstance(names, dict) else []
    if refused:
        named = ", ".join(map(shorten, refused[:NAMED]))
        more = f" and {len(refused) - NAMED} more" if len(refused) > NAMED else ""
        yield (
            ("spec", "inputSchema", "properties", refused[0]),
            f"argument names must match ^{value}$, got {named}{more}; rename them and map them in spec.http",
        )


def _patterns(nodes: list[tuple[Path, dict[str, Any]]], *, python: bool) -> Iterator[Fault]:
    for path, node in nodes:
        named = node.get("patternProperties")
        found = [((*path, "patternProperties", text), text) for text in (named if isinstance(named, dict) else ())]
        if isinstance(node.get("pattern"), str):
            found.append(((*path, "pattern"), node["pattern"]))
        for at, text in found:
            dialects = ecma.read(text)
            if python and dialects.python:
                yield (
                    at,
                    f"{shorten(text)} does not compile with Python's re, which lacks {dialects.python}; write it out",
                )
            elif not python and dialects.ecma:
                yield at, f"{shorten(text)} is not a regular expression of ECMA-262 with the u flag: {dialects.ecma}"


def _input_ecma(tool: _Tool, _value: Value) -> Iterator[Fault]:
    return _patterns(tool.inputs, python=False)


def _input_python(tool: _Tool, _value: Value) -> Iterator[Fault]:
    return _patterns(tool.inputs, python=True)


def _output_ecma(tool: _Tool, _value: Value) -> Iterator[Fault]:
    return _patterns(tool.outputs, python=False)


def _output_python(tool: _Tool, _value: Value) -> Iterator[Fault]:
    return _patterns(tool.outputs, python=True)


def _output_ajv(tool: _Tool, _value: Value) -> Iterator[Fault]:
    anchors: set[str] = set()
    for path, node in tool.outputs:
        identifier = node.get("$id")
        if isinstance(identifier, str):
            message = (
                f"Ajv compiles the schemas of all tools together, and another tool with the $id {shorten(identifier)} "
                'would be refused or replaced; remove $id and write references as "#/$defs/name"'
            )
            yield (*path, "$id"), message
        if node.get("enum") == []:
            yield (*path, "enum"), "Ajv does not compile an empty enum; add values or write not: {}"
        for keyword in ("$anchor", "$dynamicAnchor"):
            anchor = node.get(keyword)
            if isinstance(anchor, str):
                if anchor in anchors:
                    yield (*path, keyword), f'Ajv does not compile the anchor "{anchor}" twice; rename one of the two'
                anchors.add(anchor)
        names = node.get("properties")
        if isinstance(names, dict) and "__proto__" in names:
            yield (*path, "properties", "__proto__"), 'clients in JavaScript ignore the property "__proto__"; rename it'


# Keywords that draft-07 does not have, so that Ajv for draft-07 ignores them.
_AFTER_DRAFT_07 = frozenset(
    {
        "$dynamicRef", "dependentRequired", "dependentSchemas", "maxContains", "minContains", "prefixItems",
        "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip
# Where a condition that is ignored makes a schema refuse more.
_REVERSING = frozenset({"not", "if", "oneOf"})


def _output_draft_07(tool: _Tool, _value: Value) -> Iterator[Fault]:
    reversed_references = any("$ref" in node and not _REVERSING.isdisjoint(path) for path, node in tool.outputs)
    for path, node in tool.outputs:
        if "prefixItems" in node and "items" in node:
            message = (
                "Ajv for draft-07 applies items to the items of prefixItems too; describe one schema for all items"
            )
            yield (*path, "items"), message
        if node.get("minContains") == 0 and "contains" in node:
            message = "Ajv for draft-07 ignores minContains, so it requires one item; remove contains"
            yield (*path, "minContains"), message
        defined = reversed_references and not _DEFINITIONS.isdisjoint(path)
        if defined or not _REVERSING.isdisjoint(path):
            for keyword in sorted(_AFTER_DRAFT_07 & node.keys()):
                message = f"Ajv for draft-07 ignores {keyword}, so a not, if or oneOf around it refuses valid results"
                yield (*path, keyword), f"{message}; describe the results without it"


def _input_depth(tool: _Tool, value: Value) -> Iterator[Fault]:
    most = int(str(value))
    if max(len(path) for path, _ in tool.inputs) <= most:
        return
    deep = max(sum(step in ("properties", "items") for step in path) for path, _ in tool.inputs)
    if deep > most:
        yield ("spec", "inputSchema"), f"values nest {deep} levels deep, at most {most} are allowed; flatten them"


def _input_keywords(tool: _Tool, value: Value) -> Iterator[Fault]:
    for path, node in tool.inputs:
        for keyword in value if isinstance(value, tuple) else ():
            if keyword in node:
                yield (*path, keyword), f'"{keyword}" is not supported; describe the condition instead'


def _enum_of_strings(tool: _Tool, _value: Value) -> Iterator[Fault]:
    for path, node in tool.inputs:
        values = node.get("enum")
        # If the type is string, the other values have no effect, which is a fault of its own.
        if (
            isinstance(values, list)
            and node.get("type") != "string"
            and any(not isinstance(value, str | None) for value in values)
        ):
            yield (
                (*path, "enum"),
                "an enum with a value that is not a string is refused; use strings, or minimum and maximum",
            )


def _input_typed(tool: _Tool, _value: Value) -> Iterator[Fault]:
    for path, node in tool.inputs:
        if path[-1] != "inputSchema" and not isinstance(node.get("type"), str) and "anyOf" not in node:
            message = "every schema must have one type; set it, or list the alternatives in anyOf"
            yield (*path, "type") if "type" in node else path, message


# What these formats allow (OpenAPI Format Registry). Others say nothing about the range of an integer.
_FORMATS = {"int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1)}
# Digits as d, what an exponent has beside them as it is, and everything else as a space.
_NUMERALS = bytes(ord("d") if 48 <= byte < 58 else byte if byte in b"e+" else ord(" ") for byte in range(256))
_LARGE_NUMERALS = (b"d" * 16, b"ded", b"de+d")


def _may_have_large_numbers(text: bytes) -> bool:
    """Whether a schema as JSON may allow or name integers beyond 53 bits."""
    if b'"int64"' in text or b'"uint64"' in text:
        return True
    # A regular expression would take thirty times as long.
    numerals = text.translate(_NUMERALS)
    return any(numeral in numerals for numeral in _LARGE_NUMERALS)


def _integers(tool: _Tool, value: Value) -> Iterator[Fault]:
    """One fault for each of the two schemas: an API with large numbers has many of them."""
    most = int(str(value))
    for member in ("inputSchema", "outputSchema"):
        found = [
            fault for path, node in tool.numbers if path[1] == member for fault in _large_integers(path, node, most)
        ]
        if found:
            path, what = found[0]
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            message = f"{what}{more}, and clients in JavaScript round integers beyond ±{most}"
            yield path, f"{message}; set minimum and maximum within these bounds, or use a string"


def _large_integers(path: Path, node: Mapping[str, Any], most: int) -> Iterator[Fault]:
    """The values and bounds of a node that are integers beyond a limit, each with its path."""
    values = node.get("enum")
    named = [((*path, keyword), node.get(keyword)) for keyword in ("default", "const")]
    named += [((*path, "enum", index), each) for index, each in enumerate(values if isinstance(values, list) else ())]
    # What is written with a fraction or an exponent is a double everywhere.
    yield from ((at, f"{each} is named") for at, each in named if isinstance(each, int) and abs(each) > most)
    stated = node.get("type")
    types = stated if isinstance(stated, list) else [stated]
    if "integer" in types and not {"enum", "const"} & node.keys():
        beyond = [((*path, keyword), f"{bound} is allowed") for keyword, bound in _bounds(node) if abs(bound) > most]
        yield from beyond[:1]


def _bounds(node: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The least and the largest integer that a node allows, each with the keyword that says so, as far as one does."""
    least, largest = _FORMATS.get(str(node.get("format")), (None, None))
    lower = [("minimum", node.get("minimum"), 0), ("exclusiveMinimum", node.get("exclusiveMinimum"), 1)]
    upper = [("maximum", node.get("maximum"), 0), ("exclusiveMaximum", node.get("exclusiveMaximum"), -1)]
    for candidates, choose in (([*upper, ("format", largest, 0)], min), ([*lower, ("format", least, 0)], max)):
        found = [
            (bound + step, keyword)
            for keyword, bound, step in candidates
            if isinstance(bound, int | float) and not isinstance(bound, bool)
        ]
        if found:
            bound, keyword = choose(found)
            yield keyword, bound


def _required_declared(tool: _Tool, _value: Value) -> Iterator[Fault]:
    for path, node in tool.inputs:
        names, required = node.get("properties"), node.get("required")
        # With additionalProperties false, no value is valid at all, which is a fault of its own.
        if isinstance(names, dict) and isinstance(required, list) and node.get("additionalProperties", True):
            missing = [name for name in required if isinstance(name, str) and name not in names]
            if missing:
                message = f"{shorten(str(missing[0]))} is required but not among the properties; declare it"
                yield (*path, "required"), message


def _all_required(tool: _Tool, _value: Value) -> Iterator[Fault]:
    for path, node in tool.inputs:
        names = node.get("properties")
        if isinstance(names, dict):
            required = node.get("required")
            optional = [name for name in names if not isinstance(required, list) or name not in required]
            if optional:
                yield (
                    (*path, "required"),
                    f"every property must be required, and {shorten(optional[0])} is not; require it and allow null",
                )
            if node.get("additionalProperties") is not False:
                yield (*path, "additionalProperties"), "additionalProperties must be false; set it"


_CHECKS: dict[Limit, Callable[[_Tool, Value], Iterator[Fault]]] = {
    Limit.ROOT_KEYWORDS: _root_keywords,
    Limit.PROPERTY_NAME: _property_names,
    Limit.INPUT_ECMA: _input_ecma,
    Limit.INPUT_PYTHON: _input_python,
    Limit.INPUT_DEPTH: _input_depth,
    Limit.INPUT_KEYWORDS: _input_keywords,
    Limit.ENUM_OF_STRINGS: _enum_of_strings,
    Limit.ALL_REQUIRED: _all_required,
    Limit.INPUT_TYPED: _input_typed,
    Limit.INTEGERS: _integers,
    Limit.REQUIRED_DECLARED: _required_declared,
    Limit.OUTPUT_ECMA: _output_ecma,
    Limit.OUTPUT_PYTHON: _output_python,
    Limit.OUTPUT_AJV: _output_ajv,
    Limit.OUTPUT_DRAFT_07: _output_draft_07,
}
_OF_OUTPUT = frozenset({Limit.OUTPUT_ECMA, Limit.OUTPUT_PYTHON, Limit.OUTPUT_AJV, Limit.OUTPUT_DRAFT_07})
_PATTERNS = ("pattern", "patternProperties")
# Keywords without one of which a schema is within a limit; they make most checks cheap.
_ABOUT: dict[Limit, tuple[str, ...]] = {
    Limit.INPUT_ECMA: _PATTERNS,
    Limit.INPUT_PYTHON: _PATTERNS,
    Limit.OUTPUT_ECMA: _PATTERNS,
    Limit.OUTPUT_PYTHON: _PATTERNS,
    Limit.ENUM_OF_STRINGS: ("enum",),
    Limit.REQUIRED_DECLARED: ("required",),
    Limit.OUTPUT_AJV: ("enum", "$anchor", "$dynamicAnchor", "properties", "$id"),
    Limit.OUTPUT_DRAFT_07: tuple(_AFTER_DRAFT_07),
}


def _by_limit(
    limits: Collection[Limit],
) -> tuple[tuple[Limit, Value, frozenset[str], tuple[tuple[Profile, Fact], ...]], ...]:
    """The facts about these limits, grouped by limit and value, so that each check runs once.

    The third member are keywords without one of which a schema is within the limit; none if that cannot be said.
    """
    found: dict[tuple[Limit, Value], list[tuple[Profile, Fact]]] = {}
    for client in PROFILES:
        for fact in client.facts:
            if fact.limit in limits:
                found.setdefault((fact.limit, fact.value), []).append((client, fact))
    groups = []
    for (limit, value), users in found.items():
        keywords = value if isinstance(value, tuple) and limit in (Limit.ROOT_KEYWORDS, Limit.INPUT_KEYWORDS) else ()
        groups.append((limit, value, frozenset(_ABOUT.get(limit, keywords)), tuple(users)))
    return tuple(groups)


_SCHEMA_FACTS = _by_limit(_CHECKS)
_NAME_FACTS = _by_limit((Limit.TOOL_NAME, Limit.TOOL_NAME_LENGTH))
