"""The law of schema changes: no change that breaks a caller goes unreported, and few are reported that break none.

docs/decisions/0040 explains it and has the figures of 10,000 pairs.
"""

from __future__ import annotations

import time

import pytest

from crd.schema import changes
from tests.laws.schema_pairs import Maker, Oracle

# Calls that are tried with a pair: of one without a finding, and of one with findings.
TRIES = 300, 600
MOST_FALSE = 0.05


def test_no_break_is_missed_and_few_are_false() -> None:
    check(range(300), most_false=0.1)  # of so few pairs the share is uncertain


@pytest.mark.long
def test_no_break_of_ten_thousand_pairs_is_missed_and_few_are_false() -> None:
    print(check(range(10_000), most_false=MOST_FALSE))


def check(seeds: range, *, most_false: float) -> str:
    reported, unusable, missed, false = 0, 0, [], []
    spent = 0.0
    for seed in seeds:
        old, new = Maker(seed).pair()
        started = time.perf_counter()
        found = [*changes.breaking(old, new)]
        spent += time.perf_counter() - started
        try:
            oracle = Oracle(old, new, seed)
        except ValueError:
            unusable += 1  # a schema that no rule admits
            continue
        if not found:
            broken = oracle.broken(TRIES[0], promised=True)
            if broken is not None:
                missed.append((seed, broken))
        else:
            reported += 1
            if oracle.broken(TRIES[1], promised=False) is None:
                false.append((seed, found))
    assert missed == []
    assert unusable <= len(seeds) / 1000
    assert reported > len(seeds) / 8, "the pairs are too tame"
    assert len(false) <= most_false * reported, false
    average = spent / len(seeds) * 1000
    counts = f"{len(seeds) - unusable} pairs, {reported} reported, 0 missed, {len(false)} without a call"
    return f"{counts}; {average:.1f} ms a pair"
