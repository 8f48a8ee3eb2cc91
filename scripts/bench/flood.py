"""Plain reviews beside a flood of hostile ones: ``python -m scripts.bench.flood``.

One webhook process. One connection sends plain reviews at a steady pace; in every other round, others send as fast as
they are answered what was made to be expensive (tests/laws/hostile.py), from a namespace of their own. Prints the
latency of the plain reviews without and with the flood, and the ratio of the 99th percentiles.
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from scripts.bench import webhook
from tests.laws import hostile

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS, SECONDS, PACE = 6, 5.0, 0.02
SENDERS = 6
SIZES = (2_000, 20_000, 200_000, hostile.FULL)


def hostile_requests() -> list[bytes]:
    """Each hostile object of each size, as a request."""
    found = []
    for build in hostile.OBJECTS.values():
        for size in SIZES:
            new: dict[str, Any] = build(size)
            new["metadata"] = {**new["metadata"], "namespace": "hostile"}
            asked = {
                "uid": "00000000-0000-4000-8000-000000000000",
                "kind": {"group": "mcp.example.com", "version": "v1alpha1", "kind": new["kind"]},
                "name": "hostile",
                "namespace": "hostile",
                "operation": "CREATE",
                "object": new,
            }
            try:
                body = json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": asked})
            except RecursionError:
                continue
            found.append(webhook.head(len(body.encode())) + body.encode())
    return found


def connect(port: int) -> ssl.SSLSocket:
    """A connection to the webhook."""
    context = ssl._create_unverified_context()  # noqa: S323 -- a certificate of this very run
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)))


def exchange(connection: ssl.SSLSocket, request: bytes) -> int:
    """Send a request and read the answer; its status."""
    connection.sendall(request)
    answer = connection.recv(65536)
    if not answer:
        raise ConnectionError
    head, _, rest = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(rest) < length:
        rest += connection.recv(65536)
    return int(head.split()[1])


class Flood:
    """Senders of hostile reviews, while `running`."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self.statuses: dict[int, int] = {}
        self._port = port
        self._requests = requests
        self._running = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Send."""
        self._running.set()
        for number in range(SENDERS):
            share = self._requests[number::SENDERS]
            self._threads.append(threading.Thread(target=self._send, args=(share,), daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        """Send no more, and wait for the answers."""
        self._running.clear()
        for thread in self._threads:
            thread.join(timeout=30)
        self._threads.clear()

    def _send(self, share: list[bytes]) -> None:
        connection = connect(self._port)
        while self._running.is_set():
            for request in share:
                if not self._running.is_set():
                    break
                try:
                    status = exchange(connection, request)
                    self.statuses[status] = self.statuses.get(status, 0) + 1
                except (ConnectionError, OSError):
                    connection = connect(self._port)
        connection.close()


def measure(connection: ssl.SSLSocket, numbers: Iterator[int]) -> list[float]:
    """The latencies of plain reviews, one every 20 ms for some seconds, from when each should have been sent."""
    found = []
    started = time.perf_counter()
    for tick in range(int(SECONDS / PACE)):
        due = started + tick * PACE
        time.sleep(max(0.0, due - time.perf_counter()))
        number = next(numbers)
        if exchange(connection, webhook.request(number, number % 200)) != 200:
            raise RuntimeError("a plain review was not answered")
        found.append(time.perf_counter() - due)
    return found


def percentile(values: list[float], percent: int) -> float:
    """In milliseconds."""
    return sorted(values)[len(values) * percent // 100] * 1000


def main() -> int:
    """Run the benchmark."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    server = webhook.Server("webhook")
    flood = Flood(server.port, hostile_requests())
    numbers = iter(range(10**9))
    latencies: dict[bool, list[float]] = {False: [], True: []}
    measure(server.connections[0], numbers)
    for round_ in range(ROUNDS):
        flooded = round_ % 2 == 1
        if flooded:
            flood.start()
        latencies[flooded] += measure(server.connections[0], numbers)
        if flooded:
            flood.stop()
    for flooded, values in latencies.items():
        percents = ", ".join(f"p{each} {percentile(values, each):.1f} ms" for each in (50, 90, 99))
        print(f"{'with' if flooded else 'without'} the flood: {percents}")
    print(f"ratio of p99 {percentile(latencies[True], 99) / percentile(latencies[False], 99):.1f} (must be ≤ 3)")
    print(f"hostile reviews by HTTP status: {dict(sorted(flood.statuses.items()))}")
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
