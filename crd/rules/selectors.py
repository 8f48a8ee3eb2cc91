"""PURE. A server's selector is well formed, says what it means, and finds something."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from crd.catalog import MEMBER_KINDS
from crd.finding import Finding, Reason
from crd.models.server import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.catalog import Catalog
    from crd.manifest import Object
    from crd.ref import Ref

__all__ = ["empty_selector", "invalid_selector", "selects_nothing"]

_AT = ("spec", "toolSelector")
_NAME = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def empty_selector(item: Object) -> Iterator[Finding]:
    """A selector without conditions that does not say that it means every object of the namespace."""
    if not isinstance(item.spec, ServerSpec):
        return
    selector = item.spec.tool_selector
    if not (selector.match_labels or selector.match_expressions or selector.select_all):
        message = "an empty selector would serve every object of the namespace; name labels, or set selectAll: true"
        yield Finding.of(Reason.EMPTY_SELECTOR, item.ref, message, path=_AT)


def invalid_selector(item: Object) -> Iterator[Finding]:
    """Keys and values that no label can have, a wrong number of values, conditions beside selectAll."""
    if not isinstance(item.spec, ServerSpec):
        return
    for path, message in _faults(item.spec):
        yield Finding.of(Reason.INVALID_SELECTOR, item.ref, message, path=(*_AT, *path))


def _faults(spec: ServerSpec) -> Iterator[tuple[tuple[str | int, ...], str]]:
    selector = spec.tool_selector
    if selector.select_all and (selector.match_labels or selector.match_expressions):
        yield ("selectAll",), "selectAll: true stands beside conditions; remove one of the two"
    for key, value in selector.match_labels.items():
        yield from _key_fault(("matchLabels", key), key)
        yield from _value_fault(("matchLabels", key), value)
    for index, requirement in enumerate(selector.match_expressions):
        path = ("matchExpressions", index)
        yield from _key_fault((*path, "key"), requirement.key)
        takes_values = requirement.operator in ("In", "NotIn")
        if takes_values and not requirement.values:
            yield (*path, "values"), f"operator {requirement.operator} needs at least one value; add one"
        if not takes_values and requirement.values:
            yield (*path, "values"), f"operator {requirement.operator} takes no values; remove them"
        for position, value in enumerate(requirement.values):
            yield from _value_fault((*path, "values", position), value)


def _key_fault(path: tuple[str | int, ...], key: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    prefix, slash, name = key.rpartition("/")
    if not _NAME.fullmatch(name) or (slash and not (_PREFIX.fullmatch(prefix) and len(prefix) <= 253)):
        yield path, f'"{key}" is no label key, so nothing can carry it; write it as name or domain/name'


def _value_fault(path: tuple[str | int, ...], value: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if value and not _NAME.fullmatch(value):
        yield path, f'"{value}" is no label value, so nothing can carry it; use letters, digits, "-", "_" and "."'


def selects_nothing(catalog: Catalog, server: Ref) -> Iterator[Finding]:
    """A server that serves nothing, with the labels that its namespace does have."""
    if catalog.server(server) is None or catalog.view(server).members:
        return
    near = _labels_nearby(catalog, server)
    repair = f"labels there: {near}" if near else "there is no MCPTool, MCPPrompt or MCPResource yet"
    message = f"{server} selects nothing in namespace {server.namespace}; {repair}"
    yield Finding.of(Reason.SELECTS_NOTHING, server, message, path=_AT)


def _labels_nearby(catalog: Catalog, server: Ref) -> str:
    """The most frequent labels among the namespace's first hundred members, three at most."""
    counts: Counter[str] = Counter()
    for kind in MEMBER_KINDS:
        for _, ref in zip(range(100), catalog.refs(kind, server.namespace), strict=False):
            member = catalog.member(ref)
            counts.update(f"{key}={value}" for key, value in (member.labels if member else {}).items())
    return ", ".join(sorted(sorted(counts), key=lambda label: -counts[label])[:3])
