"""PURE. An intent: what a write that was admitted wants to be, noted before the answer goes out.

The ledger of a namespace (`crd.ledger.page`) holds them. An intent stands for two things: a write that may
still land, and a state that may be stored although some replica's watch has not shown it yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crd.facts import MemberFact, ServerFact

if TYPE_CHECKING:
    from crd.integrity import Change
    from crd.manifest import Object

__all__ = ["KEEP", "LAG", "LEASE", "Intent", "can_land", "essence", "moot", "of"]

# Seconds after which a write that was admitted can no longer land: the API server gives up on a request after 60.
LEASE = 90.0
# Seconds by which the watches of a replica that answers may lag behind at most (docs/decisions/0017-informers.md).
LAG = 240.0
# Seconds an intent is kept: until its write can no longer land, and until every replica that answers has been shown the
# write, or what came after it.
KEEP = LEASE + LAG


@dataclass(frozen=True, slots=True)
class Intent:
    """``fact`` is the `essence` of the object as it was admitted at ``at`` (seconds of the epoch).

    ``base`` is the resourceVersion that the write replaces: it lands on that state or not at all. Empty for a creation,
    which lands only where nothing is. ``landed`` says that a creation is known to have been stored as ``uid``.
    """

    fact: MemberFact | ServerFact
    uid: str
    base: str
    at: float
    landed: bool = False


def of(change: Change, now: float) -> Intent | None:
    """The intent of a change; None for a deletion, and for a spec that cannot be read."""
    if change.new is None or change.new.fact is None:
        return None
    base = str(change.old.metadata.get("resourceVersion") or "") if change.old is not None else ""
    return Intent(essence(change.new.fact), str(change.new.metadata.get("uid") or ""), base, now)


def essence(fact: MemberFact | ServerFact) -> MemberFact | ServerFact:
    """What of a fact decides who clashes with whom; two states with one essence clash with the same objects."""
    if isinstance(fact, MemberFact):
        return MemberFact(fact.ref, fact.labels, "", "", fact.claims, ())
    return ServerFact(
        fact.ref,
        fact.selector,
        fact.prompt_selector,
        fact.resource_selector,
        strict=fact.strict,
        prefer_incumbent=fact.prefer_incumbent,
    )


def moot(intent: Intent, stored: Object | None, now: float) -> bool:
    """Whether an intent is of no consequence any more: it is not what is stored, and cannot become it.

    ``stored`` is the object as a linearizable read found it after the intent was noted; None if there was none.
    """
    if stored is not None and stored.fact is not None and essence(stored.fact) == intent.fact:
        return False
    return not can_land(intent, stored, now)


def can_land(intent: Intent, stored: Object | None, now: float, lease: float = LEASE) -> bool:
    """Whether the write may still be stored, ``lease`` seconds after it was admitted at the latest.

    ``stored`` is as for `moot`. A creation that is known to have been stored cannot be stored again.
    """
    if now - intent.at > lease:
        return False
    if intent.base:
        return stored is not None and stored.metadata.get("resourceVersion") == intent.base
    if stored is None:
        return not intent.landed
    return not intent.uid or stored.metadata.get("uid") != intent.uid
