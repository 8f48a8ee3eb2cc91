"""PURE. Level 0 of integrity: compile what a server serves, whatever was admitted.

The result never contains two entries with the same name, URI or REST path. A claim goes to its incumbent in the
published catalog, else to the oldest object, else to the first by name; the other claimants get a finding and are not
served under it. Tools of the published catalog are served whatever the contextBudget of the server is; other tools are
added in the order of their age as long as they fit into it. An object that is stored although it is invalid (no webhook
was running) is omitted and does not affect the others.

A compilation is derived from the previous one: `advance` processes the members that changed, and those whose claims are
affected. The holder of a claim depends only on its claimants and its incumbent, so the result is the same as if all
members were compiled together.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from crd.compiler import assembly, members
from crd.compiler.members import SECTIONS
from crd.facts import Claim, MemberFact, ServerFact, Space
from crd.finding import Finding, Level, Reason
from crd.models.server import ServerSpec
from crd.published import catalogs, chunks
from crd.published.chunks import Chunk
from crd.ref import Kind, Ref
from crd.rules import budgets, clients, references, servers
from crd.steps import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping

    from crd.compiler.members import CompiledMember
    from crd.manifest import Object
    from crd.published.chunks import Section
    from crd.snapshot import Snapshot
    from crd.steps import Steps

__all__ = ["Compilation", "Incumbents", "advance", "compile_server", "incumbents_of"]

_NAMES = (Space.TOOL_NAME, Space.PROMPT_NAME)
# The number of members that are processed between two pauses.
SLICE = 32

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Incumbents:
    """The holder of each claim in a published catalog. Claims have no prefix, so a change of the prefix has no effect.

    ``prefix`` is the prefix with which the catalog was published.
    """

    holders: Mapping[Claim, Ref] = field(default_factory=dict)
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class _Member:
    """A member on this server: whether it can be served, and the section and key of each of its served entries.

    ``context`` are the bytes that its entries have in tools/list.
    """

    fact: MemberFact
    sound: bool
    placed: tuple[tuple[str, str], ...] = ()
    context: int = 0


@dataclass(frozen=True, slots=True)
class Compilation:
    """What a server serves, and the findings about its members: lost conflicts, faults and missing backends.

    ``holders`` are the objects that are served under each claim, ``claimants`` all objects with the claim. ``moved``
    are the claims whose holder is not their incumbent. ``backends`` and ``mounts`` count the served members that call a
    port of a Service, or read a Secret or ConfigMap. ``context`` is the size of all tools in
    tools/list, in bytes, and ``tokens`` how many tokens a model reads of them.
    """

    server: Ref
    prefix: str
    settings: bytes = field(repr=False)
    incumbents: Incumbents
    holders: Mapping[Claim, Ref]
    claimants: Mapping[Claim, tuple[Ref, ...]]
    moved: frozenset[Claim]
    backends: Mapping[tuple[Ref, int | str], int]
    mounts: Mapping[Ref, int]
    sections: Mapping[str, Section] = field(repr=False)
    context: int
    tokens: int
    _members: Mapping[Ref, _Member] = field(repr=False)
    _demand: int = field(repr=False)
    _over_budget: frozenset[Ref] = field(repr=False)
    _faults: Mapping[Ref, tuple[Finding, ...]] = field(repr=False)
    _conflicts: Mapping[Ref, tuple[Finding, ...]] = field(repr=False)
    _unresolved: Mapping[Ref, tuple[Finding, ...]] = field(repr=False)

    @property
    def members(self) -> KeysView[Ref]:
        """All selected members, served or not."""
        return self._members.keys()

    @property
    def rejected(self) -> tuple[Finding, ...]:
        """Findings about members that are not served, or not under all their claims."""
        refs = sorted({*self._faults, *self._conflicts})
        return tuple(f for ref in refs for f in (*self._faults.get(ref, ()), *self._conflicts.get(ref, ())))

    @property
    def unresolved(self) -> tuple[Finding, ...]:
        """Findings about missing objects that served members refer to."""
        return tuple(f for ref in sorted(self._unresolved) for f in self._unresolved[ref])

    @property
    def catalog(self) -> catalogs.Catalog:
        """The complete decoded catalog; expensive for large catalogs."""
        return catalogs.load(self.text())

    def keys(self, section: str) -> list[str]:
        """The keys of a list's entries, in order; see `crd.compiler.members.PlacedEntry`."""
        return list(chunks.keys(self.sections.get(section, ())))

    def pinned(self) -> tuple[Ref, ...]:
        """The served tools with a pin, in the order of the catalog."""
        if not any(member.placed and member.fact.pinned for member in self._members.values()):
            return ()
        prefix = len(self.prefix)
        holders = (self.holders[Claim(Space.TOOL_NAME, key[prefix:])] for key in self.keys("tools"))
        return tuple(ref for ref in holders if self._members[ref].fact.pinned)

    def published(self) -> Incumbents:
        """The incumbents after this compilation has been published."""
        return Incumbents(self.holders, self.prefix)

    def affected(self) -> set[Ref]:
        """The members whose served claims differ from the catalog of the incumbents."""
        if self.prefix != self.incumbents.prefix:
            return set(self._members)
        held = (self.incumbents.holders.get(claim) for claim in self.moved)
        found = {ref for claim in self.moved for ref in self.claimants.get(claim, ())}
        return found | {ref for ref in held if ref is not None}

    def size(self) -> int:
        """The bytes of `text`."""
        return sum(line.size if isinstance(line, Chunk) else len(line) + 1 for line in self._lines()) - 1

    def digest(self) -> str:
        """The digest of `text`; see `crd.published.catalogs.digest`."""
        return catalogs.digest_of_lines(
            line.digest if isinstance(line, Chunk) else hashlib.sha256(line).digest() for line in self._lines()
        )

    def text(self) -> bytes:
        """The published catalog: JSON, one chunk of entries per line."""
        return b"".join(line.line() if isinstance(line, Chunk) else line + b"\n" for line in self._lines())[:-1]

    def packed(self) -> bytes:
        """`text` as gzip, one member per line."""
        *lines, last = self._lines()
        members = [line.packed if isinstance(line, Chunk) else chunks.pack(line + b"\n") for line in lines]
        return b"".join([*members, last.packed if isinstance(last, Chunk) else chunks.pack(last)])

    def _lines(self) -> list[Chunk | bytes]:
        """The chunks, and the JSON text around them; the last line is never a chunk."""
        lines: list[Chunk | bytes] = []
        line = self.settings[:-1]
        for name in SECTIONS:
            for index, chunk in enumerate(self.sections.get(name, ())):
                lines += [line + (b"," if index else b',"%s":[' % name.encode()), chunk]
                line = b""
            if self.sections.get(name):
                line = b"]"
        return [*lines, line + b',"prefix":%s}' % orjson.dumps(self.prefix)]


def compile_server(
    server: Object, objects: Iterable[Object], snapshot: Snapshot, incumbents: catalogs.Catalog | None
) -> Compilation:
    """Compile all members that ``server`` selects.

    ``snapshot`` contains the Services; ``incumbents`` is the last published catalog, whose entries keep their names.
    Raises ValueError if the spec of the server is invalid.
    """
    compiled = {item.ref: members.compile_member(item) for item in objects}
    prefix = server.fact.prefix if isinstance(server.fact, ServerFact) else ""
    before = incumbents_of(catalogs.dump(incumbents), prefix) if incumbents else Incumbents()
    return finish(advance(None, server, compiled, compiled.get, snapshot, before))


def incumbents_of(payload: bytes, prefix: str) -> Incumbents:
    """The incumbents of a published catalog.

    ``prefix`` is the current one of the server, for a catalog that does not record its own. Raises InvalidCatalogError
    if the payload is not a catalog.
    """
    raw = catalogs.parse(payload)
    known = raw.get("prefix")
    prefix = known if isinstance(known, str) else prefix
    try:
        return Incumbents(dict(_read_holders(raw, prefix)), prefix)
    except (AttributeError, KeyError, TypeError) as error:
        raise catalogs.InvalidCatalogError(f"not a catalog: {type(error).__name__}: {error}") from error


def _read_holders(raw: Mapping[str, Any], prefix: str) -> Iterator[tuple[Claim, Ref]]:
    """The holders, read from the JSON itself: only three members of each entry are needed, and there may be 50,000."""
    for entry in raw.get("tools", ()):
        ref = _ref(Kind.TOOL, entry)
        yield Claim(Space.TOOL_NAME, entry["name"].removeprefix(prefix)), ref
        if entry.get("ingress_path"):
            yield Claim(Space.REST_PATH, f"POST {entry['ingress_path']}"), ref
    for entry in raw.get("prompts", ()):
        ref = _ref(Kind.PROMPT, entry)
        yield Claim(Space.PROMPT_NAME, entry["name"].removeprefix(prefix)), ref
        if entry.get("ingress_path"):
            yield Claim(Space.REST_PATH, f"GET {entry['ingress_path']}"), ref
    for entry in (*raw.get("resources", ()), *raw.get("http_resources", ())):
        yield Claim(Space.URI, entry["uri"]), _ref(Kind.RESOURCE, entry)
    for entry in raw.get("operations", ()):
        ref = _ref(Kind.RESOURCE, entry)
        if entry.get("uri_template"):
            yield Claim(Space.URI, entry["uri_template"]), ref
        if entry.get("ingress_path"):
            yield Claim(Space.REST_PATH, f"{entry['method']} {entry['ingress_path']}"), ref


def _ref(kind: Kind, entry: Mapping[str, Any]) -> Ref:
    namespace, _, name = entry["source"].partition("/")
    return Ref(kind, namespace, name)


def advance(
    before: Compilation | None,
    server: Object,
    changed: Iterable[Ref],
    selected: Callable[[Ref], CompiledMember | None],
    snapshot: Snapshot,
    incumbents: Incumbents,
) -> Steps[Compilation]:
    """The compilation that follows ``before``, which is None for the first one. Yields whenever the caller may pause.

    ``selected`` returns a member of the server by reference, or None if the object is not a member. ``changed`` are the
    references that were added, removed or changed since ``before``, or whose Services were; all references if there is
    no ``before`` or it has another prefix. ``incumbents`` are those of ``before``, or ``before.published()`` if it has
    been published. Raises ValueError if the spec of the server is invalid.
    """
    spec, fact = server.spec, server.fact
    if not isinstance(spec, ServerSpec) or not isinstance(fact, ServerFact):
        raise ValueError(  # noqa: TRY004 -- the value of a field, not a type, is at fault
            f"{server.ref} cannot be compiled: {[str(p) for p in server.problems]}"
        )
    work = _Work(before, fact, snapshot, incumbents)
    for index, ref in enumerate(dict.fromkeys(changed)):
        if index % SLICE == SLICE - 1:
            yield
        work.withdraw(ref)
        member = selected(ref)
        if member is not None:
            work.enter(member)
    yield from work.keep_to_budget()
    yield from work.allot()
    for index, ref in enumerate(sorted(work.stale)):
        if index % SLICE == SLICE - 1:
            yield
        member = selected(ref)
        if member is not None:
            work.place(member)
    sections = dict(before.sections) if before else {}
    for name in {*work.new, *work.gone}:
        edited: list[Chunk] = []
        for chunk in chunks.edit(sections.get(name, ()), work.gone[name], work.new[name]):
            edited.append(chunk)
            yield
        sections[name] = tuple(edited)
        if not edited:
            del sections[name]
    head = catalogs.Catalog(server=server.ref.key, settings=assembly.server_settings(spec))
    return Compilation(
        server=server.ref,
        prefix=fact.prefix,
        settings=catalogs.dump(head),
        incumbents=incumbents,
        holders=work.holders,
        claimants=work.claimants,
        moved=work.moved(before),
        backends=work.backends,
        mounts=work.mounts,
        sections=sections,
        context=work.context,
        tokens=work.tokens,
        _members=work.members,
        _demand=work.demand,
        _over_budget=frozenset(work.over_budget),
        _faults=work.faults,
        _conflicts=work.conflicts,
        _unresolved=work.unresolved,
    )


class _Work:
    """An unfinished compilation: the state that `advance` copies from the previous one and changes."""

    def __init__(
        self, before: Compilation | None, server: ServerFact, snapshot: Snapshot, incumbents: Incumbents
    ) -> None:
        self.members = dict(before._members) if before else {}
        self.holders = dict(before.holders) if before else {}
        self.claimants = dict(before.claimants) if before else {}
        self.backends = dict(before.backends) if before else {}
        self.mounts = dict(before.mounts) if before else {}
        self.faults = dict(before._faults) if before else {}
        self.conflicts = dict(before._conflicts) if before else {}
        self.unresolved = dict(before._unresolved) if before else {}
        self.context = before.context if before else 0
        self.tokens = before.tokens if before else 0
        # The tokens of all tools that could be served, and those of them that do not fit into the budget.
        self.demand = before._demand if before else 0
        self.over_budget = set(before._over_budget) if before else set()
        # Entries that are no longer served, and new entries; a key in both has a changed entry.
        self.gone: dict[str, set[str]] = defaultdict(set)
        self.new: dict[str, dict[str, bytes]] = defaultdict(dict)
        # Members whose entries must be placed again, and claims with added, removed or changed claimants.
        self.stale: set[Ref] = set()
        self._touched: set[Claim] = set()
        self._server = server
        self._snapshot = snapshot
        self._incumbents = incumbents

    def withdraw(self, ref: Ref) -> None:
        """Remove a member and its claims."""
        for findings in (self.faults, self.conflicts, self.unresolved):
            findings.pop(ref, None)
        if ref not in self.members:
            return
        self._displace(ref)
        member = self.members.pop(ref)
        if member.sound or ref in self.over_budget:
            self.demand -= budgets.cost(self._server, member.fact)
        self.over_budget.discard(ref)
        if member.sound:
            self._disclaim(member.fact)

    def _disclaim(self, fact: MemberFact) -> None:
        for claim in fact.claims:
            rest = tuple(other for other in self.claimants[claim] if other != fact.ref)
            if rest:
                self.claimants[claim] = rest
            else:
                del self.claimants[claim]
            self._touched.add(claim)

    def _claim(self, fact: MemberFact) -> None:
        self.stale.add(fact.ref)
        for claim in fact.claims:
            self.claimants[claim] = (*self.claimants.get(claim, ()), fact.ref)
            self._touched.add(claim)

    def enter(self, member: CompiledMember) -> None:
        """Add a member with its claims, or its faults on this server."""
        errors, fact = list(member.errors), member.fact
        if fact is not None:
            backends = tuple(references.backends(self._snapshot, fact))
            here = (
                *backends,
                *servers.prefixed_names(self._server, fact),
                *clients.portability_on_server(self._server, fact),
            )
            errors += [finding for finding in here if finding.level is Level.ERROR]
            if backends and not errors:
                self.unresolved[member.ref] = backends
            self.members[member.ref] = _Member(fact, sound=not errors)
        if errors:
            self.faults[member.ref] = tuple(errors)
        elif fact is not None:
            self.demand += budgets.cost(self._server, fact)
            self._claim(fact)

    def keep_to_budget(self) -> Steps[None]:
        """Decide which tools fit into the budget of the server. The others are not served, and do not hold a name.

        Incumbents fit in any case, so that an agent does not lose a tool that it uses.
        """
        over = yield from self._find_over_budget()
        for ref in self.over_budget - over:
            del self.faults[ref]
            member = self.members[ref] = replace(self.members[ref], sound=True)
            self._claim(member.fact)
            backends = tuple(references.backends(self._snapshot, member.fact))
            if backends:
                self.unresolved[ref] = backends
        for ref in over:
            if ref not in self.over_budget:
                self._displace(ref)
                member = self.members[ref] = replace(self.members[ref], sound=False)
                self._disclaim(member.fact)
                self.stale.discard(ref)
                self.conflicts.pop(ref, None)
                self.unresolved.pop(ref, None)
            self.faults[ref] = (budgets.not_served(self._server, self.members[ref].fact),)
        self.over_budget = over

    def _find_over_budget(self) -> Steps[set[Ref]]:
        over: set[Ref] = set()
        room = self._server.budget
        if room is None or self.demand <= room:
            return over
        newcomers: list[MemberFact] = []
        for index, (ref, member) in enumerate(self.members.items()):
            if index % SLICE == SLICE - 1:
                yield
            if not member.fact.tokens or not (member.sound or ref in self.over_budget):
                continue
            if self._is_incumbent(member.fact):
                room -= budgets.cost(self._server, member.fact)
            else:
                newcomers.append(member.fact)
        for index, fact in enumerate(sorted(newcomers, key=lambda fact: fact.seniority)):
            if index % SLICE == SLICE - 1:
                yield
            needed = budgets.cost(self._server, fact)
            if needed <= room:
                room -= needed
            else:
                over.add(fact.ref)
        return over

    def _is_incumbent(self, fact: MemberFact) -> bool:
        held = self._incumbents.holders
        return any(held.get(claim) == fact.ref for claim in fact.claims if claim.space in _NAMES)

    def allot(self) -> Steps[None]:
        """Decide the holder of each touched claim. An object without its name loses all claims, so names are first."""
        names = [claim for claim in self._touched if claim.space in _NAMES]
        yield from self._decide(names)
        for ref in {ref for claim in names for ref in self.claimants.get(claim, ())}:
            self._touched.update(self.members[ref].fact.claims)
        yield from self._decide([claim for claim in self._touched if claim.space not in _NAMES])
        for index, ref in enumerate({ref for claim in self._touched for ref in self.claimants.get(claim, ())}):
            if index % SLICE == SLICE - 1:
                yield
            lost = tuple(self._lost(ref, self.members[ref].fact))
            if lost:
                self.conflicts[ref] = lost
            else:
                self.conflicts.pop(ref, None)

    def _decide(self, claims: list[Claim]) -> Steps[None]:
        for index, claim in enumerate(claims):
            if index % SLICE == SLICE - 1:
                yield
            there = [self.members[ref].fact for ref in self.claimants.get(claim, ())]
            able = there if claim.space in _NAMES else [fact for fact in there if self._is_named(fact)]
            incumbent = self._incumbents.holders.get(claim)
            winner = next((fact.ref for fact in able if fact.ref == incumbent), None)
            if winner is None and able:
                winner = min(able, key=lambda fact: fact.seniority).ref
            loser = self.holders.get(claim)
            if winner == loser:
                continue
            if winner is None:
                del self.holders[claim]
            else:
                self.holders[claim] = winner
            self.stale.update(ref for ref in (winner, loser) if ref in self.members)

    def _is_named(self, fact: MemberFact) -> bool:
        return all(self.holders.get(claim) == fact.ref for claim in fact.claims if claim.space in _NAMES)

    def _lost(self, ref: Ref, fact: MemberFact) -> Iterator[Finding]:
        named = self._is_named(fact)
        for claim in sorted(fact.claims, key=_stage):
            winner = self.holders.get(claim, ref)
            if winner != ref and (named or claim.space in _NAMES):
                message = (
                    f'{winner} already serves the {claim.space.value} "{claim.value}" on {self._server.ref}; '
                    "rename one of the two"
                )
                subject = (self._server.ref.key, claim.space.value, claim.value)
                related = (winner, self._server.ref)
                yield Finding.of(Reason.NAME_CONFLICT, ref, message, subject=subject, related=related)

    def place(self, member: CompiledMember) -> None:
        """Place the entries of a member according to the claims that it holds."""
        ref, known = member.ref, self.members[member.ref]
        self._displace(ref)
        placed: list[tuple[str, str]] = []
        context = 0
        for entry in members.place(
            member, self._server.prefix, lambda claim: self.holders.get(claim) == ref, self._snapshot
        ):
            self.new[entry.section][entry.key] = entry.text
            placed.append((entry.section, entry.key))
            context += entry.context
        self.members[ref] = replace(known, placed=tuple(placed), context=context)
        self.context += context
        if placed:
            self.tokens += budgets.cost(self._server, known.fact)
            self._count(known.fact, 1)

    def _displace(self, ref: Ref) -> None:
        member = self.members[ref]
        for section, key in member.placed:
            self.gone[section].add(key)
        self.context -= member.context
        if member.placed:
            self.tokens -= budgets.cost(self._server, member.fact)
            self._count(member.fact, -1)
            self.members[ref] = replace(member, placed=(), context=0)

    def _count(self, fact: MemberFact, step: int) -> None:
        for backend in fact.backends:
            _add(self.backends, (backend.service, backend.port), step)
        for mount in fact.mounts:
            _add(self.mounts, mount.ref, step)

    def moved(self, before: Compilation | None) -> frozenset[Claim]:
        """See `Compilation.moved`."""
        candidates = self._touched | self._incumbents.holders.keys() if before is None else self._touched
        if before is not None and before.incumbents is self._incumbents:
            candidates |= before.moved
        held = self._incumbents.holders
        return frozenset(claim for claim in candidates if self.holders.get(claim) != held.get(claim))


def _stage(claim: Claim) -> int:
    return 0 if claim.space in _NAMES else 1 if claim.space is Space.URI else 2


def _add(counts: dict[K, int], key: K, step: int) -> None:
    count = counts.get(key, 0) + step
    if count:
        counts[key] = count
    else:
        del counts[key]
