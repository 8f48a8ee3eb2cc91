"""PURE. An immutable, indexed snapshot of the objects a verdict depends on.

`put` and `drop` return a new snapshot that shares structure with the old one. A change updates only the servers whose
selector matches the old or new labels of the object, and the claims of that object; its cost does not depend on the
number of other objects. `crd.integrity` and the rules read it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from rpds import HashTrieMap, HashTrieSet

from crd.facts import Claim, Fact, GrantFact, MemberFact, ServerFact, ServiceFact
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from crd.selector import Selector
    from crd.ways_in import Key, WaysIn

__all__ = ["ServerView", "Snapshot"]

Refs: TypeAlias = "HashTrieSet[Ref]"
_NONE: Refs = HashTrieSet()
K = TypeVar("K")
Anchor: TypeAlias = "tuple[Kind, str, str | None, str | None]"

# So many members are indexed together at most.
LATE = 256
# So many answers about servers are remembered, those about labels if there are so many at most.
CHOSEN, CHOSEN_LABELS = 1024, 16
MEMBER_KINDS = (Kind.TOOL, Kind.PROMPT, Kind.RESOURCE)


@dataclass(frozen=True, slots=True)
class ServerView:
    """The members that a server selects, the claimants of each claim, and the total weight (`MemberFact.weight`).

    ``tokens`` are those of the ``listed`` tools together, without the prefix of the server.
    """

    ref: Ref
    members: Refs = _NONE
    claimants: HashTrieMap[Claim, tuple[Ref, ...]] = HashTrieMap()  # noqa: RUF009 -- persistent: never changed in place
    weight: int = 0
    counts: tuple[int, int, int] = (0, 0, 0)
    tokens: int = 0
    listed: int = 0

    @classmethod
    def of(cls, ref: Ref, members: Iterable[MemberFact]) -> ServerView:
        """The view of a server that selects these members, which have distinct references."""
        refs: Refs = _NONE
        claimants: dict[Claim, list[Ref]] = {}
        weight, counts = 0, dict.fromkeys(MEMBER_KINDS, 0)
        tokens = listed = 0
        for member in members:
            refs = refs.insert(member.ref)
            for claim in member.claims:
                claimants.setdefault(claim, []).append(member.ref)
            weight += member.weight
            counts[member.ref.kind] += 1
            tokens += member.tokens
            listed += member.tokens > 0
        tools, prompts, resources = counts.values()
        claims: HashTrieMap[Claim, tuple[Ref, ...]] = HashTrieMap(
            (claim, tuple(sorted(refs))) for claim, refs in claimants.items()
        )
        return cls(ref, refs, claims, weight, (tools, prompts, resources), tokens, listed)

    def count(self, kind: Kind) -> int:
        """The number of members of a kind."""
        return self.counts[MEMBER_KINDS.index(kind)]

    def with_members(self, facts: Iterable[MemberFact]) -> ServerView:
        """The view with additional members, whose references are distinct and not in it."""
        view = self
        for fact in facts:
            view = view.with_member(fact)
        return view

    def with_member(self, fact: MemberFact) -> ServerView:
        """The view with an additional member."""
        claimants = self.claimants
        for claim in fact.claims:
            refs = claimants.get(claim)
            if refs:
                at = bisect_left(refs, fact.ref)
                claimants = claimants.insert(claim, (*refs[:at], fact.ref, *refs[at:]))
            else:
                claimants = claimants.insert(claim, (fact.ref,))
        return self._count(self.members.insert(fact.ref), claimants, fact, 1)

    def without_member(self, fact: MemberFact) -> ServerView:
        """The view without a member."""
        claimants = self.claimants
        for claim in fact.claims:
            refs = claimants.get(claim, ())
            at = bisect_left(refs, fact.ref)
            rest = (*refs[:at], *refs[at + 1 :]) if refs[at : at + 1] == (fact.ref,) else refs
            claimants = claimants.insert(claim, rest) if rest else claimants.discard(claim)
        return self._count(self.members.discard(fact.ref), claimants, fact, -1)

    def with_changed_member(self, known: MemberFact, fact: MemberFact) -> ServerView:
        """The view with a new state of a member."""
        if known.claims != fact.claims:
            return self.without_member(known).with_member(fact)
        return replace(
            self,
            weight=self.weight + fact.weight - known.weight,
            tokens=self.tokens + fact.tokens - known.tokens,
            listed=self.listed + (fact.tokens > 0) - (known.tokens > 0),
        )

    def _count(
        self, members: Refs, claimants: HashTrieMap[Claim, tuple[Ref, ...]], fact: MemberFact, step: int
    ) -> ServerView:
        tools, prompts, resources = self.counts
        kind = fact.ref.kind
        counts = (
            tools + step * (kind is Kind.TOOL),
            prompts + step * (kind is Kind.PROMPT),
            resources + step * (kind is Kind.RESOURCE),
        )
        return ServerView(
            self.ref,
            members,
            claimants,
            self.weight + step * fact.weight,
            counts,
            self.tokens + step * fact.tokens,
            self.listed + step * (fact.tokens > 0),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Facts by reference, members by namespace and label, servers by selector, and a view of each server.

    Members that `put_new` put last are in ``_late``, a chain of pairs, and not in ``_labelled`` and ``_namespaced``.
    Few questions need these two indexes, and many members at once are indexed in less time.
    """

    _facts: HashTrieMap[Ref, Fact] = HashTrieMap()  # noqa: RUF009 -- persistent: never changed in place
    _labelled: HashTrieMap[tuple[str, str, str], Refs] = HashTrieMap()  # noqa: RUF009 -- as above
    _namespaced: HashTrieMap[tuple[Kind, str], Refs] = HashTrieMap()  # noqa: RUF009 -- as above
    _anchored: HashTrieMap[Anchor, Refs] = HashTrieMap()  # noqa: RUF009 -- as above
    _by_way_in: HashTrieMap[Key, Refs] = HashTrieMap()  # noqa: RUF009 -- as above
    _unknown: frozenset[Kind] = frozenset()
    _views: HashTrieMap[Ref, ServerView] = HashTrieMap()  # noqa: RUF009 -- as above
    _late: Any = None
    _late_count: int = 0
    _of_servers: dict[tuple[Any, ...], tuple[Any, ...]] = field(default_factory=dict, compare=False)
    """What `selecting` and `servers` answered. Snapshots with the same servers share it."""

    def __eq__(self, other: object) -> bool:
        """Whether both have the same facts."""
        if not isinstance(other, Snapshot):
            return NotImplemented
        return all(
            getattr(self._indexed(), each.name) == getattr(other._indexed(), each.name)
            for each in fields(self)
            if each.compare
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> Snapshot:
        """A snapshot of these facts; of several with the same reference, the last is kept."""
        return cls().put_all(facts)

    def get(self, ref: Ref) -> Fact | None:
        """The fact of this reference, or None."""
        return self._facts.get(ref)

    def member(self, ref: Ref) -> MemberFact | None:
        """The tool, prompt or resource of this reference, or None."""
        fact = self._facts.get(ref)
        return fact if isinstance(fact, MemberFact) else None

    def server(self, ref: Ref) -> ServerFact | None:
        """The server of this reference, or None."""
        fact = self._facts.get(ref)
        return fact if isinstance(fact, ServerFact) else None

    def service(self, ref: Ref) -> ServiceFact | None:
        """The Service of this reference, or None."""
        fact = self._facts.get(ref)
        return fact if isinstance(fact, ServiceFact) else None

    def knows(self, kind: Kind) -> bool:
        """Whether objects of this kind that are not in the snapshot do not exist. Some kinds may not be listed."""
        return kind not in self._unknown

    def mark_unknown(self, *kinds: Kind) -> Snapshot:
        """The snapshot with these kinds marked as unknown, so that missing objects of them are not reported."""
        return replace(self, _unknown=frozenset(kinds))

    def granted(self, source: Ref, service: Ref) -> bool:
        """Whether an object may call a Service: in its own namespace, or allowed by a ReferenceGrant there."""
        if source.namespace == service.namespace:
            return True
        grants = (self._facts.get(ref) for ref in self._namespaced.get((Kind.GRANT, service.namespace), _NONE))
        return any(isinstance(g, GrantFact) and g.allows(source.kind, source.namespace, service.name) for g in grants)

    def servers_met(self, ways_in: WaysIn) -> set[Ref]:
        """The servers whose Ingress may receive requests for this one, or the other way round."""
        return {ref for key in ways_in.met for ref in self._by_way_in.get(key, _NONE)}

    def view(self, server: Ref) -> ServerView:
        """The view of a server; empty if the server does not exist."""
        return self._views.get(server) or ServerView(server)

    def refs(self, kind: Kind, namespace: str) -> Iterator[Ref]:
        """The references of one kind in one namespace, in no particular order."""
        indexed = self._indexed() if kind in MEMBER_KINDS else self
        return iter(indexed._namespaced.get((kind, namespace), _NONE))

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts.values())

    def __len__(self) -> int:
        return len(self._facts)

    def put(self, fact: Fact) -> Snapshot:
        """The snapshot with this fact, which replaces any other with the same reference."""
        known = self._facts.get(fact.ref)
        if known == fact:
            return self
        if isinstance(known, MemberFact) and isinstance(fact, MemberFact) and known.labels == fact.labels:
            return self._change_member(known, fact)
        if isinstance(known, ServerFact) and isinstance(fact, ServerFact) and _alike(known, fact):
            return self._with(facts=self._facts.insert(fact.ref, fact), has_other_servers=True)
        snapshot = self if known is None else self.drop(fact.ref)
        if isinstance(fact, MemberFact):
            names = snapshot.selecting(fact.ref.kind, fact.ref.namespace, fact.labels)
            return snapshot.put_new(fact, {name: snapshot.view(name).with_member(fact) for name in names})
        snapshot = snapshot._indexed()
        snapshot = snapshot._with(
            facts=snapshot._facts.insert(fact.ref, fact),
            namespaced=_add(snapshot._namespaced, (fact.ref.kind, fact.ref.namespace), fact.ref),
        )
        return snapshot._add_server(fact) if isinstance(fact, ServerFact) else snapshot

    def put_all(self, facts: Iterable[Fact]) -> Snapshot:
        """The same as `put` of one fact after the other, in less time for many that are new."""
        snapshot = self._indexed()
        new: dict[Ref, Fact] = {}
        for fact in facts:
            if isinstance(fact, ServerFact) or fact.ref in snapshot._facts:
                snapshot = snapshot.put(fact)
            else:
                new[fact.ref] = fact
        return snapshot._indexed()._add_all(new) if new else snapshot

    def drop(self, ref: Ref) -> Snapshot:
        """The snapshot without this reference; unchanged if it does not contain the reference."""
        fact = self._facts.get(ref)
        if fact is None:
            return self
        indexed = self._indexed()
        snapshot = indexed._with(
            facts=indexed._facts.discard(ref),
            namespaced=_remove(indexed._namespaced, (ref.kind, ref.namespace), ref),
        )
        match fact:
            case MemberFact():
                return snapshot._remove_member(fact)
            case ServerFact():
                anchored = snapshot._anchored
                for anchor in _anchors(fact):
                    anchored = _remove(anchored, anchor, ref)
                by_way_in = snapshot._by_way_in
                for key in fact.ways_in.held if fact.ways_in else ():
                    by_way_in = _remove(by_way_in, key, ref)
                views = snapshot._views.discard(ref)
                return snapshot._with(anchored=anchored, by_way_in=by_way_in, views=views, has_other_servers=True)
            case _:
                return snapshot

    def selecting(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> tuple[Ref, ...]:
        """The servers of a namespace that select members of a kind with these labels, in no particular order."""
        key = (kind, namespace, *labels.items())
        found = self._of_servers.get(key)
        if found is None:
            found = tuple(self._select(kind, namespace, labels))
            if len(labels) <= CHOSEN_LABELS:
                self._remember(key, found)
        return found

    def servers(self, namespace: str) -> tuple[ServerFact, ...]:
        """The servers of a namespace, in no particular order."""
        found = self._of_servers.get((namespace,))
        if found is None:
            servers = map(self.server, self.refs(Kind.SERVER, namespace))
            found = tuple(server for server in servers if server is not None)
            self._remember((namespace,), found)
        return found

    def _remember(self, key: tuple[Any, ...], found: tuple[Any, ...]) -> None:
        if len(self._of_servers) >= CHOSEN:
            self._of_servers.clear()
        self._of_servers[key] = found

    def _select(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Iterator[Ref]:
        anchored = self._anchored
        anchors: list[Anchor] = [(kind, namespace, None, None)]
        for label, value in labels.items():
            anchors += ((kind, namespace, label, value), (kind, namespace, label, None))
        for anchor in anchors:
            for ref in anchored.get(anchor, ()):
                server = self.server(ref)
                if server is not None and server.selector_of(kind).matches(labels):
                    yield ref

    def selected(self, kind: Kind, namespace: str, selector: Selector) -> Iterator[MemberFact]:
        """The members of a kind in a namespace that a selector matches, in no particular order."""
        for ref in self._candidates(kind, namespace, selector):
            member = self.member(ref)
            if member is not None and selector.matches(member.labels):
                yield member

    def _candidates(self, kind: Kind, namespace: str, selector: Selector) -> Iterator[Ref]:
        self = self._indexed()
        exact = [(key, value) for key, value in selector.anchors if value is not None]
        if exact:
            for key, value in exact:
                yield from (ref for ref in self._labelled.get((namespace, key, value), _NONE) if ref.kind is kind)
        else:
            yield from self._namespaced.get((kind, namespace), _NONE)

    def put_new(self, fact: MemberFact, views: Mapping[Ref, ServerView]) -> Snapshot:
        """The snapshot with a member that it does not have. ``views`` are those of its servers, with the member."""
        known = self._views
        for server, view in views.items():
            known = known.insert(server, view)
        put = Snapshot(
            self._facts.insert(fact.ref, fact),
            self._labelled,
            self._namespaced,
            self._anchored,
            self._by_way_in,
            self._unknown,
            known,
            (fact, self._late),
            self._late_count + 1,
            self._of_servers,
        )
        return put if put._late_count < LATE else put._indexed()

    def _indexed(self) -> Snapshot:
        """The same snapshot, in whose indexes every member is."""
        late = self._late
        if late is None:
            return self
        namespaced: defaultdict[tuple[Kind, str], list[Ref]] = defaultdict(list)
        labelled: defaultdict[tuple[str, str, str], list[Ref]] = defaultdict(list)
        while late is not None:
            fact, late = late
            ref = fact.ref
            namespaced[ref.kind, ref.namespace].append(ref)
            for key, value in fact.labels.items():
                labelled[ref.namespace, key, value].append(ref)
        # What the snapshot answers stays the same, so nobody notices that it changes.
        object.__setattr__(self, "_labelled", _add_lists(self._labelled, labelled))
        object.__setattr__(self, "_namespaced", _add_lists(self._namespaced, namespaced))
        object.__setattr__(self, "_late", None)
        object.__setattr__(self, "_late_count", 0)
        return self

    def _add_all(self, new: dict[Ref, Fact]) -> Snapshot:
        """Add facts that have no reference in the snapshot, and are not of servers: each index entry once."""
        namespaced: defaultdict[tuple[Kind, str], list[Ref]] = defaultdict(list)
        labelled: defaultdict[tuple[str, str, str], list[Ref]] = defaultdict(list)
        alike: defaultdict[tuple[Kind, str, tuple[tuple[str, str], ...]], list[MemberFact]] = defaultdict(list)
        for ref, fact in new.items():
            kind, namespace, _ = ref
            namespaced[kind, namespace].append(ref)
            if isinstance(fact, MemberFact):
                labels = tuple(fact.labels.items())
                alike[kind, namespace, labels].append(fact)
                for key, value in labels:
                    labelled[namespace, key, value].append(ref)
        views = self._views
        for (kind, namespace, labels), members in alike.items():
            for server in self.selecting(kind, namespace, dict(labels)):
                views = views.insert(server, (views.get(server) or ServerView(server)).with_members(members))
        return self._with(
            facts=self._facts.update(new),
            labelled=_add_lists(self._labelled, labelled),
            namespaced=_add_lists(self._namespaced, namespaced),
            views=views,
        )

    def _change_member(self, known: MemberFact, fact: MemberFact) -> Snapshot:
        """Replace a member whose labels did not change, as in most updates: only the views of its servers change."""
        views = self._views
        if (known.claims, known.weight, known.tokens) != (fact.claims, fact.weight, fact.tokens):
            for server in self.selecting(fact.ref.kind, fact.ref.namespace, fact.labels):
                views = views.insert(server, self.view(server).with_changed_member(known, fact))
        return self._with(facts=self._facts.insert(fact.ref, fact), views=views)

    def _remove_member(self, fact: MemberFact) -> Snapshot:
        labelled, views = self._labelled, self._views
        for key, value in fact.labels.items():
            labelled = _remove(labelled, (fact.ref.namespace, key, value), fact.ref)
        for server in self.selecting(fact.ref.kind, fact.ref.namespace, fact.labels):
            views = views.insert(server, self.view(server).without_member(fact))
        return self._with(labelled=labelled, views=views)

    def _add_server(self, fact: ServerFact) -> Snapshot:
        anchored = self._anchored
        for anchor in _anchors(fact):
            anchored = _add(anchored, anchor, fact.ref)
        found = [self.selected(kind, fact.ref.namespace, fact.selector_of(kind)) for kind in MEMBER_KINDS]
        view = ServerView.of(fact.ref, [member for members in found for member in members])
        by_way_in = self._by_way_in
        for key in fact.ways_in.held if fact.ways_in else ():
            by_way_in = _add(by_way_in, key, fact.ref)
        views = self._views.insert(fact.ref, view)
        return self._with(anchored=anchored, by_way_in=by_way_in, views=views, has_other_servers=True)

    def _with(
        self,
        *,
        facts: HashTrieMap[Ref, Fact] | None = None,
        labelled: HashTrieMap[tuple[str, str, str], Refs] | None = None,
        namespaced: HashTrieMap[tuple[Kind, str], Refs] | None = None,
        anchored: HashTrieMap[Anchor, Refs] | None = None,
        by_way_in: HashTrieMap[Key, Refs] | None = None,
        views: HashTrieMap[Ref, ServerView] | None = None,
        has_other_servers: bool = False,
    ) -> Snapshot:
        return Snapshot(
            self._facts if facts is None else facts,
            self._labelled if labelled is None else labelled,
            self._namespaced if namespaced is None else namespaced,
            self._anchored if anchored is None else anchored,
            self._by_way_in if by_way_in is None else by_way_in,
            self._unknown,
            self._views if views is None else views,
            self._late,
            self._late_count,
            {} if has_other_servers else self._of_servers,
        )


def _alike(one: ServerFact, other: ServerFact) -> bool:
    """Whether two states of a server select the same members and have the same index keys."""
    return one.ways_in == other.ways_in and all(
        one.selector_of(kind) == other.selector_of(kind) for kind in MEMBER_KINDS
    )


def _anchors(fact: ServerFact) -> Iterator[Anchor]:
    # Most servers have one selector for all kinds.
    known = {id(each): each.anchors or ((None, None),) for each in map(fact.selector_of, MEMBER_KINDS)}
    for kind in MEMBER_KINDS:
        for key, value in known[id(fact.selector_of(kind))]:
            yield kind, fact.ref.namespace, key, value


def _add(index: HashTrieMap[K, Refs], key: K, ref: Ref) -> HashTrieMap[K, Refs]:
    return index.insert(key, index.get(key, _NONE).insert(ref))


def _add_lists(index: HashTrieMap[K, Refs], lists: Mapping[K, list[Ref]]) -> HashTrieMap[K, Refs]:
    return index.update({key: index.get(key, _NONE).update(refs) for key, refs in lists.items()})


def _remove(index: HashTrieMap[K, Refs], key: K, ref: Ref) -> HashTrieMap[K, Refs]:
    rest = index.get(key, _NONE).discard(ref)
    return index.insert(key, rest) if rest else index.discard(key)
