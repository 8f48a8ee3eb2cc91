"""Judge manifests as the webhook would, all together, with no cluster or beside the objects of one.

Exit codes: 0 clean, or only what is let pass; 1 findings; 2 nothing could be judged.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.check import report
from cli.check.formats import github, json_report, junit, sarif, text
from cli.commands import documents, pages
from cli.manifests import judgement, transaction
from crd.finding import Level

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO, TextIO

    from cli.check.report import Format, Identity, Report
    from cli.manifests.transaction import Transaction
    from crd.finding import Verdict

__all__ = ["Options", "run"]


class UnableError(Exception):
    """Why nothing can be judged, in a sentence."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked. ``folder`` is the working directory, ``version`` the command's own."""

    paths: tuple[str, ...]
    format: Format = "text"
    strict_refs: bool = False
    fail_on: Level = Level.ERROR
    baseline: Path | None = None
    live: bool = False
    context: str | None = None
    kubeconfig: Path | None = None
    quiet: bool = False
    colour: bool = False
    folder: str = ""
    version: str = "0"


def run(options: Options, *, stdin: BinaryIO, out: TextIO, err: TextIO) -> int:
    """Print the report. 0: clean, or only what is let pass. 1: findings. 2: nothing could be judged."""
    try:
        known = _baseline(options.baseline)
        reading = documents.read(options.paths, stdin)
        sorted_ = transaction.sort(reading.documents, reading.faults)
        if not sorted_.objects and not sorted_.entries:
            kinds = " or ".join(transaction.JUDGED)
            raise UnableError(f"no {kinds} in {', '.join(options.paths)}")  # noqa: TRY301 -- one way out
        verdict = _verdict(options, sorted_)
    except (UnableError, documents.UnreadableError) as error:
        print(f"mcp-operator check: {error}", file=err)
        return 2
    found = _report(sorted_, verdict, reading.files, known)
    out.write(_rendered(options, found))
    return 1 if found.fails(options.fail_on) else 0


def _verdict(options: Options, sorted_: Transaction) -> Verdict:
    verdict = _beside_cluster(options, sorted_) if options.live else judgement.alone(sorted_)
    return judgement.strict(verdict) if options.strict_refs else verdict


def _beside_cluster(options: Options, sorted_: Transaction) -> Verdict:
    from cli.commands import live  # what talks to clusters takes longer to load than a thousand files to judge

    try:
        cluster, refusals = asyncio.run(live.look(options.context, options.kubeconfig, sorted_))
    except live.UnreachableError as error:
        raise UnableError(str(error)) from error
    return judgement.refused(refusals, judgement.beside(sorted_, cluster))


def _report(sorted_: Transaction, verdict: Verdict, files: int, known: frozenset[Identity] | None) -> Report:
    entries = [
        report.entry(finding, sorted_.place(finding.ref, finding.path), map(sorted_.place, finding.related))
        for finding in verdict
    ]
    objects = [
        (report.Subject.of(item.ref), transaction.place_of(sorted_.origins[item.ref], ())) for item in sorted_.objects
    ]
    return report.Report.of([*sorted_.entries, *entries], objects, files, known)


def _baseline(path: Path | None) -> frozenset[Identity] | None:
    if path is None:
        return None
    try:
        return json_report.baseline(path.read_text())
    except OSError as error:
        raise UnableError(f"the baseline {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UnableError(f"the baseline {path} cannot be used: {error}") from error


def _rendered(options: Options, found: Report) -> str:
    match options.format:
        case "text":
            return text.render(found, quiet=options.quiet, colour=options.colour)
        case "json":
            return json_report.render(found)
        case "sarif":
            return sarif.render(found, version=options.version, pages=pages.texts())
        case "junit":
            return junit.render(found)
        case "github":
            return github.render(found, folder=options.folder, quiet=options.quiet)
