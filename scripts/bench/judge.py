"""CPU time of judging each hostile object at its full size: ``python -m scripts.bench.judge [part of a name]``.

Measured is all that the webhook does with one review: both manifests decoded, the verdict, the fields that
the API server dropped, the preview. The objects are those of `tests.laws.hostile`. Prints the most expensive ones, and
fails if one takes more than half a second.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from crd.snapshot import Snapshot
from tests.laws import hostile
from tests.laws.test_hostile import STATE, judge, snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.finding import Verdict
    from tests.laws.hostile import Manifest

LIMIT = 0.5
SHOWN = 15
TOOLS = 5000
Case = tuple[str, Snapshot, "Manifest | None", "Manifest | None"]


def cases() -> Iterator[Case]:
    """Every hostile object, change and state, at full size."""
    for name, build in hostile.OBJECTS.items():
        yield name, STATE, None, build(hostile.FULL)
    for name, of_change in hostile.CHANGES.items():
        yield name, STATE, *of_change(hostile.FULL)
    for name, of_state in hostile.STATES.items():
        raws, old, new = of_state(TOOLS)
        yield name, snapshot([*raws, *([old] if old else [])]), old, new


def main(part: str = "") -> int:
    """Print the table; 1 if the limit is exceeded."""
    found: list[tuple[float, str, Verdict]] = []
    for name, state, old, new in cases():
        if part in name:
            started = time.process_time()
            verdict = judge(state, old, new)
            found.append((time.process_time() - started, name, verdict))
    found.sort(key=lambda row: -row[0])
    for seconds, name, verdict in found[:SHOWN]:
        told = f"{len(verdict.findings)} findings, {verdict.findings[0].reason}" if verdict.findings else "no finding"
        print(f"{seconds * 1000:7.0f} ms  {name}: {told}")
    over = sum(seconds > LIMIT for seconds, _, _ in found)
    print(f"{len(found)} hostile objects, {over} of them over {LIMIT * 1000:.0f} ms")
    return min(over, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
