"""PURE. The listed form of a schema: what clients get instead of what the author wrote, with the same meaning.

The stored object keeps the author's schema. `crd.compiler.assembly` writes the listed form into the catalog, so it is
signed, digested and validated against like every other part of the catalog, and pods add nothing to it. See
docs/decisions/0032.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from crd.schema import subschemas
from crd.schema.subschemas import SHAPES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WITHOUT_EFFECT", "listed"]

# Keywords that mean nothing in JSON Schema 2020-12, but that Ajv or a model API trips over: OpenAPI 3.0, draft-4, draft
# 2019-09, and extensions of Ajv.
WITHOUT_EFFECT = frozenset(
    {
        "$async", "$recursiveAnchor", "$recursiveRef", "additionalItems", "discriminator", "externalDocs",
        "formatExclusiveMaximum", "formatExclusiveMinimum", "formatMaximum", "formatMinimum", "id", "nullable", "xml",
    }
)  # fmt: skip
# Where booleans are common and every client reads them.
_PLAIN_BOOLEANS = frozenset({"additionalProperties", "unevaluatedProperties", "unevaluatedItems"})
# Most schemas are of a scalar, and have none of these keywords: they are listed as they are written.
_SCALARS = ("string", "integer", "number", "boolean", "null")
_CHANGED = frozenset({*SHAPES, "enum"})
# What only a reference uses.
_OF_REFERENCES = frozenset({"$anchor", "$dynamicAnchor", "$id", "$defs", "definitions"})


def listed(schema: Mapping[str, Any], *, of_arguments: bool) -> dict[str, Any]:
    """The listed form of an inputSchema (``of_arguments``) or outputSchema. It accepts exactly the same values.

    - A boolean schema is an object: ``true`` is ``{}``, ``false`` is ``{"not": {}}``.
    - ``items: false`` after ``prefixItems`` is ``maxItems``, because Ajv for draft-07 applies ``items`` to all items.
    - `WITHOUT_EFFECT` keywords are absent, and so are definitions, anchors and ``$id`` if there is no reference.
      So is the ``$id`` of the root if every reference begins with ``#``: a client that compiles the schemas of all
      tools together, as Ajv does, takes two with one ``$id`` for the same.
    - An enum has no value twice.
    - In an inputSchema, an object has ``properties`` and an array has ``items``.
    - An outputSchema has no ``format``: it is an annotation (JSON Schema 2020-12, Validation, section 7.2.1), and a
      client that asserts it, as Ajv does, would lose a reply that is valid.
    """
    text = orjson.dumps(schema)
    # A keyword that only looks like one, such as the name of an argument, keeps more than is needed and no less.
    left_out = WITHOUT_EFFECT if of_arguments else WITHOUT_EFFECT | {"format"}
    if b'"$ref"' not in text and b'"$dynamicRef"' not in text:
        left_out |= _OF_REFERENCES
    elif b'"$id"' in text and _is_one_document(schema):
        left_out |= {"$id"}
    # `items` marks items as evaluated, so it must not be added or removed where something asks for it.
    fixed_items = b'"unevaluatedItems"' in text
    made: dict[str, Any] = _listed(schema, left_out, of_arguments, fixed_items)
    return made


def _is_one_document(schema: Mapping[str, Any]) -> bool:
    """Whether nothing needs the ``$id`` of the root: no subschema has one, and every reference begins with ``#``."""
    return all(
        ("$id" not in node or not path)
        and all(str(node.get(keyword, "#")).startswith("#") for keyword in ("$ref", "$dynamicRef"))
        for path, node in subschemas.walk(schema)
        if isinstance(node, dict)
    )


def _listed(  # noqa: C901 -- the list in `listed`, in one pass
    node: Any, left_out: frozenset[str], of_arguments: bool, fixed_items: bool
) -> Any:
    if not isinstance(node, dict):
        return {} if node is True else {"not": {}} if node is False else node
    if (not of_arguments or node.get("type") in _SCALARS) and _CHANGED.isdisjoint(node) and left_out.isdisjoint(node):
        return node
    made: dict[str, Any] = {}
    for keyword, value in node.items():
        if keyword in left_out:
            continue
        shape = SHAPES.get(keyword)
        if shape is None:
            made[keyword] = value
        elif shape == "map" and isinstance(value, dict):
            made[keyword] = {k: _listed(child, left_out, of_arguments, fixed_items) for k, child in value.items()}
        elif shape == "list" and isinstance(value, list):
            made[keyword] = [_listed(child, left_out, of_arguments, fixed_items) for child in value]
        elif isinstance(value, bool) and (keyword in _PLAIN_BOOLEANS or (keyword == "items" and "prefixItems" in node)):
            made[keyword] = value
        else:
            made[keyword] = _listed(value, left_out, of_arguments, fixed_items) if shape == "one" else value
    values = made.get("enum")
    if isinstance(values, list):
        made["enum"] = _distinct(values)
    prefix = made.get("prefixItems")
    if isinstance(prefix, list) and made.get("items") is False and not fixed_items:
        most = made.get("maxItems")
        made["maxItems"] = min(len(prefix), most) if isinstance(most, int | float) else len(prefix)
        del made["items"]
    if of_arguments:
        types = made.get("type")
        if "properties" not in made and (types == "object" or (isinstance(types, list) and "object" in types)):
            made["properties"] = {}
        if (
            "items" not in made
            and not fixed_items
            and (types == "array" or (isinstance(types, list) and "array" in types))
        ):
            made["items"] = {}
    return made


def _distinct(values: list[Any]) -> list[Any]:
    """The values without those that equal an earlier one as JSON: 1 and 1.0 are equal, 1 and true are not."""
    if all(isinstance(value, str) for value in values):
        return list(dict.fromkeys(values))
    known: dict[bytes, Any] = {}
    for value in values:
        known.setdefault(orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS), value)
    return list(known.values())


def _plain(value: Any) -> Any:
    """A value with integers instead of numbers without a fraction."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
