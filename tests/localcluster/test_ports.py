"""Ports for programs: no two processes get the same one, and none that is in use."""

from __future__ import annotations

import socket
import subprocess
import sys
from itertools import cycle

import pytest

from scripts.localcluster import paths, ports

PROGRAM = """
from scripts.localcluster.ports import free_port
print(*(free_port() for _ in range(300)), flush=True)
input()
"""


def block(port: int) -> int:
    return port // ports.BLOCKS.step


def test_processes_that_run_at_the_same_time_get_no_port_twice() -> None:
    mine = {ports.free_port() for _ in range(300)}
    others = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=paths.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        found = [mine]
        for other in others:
            assert other.stdout is not None
            found.append(set(map(int, other.stdout.readline().split())))
    finally:
        for other in others:
            other.communicate("\n")

    assert [len({block(port) for port in each}) for each in found] == [1, 1, 1]
    assert len({block(port) for each in found for port in each}) == 3


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "0.0.0.0"])
def test_a_port_on_which_something_listens_is_not_free(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    taken, free = ports.free_port(), ports.free_port()
    monkeypatch.setattr(ports, "_own_block", lambda: cycle([taken, free]))

    with socket.create_server((address, taken)):
        assert [ports.free_port(), ports.free_port()] == [free, free]


def test_a_block_without_a_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = ports.free_port()
    monkeypatch.setattr(ports, "_own_block", lambda: cycle([taken]))

    with socket.create_server(("127.0.0.1", taken)), pytest.raises(RuntimeError, match="no port of the block"):
        ports.free_port()


def test_a_block_that_is_held_is_left_to_its_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    first = block(ports.free_port()) * ports.BLOCKS.step
    monkeypatch.setattr(ports, "_HELD", [])
    monkeypatch.setattr(ports, "_own_block", ports._own_block.__wrapped__)
    monkeypatch.setattr(ports, "BLOCKS", range(first, ports.BLOCKS.stop, ports.BLOCKS.step))
    assert ports.free_port() > first + ports.BLOCKS.step

    monkeypatch.setattr(ports, "BLOCKS", range(first, first + 1, ports.BLOCKS.step))
    with pytest.raises(RuntimeError, match="hold all blocks"):
        ports.free_port()
