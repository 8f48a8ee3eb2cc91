"""``mcp-operator dev``: serves the MCPServers of files on this machine, and a page to try them, without a cluster.

Exit codes: 0 ended by a signal; 2 nothing to serve, or the port is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import secrets
import signal
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.check.formats import text
from cli.check.report import format_count
from cli.commands import check, files
from cli.dev import plan as planning
from cli.dev import secret_values, targets, view
from cli.dev.call_log import CallLog
from cli.dev.memo import Memo
from cli.dev.port_forwards import PortForwards
from cli.dev.router import HEADERS, Access, Router
from cli.dev.secret_values import Redaction
from cli.dev.servers import Servers
from cli.explain.rehearsal import rehearse
from cli.manifests import acceptance, compilations, documents, transaction, validation
from cluster.connections import Connections, Deadlines
from cluster.listener import Listener
from crd import integrity
from crd.facts import NameFact
from crd.ref import Kind, Ref
from runtime.backends.faults import CallError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TextIO

    from cli.dev.plan import Plan
    from cli.dev.secret_values import Item
    from cli.manifests.documents import Document, Fault
    from cli.manifests.entries import Entry
    from cli.manifests.transaction import Transaction
    from cli.manifests.yaml_nodes import Nodes
    from crd.finding import Finding
    from crd.manifest import Object

__all__ = ["Options", "Workspace", "run", "serve"]

# Seconds between two looks at the files.
POLL = 0.1
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class UnableError(Exception):
    """The port cannot be listened on; the message says why."""


@dataclass(frozen=True, slots=True)
class Options:
    """``services`` are URLs by Service. ``environment`` may hold values of Secrets. ``kubectl`` is a command if
    Services are reached by port-forward. ``token`` is that of the run; a new one if empty.
    """

    paths: tuple[str, ...]
    port: int = 8080
    host: str = "127.0.0.1"
    services: Mapping[Ref, str] = field(default_factory=dict)
    secret_files: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    kubectl: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    open_to_all: bool = False
    exclude: tuple[str, ...] = ()
    namespace: str = "default"
    token: str = ""


def run(options: Options, *, out: TextIO, err: TextIO) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit code."""

    async def run_until_signal() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(options, stop, out=out, err=err)

    try:
        asyncio.run(run_until_signal())
    except files.UnreadableError as error:
        print(f"mcp-operator dev: {text.escape(str(error))}", file=err)
        return 2
    except UnableError as error:
        print(f"mcp-operator dev: {error}", file=err)
        return 2
    return 0


async def serve(options: Options, stop: asyncio.Event, *, out: TextIO, err: TextIO) -> None:
    """Serve until ``stop`` is set. Raises UnreadableError, and UnableError."""
    with tempfile.TemporaryDirectory(prefix="mcp-operator-dev-") as folder:
        forwards = PortForwards(options.kubectl) if options.kubectl else None
        workspace = Workspace(options, Path(folder), out=out, forwards=forwards)
        stamps = _stamps(options)
        await workspace.reload()
        is_local = options.host in _LOOPBACK
        token = options.token or secrets.token_urlsafe(24)
        access = Access(token, tuple(name.lower() for name in options.hosts), options.origins, is_local)
        router = Router(access, workspace.servers, workspace, workspace.log)
        connections = Connections(
            router.handle,
            Deadlines(),
            now=time.time,  # noqa: TID251 -- the Date header
            added=HEADERS,
        )
        listener = Listener(connections)
        try:
            await listener.start(options.host, options.port)
        except OSError as error:
            message = f"cannot listen on {options.host}:{options.port}: {error.strerror}"
            raise UnableError(message) from error
        host = options.host if is_local else "127.0.0.1"
        base = f"http://{f'[{host}]' if ':' in host else host}:{listener.port}"
        if not is_local:
            print(
                f"warning: everybody who can reach {options.host}:{listener.port} can call with your Secrets", file=err
            )
        for server in workspace.plan.servers:
            print(
                f"{base}{planning.endpoint_path(server.ref)}  {format_count(len(server.catalog.tools), 'tool')}",
                file=out,
            )
        print(f"page: {base}/#token={token}", file=out, flush=True)
        try:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), POLL)
                    break
                with contextlib.suppress(files.UnreadableError):
                    newer = await asyncio.to_thread(_stamps, options)
                    if newer != stamps:
                        stamps = newer
                        await workspace.reload()
        finally:
            await workspace.servers.drain()
            await listener.close(0.5)
            await workspace.servers.close()
            if forwards is not None:
                await forwards.close()


def _option(service: Ref) -> str:
    return f"--service {service.key}=http://127.0.0.1:PORT"


def _stamps(options: Options) -> dict[str, tuple[int, int, int]]:
    return {**files.stamps(options.secret_files), **files.stamps(options.paths, options.exclude)}


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one reading of all files gives."""

    sorted: Transaction
    plan: Plan
    entries: tuple[Entry, ...]
    texts: Mapping[str, str]
    values: Mapping[Item, bytes]
    missing: tuple[Item, ...]
    messages: tuple[str, ...]
    gaps: tuple[str, ...]


class Workspace:
    """The files, what is served of them, and what the page shows. ``folder`` is private; Secrets are written to it."""

    def __init__(self, options: Options, folder: Path, *, out: TextIO, forwards: PortForwards | None = None) -> None:
        self._options = options
        self._folder = folder
        self._out = out
        self._forwards = forwards
        self._reading: _Reading | None = None
        self._written: dict[Path, bytes] = {}
        self._printed: tuple[str, ...] = ()
        self._memo = Memo()
        self.plan = planning.NOTHING
        self.redaction = Redaction()
        self.log = CallLog()
        self.servers = Servers(folder, self.locate)

    async def reload(self) -> None:
        """Read, check and compile the files, and serve the result. Raises UnreadableError."""
        started = time.monotonic()
        reading = await asyncio.to_thread(self._read)
        self._write(reading.values)
        self.redaction = Redaction.of(reading.values)
        self._reading, self.plan = reading, reading.plan
        await self.servers.apply(reading.plan)
        self.log.reload()
        lines = (*text.format_lines(reading.entries), *reading.messages, *reading.gaps)
        if lines != self._printed:
            self._printed = lines
            for line in lines:
                print(self.redaction.text(line), file=self._out)
        if self.log.revision > 1:
            milliseconds = round((time.monotonic() - started) * 1000)
            counts = (
                format_count(len(reading.plan.servers), "server"),
                format_count(len(reading.entries), "finding"),
            )
            print(f"reloaded in {milliseconds} ms: {', '.join(counts)}", file=self._out)
        self._out.flush()

    def _read(self) -> _Reading:
        options = self._options
        self._memo.forget()
        found = files.read(options.paths, io.BytesIO(), options.exclude, self._parse)
        sorted_ = transaction.sort_documents(found.documents, found.faults, options.namespace, self._decode)
        hidden = files.read(options.secret_files, io.BytesIO())
        messages = [f"--secret-file {fault.source.name}: cannot be read as YAML or JSON" for fault in hidden.faults]
        values: dict[Item, bytes] = {}
        for document in (*found.documents, *hidden.documents):
            values |= self._values(document, messages)
        environment, doubtful = secret_values.read_environment(
            secret_values.needed_by(sorted_.objects), options.environment
        )
        values |= environment
        given = (NameFact(ref) for ref in {item.ref for item in values} - {fact.ref for fact in sorted_.facts})
        facts = targets.complete((*sorted_.facts, *given), options.services, compilations.backends_of(sorted_.objects))
        sorted_ = replace(sorted_, facts=tuple(facts))
        verdict = validation.validate_alone(sorted_, self._find_own)
        verdict = check.add_faults_of_metadata(sorted_, verdict, self._find_faults)
        entries = check.build_report(sorted_, verdict, found.files, None).entries
        plan = planning.plan(
            self.plan, sorted_, entries, origins=options.origins, open_to_all=options.open_to_all, memo=self._memo
        )
        needed = list(secret_values.needed_by(plan.objects.values()))
        missing = tuple(
            item for item in dict.fromkeys(needed)
            if item not in values and not (not item.key and any(other.ref == item.ref for other in values))
        )  # fmt: skip
        texts = {document.source.name: document.source.text for document in found.documents}
        texts |= {fault.source.name: fault.source.text for fault in found.faults}
        gaps = tuple(self._tell_gaps(sorted_, missing))
        return _Reading(sorted_, plan, entries, texts, values, missing, (*messages, *doubtful), gaps)

    def _tell_gaps(self, sorted_: Transaction, missing: tuple[Item, ...]) -> Iterator[str]:
        """What the files, the options or the environment lack for a call to work."""
        if not any(item.ref.kind is Kind.SERVER for item in sorted_.objects):
            yield "no MCPServer in the files, so nothing is served; write one, or import with --server NAME"
        if self._forwards is None:
            called = dict.fromkeys(service for service, _ in compilations.backends_of(sorted_.objects))
            for service in sorted(called.keys() - self._options.services.keys()):
                yield f"no address for Service {service.key}, so calls to it fail; start with {_option(service)}"
        for item in missing:
            key = f" key {item.key}" if item.key else ""
            variable = secret_values.environment_name(item) + ("" if item.key else "<CLIENT>")
            yield f"no value for {item.ref}{key}, so calls that need it fail; set {variable}, or use --secret-file"

    def _parse(self, name: str, data: bytes, *, found: bool = False) -> tuple[Document | Fault, ...]:
        """See `cli.manifests.documents.parse`."""
        parts: list[str] = []

        def remember(part: str, make: Callable[[], Nodes]) -> Nodes:
            parts.append(part)
            return self._memo.get(("part", part), None, make)

        def parse() -> tuple[tuple[Document | Fault, ...], tuple[str, ...]]:
            return tuple(documents.parse(name, data, found=found, remember=remember)), tuple(parts)

        made, used = self._memo.get((name, found), data, parse)
        for part in used:
            self._memo.keep(("part", part))
        return made

    def _decode(self, document: Document, raw: Mapping[str, Any]) -> Object:
        """See `cli.manifests.transaction.decode`."""
        # A saved file is parsed as a whole, but most of its objects are as they were.
        metadata = raw["metadata"]
        key = (document.source.name, raw.get("kind"), metadata.get("namespace"), metadata["name"])
        return self._memo.get(key, document.raw, lambda: transaction.decode(document, raw))

    def _find_own(self, item: Object) -> tuple[Finding, ...]:
        """See `crd.integrity.find_own`."""
        return self._memo.get(("own", id(item)), item, lambda: tuple(integrity.find_own(item)))

    def _find_faults(self, ref: Ref, raw: Mapping[str, Any]) -> tuple[Finding, ...]:
        """See `cli.manifests.acceptance.find_faults`."""
        return self._memo.get(("metadata", ref), raw, lambda: tuple(acceptance.find_faults(ref, raw)))

    def _values(self, document: Document, messages: list[str]) -> dict[Item, bytes]:
        raw = document.raw
        if (raw["apiVersion"], raw["kind"]) not in (("v1", Kind.SECRET.value), ("v1", Kind.CONFIG_MAP.value)):
            return {}
        try:
            return dict(secret_values.items_of(raw, self._options.namespace))
        except (ValueError, AttributeError) as error:
            said = str(error) if isinstance(error, ValueError) else "data must be an object"
            messages.append(f"{document.source.name}: {said}")
            return {}

    def _write(self, values: Mapping[Item, bytes]) -> None:
        """Write the values as the kubelet mounts them, for the runtime: only what changed."""
        wanted = {
            self._folder / item.ref.namespace / item.ref.kind.value / item.ref.name / item.key: value
            for item, value in values.items()
        }
        for path in self._written.keys() - wanted.keys():
            path.unlink(missing_ok=True)
        for path, value in wanted.items():
            if self._written.get(path) != value:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.write_bytes(value)
        self._written = wanted

    async def locate(self, service: Ref, port: int) -> str:
        """The URL on this machine for a Service. Raises CallError ``unreachable``."""
        url = self._options.services.get(service)
        if url is not None:
            return url
        if self._forwards is not None:
            return f"http://127.0.0.1:{await self._forwards.port(service, port)}"
        message = f"no address is given for Service {service.key}; start with {_option(service)}"
        raise CallError("unreachable", message)

    def describe(self) -> dict[str, Any]:
        """See `cli.dev.router.State`."""
        reading = self._reading
        if reading is None:
            return {}
        called = dict.fromkeys(service for service, _ in compilations.backends_of(self.plan.objects.values()))
        services = [{"name": ref.key, "url": self._options.services.get(ref)} for ref in sorted(called)]
        return {
            "servers": view.describe_servers(self.plan),
            "findings": view.describe_findings(reading.entries, reading.texts, str(Path.cwd())),
            "services": [{**each, "isForwarded": self._forwards is not None} for each in services],
            "missing": [
                {"kind": item.ref.kind.value, "name": item.ref.key, "key": item.key,
                 "variable": secret_values.environment_name(item)}
                for item in reading.missing
            ],
            "messages": list(reading.messages),
        }  # fmt: skip

    async def explain(self, server: str, tool: str, arguments: Mapping[str, Any], claims: Mapping[str, Any]) -> Any:
        """See `cli.dev.router.State`."""
        found = self.servers.get(server)
        compiled = found.store.compiled if found else None
        if compiled is None or tool not in compiled.tools:
            raise LookupError(f'{server} does not serve a tool "{tool}"')
        entry = compiled.tools[tool]
        namespace, _, name = entry.source.partition("/")
        spec = self.plan.objects[Ref(Kind.TOOL, namespace, name)].raw
        explained = await rehearse(compiled, entry, arguments, claims, spec.get("spec") or {})
        return explained.to_json()
