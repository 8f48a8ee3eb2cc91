"""PURE. A report as SARIF 2.1.0 (OASIS), which code hosts show at the lines of a change."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli.check.formats import text
from cli.check.report import identify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.check.report import Report
    from cli.manifests.entries import Entry, Place, Related
    from crd.finding import Reason

__all__ = ["render"]

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
PAGES = "https://git.example.com/platform/mcp-operator/blob/v{version}/docs/errors/{reason}.md"
FINGERPRINT = "mcpOperatorFinding/v1"


def render(report: Report, *, version: str, pages: Mapping[str, str]) -> str:
    """A log with one run. ``pages`` are the texts of docs/errors by reason; each rule contains its page."""
    reasons = sorted({found.reason for found in report.entries})
    rules = [_rule(reason, version, pages) for reason in reasons]
    driver = {"name": "mcp-operator", "version": version, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "invocations": [{"executionSuccessful": True}],
        "results": [_result(found, reasons.index(found.reason), report) for found in report.entries],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return text.escape_json(json.dumps(log, indent=2, ensure_ascii=False)) + "\n"


def _rule(reason: Reason, version: str, pages: Mapping[str, str]) -> dict[str, Any]:
    page = pages.get(reason)
    rule: dict[str, Any] = {
        "id": reason.value,
        "name": reason.value,
        "defaultConfiguration": {"level": reason.level.value},
        "helpUri": PAGES.format(version=version, reason=reason.value),
    }
    if page is not None:
        _, _, rest = page.partition("\n\n")
        summary = " ".join(rest.partition("\n\n")[0].split())
        rule |= {"shortDescription": {"text": summary}, "help": {"text": page, "markdown": page}}
    return rule


def _result(found: Entry, rule: int, report: Report) -> dict[str, Any]:
    digest = hashlib.sha256("\0".join(identify(found)).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    path = f"{found.path}: " if found.path else ""
    result: dict[str, Any] = {
        "ruleId": found.reason.value,
        "ruleIndex": rule,
        "level": found.level.value,
        "message": {"text": f"{path}{found.message}"},
        "locations": [_location(found)],
        "partialFingerprints": {FINGERPRINT: digest},
    }
    if found.related:
        result["relatedLocations"] = [_related(index, other) for index, other in enumerate(found.related, 1)]
    if report.compared:
        result["baselineState"] = "unchanged" if found.known else "new"
    return result


def _location(found: Entry) -> dict[str, Any]:
    location: dict[str, Any] = {}
    if found.place is not None:
        location["physicalLocation"] = _physical(found.place)
    if found.subject.kind:
        name = f"{found.subject}/{found.path}" if found.path else str(found.subject)
        location["logicalLocations"] = [
            {"name": found.subject.name, "fullyQualifiedName": name, "kind": "resource"},
        ]
    return location


def _related(index: int, other: Related) -> dict[str, Any]:
    location: dict[str, Any] = {"id": index, "message": {"text": str(other.subject)}}
    if other.place is not None:
        location["physicalLocation"] = _physical(other.place)
    logical = {"name": other.subject.name, "fullyQualifiedName": str(other.subject), "kind": "resource"}
    return {**location, "logicalLocations": [logical]}


def _physical(place: Place) -> dict[str, Any]:
    absolute = place.file.startswith("/")
    artifact = {"uri": f"file://{_quote(place.file)}"} if absolute else _relative(place.file)
    return {"artifactLocation": artifact, "region": {"startLine": place.line, "startColumn": place.column}}


def _relative(file: str) -> dict[str, str]:
    return {"uri": _quote(file.removeprefix("./")), "uriBaseId": "%SRCROOT%"}


def _quote(file: str) -> str:
    """The path of a URI (RFC 3986); a name that is not UTF-8 has its bytes as surrogates."""
    return quote(file.encode("utf-8", "surrogateescape"))
