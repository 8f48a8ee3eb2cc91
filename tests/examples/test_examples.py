"""The examples without a cluster: what is valid is, and what is not is refused for the reason in its file name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from crd import defaults, footprint, integrity, manifest, openapi
from crd.catalog import Catalog
from crd.finding import Finding, Level, Reason
from crd.integrity import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.manifest import Object
    from crd.ref import Kind

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "manifests" / "examples"
STATUS_ONLY = {Reason.NAME_CONFLICT}
"""Reasons that no request is refused or warned for: nothing to apply could show them."""


def files(folder: str) -> list[Path]:
    return sorted((EXAMPLES / folder).glob("*.yaml"))


def documents(file: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(file.read_text()) if document]


def objects(file: Path) -> list[Object]:
    return [manifest.decode(defaults.defaulted(d)) for d in documents(file) if manifest.kind_of(d) in openapi.KINDS]


def backends() -> Catalog:
    """The Services of the backend, in the namespace that its kustomization puts them in."""
    namespace = yaml.safe_load((EXAMPLES / "backend" / "kustomization.yaml").read_text())["namespace"]
    (service,) = documents(EXAMPLES / "backend" / "service.yaml")
    return Catalog.of(
        [footprint.service_fact({**service, "metadata": {**service["metadata"], "namespace": namespace}})]
    )


VALID = [item for file in files("valid") for item in objects(file)]
STANDING = {item.ref: item for item in VALID}


def catalog() -> Catalog:
    result = backends()
    for item in VALID:
        assert item.fact is not None
        result = result.put(item.fact)
    return result


def verdict(file: Path) -> list[Finding]:
    """What each object of a file breaks where the valid examples stand."""
    there = catalog()
    changes = [Change(item.ref, STANDING.get(item.ref), item) for item in objects(file)]
    return [finding for change in changes for finding in integrity.judge(there, change)]


def test_the_valid_examples_stand_together_without_a_finding() -> None:
    assert [str(finding) for finding in integrity.survey(backends(), VALID)] == []


@pytest.mark.parametrize("file", files("invalid"), ids=lambda file: file.stem)
def test_an_invalid_example_is_refused_for_the_reason_in_its_name(file: Path) -> None:
    reasons = {finding.reason for finding in verdict(file) if finding.level is Level.ERROR}
    assert reasons == {Reason(file.stem.partition("--")[0])}


@pytest.mark.parametrize("file", files("warnings"), ids=lambda file: file.stem)
def test_a_doubtful_example_only_warns(file: Path) -> None:
    found = {(finding.reason, finding.level) for finding in verdict(file)}
    assert found == {(Reason(file.stem.partition("--")[0]), Level.WARNING)}


@pytest.mark.parametrize("file", [*files("invalid"), *files("warnings")], ids=lambda file: file.stem)
def test_an_example_says_first_what_is_wrong_with_it(file: Path) -> None:
    assert file.read_text().startswith("# ")


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in STATUS_ONLY])
def test_every_reason_has_an_example(reason: Reason) -> None:
    folder = "invalid" if reason.level is Level.ERROR else "warnings"
    assert [file for file in files(folder) if file.stem.startswith(f"{reason}--")]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_page(reason: Reason) -> None:
    page = (ROOT / "docs" / "errors" / f"{reason}.md").read_text()
    assert page.startswith(f"# {reason}\n")
    assert len(page.splitlines()) <= 40
    for part in ("**Why.**", "**Repair.**", "```yaml"):
        assert part in page
    assert f"({reason}.md)" in (ROOT / "docs" / "errors" / "README.md").read_text()


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in STATUS_ONLY])
def test_a_page_shows_a_message_as_an_example_gets_it(reason: Reason) -> None:
    page = (ROOT / "docs" / "errors" / f"{reason}.md").read_text()
    shown = page.partition("```text\n")[2].partition("\n```")[0]
    folder = "invalid" if reason.level is Level.ERROR else "warnings"
    given = [str(f) for file in files(folder) if file.stem.startswith(f"{reason}--") for f in verdict(file)]
    assert shown in given


def test_every_page_has_a_reason() -> None:
    pages = {page.stem for page in (ROOT / "docs" / "errors").glob("*.md")} - {"README"}
    assert pages == {reason.value for reason in Reason}


def fields(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from fields(child, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], path)


def used(node: Any, path: str) -> Iterator[str]:
    if isinstance(node, dict):
        for name, child in node.items():
            yield f"{path}.{name}"
            yield from used(child, f"{path}.{name}")
    elif isinstance(node, list):
        for child in node:
            yield from used(child, path)


@pytest.mark.parametrize("kind", openapi.KINDS)
def test_every_field_of_a_spec_is_in_a_valid_example(kind: Kind) -> None:
    written = {
        path
        for file in files("valid")
        for document in documents(file)
        if document["kind"] == kind
        for path in used(document["spec"], "spec")
    }
    assert set(fields(openapi.schema(kind)["properties"]["spec"], "spec")) - written == set()
