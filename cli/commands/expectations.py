"""``mcp-operator test``: users' own expectations: the verdict on a change, and the request of a call.

Exit codes: 0 all cases passed; 1 a case failed; 2 there is no case, or a file cannot be used.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.check.formats import text
from cli.commands import explain, files
from cli.commands.contents import Contents, RefusedError
from cli.expectations import cases, outcomes, rendering
from cli.expectations.cases import Call, FormatError
from cli.expectations.rendering import Outcome
from cli.explain.rehearsal import rehearse
from cli.manifests import compilations, transaction, yaml_nodes
from cli.manifests.nodes import Node
from runtime.backends.faults import CallError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from cli.expectations.cases import Suite
    from cli.expectations.rendering import Format
    from cli.manifests.transaction import Transaction

__all__ = ["SUFFIX", "Options", "run"]

SUFFIX = ".test.yaml"


class UnableError(Exception):
    """No case can be run; the message gives the cause."""


@dataclass(frozen=True, slots=True)
class Options:
    """``paths`` are files of cases, or folders with files whose names end with `SUFFIX`."""

    paths: tuple[str, ...]
    format: Format = "text"
    namespace: str = "default"


def run(options: Options, *, out: TextIO, err: TextIO) -> int:
    """Run all cases, print the report and return the exit code."""
    try:
        found = [outcome for file in _expand(options.paths) for outcome in _run_file(file, options)]
        if not found:
            raise UnableError(f"no file *{SUFFIX} in {', '.join(options.paths)}")  # noqa: TRY301 -- one way out
    except (UnableError, files.UnreadableError) as error:
        print(f"mcp-operator test: {text.escape(str(error))}", file=err)
        return 2
    out.write(rendering.render_text(found) if options.format == "text" else rendering.render_junit(found))
    return 1 if any(outcome.faults for outcome in found) else 0


def _expand(paths: tuple[str, ...]) -> Iterator[Path]:
    """The files of cases, in the order of their names; hidden folders are left out."""
    for name in paths:
        path = Path(name)
        if not path.is_dir():
            yield path
            continue
        for count, (folder, below, names) in enumerate(os.walk(path)):
            if count == files.MAX_FILES:
                raise UnableError(f"more than {files.MAX_FILES} folders in {path}; name a part of it")
            below[:] = sorted(each for each in below if not each.startswith(".") and each != files.SKIPPED)
            yield from (Path(folder) / each for each in sorted(names) if each.endswith(SUFFIX))


def _run_file(path: Path, options: Options) -> Iterator[Outcome]:
    try:
        data = Contents().read(path, named=True) or b""
        nodes = yaml_nodes.compose(data.decode())
    except (RefusedError, UnicodeDecodeError) as error:
        raise UnableError(f"{path}: {error}") from error
    if len(nodes) != 1 or not isinstance(nodes[0], Node):
        raise UnableError(f"{path} must be one YAML document with files and tests")
    node = nodes[0]
    try:
        suite = cases.read(node.value)
    except FormatError as error:
        raise UnableError(f"{path}: {error}") from error
    source = data.decode()
    state = _read_manifests(path, suite, options)
    for case in suite.cases:
        line = source.count("\n", 0, node.locate(case.path)) + 1
        if isinstance(case.expected, Call):
            faults = tuple(_call(case.expected, state, suite.files))
        else:
            snapshot = compilations.snapshot_of(state.objects, state.facts)
            faults = tuple(outcomes.changes(case.expected, state, snapshot))
        yield Outcome(case.name, str(path), line, faults)


def _read_manifests(path: Path, suite: Suite, options: Options) -> Transaction:
    reading = files.read([str(path.parent / name) for name in suite.files], io.BytesIO())
    state = transaction.sort_documents(reading.documents, reading.faults, options.namespace)
    if not state.objects:
        raise UnableError(f"{path}: no {' or '.join(transaction.JUDGED)} in {', '.join(suite.files) or 'files'}")
    return state


def _call(case: Call, state: Transaction, paths: tuple[str, ...]) -> Iterator[str]:
    wanted = explain.Options(case.tool, paths=paths)
    try:
        found = explain.find(state, wanted)
    except explain.UnableError as error:
        yield str(error)
        return
    spec = state.origins[found.item.ref].raw.get("spec") or {}
    arguments = json.loads(json.dumps(dict(case.arguments), default=str))  # YAML has dates, JSON has none
    try:
        explained = asyncio.run(rehearse(found.compiled, found.tool, arguments, case.claims, spec))
    except CallError as fault:
        yield from outcomes.refusal(case, fault.message)
    else:
        yield from outcomes.request(case, explained)
