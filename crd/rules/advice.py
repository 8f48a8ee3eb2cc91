"""PURE. What makes tools easier to use for a model, and what no server selects. Only ``check`` says it: it is valid.

So an apply prints no warning about it. These rules see the objects of the files together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crd.clients import similarity
from crd.finding import Finding, Reason, shorten
from crd.models.amounts import to_bytes
from crd.models.server import ServerSpec
from crd.models.tool import ToolSpec
from crd.rules.unselected import unselected

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from crd.manifest import Object
    from crd.models.calls import Response
    from crd.ref import Ref
    from crd.snapshot import Snapshot

__all__ = ["REASONS", "advise"]

REASONS = frozenset({Reason.CONFUSABLE_TOOLS, Reason.LARGE_REPLY, Reason.NOT_SELECTED, Reason.UNDESCRIBED_ARGUMENT})
# So many tokens of one result popular agents accept, and at least so many bytes of text are a token.
MAX_TOKENS, BYTES_OF_A_TOKEN = 25_000, 4
MAX_BYTES = MAX_TOKENS * BYTES_OF_A_TOKEN
_NAMED = 5
# References that are followed to a description.
_MAX_STEPS = 8


def advise(snapshot: Snapshot, objects: Collection[Object]) -> Iterator[Finding]:
    """The advice about objects; ``snapshot`` contains them, and says which server selects which tool."""
    tools = {item.ref: item for item in objects if isinstance(item.spec, ToolSpec)}
    limits: dict[Ref, int] = {}
    for item in objects:
        if isinstance(item.spec, ServerSpec):
            members = [tools[ref] for ref in sorted(snapshot.view(item.ref).members) if ref in tools]
            yield from _confusable(item, members)
            most = to_bytes(item.spec.config.max_response_bytes)
            limits |= {member.ref: max(most, limits.get(member.ref, 0)) for member in members}
    for item in tools.values():
        yield from _undescribed_arguments(item)
        yield from _large_reply(item, limits.get(item.ref))
    yield from unselected(snapshot, objects)


def _confusable(server: Object, tools: list[Object]) -> Iterator[Finding]:
    by_name: dict[str, Object] = {}
    for item in tools:
        if isinstance(item.spec, ToolSpec) and item.spec.enabled:
            by_name.setdefault(item.served_name, item)
    texts = {name: f"{name} {getattr(item.spec, 'description', '')}" for name, item in by_name.items()}
    for name, other, measure in similarity.nearest(texts):
        message = (
            f'a search by words confuses "{name}" with "{other}" ({by_name[other].ref}) of {server.ref}: their names '
            f"and descriptions are alike to {measure:.0%}; say in each description when to use it, and when the other"
        )
        ref, related = by_name[name].ref, (by_name[other].ref, server.ref)
        subject = (server.ref.key, other)
        yield Finding.of(
            Reason.CONFUSABLE_TOOLS, ref, message, subject=subject, path=("spec", "description"), related=related
        )


def _undescribed_arguments(item: Object) -> Iterator[Finding]:
    schema = item.spec.input_schema if isinstance(item.spec, ToolSpec) else {}
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return
    bare = [name for name, child in properties.items() if not _is_described(child, schema, _MAX_STEPS)]
    if bare:
        named = ", ".join(shorten(str(name)) for name in bare[:_NAMED])
        more = f" and {len(bare) - _NAMED} more" if len(bare) > _NAMED else ""
        what = "argument" if len(bare) == 1 else "arguments"
        verb = "has" if len(bare) == 1 else "have"
        message = (
            f"{what} {named}{more} {verb} no description, so a model can only guess from the name; say in a sentence "
            "what to pass, with unit and format"
        )
        yield Finding.of(Reason.UNDESCRIBED_ARGUMENT, item.ref, message, path=("spec", "inputSchema", "properties"))


def _is_described(node: Any, root: Mapping[str, Any], steps: int) -> bool:
    if not isinstance(node, dict) or not steps:
        return False
    if "const" in node or (isinstance(node.get("description"), str) and node["description"].strip()):
        return True
    target = _target(node.get("$ref"), root)
    if target is not None and _is_described(target, root, steps - 1):
        return True
    parts = node.get("allOf")
    return isinstance(parts, list) and any(_is_described(part, root, steps - 1) for part in parts[:_MAX_STEPS])


def _target(reference: Any, root: Mapping[str, Any]) -> Any:
    """What a reference to a definition of the same schema means; None for any other reference."""
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return None
    definitions = root.get("$defs")
    return definitions.get(reference.removeprefix("#/$defs/")) if isinstance(definitions, dict) else None


def _large_reply(item: Object, of_servers: int | None) -> Iterator[Finding]:
    spec = item.spec
    if not isinstance(spec, ToolSpec):
        return
    response: Response | None = spec.response
    if response is not None and response.format == "Binary":
        return
    if response is not None and response.max_bytes is not None:
        size = to_bytes(response.max_bytes)
        if size > MAX_BYTES:
            message = (
                f"a reply may have {size} bytes, about {size // BYTES_OF_A_TOKEN} tokens, and agents take at most "
                f"{MAX_TOKENS} of one result; lower maxBytes to {MAX_BYTES // 1024}Ki, or reply page by page"
            )
            yield Finding.of(Reason.LARGE_REPLY, item.ref, message, path=("spec", "response", "maxBytes"))
    elif of_servers is not None and of_servers > MAX_BYTES:
        size = _least_size_of_a_full_list(spec)
        if size > MAX_BYTES:
            message = (
                f"a full list has at least {size} bytes, about {size // BYTES_OF_A_TOKEN} tokens, and agents take at "
                f"most {MAX_TOKENS} of one result; lower maxItems or http.pagination.maxSize, or set "
                f"response.maxBytes to {MAX_BYTES // 1024}Ki"
            )
            yield Finding.of(Reason.LARGE_REPLY, item.ref, message, path=("spec", "outputSchema"))


def _least_size_of_a_full_list(spec: ToolSpec) -> int:
    """The bytes of the longest list that the outputSchema or the size of a page allows; 0 if nothing says how long."""
    schema = spec.output_schema or {}
    pages = spec.http.pagination if spec.http is not None else None
    members = schema.get("properties")
    found = 0
    for node in (schema, *(members.values() if isinstance(members, dict) else ())):
        if isinstance(node, dict) and node.get("type") == "array":
            count = pages.max_size if pages is not None else node.get("maxItems")
            if type(count) is int:
                found = max(found, count * (_least_size(node.get("items"), _MAX_STEPS) + 1))
    return found


def _least_size(schema: Any, steps: int) -> int:
    """The bytes of the shortest JSON text of a schema, as far as its plainest keywords say."""
    if not isinstance(schema, dict) or not steps:
        return 1
    match schema.get("type"):
        case "object":
            members, required = schema.get("properties"), schema.get("required")
            names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
            known = members if isinstance(members, dict) else {}
            sizes = [len(name) + 3 + _least_size(known.get(name), steps - 1) for name in names]
            return 2 + sum(sizes) + max(0, len(sizes) - 1)
        case "string":
            length = schema.get("minLength")
            return 2 + (length if type(length) is int else 0)
        case "array" | "boolean":
            return 2
    return 1
