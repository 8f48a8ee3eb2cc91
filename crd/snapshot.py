"""PURE. An immutable, indexed snapshot of the objects a verdict depends on.

`put` and `drop` return a new snapshot that shares structure with the old one. A change updates only the servers whose
selector matches the old or new labels of the object, and the claims of that object; its cost does not depend on the
number of other objects. `crd.integrity` and the rules read it.

What a server selects may be thousands of members, and what selects a member thousands of servers. So what visits them
is there in steps too (`crd.steps`), with a pause after each of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from rpds import HashTrieMap, HashTrieSet

from crd.facts import Claim, Fact, GrantFact, MemberFact, ServerFact, ServiceFact
from crd.ref import Kind, Ref
from crd.steps import finish, skip_pauses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from crd.selector import Selector
    from crd.steps import Steps
    from crd.ways_in import Key, WaysIn

__all__ = ["ServerView", "Snapshot"]

Refs: TypeAlias = "HashTrieSet[Ref]"
_NONE: Refs = HashTrieSet()
K = TypeVar("K")
V = TypeVar("V")
Anchor: TypeAlias = "tuple[Kind, str, str | None, str | None]"

# So many members are indexed together at most.
LATE = 256
# So many answers about servers are remembered, those about labels if there are so many at most.
CHOSEN, CHOSEN_LABELS = 1024, 16
# So many entries of an index are made in one step.
CHUNK = 512
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

    def count(self, kind: Kind) -> int:
        """The number of members of a kind."""
        return self.counts[MEMBER_KINDS.index(kind)]

    def with_members(self, facts: Iterable[MemberFact]) -> Steps[ServerView]:
        """The view with additional members, whose references are distinct and not in it. Each index entry is made once.

        Takes a step for each.
        """
        refs: list[Ref] = []
        added: dict[Claim, list[Ref]] = {}
        weight, counts = self.weight, dict(zip(MEMBER_KINDS, self.counts, strict=True))
        tokens, listed = self.tokens, self.listed
        for fact in facts:
            yield
            refs.append(fact.ref)
            for claim in fact.claims:
                added.setdefault(claim, []).append(fact.ref)
            weight += fact.weight
            counts[fact.ref.kind] += 1
            tokens += fact.tokens
            listed += fact.tokens > 0
        claimants: dict[Claim, tuple[Ref, ...]] = {}
        for claim, more in added.items():
            yield
            known = self.claimants.get(claim, ())
            claimants[claim] = tuple(sorted((*known, *more))) if known or len(more) > 1 else (more[0],)
        tools, prompts, resources = counts.values()
        members = self.members
        for at in range(0, len(refs), CHUNK):
            yield
            members = members.update(refs[at : at + CHUNK])
        claims = yield from _update(self.claimants, claimants)
        return ServerView(self.ref, members, claims, weight, (tools, prompts, resources), tokens, listed)

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
        return finish(self.put_in_steps(fact))

    def put_in_steps(self, fact: Fact) -> Steps[Snapshot]:
        """The same as `put`, in steps."""
        known = self._facts.get(fact.ref)
        if known == fact:
            return self
        if isinstance(known, MemberFact) and isinstance(fact, MemberFact) and known.labels == fact.labels:
            return (yield from self._change_member(known, fact))
        if isinstance(known, ServerFact) and isinstance(fact, ServerFact) and _alike(known, fact):
            return self._with(facts=self._facts.insert(fact.ref, fact), has_other_servers=True)
        snapshot = self if known is None else (yield from self.drop_in_steps(fact.ref))
        if isinstance(fact, MemberFact):
            views = {}
            for name in (yield from snapshot.selecting_in_steps(fact.ref.kind, fact.ref.namespace, fact.labels)):
                yield
                views[name] = snapshot.view(name).with_member(fact)
            return snapshot._with(views=(yield from _update(snapshot._views, views))).put_new(fact, {})
        snapshot = snapshot._indexed()
        snapshot = snapshot._with(
            facts=snapshot._facts.insert(fact.ref, fact),
            namespaced=_add(snapshot._namespaced, (fact.ref.kind, fact.ref.namespace), fact.ref),
        )
        return (yield from snapshot._add_server(fact)) if isinstance(fact, ServerFact) else snapshot

    def put_all(self, facts: Iterable[Fact]) -> Snapshot:
        """The same as `put` of one fact after the other, in less time for many that are new."""
        return finish(self.put_all_in_steps(facts))

    def put_all_in_steps(self, facts: Iterable[Fact]) -> Steps[Snapshot]:
        """The same as `put_all`, in steps."""
        snapshot = self._indexed()
        new: dict[Ref, Fact] = {}
        for fact in facts:
            yield
            if isinstance(fact, ServerFact) or fact.ref in snapshot._facts:
                snapshot = yield from snapshot.put_in_steps(fact)
            else:
                new[fact.ref] = fact
        return (yield from snapshot._indexed()._add_all(new)) if new else snapshot

    def extent(self, ref: Ref, fact: Fact | None) -> int:
        """How many servers or members `put` of this fact looks at, or `drop` if it is None."""
        known = self._facts.get(ref)
        if known == fact:
            return 0
        if isinstance(fact, ServerFact):
            return 0 if isinstance(known, ServerFact) and _alike(known, fact) else self._count_members(fact)
        members = [each for each in (known, fact) if isinstance(each, MemberFact)]
        if len(members) == 2 and members[0].labels == members[1].labels:
            old, new = members
            is_seen = (old.claims, old.weight, old.tokens) != (new.claims, new.weight, new.tokens)
            return self._count_servers(new) if is_seen else 0
        return sum(map(self._count_servers, members))

    def _count_servers(self, fact: MemberFact) -> int:
        """How many servers are looked at to find those that select a member."""
        anchors = _anchors_of(fact.ref.kind, fact.ref.namespace, fact.labels)
        return sum(len(self._anchored.get(anchor, _NONE)) for anchor in anchors)

    def _count_members(self, fact: ServerFact) -> int:
        """How many members are looked at to find those that a server selects."""
        indexed, namespace = self._indexed(), fact.ref.namespace
        count = 0
        for kinds in _kinds_by_selector(fact):
            exact = _exact_anchors(fact.selector_of(kinds[0]))
            count += sum(len(indexed._labelled.get((namespace, key, value), _NONE)) for key, value in exact)
            count += sum(len(indexed._namespaced.get((kind, namespace), _NONE)) for kind in kinds if not exact)
        return count

    def drop(self, ref: Ref) -> Snapshot:
        """The snapshot without this reference; unchanged if it does not contain the reference."""
        return finish(self.drop_in_steps(ref))

    def drop_in_steps(self, ref: Ref) -> Steps[Snapshot]:
        """The same as `drop`, in steps."""
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
                return (yield from snapshot._remove_member(fact))
            case ServerFact():
                anchored = snapshot._anchored
                for anchor in _anchors(fact):
                    yield
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
        found = self._of_servers.get((kind, namespace, *labels.items()))
        return finish(self.selecting_in_steps(kind, namespace, labels)) if found is None else found

    def selecting_in_steps(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Steps[tuple[Ref, ...]]:
        """The same as `selecting`, in steps."""
        key = (kind, namespace, *labels.items())
        found = self._of_servers.get(key)
        if found is None:
            refs = []
            for ref in self._select(kind, namespace, labels):
                if ref is None:
                    yield
                else:
                    refs.append(ref)
            found = tuple(refs)
            if len(labels) <= CHOSEN_LABELS:
                self._remember(key, found)
        return found

    def strict_servers(self, namespace: str) -> tuple[ServerFact, ...]:
        """The servers of a namespace that are Strict, in no particular order."""
        found = self._of_servers.get((namespace,))
        return finish(self.strict_servers_in_steps(namespace)) if found is None else found

    def strict_servers_in_steps(self, namespace: str) -> Steps[tuple[ServerFact, ...]]:
        """The same as `strict_servers`, in steps."""
        found = self._of_servers.get((namespace,))
        if found is None:
            servers = []
            for ref in self.refs(Kind.SERVER, namespace):
                yield
                server = self.server(ref)
                if server is not None and server.strict:
                    servers.append(server)
            found = tuple(servers)
            self._remember((namespace,), found)
        return found

    def _remember(self, key: tuple[Any, ...], found: tuple[Any, ...]) -> None:
        if len(self._of_servers) >= CHOSEN:
            self._of_servers.clear()
        self._of_servers[key] = found

    def _select(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Iterator[Ref | None]:
        anchored = self._anchored
        for anchor in _anchors_of(kind, namespace, labels):
            for ref in anchored.get(anchor, ()):
                yield None
                server = self.server(ref)
                if server is not None and server.selector_of(kind).matches(labels):
                    yield ref

    def selected(self, kind: Kind, namespace: str, selector: Selector) -> Iterator[MemberFact]:
        """The members of a kind in a namespace that a selector matches, in no particular order."""
        return skip_pauses(self.selected_in_steps((kind,), namespace, selector))

    def selected_in_steps(
        self, kinds: Sequence[Kind], namespace: str, selector: Selector
    ) -> Iterator[MemberFact | None]:
        """The same as `selected` for several kinds, with pauses."""
        is_exact = selector.is_exact
        for ref in self._candidates(kinds, namespace, selector):
            yield None
            member = self.member(ref) if ref.kind in kinds else None
            if member is not None and (is_exact or selector.matches(member.labels)):
                yield member

    def _candidates(self, kinds: Sequence[Kind], namespace: str, selector: Selector) -> Iterator[Ref]:
        """Among objects of other kinds, those that a selector can match."""
        self = self._indexed()
        exact = _exact_anchors(selector)
        for key, value in exact:
            yield from self._labelled.get((namespace, key, value), _NONE)
        for kind in kinds if not exact else ():
            yield from self._namespaced.get((kind, namespace), _NONE)

    def put_new(self, fact: MemberFact, views: Mapping[Ref, ServerView]) -> Snapshot:
        """The snapshot with a member that it does not have. ``views`` are those of its servers, with the member."""
        put = Snapshot(
            self._facts.insert(fact.ref, fact),
            self._labelled,
            self._namespaced,
            self._anchored,
            self._by_way_in,
            self._unknown,
            self._views.update(views) if views else self._views,
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

    def _add_all(self, new: dict[Ref, Fact]) -> Steps[Snapshot]:
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
            for server in (yield from self.selecting_in_steps(kind, namespace, dict(labels))):
                view = yield from (views.get(server) or ServerView(server)).with_members(members)
                views = views.insert(server, view)
        return self._with(
            facts=(yield from _update(self._facts, new)),
            labelled=_add_lists(self._labelled, labelled),
            namespaced=_add_lists(self._namespaced, namespaced),
            views=views,
        )

    def _change_member(self, known: MemberFact, fact: MemberFact) -> Steps[Snapshot]:
        """Replace a member whose labels did not change, as in most updates: only the views of its servers change."""
        views = {}
        if (known.claims, known.weight, known.tokens) != (fact.claims, fact.weight, fact.tokens):
            for server in (yield from self.selecting_in_steps(fact.ref.kind, fact.ref.namespace, fact.labels)):
                yield
                views[server] = self.view(server).with_changed_member(known, fact)
        views_after = yield from _update(self._views, views)
        return self._with(facts=self._facts.insert(fact.ref, fact), views=views_after)

    def _remove_member(self, fact: MemberFact) -> Steps[Snapshot]:
        labelled, views = self._labelled, {}
        for key, value in fact.labels.items():
            labelled = _remove(labelled, (fact.ref.namespace, key, value), fact.ref)
        for server in (yield from self.selecting_in_steps(fact.ref.kind, fact.ref.namespace, fact.labels)):
            yield
            views[server] = self.view(server).without_member(fact)
        return self._with(labelled=labelled, views=(yield from _update(self._views, views)))

    def _add_server(self, fact: ServerFact) -> Steps[Snapshot]:
        anchored = self._anchored
        for anchor in _anchors(fact):
            yield
            anchored = _add(anchored, anchor, fact.ref)
        members = []
        for kinds in _kinds_by_selector(fact):
            for member in self.selected_in_steps(kinds, fact.ref.namespace, fact.selector_of(kinds[0])):
                if member is None:
                    yield
                else:
                    members.append(member)
        view = yield from ServerView(fact.ref).with_members(members)
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


def _anchors_of(kind: Kind, namespace: str, labels: Mapping[str, str]) -> list[Anchor]:
    """Under these are the servers that may select members with these labels."""
    anchors: list[Anchor] = [(kind, namespace, None, None)]
    for label, value in labels.items():
        anchors += ((kind, namespace, label, value), (kind, namespace, label, None))
    return anchors


def _exact_anchors(selector: Selector) -> list[tuple[str, str]]:
    """Labels of which every matching object has one; empty if no such labels are known with their values."""
    return [(key, value) for key, value in selector.anchors if value is not None]


def _kinds_by_selector(fact: ServerFact) -> Iterable[Sequence[Kind]]:
    """The kinds of members, together where one selector applies. Most servers have one for all kinds."""
    kinds: defaultdict[int, list[Kind]] = defaultdict(list)
    for kind in MEMBER_KINDS:
        kinds[id(fact.selector_of(kind))].append(kind)
    return kinds.values()


def _add(index: HashTrieMap[K, Refs], key: K, ref: Ref) -> HashTrieMap[K, Refs]:
    return index.insert(key, index.get(key, _NONE).insert(ref))


def _add_lists(index: HashTrieMap[K, Refs], lists: Mapping[K, list[Ref]]) -> HashTrieMap[K, Refs]:
    return index.update({key: index.get(key, _NONE).update(refs) for key, refs in lists.items()})


def _remove(index: HashTrieMap[K, Refs], key: K, ref: Ref) -> HashTrieMap[K, Refs]:
    rest = index.get(key, _NONE).discard(ref)
    return index.insert(key, rest) if rest else index.discard(key)


def _update(index: HashTrieMap[K, V], entries: Mapping[K, V]) -> Steps[HashTrieMap[K, V]]:
    if len(entries) <= CHUNK:
        return index.update(entries) if entries else index
    items = [*entries.items()]
    for at in range(0, len(items), CHUNK):
        yield
        index = index.update(items[at : at + CHUNK])
    return index
