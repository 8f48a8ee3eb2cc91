"""PURE. The outputSchema of a tool, from the responses of its operation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cli.imports.description import UnusableError, mapping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.imports.description import Description, Operation
    from cli.imports.schemas import Schemas

__all__ = ["output_schema"]

_SUCCESS = re.compile(r"2(?:\d\d|XX|xx)")
_JSON = re.compile(r"(?:application|text)/(?:[a-z0-9!#$&^_.-]+\+)?json")


def output_schema(
    description: Description, operation: Operation, schemas: Schemas
) -> tuple[dict[str, Any] | None, list[str]]:
    """The schema that every successful reply satisfies, and the notes; None if there is no such schema of an object."""
    found: list[Mapping[str, Any]] = []
    notes: list[str] = []
    responses = mapping(operation.content.get("responses"))
    successes = [code for code in responses if _SUCCESS.fullmatch(str(code))]
    if not successes and any(str(code).startswith("3") for code in responses):
        notes.append("its only success is a redirect, which is not followed")
    for code in successes or [code for code in responses if code == "default"]:
        try:
            response = description.resolve(responses[code])
        except UnusableError as error:
            return None, [f"no outputSchema: response {code}: {error}"]
        content = mapping(response.get("content"))
        media = next((each for each in content if _JSON.fullmatch(each.partition(";")[0].strip().lower())), None)
        if media is None:
            if content or successes:
                told = "is not JSON" if content else "has no content"
                return None, [*notes, f"no outputSchema: response {code} {told}"]
            continue
        schema = mapping(content[media]).get("schema")
        if schema is None or schema == {}:
            return None, [*notes, f"no outputSchema: response {code} has no schema"]
        found.append(schema)
    if not found:
        return None, [*notes, "no outputSchema: no response of success is described"]
    if any(schema != found[0] for schema in found):
        return None, [*notes, "no outputSchema: the responses of success have different schemas"]
    converted = schemas.convert(found[0])
    types = schemas.types(converted.schema)
    if types != {"object"}:
        told = " or ".join(sorted(types)) if len(types) < 6 else "anything"
        return None, [*notes, f"no outputSchema: a reply is {told}, and a structured result must be an object"]
    node = converted.schema
    if node.get("type") != "object":
        converted.schema = {**_merged(schemas, node), "type": "object"}
    made, told_cuts = schemas.assemble(converted)
    return made, [*notes, *(f"outputSchema: {note}" for note in told_cuts)]


def _merged(schemas: Schemas, node: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with the members of what its root refers to, so that its type is at the root."""
    behind = schemas.behind(node)
    return {key: value for key, value in {**behind, **node}.items() if key != "$ref"}
