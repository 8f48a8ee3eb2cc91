"""Plain reviews beside a flood of hostile ones: ``python -m scripts.bench.flood``.

One webhook process. One connection sends plain reviews at a steady pace. In every other round, another process sends,
as fast as it is answered, what was made to be expensive (tests/laws/hostile.py), from another namespace. Prints the
latency of the plain reviews without and with the flood, and the ratio of the 99th percentiles.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
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


def send(port: int) -> None:
    """Send hostile reviews over several connections until standard input closes, and print the statuses as JSON."""
    # They stand for API servers on other machines, which take no time from the webhook. A process with a high niceness
    # would: it keeps its CPU for up to a tick of the scheduler when another one wakes up.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    requests, statuses, running = hostile_requests(), Counter[int](), threading.Event()
    running.set()

    def send_share(share: list[bytes]) -> None:
        connection = connect(port)
        while running.is_set():
            for request in share:
                if not running.is_set():
                    break
                try:
                    statuses[exchange(connection, request)] += 1
                except (ConnectionError, OSError):
                    connection = connect(port)
        connection.close()

    threads = [
        threading.Thread(target=send_share, args=(requests[number::SENDERS],), daemon=True) for number in range(SENDERS)
    ]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    sys.stdin.read()
    running.clear()
    for thread in threads:
        thread.join(timeout=30)
    print(json.dumps(statuses), flush=True)


class Flood:
    """A process that sends hostile reviews: in this one, the threads would delay the clock of the measurement."""

    def __init__(self, port: int) -> None:
        self.statuses: Counter[str] = Counter()
        self._port = port
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Send."""
        command = (sys.executable, "-m", "scripts.bench.flood", "--send", str(self._port))
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Send no more, and wait for the answers."""
        assert self._process is not None
        statuses, _ = self._process.communicate(timeout=60)
        self.statuses.update(json.loads(statuses))


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--send", type=int, metavar="PORT", help="send hostile reviews to this port")
    options = parser.parse_args()
    if options.send:
        send(options.send)
        return 0
    server = webhook.Server("webhook")
    flood = Flood(server.port)
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
