"""``mcp-operator check``: validates manifests offline, or together with a cluster, with the webhook's rules.

Exit codes: 0 no new finding at or above ``fail_on``; 1 at least one; 2 nothing could be validated.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from cli.changes import servers, steps
from cli.check import exemptions, report
from cli.check.formats import github, json_report, junit, sarif, text
from cli.commands import error_pages, files, imports, revisions
from cli.imports import drift
from cli.imports.description import UnusableError
from cli.manifests import acceptance, transaction, validation
from cli.manifests.entries import Subject, make_entry
from crd.finding import Level, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import BinaryIO, TextIO

    from cli.changes.servers import ServerChange
    from cli.check.report import Format, Identity, Report
    from cli.manifests.transaction import Transaction
    from crd.finding import Finding
    from crd.ref import Ref

__all__ = ["Options", "add_faults_of_metadata", "build_report", "run"]


class UnableError(Exception):
    """Nothing can be validated; the message gives the cause."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command.

    ``folder`` is the working directory, ``version`` that of the command. ``since`` is a folder or a revision of Git;
    Git runs with PATH and HOME of ``environment``. ``today`` decides which exceptions have expired.
    """

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
    exclude: tuple[str, ...] = ()
    namespace: str = "default"
    openapi: Path | None = None
    since: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    today: date = date.min


def run(options: Options, *, stdin: BinaryIO, out: TextIO, err: TextIO) -> int:
    """Print the report and return the exit code."""
    try:
        known = _read_baseline(options.baseline)
        reading = files.read(options.paths, stdin, options.exclude)
        sorted_ = transaction.sort_documents(reading.documents, reading.faults, options.namespace)
        if not sorted_.objects and not sorted_.entries:
            message = f"no {' or '.join(transaction.JUDGED)} in {', '.join(options.paths)}"
            if not reading.in_folders:
                raise UnableError(message)  # noqa: TRY301 -- one way out
            # The repository of an application may hold none. A folder without any such file is a mistake.
            print(f"mcp-operator check: {text.escape(message)}", file=err)
        verdict = _validate(options, sorted_)
        changes: tuple[ServerChange, ...] = ()
        if options.since is not None:
            former = revisions.read(options.since, options.paths, options.exclude, options.environment)
            before = transaction.sort_documents(former.documents, (), options.namespace)
            taken = steps.findings(steps.steps(before, sorted_), verdict)
            verdict = Verdict.of((*verdict, *taken))
            changes = servers.compare(before, sorted_)
    except (UnableError, files.UnreadableError, revisions.NoRevisionError) as error:
        print(f"mcp-operator check: {text.escape(str(error))}", file=err)
        return 2
    found = replace(build_report(sorted_, verdict, reading.files, known), changes=changes)
    found = exemptions.apply(found, sorted_, options.today)
    out.write(_render(options, found))
    return 1 if found.fails(options.fail_on) else 0


def _validate(options: Options, sorted_: Transaction) -> Verdict:
    cluster: validation.ClusterState | None = None
    if options.live:
        from cli.commands import live  # the Kubernetes library loads slowly: only --live waits for it

        try:
            found = asyncio.run(live.read_and_dry_run(options.context, options.kubeconfig, sorted_))
        except live.UnreachableError as error:
            raise UnableError(str(error)) from error
        cluster, rejections, lacking = found
        known = Verdict.of((*validation.validate_with_cluster(sorted_, cluster), *lacking))
        verdict = validation.add_rejections(known, rejections)
    else:
        verdict = validation.validate_alone(sorted_)
    further = (*validation.find_advice(sorted_, cluster), *_find_drift(options, sorted_))
    verdict = Verdict.of((*add_faults_of_metadata(sorted_, verdict), *further))
    return validation.make_references_strict(verdict) if options.strict_refs else verdict


def add_faults_of_metadata(
    sorted_: Transaction,
    verdict: Verdict,
    find: Callable[[Ref, Mapping[str, Any]], Iterable[Finding]] = acceptance.find_faults,
) -> Verdict:
    """The verdict, and what the API server would refuse in the metadata of any object.

    ``find`` may remember what `acceptance.find_faults` returned.
    """
    refused = (finding for item in sorted_.objects for finding in find(item.ref, sorted_.origins[item.ref].raw))
    return Verdict.of((*verdict, *refused))


def _find_drift(options: Options, sorted_: Transaction) -> tuple[Finding, ...]:
    """What tools send that the API of ``--openapi`` no longer has."""
    if options.openapi is None:
        return ()
    try:
        api = imports.read_description(str(options.openapi))
        return (*drift.find_drift(sorted_.objects, api),)
    except (imports.UnreadableError, UnusableError) as error:
        raise UnableError(str(error)) from error


def build_report(sorted_: Transaction, verdict: Verdict, count: int, known: frozenset[Identity] | None) -> Report:
    """The findings with their places. ``known`` are those of the baseline."""
    entries = [
        make_entry(finding, sorted_.locate(finding.ref, finding.path), map(sorted_.locate, finding.related))
        for finding in verdict
    ]
    objects = [(Subject.of(item.ref), transaction.locate(sorted_.origins[item.ref], ())) for item in sorted_.objects]
    return report.Report.of([*sorted_.entries, *entries], objects, count, known)


def _read_baseline(path: Path | None) -> frozenset[Identity] | None:
    if path is None:
        return None
    try:
        return json_report.read_baseline(path.read_text())
    except OSError as error:
        raise UnableError(f"cannot read the baseline {path}: {error.strerror}") from error
    except ValueError as error:
        raise UnableError(f"cannot use the baseline {path}: {error}") from error


def _render(options: Options, found: Report) -> str:
    match options.format:
        case "text":
            return text.render(found, quiet=options.quiet, colour=options.colour)
        case "json":
            return json_report.render(found)
        case "sarif":
            return sarif.render(found, version=options.version, pages=error_pages.read_all())
        case "junit":
            return junit.render(found)
        case "github":
            return github.render(found, folder=options.folder, quiet=options.quiet)
