"""PURE. Keywords that validate nothing where they are: those of other dialects, of other types, and misspelt ones.

JSON Schema 2020-12 ignores a keyword that it does not know, so an author learns only from a wrong call that it had no
effect. Keywords that begin with ``x-`` are extensions and are never reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crd.schema.arguments import ANY, type_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from crd.schema.references import Reference
    from crd.schema.subschemas import Path

__all__ = ["without_effect"]

_NUMBERS = frozenset({"integer", "number"})
# The types that a keyword applies to (JSON Schema 2020-12, Validation, section 6, and Core, section 10.3).
_APPLY_TO: dict[str, frozenset[str]] = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _NUMBERS),
    **dict.fromkeys(("minLength", "maxLength", "pattern"), frozenset({"string"})),
    **dict.fromkeys(
        ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"),
        frozenset({"array"}),
    ),
    **dict.fromkeys(
        ("properties", "patternProperties", "additionalProperties", "propertyNames", "required", "minProperties",
         "maxProperties", "dependentRequired", "dependentSchemas"),
        frozenset({"object"}),
    ),
}  # fmt: skip
# Keywords of other dialects (JSON Schema draft-03 to 2019-09, OpenAPI 3.0), with what to write instead.
_FOREIGN = {
    "additionalItems": "write prefixItems for the first items and items for the others",
    "dependencies": "write dependentRequired or dependentSchemas",
    "disallow": "write not",
    "discriminator": "write a const in each schema of oneOf",
    "divisibleBy": "write multipleOf",
    "example": "write examples, which is a list",
    "extends": "write allOf",
    "id": "write $id, or remove it",
    "$recursiveAnchor": "write $dynamicAnchor",
    "$recursiveRef": "write $dynamicRef",
}
# Keywords that do something only beside another one.
_BESIDE = {
    "then": ("if",),
    "else": ("if",),
    "if": ("then", "else"),
    "minContains": ("contains",),
    "maxContains": ("contains",),
    "contentSchema": ("contentMediaType",),
}
_KNOWN = (
    *_APPLY_TO, *_BESIDE, "type", "enum", "const", "default", "examples", "description", "title", "format", "anyOf",
    "oneOf", "allOf", "not", "unevaluatedItems", "unevaluatedProperties", "deprecated", "readOnly", "writeOnly",
    "contentEncoding", "contentMediaType",
)  # fmt: skip
_SPELT = {name.lower(): name for name in _KNOWN}
_OTHER_WORDS = {"enums": "enum", "types": "type", "item": "items", "property": "properties", "defaults": "default"}
_NAMED = 3


def without_effect(nodes: Iterable[tuple[Path, Any]], references: Iterable[Reference]) -> Iterator[tuple[Path, str]]:
    """The keywords without effect in the schemas of a document, each with its path and a message."""
    nodes = [*nodes]
    targets = {nodes[each.target][0] for each in references if each.target is not None}
    referenced = {path[:length] for path in targets for length in range(1, len(path) + 1)}
    for path, node in nodes:
        if isinstance(node, dict):
            yield from ((((*path, keyword)), message) for keyword, message in _of_node(node))
            yield from _unreferenced(path, node, referenced)


def _of_node(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    types = _types(node)
    for keyword, value in node.items():
        if keyword == "nullable":
            yield keyword, _nullable(node, value)
        elif keyword in _FOREIGN:
            yield keyword, f"{keyword} has no effect in JSON Schema 2020-12; {_FOREIGN[keyword]}"
        elif keyword in _APPLY_TO and types.isdisjoint(_APPLY_TO[keyword]):
            stated = " or ".join(sorted(types))
            yield keyword, f"{keyword} has no effect on type {stated}; remove it or change the type"
        elif keyword in _BESIDE and not any(other in node for other in _BESIDE[keyword]):
            others = " or ".join(_BESIDE[keyword])
            yield keyword, f"{keyword} has no effect without {others}; add {others} or remove {keyword}"
        elif keyword not in _SPELT.values() and not keyword.startswith(("x-", "$")):
            plain = keyword.replace("_", "").replace("-", "").lower()
            meant = _SPELT.get(plain) or _OTHER_WORDS.get(plain)
            if meant is not None:
                yield keyword, f'{keyword} is not a keyword of JSON Schema and has no effect; did you mean "{meant}"?'


def _nullable(node: Mapping[str, Any], value: object) -> str:
    if value is not True:
        return "nullable has no effect in JSON Schema 2020-12; remove it"
    stated = node.get("type")
    types = stated if isinstance(stated, list) else [stated] if isinstance(stated, str) else []
    if "null" in types:
        return "nullable has no effect in JSON Schema 2020-12, and the type already allows null; remove it"
    if not types:
        return 'nullable has no effect in JSON Schema 2020-12; write anyOf with {"type": "null"}'
    quoted = ", ".join(f'"{each}"' for each in (*types, "null"))
    also = " and add null to enum" if isinstance(node.get("enum"), list) and None not in node["enum"] else ""
    return f"nullable has no effect in JSON Schema 2020-12, so null is rejected; write type: [{quoted}]{also}"


def _unreferenced(path: Path, node: Mapping[str, Any], referenced: set[Path]) -> Iterator[tuple[Path, str]]:
    """One finding for each map of definitions that has unreferenced ones."""
    for keyword in ("$defs", "definitions"):
        defined = node.get(keyword)
        if not isinstance(defined, dict):
            continue
        unused = [name for name in defined if (*path, keyword, name) not in referenced and not _anchored(defined[name])]
        if unused:
            named = ", ".join(f'"{name}"' for name in unused[:_NAMED])
            more = f" and {len(unused) - _NAMED} more" if len(unused) > _NAMED else ""
            yield (*path, keyword), f"no $ref leads to {named}{more}, so nothing is checked by it; remove or use it"


def _anchored(node: object) -> bool:
    """Whether a schema is reached by a name of its own, which a dynamic reference may use."""
    return isinstance(node, dict) and any(keyword in node for keyword in ("$id", "$anchor", "$dynamicAnchor"))


def _types(node: Mapping[str, Any]) -> frozenset[str]:
    stated = node.get("type")
    if isinstance(stated, str):
        return frozenset({stated})
    if isinstance(stated, list) and stated:
        return frozenset(each for each in stated if isinstance(each, str))
    if "const" in node:
        return frozenset({type_of(node["const"])})
    return ANY
