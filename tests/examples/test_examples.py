"""The examples without a cluster: valid ones have no errors, invalid ones have the reason in their file name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cli import __main__ as command
from crd import integrity, manifest
from crd.finding import Level, Reason
from crd.models import openapi
from crd.ref import Kind
from tests.examples import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEANT = {
    ("MCPServer shop/storefront", Reason.PUBLIC_WITHOUT_AUTH),  # customers have no accounts, and are welcome
    ("MCPServer shop/storefront", Reason.SECRET_MISSING),  # a certificate comes from whoever owns the host
}
"""Expected warnings of valid examples."""

NEVER = {
    Kind.RESOURCE: {"spec.http.body", "spec.http.pagination"},  # a resource is read by GET, and whole
}
"""Fields that the schema shares with another kind and that a rule rejects."""


def test_the_valid_examples_together_have_no_errors() -> None:
    found = integrity.survey(corpus.background(), corpus.valid())

    assert {(str(finding.ref), finding.reason) for finding in found} == MEANT


@pytest.mark.parametrize("folder", sorted({file.parent for file in corpus.files("valid")}), ids=lambda path: path.name)
def test_a_folder_applied_from_its_first_file_on_has_each_namespace_before_what_is_in_it(folder: Path) -> None:
    namespaces: set[str] = set()
    for file in sorted(folder.glob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if document["kind"] == "Namespace":
                namespaces.add(document["metadata"]["name"])
            else:
                assert document["metadata"]["namespace"] in namespaces, f"{file.name}: {document['metadata']['name']}"


@pytest.mark.parametrize("file", corpus.files("invalid") + corpus.files("forbidden"), ids=lambda file: file.stem)
def test_an_invalid_example_has_an_error_of_the_reason_in_its_name(file: Path) -> None:
    assert {f.reason for f in corpus.verdict(file) if f.level is Level.ERROR} == {corpus.reason_of(file)}


@pytest.mark.parametrize("file", corpus.files("warnings"), ids=lambda file: file.stem)
def test_an_example_of_a_warning_only_warns(file: Path) -> None:
    found = {(finding.reason, finding.level) for finding in corpus.verdict(file)}

    assert found == {(corpus.reason_of(file), Level.WARNING)}


@pytest.mark.parametrize("file", corpus.files("files"), ids=lambda file: file.stem)
def test_check_reports_the_reason_of_a_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check", str(file)]) == 1
    assert f"error: {corpus.reason_of(file)}: " in capsys.readouterr().out


@pytest.mark.parametrize("file", corpus.files("advice"), ids=lambda file: file.stem)
def test_check_advises_and_an_apply_says_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reason = corpus.reason_of(file)

    assert command.main(["check", str(file), "--format", "json"]) == 0
    assert {each["reason"] for each in json.loads(capsys.readouterr().out)["findings"]} == {reason}
    judged = [integrity.find_own(item) for item in corpus.objects(file)]
    assert [finding for found in judged for finding in found] == []


@pytest.mark.parametrize("folder", ["valid", "backend"])
def test_check_has_no_advice_about_the_valid_examples(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["check", str(corpus.EXAMPLES / folder), "--format", "json"])

    assert {each["reason"] for each in json.loads(capsys.readouterr().out)["findings"]} & corpus.ADVICE == set()


@pytest.mark.parametrize(
    "file",
    [file for folder in ("invalid", "forbidden", "warnings", "advice", "files") for file in corpus.files(folder)],
    ids=lambda f: f.stem,
)
def test_an_example_starts_with_an_explanation(file: Path) -> None:
    assert file.read_text().startswith("# ")


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in corpus.STATUS_ONLY])
def test_every_reason_has_an_example(reason: Reason) -> None:
    assert [file for file in corpus.files(corpus.folder_of(reason)) if file.stem.startswith(f"{reason}--")]


def test_the_examples_cover_all_kinds() -> None:
    judged = [
        item for folder in ("valid", "invalid", "warnings") for f in corpus.files(folder) for item in corpus.objects(f)
    ]

    assert len(judged) >= 250
    assert {item.ref.kind for item in judged} == set(manifest.OURS)


def specs(kind: Kind) -> list[dict[str, Any]]:
    found = [document for file in corpus.files("valid") for document in corpus.documents(file)]
    return [document["spec"] for document in found if document["kind"] == kind]


def unused(schema: dict[str, Any], given: list[Any], path: str) -> Iterator[str]:
    """Fields of a schema that no value at their place has."""
    for name, child in schema.get("properties", {}).items():
        values = [value[name] for value in given if name in value]
        if values:
            yield from unused(child, values, f"{path}.{name}")
        else:
            yield f"{path}.{name}"
    if "items" in schema:
        yield from unused(schema["items"], [item for value in given for item in value], path)
    if schema.get("additionalProperties"):
        yield from unused(schema["additionalProperties"], [item for value in given for item in value.values()], path)


@pytest.mark.parametrize("kind", openapi.KINDS)
def test_every_field_of_a_spec_is_in_a_valid_example(kind: Kind) -> None:
    schema = openapi.schema(kind)["properties"]["spec"]
    never = NEVER.get(kind, set())

    assert set(unused(schema, specs(kind), "spec")) == never


def choices(schema: dict[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Every value of every enum, with the name of its field."""
    yield from ((name, value) for value in schema.get("enum", ()))
    for child, node in schema.get("properties", {}).items():
        yield from choices(node, child)
    if "items" in schema:
        yield from choices(schema["items"], name)


def written(node: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every plain value, with the name of its field."""
    if isinstance(node, dict):
        for child, value in node.items():
            yield from written(value, child)
    elif isinstance(node, list):
        for item in node:
            yield from written(item, name)
    else:
        yield name, node


def test_every_choice_that_an_author_has_is_in_a_valid_example() -> None:
    offered = {c for kind in openapi.KINDS for c in choices(openapi.schema(kind)["properties"]["spec"], "spec")}
    taken = {pair for kind in openapi.KINDS for pair in written(specs(kind), "spec")}

    assert offered - taken == set()
