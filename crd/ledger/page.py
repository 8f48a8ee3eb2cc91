"""PURE. The ledger of a namespace: its content, its encoding, and when an intent is removed.

An intent is removed as soon as the outcome of its write is known, so the ledger contains little more than the writes in
progress. A replica that removes an intent has seen a later version of the object; another replica, whose cache has not
reached that version, would know neither the intent nor the object. The ledger therefore records that version, its
horizon, and a replica decides by a ledger only if its cache has reached the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from crd.facts import Claim, MemberFact, ServerFact, Space
from crd.ledger.intent import KEEP, LEASE, Intent, can_land, essence
from crd.ref import Kind, Ref
from crd.selector import Operator, Requirement, Selector
from crd.steps import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from crd.manifest import Object
    from crd.steps import Steps

__all__ = [
    "InvalidLedgerError",
    "Page",
    "Sighting",
    "collect",
    "dump",
    "is_behind",
    "list_overdue",
    "load",
    "load_in_steps",
    "mark_stored",
    "resolve",
]

FORMAT = 2
# So many intents that were read are remembered: as many as a ledger holds.
PARSED = 4096


class InvalidLedgerError(ValueError):
    """The payload is not the output of `dump`."""


@dataclass(frozen=True, slots=True)
class Page:
    """The intents, and for each kind the version that a cache must have reached to decide by them."""

    intents: tuple[Intent, ...] = ()
    horizon: Mapping[Kind, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sighting:
    """The version and uid of an object in the last event of its watch, which may be its deletion.

    A version that is not a number cannot be compared.
    """

    version: int | str | None
    uid: str


def collect(page: Page, sighted: Callable[[Ref], Sighting | None]) -> Page:
    """The ledger without intents whose writes a watch has shown as stored or as failed."""
    intents, horizon = [], dict(page.horizon)
    for entry in page.intents:
        ref = entry.fact.ref
        sighting = sighted(ref)
        if sighting is None or not isinstance(sighting.version, int) or not _was_decided(entry, sighting):
            intents.append(entry)
        else:
            horizon[ref.kind] = max(sighting.version, horizon.get(ref.kind, 0))
    return Page(tuple(intents), horizon) if len(intents) < len(page.intents) else page


def resolve(page: Page, looked: Mapping[Ref, Object | None], now: float) -> Page:
    """The ledger without intents that can no longer be stored, according to linearizable reads made after reading it.

    A stored intent is removed as well if its version is a number, which then becomes part of the horizon.
    """
    intents, horizon = [], dict(page.horizon)
    for entry in page.intents:
        ref = entry.fact.ref
        if ref not in looked or can_land(entry, looked[ref], now):
            intents.append(entry)
            continue
        stored = looked[ref]
        if stored is None:
            continue
        version = str(stored.metadata.get("resourceVersion") or "")
        if version.isascii() and version.isdecimal():
            horizon[ref.kind] = max(int(version), horizon.get(ref.kind, 0))
        elif stored.fact is not None and essence(stored.fact) == entry.fact:
            intents.append(entry)
    return Page(tuple(intents), horizon) if len(intents) < len(page.intents) else page


def is_behind(page: Page, reached: Callable[[Kind], int | str | None]) -> bool:
    """Whether a cache has not reached the horizon, so that it may lack objects of removed intents."""
    for kind, version in page.horizon.items():
        seen = reached(kind)
        if seen is None or (isinstance(seen, int) and seen < version):
            return True
    return False


def list_overdue(page: Page, now: float) -> list[Ref]:
    """The objects with intents that can no longer be stored and that no watch has shown; they must be read."""
    return list(dict.fromkeys(entry.fact.ref for entry in page.intents if LEASE < now - entry.at <= KEEP))


def mark_stored(page: Page, uids: Iterable[str]) -> Page:
    """The ledger after objects with these uids are known to have been stored: no creation can store them again."""
    known = {uid for uid in uids if uid}
    intents = tuple(
        replace(entry, landed=True, text=b"") if entry.uid in known and not entry.base else entry
        for entry in page.intents
    )
    return replace(page, intents=intents) if intents != page.intents else page


def dump(page: Page) -> bytes:
    """A ledger as JSON, the same bytes for the same ledger."""
    horizon = {kind.value: version for kind, version in sorted(page.horizon.items())}
    intents = [orjson.Fragment(_text(entry)) for entry in page.intents]
    return orjson.dumps({"format": FORMAT, "horizon": horizon, "intents": intents})


def load(payload: bytes) -> Page:
    """Read what `dump` wrote. Raises InvalidLedgerError for anything else."""
    return finish(load_in_steps(payload))


def load_in_steps(payload: bytes) -> Steps[Page]:
    """The same as `load`, with a step for each intent."""
    try:
        raw = orjson.loads(payload)
        written, entries = raw["format"], raw["intents"]
        if written == FORMAT:
            horizon = {Kind(kind): int(version) for kind, version in raw["horizon"].items()}
            intents = []
            for entry in entries:
                yield
                intents.append(_parsed(orjson.dumps(entry)))
            return Page(tuple(intents), horizon)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise InvalidLedgerError(f"{type(error).__name__}: {error}") from error
    raise InvalidLedgerError(f"format is {written!r}, this version reads {FORMAT}")


def _was_decided(entry: Intent, sighting: Sighting) -> bool:
    """Whether a write had been stored, or could no longer be stored, at the time of the sighting."""
    if not entry.base:
        return bool(entry.uid) and entry.uid == sighting.uid
    base, version = entry.base, sighting.version
    return base.isascii() and base.isdecimal() and isinstance(version, int) and version > int(base)


def _text(intent: Intent) -> bytes:
    """An intent as JSON. Each is written many times, while it stands, and so is encoded once."""
    if not intent.text:
        object.__setattr__(intent, "text", orjson.dumps(_plain(intent)))
    return intent.text


@lru_cache(maxsize=PARSED)
def _parsed(text: bytes) -> Intent:
    """An intent out of its text. Of a ledger that another replica wrote, most intents stood there before."""
    intent = _intent(orjson.loads(text))
    object.__setattr__(intent, "text", text)
    return intent


def _plain(intent: Intent) -> dict[str, Any]:
    fact = intent.fact
    plain: dict[str, Any] = {"object": list(map(str, (fact.ref.kind.value, fact.ref.namespace, fact.ref.name)))}
    plain |= {"uid": intent.uid, "base": intent.base, "at": intent.at}
    if intent.landed:
        plain["landed"] = True
    if isinstance(fact, MemberFact):
        claims = [[claim.space.value, claim.value] for claim in fact.claims]
        plain |= {"labels": dict(fact.labels), "claims": claims}
        if fact.tokens:
            plain["tokens"] = fact.tokens
        if fact.unsupported:
            plain["unsupported"] = [client for client, _, _ in fact.unsupported]
        return plain
    selectors = [fact.selector, fact.prompt_selector, fact.resource_selector]
    strictness: dict[str, Any] = {"strict": fact.strict, "preferIncumbent": fact.prefer_incumbent}
    if fact.budget is not None:
        strictness |= {"budget": fact.budget, "prefixTokens": fact.prefix_tokens}
    if fact.clients:
        strictness |= {"clients": list(fact.clients), "prefix": fact.prefix}
    return {**plain, "selectors": [_plain_selector(s) if s else None for s in selectors], **strictness}


def _plain_selector(selector: Selector) -> dict[str, Any]:
    requirements = [[r.key, r.operator.value, sorted(r.values)] for r in selector.requirements]
    return {"requirements": requirements, "selectAll": selector.select_all}


def _intent(raw: Any) -> Intent:
    kind, namespace, name = raw["object"]
    ref = Ref(Kind(kind), namespace, name)
    fact: MemberFact | ServerFact
    if ref.kind is Kind.SERVER:
        own, prompts, resources = map(_selector, raw["selectors"])
        strict, preferring = raw["strict"], raw["preferIncumbent"]
        fact = ServerFact(
            ref,
            own or Selector(),
            prompts,
            resources,
            strict=strict,
            prefer_incumbent=preferring,
            budget=raw.get("budget"),
            prefix_tokens=raw.get("prefixTokens", 0),
            clients=tuple(raw.get("clients", ())),
            prefix=raw.get("prefix", ""),
        )
    else:
        claims = tuple(Claim(Space(space), value) for space, value in raw["claims"])
        unsupported = tuple((client, (), "") for client in raw.get("unsupported", ()))
        tokens = raw.get("tokens", 0)
        fact = MemberFact(ref, dict(raw["labels"]), "", "", claims, (), unsupported=unsupported, tokens=tokens)
    return Intent(fact, raw["uid"], raw["base"], float(raw["at"]), bool(raw.get("landed")))


def _selector(raw: Any) -> Selector | None:
    if raw is None:
        return None
    requirements = (Requirement(key, Operator(op), frozenset(values)) for key, op, values in raw["requirements"])
    return Selector(tuple(requirements), raw["selectAll"])
