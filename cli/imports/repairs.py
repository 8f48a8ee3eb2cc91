"""PURE. Makes an object pass ``check``: what a rule refuses is left out of its schemas, with the rule's own message."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from crd import integrity, manifest
from crd.defaults import set_defaults
from crd.finding import Finding, Level, Reason, format_path

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["repair"]

_MAX_ROUNDS = 12
# Warnings about a keyword that misleads a model or a client; leaving it out loses nothing.
_ALSO = frozenset({Reason.CONTRADICTORY_VALUE, Reason.UNSATISFIABLE_SCHEMA, Reason.INEFFECTIVE_KEYWORD})
_LIMITS = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
        "minProperties", "maxProperties", "enum", "const", "allOf", "required", "not", "pattern",
    }
)  # fmt: skip


def repair(raw: dict[str, Any]) -> tuple[dict[str, Any], list[str], str | None]:
    """The object as far as it passes, the notes on what was left out, and the message of an error that is left."""
    notes: list[str] = []
    for _ in range(_MAX_ROUNDS):
        found = _judge(raw)
        if not found:
            return raw, notes, None
        changed = copy.deepcopy(raw)
        told = [note for finding in _deepest_first(found) for note in _leave_out(changed, finding)]
        notes += [note for note in told if note not in notes]
        if changed == raw:
            break
        raw = changed
    errors = [finding for finding in _judge(raw) if finding.level is Level.ERROR]
    left = f"{errors[0].reason}: {format_path(errors[0].path)}: {errors[0].message}" if errors else None
    return raw, notes, left


def _judge(raw: dict[str, Any]) -> list[Finding]:
    item = manifest.decode(set_defaults(raw))
    return [each for each in integrity.find_own(item) if each.level is Level.ERROR or each.reason in _ALSO]


def _deepest_first(found: Sequence[Finding]) -> list[Finding]:
    """Later items of a list first, so that the positions of the others stay."""
    return sorted(
        found, key=lambda each: [(isinstance(step, int), str(step).zfill(9)) for step in each.path], reverse=True
    )


def _leave_out(raw: dict[str, Any], finding: Finding) -> list[str]:
    """Remove what a finding is about, if it is a part of a schema that may be missing."""
    path = finding.path
    if path[:2] == ("spec", "outputSchema") and (len(path) == 2 or finding.reason is Reason.SCHEMA_TOO_LARGE):
        return [f"no outputSchema: {finding.message}"] if raw["spec"].pop("outputSchema", None) is not None else []
    if len(path) < 3 or path[0] != "spec" or path[1] not in ("inputSchema", "outputSchema"):
        return []
    parent: Any = raw
    for step in path[:-1]:
        parent = _step(parent, step)
    last = path[-1]
    target = _step(parent, last)
    note = f"{format_path(path)} is left out: {finding.message}"
    if isinstance(parent, list) and isinstance(last, int) and last < len(parent):
        del parent[last]
    elif isinstance(target, dict) and path[-2] in ("properties", "$defs", "patternProperties"):
        kept = {key: value for key, value in target.items() if key not in _LIMITS}
        if kept == target:
            return []
        target.clear()
        target.update(kept)
    elif isinstance(parent, dict) and last in parent and last != "properties" and (last != "type" or len(path) > 3):
        del parent[last]
    else:
        return []
    return [note]


def _step(node: Any, step: str | int) -> Any:
    if isinstance(node, dict):
        return node.get(step)
    return node[step] if isinstance(node, list) and isinstance(step, int) and step < len(node) else None
