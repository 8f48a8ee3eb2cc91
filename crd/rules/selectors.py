"""PURE. The selectors of a server are well formed, explicit and match objects."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING

from crd.finding import Finding, Reason
from crd.models.server import ServerSpec
from crd.ref import Kind
from crd.snapshot import MEMBER_KINDS
from crd.steps import skip_pauses
from crd.suggestions import MAX_LOOKUPS, Suggestions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.facts import ServerFact
    from crd.manifest import Object
    from crd.models.selectors import LabelSelector
    from crd.selector import Selector
    from crd.snapshot import Snapshot
    from crd.steps import Steps

__all__ = ["empty_selector", "invalid_selector", "selects_nothing", "selects_nothing_in_steps"]

Path = tuple[str | int, ...]

_NAME = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def empty_selector(item: Object) -> Iterator[Finding]:
    """Selectors without conditions that do not set selectAll."""
    for path, selector in _selectors(item):
        if not (selector.match_labels or selector.match_expressions or selector.select_all):
            message = (
                "an empty selector would select every object in the namespace; add conditions or set selectAll: true"
            )
            yield Finding.of(Reason.EMPTY_SELECTOR, item.ref, message, path=path)


def invalid_selector(item: Object) -> Iterator[Finding]:
    """Invalid keys and values, a wrong number of values, and conditions next to selectAll."""
    for at, selector in _selectors(item):
        for path, message in _faults(selector):
            yield Finding.of(Reason.INVALID_SELECTOR, item.ref, message, path=(*at, *path))


def _selectors(item: Object) -> Iterator[tuple[Path, LabelSelector]]:
    spec = item.spec
    if not isinstance(spec, ServerSpec):
        return
    yield ("spec", "toolSelector"), spec.tool_selector
    if spec.prompt_selector:
        yield ("spec", "promptSelector"), spec.prompt_selector
    if spec.resource_selector:
        yield ("spec", "resourceSelector"), spec.resource_selector


def _faults(selector: LabelSelector) -> Iterator[tuple[Path, str]]:
    if selector.select_all and (selector.match_labels or selector.match_expressions):
        yield ("selectAll",), "selectAll: true and conditions are mutually exclusive; remove one of the two"
    for key, value in selector.match_labels.items():
        yield from _key_fault(("matchLabels", key), key)
        yield from _value_fault(("matchLabels", key), value)
    for index, requirement in enumerate(selector.match_expressions):
        path: Path = ("matchExpressions", index)
        yield from _key_fault((*path, "key"), requirement.key)
        takes_values = requirement.operator in ("In", "NotIn")
        if takes_values and not requirement.values:
            yield (*path, "values"), f"operator {requirement.operator} requires at least one value; add one"
        if not takes_values and requirement.values:
            yield (*path, "values"), f"operator {requirement.operator} takes no values; remove them"
        for position, value in enumerate(requirement.values):
            yield from _value_fault((*path, "values", position), value)


def _key_fault(path: Path, key: str) -> Iterator[tuple[Path, str]]:
    prefix, slash, name = key.rpartition("/")
    if not _NAME.fullmatch(name) or (slash and not (_PREFIX.fullmatch(prefix) and len(prefix) <= 253)):
        yield path, f'"{key}" is not a valid label key; use name or domain/name'


def _value_fault(path: Path, value: str) -> Iterator[tuple[Path, str]]:
    if value and not _NAME.fullmatch(value):
        yield path, f'"{value}" is not a valid label value; use letters, digits, "-", "_" and "."'


def selects_nothing(snapshot: Snapshot, server: ServerFact) -> Iterator[Finding]:
    """Selectors that match nothing, with the most similar labels of the namespace.

    toolSelector matches something if it matches an object of any kind without a selector of its own.
    """
    return skip_pauses(selects_nothing_in_steps(snapshot, server))


def selects_nothing_in_steps(snapshot: Snapshot, server: ServerFact) -> Iterator[Finding | None]:
    """The same as `selects_nothing`, with pauses: similar labels are expensive to find."""
    view = snapshot.view(server.ref)
    kinds = tuple(kind for kind in MEMBER_KINDS if server.selector_of(kind) is server.selector)
    if not any(map(view.count, kinds)):
        yield (yield from _nothing(snapshot, server, "toolSelector", kinds, server.selector))
    if server.prompt_selector is not None and not view.count(Kind.PROMPT):
        yield (yield from _nothing(snapshot, server, "promptSelector", (Kind.PROMPT,), server.prompt_selector))
    if server.resource_selector is not None and not view.count(Kind.RESOURCE):
        yield (yield from _nothing(snapshot, server, "resourceSelector", (Kind.RESOURCE,), server.resource_selector))


def _nothing(
    snapshot: Snapshot, server: ServerFact, field: str, kinds: tuple[Kind, ...], selector: Selector
) -> Steps[Finding]:
    near = yield from _labels_nearby(snapshot, server.ref.namespace, kinds, selector)
    absent = " or ".join(filter(None, (", ".join(kinds[:-1]), kinds[-1])))
    repair = f"correct the selector (labels in use there: {near})" if near else "create one with matching labels"
    message = f"{server.ref} selects no {absent} in namespace {server.ref.namespace}; {repair}"
    return Finding.of(Reason.SELECTS_NOTHING, server.ref, message, path=("spec", field))


def _labels_nearby(snapshot: Snapshot, namespace: str, kinds: tuple[Kind, ...], selector: Selector) -> Steps[str]:
    """At most three labels of members in the namespace: those similar to the selector first, then the most frequent.

    Only the first hundred members of each kind are considered, and the first 32 labels of each.
    """
    counts: Counter[str] = Counter()
    for kind in kinds:
        for _, ref in zip(range(100), snapshot.refs(kind, namespace), strict=False):
            yield
            member = snapshot.member(ref)
            carried = (member.labels if member else {}).items()
            counts.update(f"{key}={value}" for key, value in itertools.islice(carried, 32))
    frequent = sorted(sorted(counts), key=lambda label: -counts[label])
    selected = (f"{r.key}={value}" for r in selector.requirements for value in sorted(r.values))
    suggestions = Suggestions(frequent)
    near: dict[str, None] = {}
    for label in itertools.islice(selected, MAX_LOOKUPS):
        similar = yield from suggestions.nearest_in_steps(label, cutoff=0.7)
        if similar:
            near[similar] = None
    return ", ".join([*(near | dict.fromkeys(frequent))][:3])
