"""PURE. Tools, prompts and resources that no server selects: most often a label or a namespace is misspelt."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from crd.facts import MemberFact, ServerFact
from crd.finding import Finding, Reason
from crd.ref import Kind
from crd.selector import Operator
from crd.snapshot import MEMBER_KINDS
from crd.suggestions import Suggestions

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from crd.manifest import Object
    from crd.ref import Ref
    from crd.selector import Requirement
    from crd.snapshot import Snapshot

__all__ = ["MOST", "unselected"]

MOST = 20
"""So many objects are named."""
# Servers that are compared with an object, and labels and values that a message names.
_SERVERS, _NAMED = 100, 3
_EXCLUDING = (Operator.NOT_IN, Operator.DOES_NOT_EXIST)
_FIELDS = {Kind.PROMPT: ("prompt_selector", "promptSelector"), Kind.RESOURCE: ("resource_selector", "resourceSelector")}


def unselected(snapshot: Snapshot, objects: Collection[Object]) -> Iterator[Finding]:
    """The objects that no server of their namespace selects, with the selector that is the nearest.

    Nothing is said without a server, of a tool that is switched off, of an object that a selector excludes by its
    labels, and where the selector selects nothing at all, which is a finding of its own.
    """
    servers = [item.fact for item in objects if isinstance(item.fact, ServerFact)]
    unread = {item.ref.namespace for item in objects if item.ref.kind is Kind.SERVER and item.fact is None}
    here: dict[str, list[ServerFact]] = {}
    found: list[tuple[Ref, _Difference]] = []
    left = 0
    for item in sorted(objects, key=lambda each: each.ref) if snapshot.knows(Kind.SERVER) else ():
        fact = item.fact
        is_off = getattr(item.spec, "enabled", True) is False
        if not isinstance(fact, MemberFact) or is_off or item.ref.namespace in unread:
            continue
        if snapshot.selecting(item.ref.kind, item.ref.namespace, fact.labels):
            continue
        namespace = item.ref.namespace
        if namespace not in here:
            here[namespace] = _servers_of(snapshot, namespace)
        if here[namespace]:
            difference = _find_difference(snapshot, fact, here[namespace], in_words=len(found) < MOST)
        else:
            difference = _find_elsewhere(fact, servers)
        if difference is not None and len(found) < MOST:
            found.append((item.ref, difference))
        elif difference is not None:
            left += 1
    for index, (ref, (path, message, server)) in enumerate(found):
        more = f"; no MCPServer selects {left} further objects" if left and index == MOST - 1 else ""
        text = f"no MCPServer selects it: {message}{more}"
        yield Finding.of(Reason.NOT_SELECTED, ref, text, subject=("labels",), path=path, related=(server,))


# Path, message and the server with the nearest selector.
_Difference = tuple[tuple[str | int, ...], str, "Ref"]


def _servers_of(snapshot: Snapshot, namespace: str) -> list[ServerFact]:
    refs = islice(sorted(snapshot.refs(Kind.SERVER, namespace)), _SERVERS)
    return [server for server in map(snapshot.server, refs) if server is not None]


def _find_difference(
    snapshot: Snapshot, member: MemberFact, servers: list[ServerFact], *, in_words: bool
) -> _Difference | None:
    """Why no server of the namespace selects an object; the message takes time, and is empty unless ``in_words``."""
    kind, labels = member.ref.kind, member.labels
    lacking: list[tuple[tuple[int, int], ServerFact, Requirement]] = []
    for server in servers:
        requirements = server.selector_of(kind).requirements
        unmet = [each for each in requirements if not each.holds(labels)]
        if unmet and all(each.operator in _EXCLUDING for each in unmet):
            return None  # a label that says so
        if unmet:
            # The fewest conditions that do not hold, and then the most that do.
            lacking.append(((len(unmet), len(unmet) - len(requirements)), server, unmet[0]))
    best = min((distance for distance, _, _ in lacking), default=None)
    nearest = [(server, wanted) for distance, server, wanted in lacking if distance == best]
    if not nearest:
        return None
    if not in_words:
        server = nearest[0][0]
        return ((), "", server.ref) if _selects_something(snapshot, server, kind) else None
    server, wanted, label = _choose(nearest, labels)
    if not _selects_something(snapshot, server, kind):
        return None
    member_name, field = _FIELDS.get(kind, ("", ""))
    field = field if field and getattr(server, member_name) is not None else "toolSelector"
    path: tuple[str | int, ...] = ("metadata", "labels", label) if label else ("metadata",)
    has = f"its label {label}={labels[label]} is not" if label else "it has no label"
    return path, f"{has} {_text(wanted)}, which {field} of {server.ref} demands; correct one of the two", server.ref


def _choose(
    nearest: list[tuple[ServerFact, Requirement]], labels: Mapping[str, str]
) -> tuple[ServerFact, Requirement, str]:
    """The selector that is the most similar to the labels, its condition, and the label that differs, if there is one.

    A label whose value is another one, and else a label whose text is similar.
    """
    wanted: dict[str, tuple[ServerFact, Requirement]] = {}
    for server, each in nearest:
        for value in sorted(each.values) or [""]:
            wanted.setdefault(f"{each.key}={value}", (server, each))
    suggestions = Suggestions(wanted)
    for key, value in labels.items():
        similar = suggestions.nearest(f"{key}={value}", 0.7)
        if similar is not None and (key == wanted[similar][1].key or wanted[similar][1].key not in labels):
            return *wanted[similar], key
    server, each = next(((s, each) for s, each in nearest if each.key in labels), nearest[0])
    return server, each, each.key if each.key in labels else ""


def _find_elsewhere(member: MemberFact, servers: list[ServerFact]) -> _Difference | None:
    """A server in another namespace that has the labels of the object in its selector."""
    for server in sorted(servers, key=lambda each: each.ref)[:_SERVERS]:
        selector = server.selector_of(member.ref.kind)
        if selector.anchors and selector.matches(member.labels):
            message = (
                f"namespace {member.ref.namespace} has none, and {server.ref}, whose selector has its labels, selects "
                "in its own namespace only; correct one of the two"
            )
            return ("metadata", "namespace"), message, server.ref
    return None


def _selects_something(snapshot: Snapshot, server: ServerFact, kind: Kind) -> bool:
    selector, view = server.selector_of(kind), snapshot.view(server.ref)
    return any(view.count(each) for each in MEMBER_KINDS if server.selector_of(each) is selector)


def _text(wanted: Requirement) -> str:
    if not wanted.values:
        return wanted.key
    values = sorted(wanted.values)
    more = f" or {len(values) - _NAMED} more values" if len(values) > _NAMED else ""
    return f"{' or '.join(f'{wanted.key}={value}' for value in values[:_NAMED])}{more}"
