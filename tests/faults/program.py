"""The programs of the product as they run in a pod, with the ServiceAccount in another directory and shorter times.

``python -m tests.faults.program ACCOUNT SHORTER webhook …``: the token and the CA of the API server are in the
directory ``ACCOUNT``; ``SHORTER`` has names of `SHORTER`, separated by commas, or is empty.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from certs import authority, issuance, leaf
from cli.__main__ import main
from cluster import client, election
from cluster.informers import informer
from cluster.pod import PodTransport
from controller import program as controller
from controller.installation import installer

# Five minutes of an idle cluster are five seconds.
WATCHES = 60
ROTATION_SECONDS = 10
BACKDATE = issuance.BACKDATE


def shorten_lease() -> None:
    """A leader is followed after 6 s instead of 15."""
    election.Timing = partial(election.Timing, lease=6.0, deadline=4.0, retry=1.0)  # type: ignore[assignment,misc]


def shorten_rotation() -> None:
    """A CA is due for replacement after 10 s, and everybody looks every second and not every 5, 10 or 30."""
    # It is due when two thirds of its validity are over, which begins before it is created.
    lifetime = (BACKDATE + timedelta(seconds=ROTATION_SECONDS)) * 3 / 2 - BACKDATE
    issuance.authority = partial(issuance.authority, lifetime=lifetime)
    authority.LAST_RESORT = timedelta(seconds=20)
    installer.INTERVAL = installer.PROVING_INTERVAL = leaf.INTERVAL = 1.0
    controller.Settings = partial(controller.Settings, ca_settling_seconds=2.0)  # type: ignore[assignment,misc]


def shorten_watches() -> None:
    """What watches wait for is 60 times shorter; of the watches, every second one is closed by the API server.

    Bookmarks come once a minute all the same: here a watch never has one.
    """
    informer.SILENCE /= WATCHES
    informer.OUTAGE /= WATCHES
    informer.USEFUL_LIFE /= WATCHES
    watch, opened = PodTransport.watch, count()

    @contextlib.asynccontextmanager
    async def shorter(
        self: PodTransport, path: str, *, query: Mapping[str, str], idle: float
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        seconds = "1" if next(opened) % 2 else query["timeoutSeconds"]
        async with watch(self, path, query={**query, "timeoutSeconds": seconds}, idle=idle) as events:
            yield events

    PodTransport.watch = shorter  # type: ignore[method-assign]


SHORTER: dict[str, Callable[[], None]] = {
    "lease": shorten_lease,
    "rotation": shorten_rotation,
    "watches": shorten_watches,
}


if __name__ == "__main__":
    account, shorter, *words = sys.argv[1:]
    client.SERVICE_ACCOUNT = Path(account)
    for name in filter(None, shorter.split(",")):
        SHORTER[name]()
    sys.exit(main(words))
