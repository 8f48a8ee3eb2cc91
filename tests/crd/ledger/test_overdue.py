"""Intents at the end of the time for which they are kept, and of several those that remain."""

from __future__ import annotations

from dataclasses import replace

from crd.ledger import page
from crd.ledger.intent import KEEP, LEASE
from crd.ledger.page import Page
from crd.ref import Kind, Ref
from tests.crd.ledger.test_page import CREATION, NOW, UPDATE


def test_an_intent_is_overdue_to_the_end_of_the_time_for_which_it_is_kept() -> None:
    held = Page((CREATION,))
    assert page.list_overdue(held, NOW + KEEP) == [CREATION.fact.ref]
    assert page.list_overdue(held, NOW + KEEP + 1) == []


def test_of_several_intents_those_that_nobody_looked_for_remain() -> None:
    other = replace(UPDATE, fact=replace(UPDATE.fact, ref=Ref(Kind.TOOL, "shop", "b")))
    gone = {CREATION.fact.ref: None}

    assert page.resolve(Page((other, CREATION)), gone, NOW + LEASE + 1).intents == (other,)
