"""PURE. An intent: the state that an admitted write is to store, recorded before the webhook answers.

The ledger of a namespace (`crd.ledger.page`) consists of intents. An intent represents a write that may still be
stored, and a state that may be stored although the cache of some replica does not show it yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crd.facts import MemberFact, ServerFact

if TYPE_CHECKING:
    from crd.integrity import Change
    from crd.manifest import Object

__all__ = ["KEEP", "LAG", "LEASE", "Intent", "can_land", "essence", "moot", "of"]

# Seconds after which an admitted write can no longer be stored: the API server gives up a request after 60.
LEASE = 90.0
# Seconds by which the cache of a replica that still answers may be stale (docs/decisions/0017-informers.md).
LAG = 240.0
# Seconds for which an intent is kept: until its write can no longer be stored, and every replica that still answers has
# seen the write or a later state.
KEEP = LEASE + LAG


@dataclass(frozen=True, slots=True)
class Intent:
    """``fact`` is the `essence` of the object that was admitted at ``at`` (seconds since the epoch).

    ``base`` is the resourceVersion that the write replaces: the write is stored on that state or not at all. Empty for
    a creation, which is stored only if the object does not exist. ``landed`` says that a creation is known to have
    been stored as ``uid``.
    """

    fact: MemberFact | ServerFact
    uid: str
    base: str
    at: float
    landed: bool = False
    text: bytes = field(default=b"", compare=False, repr=False)
    """The intent as `crd.ledger.page` writes it, once it did."""


def of(change: Change, now: float) -> Intent | None:
    """The intent of a change; None for a deletion, and for a spec that cannot be read."""
    if change.new is None or change.new.fact is None:
        return None
    base = str(change.old.metadata.get("resourceVersion") or "") if change.old is not None else ""
    return Intent(essence(change.new.fact), str(change.new.metadata.get("uid") or ""), base, now)


def essence(fact: MemberFact | ServerFact) -> MemberFact | ServerFact:
    """The part of a fact that determines conflicts; two states with one essence conflict with the same objects."""
    if isinstance(fact, MemberFact):
        # Which clients, and not why: a ledger must stay small.
        unsupported = tuple((client, (), "") for client, _, _ in fact.unsupported)
        return MemberFact(fact.ref, fact.labels, "", "", fact.claims, (), unsupported=unsupported, tokens=fact.tokens)
    return ServerFact(
        fact.ref,
        fact.selector,
        fact.prompt_selector,
        fact.resource_selector,
        strict=fact.strict,
        prefer_incumbent=fact.prefer_incumbent,
        budget=fact.budget,
        prefix_tokens=fact.prefix_tokens,
        clients=fact.clients,
        prefix=fact.prefix if fact.clients else "",
    )


def moot(intent: Intent, stored: Object | None, now: float) -> bool:
    """Whether an intent no longer matters: its state is not stored, and cannot be stored any more.

    ``stored`` is the object from a linearizable read after the intent was recorded; None if it did not exist.
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
