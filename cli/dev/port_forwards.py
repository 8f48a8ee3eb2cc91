"""Services of a cluster by ``kubectl port-forward``, one process for each port that is called."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

from runtime.backends import faults

if TYPE_CHECKING:
    from crd.ref import Ref

__all__ = ["PortForwards"]

# Seconds until a forwarded port must be there.
PATIENCE = 10.0
MAX_FORWARDS = 50
_FORWARDING = re.compile(rb"Forwarding from 127\.0\.0\.1:([0-9]+) ->")


class PortForwards:
    """``command`` is kubectl, with the options that choose the cluster."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._processes: dict[tuple[Ref, int], tuple[asyncio.subprocess.Process, int]] = {}
        self._lock = asyncio.Lock()

    async def port(self, service: Ref, port: int) -> int:
        """The port of this machine that leads to a port of a Service. Raises CallError ``unreachable``."""
        async with self._lock:
            known = self._processes.get((service, port))
            if known is not None and known[0].returncode is None:
                return known[1]
            if len(self._processes) >= MAX_FORWARDS:
                raise faults.unreachable(f"more than {MAX_FORWARDS} ports are forwarded")
            words = ("port-forward", "--address", "127.0.0.1", "-n", service.namespace)
            try:
                process = await asyncio.create_subprocess_exec(
                    *self._command, *words, f"service/{service.name}", f":{port}",
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
            except OSError as error:
                raise faults.unreachable(f"{self._command[0]} cannot be started: {error.strerror}") from error
            local = await self._read_port(process)
            if local is None:
                said = b""
                if process.stderr is not None:
                    with contextlib.suppress(TimeoutError):
                        said = await asyncio.wait_for(process.stderr.read(500), 1.0)
                await _end(process)
                reason = " ".join(said.decode("utf-8", "replace").split()) or "it forwards no port"
                raise faults.unreachable(f"kubectl port-forward {service.key} {port}: {reason}")
            self._processes[service, port] = (process, local)
            return local

    async def _read_port(self, process: asyncio.subprocess.Process) -> int | None:
        if process.stdout is None:
            return None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        except (TimeoutError, ValueError):
            return None
        found = _FORWARDING.match(line)
        return int(found[1]) if found else None

    async def close(self) -> None:
        """End all processes."""
        for process, _ in self._processes.values():
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 2.0)
        except TimeoutError:
            process.kill()
