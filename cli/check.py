"""Judge the files as the webhook would, all together, with no cluster. 0: clean. 1: errors. 2: nothing to judge."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from crd import defaults, footprint, integrity, manifest
from crd.catalog import Catalog
from crd.finding import Level, Reason, Verdict
from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TextIO

    from crd.manifest import Object

__all__ = ["run"]

SUFFIXES = (".yaml", ".yml", ".json")


class UnreadableError(Exception):
    """A path that cannot be judged; the message names it and says why."""


def run(paths: Sequence[str], *, strict: bool, out: TextIO, err: TextIO) -> int:
    """Print the findings, a line each, and a summary line."""
    try:
        documents = [document for path in paths for document in _documents(path)]
    except UnreadableError as error:
        print(f"mcp-operator check: {error}", file=err)
        return 2
    objects, services = _sorted(documents)
    if not objects:
        print(f"mcp-operator check: no MCPServer, MCPTool, MCPPrompt or MCPResource in {', '.join(paths)}", file=err)
        return 2
    where = {item.ref: source for item, source in objects}
    catalog = Catalog.of(footprint.service_fact(raw) for raw in services)
    verdict = integrity.survey(catalog, (item for item, _ in objects))
    if strict:
        verdict = _strict(verdict)
    for finding in verdict:
        print(f"{where.get(finding.ref, '-')}: {finding.level.value}: {finding.ref}: {finding}", file=out)
    errors, warnings = len(verdict.errors), len(verdict.warnings)
    print(f"{len(objects)} objects: {errors} errors, {warnings} warnings", file=out)
    return 1 if errors else 0


def _strict(verdict: Verdict) -> Verdict:
    """A missing Service becomes an error: the files are all there will be."""
    absent = Reason.SERVICE_MISSING
    return Verdict.of(replace(f, level=Level.ERROR) if f.reason is absent else f for f in verdict)


def _sorted(documents: Iterable[tuple[str, Any]]) -> tuple[list[tuple[Object, str]], list[dict[str, Any]]]:
    objects: list[tuple[Object, str]] = []
    services: list[dict[str, Any]] = []
    for source, raw in documents:
        kind = manifest.kind_of(raw) if isinstance(raw, dict) else None
        if kind is Kind.SERVICE:
            services.append(raw)
        elif kind is not None:
            objects.append((manifest.decode(defaults.defaulted(raw)), source))
    return objects, services


def _documents(path: str) -> Iterator[tuple[str, Any]]:
    if path == "-":
        yield from _parsed("-", sys.stdin.read())
        return
    root = Path(path)
    if not root.exists():
        raise UnreadableError(f"{path} does not exist")
    files = sorted(p for p in root.rglob("*") if p.suffix in SUFFIXES) if root.is_dir() else [root]
    for file in files:
        yield from _parsed(str(file), file.read_text())


def _parsed(source: str, text: str) -> Iterator[tuple[str, Any]]:
    try:
        for document in yaml.load_all(text, Loader=_TextDates):
            if isinstance(document, dict) and document.get("kind") == "List":
                yield from ((source, item) for item in document.get("items") or ())
            else:
                yield source, document
    except yaml.YAMLError as error:
        raise UnreadableError(f"{source} is not YAML: {' '.join(str(error).split())}") from error


class _TextDates(yaml.SafeLoader):
    """YAML 1.1 reads 2026-01-31 as a date; Kubernetes reads it as text."""


_TextDates.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
