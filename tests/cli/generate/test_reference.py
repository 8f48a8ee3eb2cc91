"""What is generated for people and editors says all that the definitions say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cli.generate import editor, reference
from crd.models import openapi
from crd.ref import Kind

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
TOOL = {
    "apiVersion": "mcp.example.com/v1alpha1",
    "kind": "MCPTool",
    "metadata": {"name": "a"},
    "spec": {"service": {"name": "s", "port": 80}},
}


def paths(node: dict[str, Any], at: str) -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        yield f"{at}.{name}"
        yield from paths(child, f"{at}.{name}")
    if isinstance(node.get("items"), dict):
        yield from paths(node["items"], f"{at}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from paths(node["additionalProperties"], f"{at}.*")


@pytest.mark.parametrize("kind", openapi.KINDS)
def test_the_reference_describes_every_field(kind: Kind) -> None:
    page = reference.render_page(kind)

    for part in ("spec", "status"):
        for path in paths(openapi.schema(kind)["properties"][part], part):
            rows = [line for line in page.splitlines() if line.startswith((f"| `{path}` |", f"## {path}"))]
            assert rows, path
            assert not rows[0].endswith("|  |"), path


def test_a_default_is_shown_as_in_a_manifest() -> None:
    page = reference.render_page(Kind.TOOL)

    assert '| `spec.inputSchema` | object | `{"type": "object"}` |' in page
    assert "| `spec.enabled` | boolean | `true` |" in page


@pytest.mark.parametrize("kind", openapi.KINDS)
def test_the_schemas_for_editors_are_valid(kind: Kind) -> None:
    jsonschema.Draft7Validator.check_schema(editor.schema_of(kind))
    jsonschema.Draft7Validator.check_schema(editor.schema_of_all())


def test_valid_examples_match_the_schemas_for_editors() -> None:
    validator = jsonschema.Draft7Validator(editor.schema_of_all())

    for path in sorted((EXAMPLES / "valid").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            assert [f"{path.name}: {e.json_path}: {e.message}" for e in validator.iter_errors(document)] == []


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"kind": "MCPTol"}, "$.kind"),
        ({"spec": {**TOOL["spec"], "inputschema": {}}}, "$.spec"),
        ({"spec": {"service": {"name": "s", "port": 80, "schema": "http"}}}, "$.spec.service"),
        ({"spec": {"service": {"name": "s"}}}, "$.spec.service"),
        ({"spec": {**TOOL["spec"], "method": "FETCH"}}, "$.spec.method"),
        ({"metadata": {}}, "$.metadata"),
        ({"metdata": {"name": "a"}}, "$"),
    ],
)
def test_a_mistake_does_not_match_the_schema(change: dict[str, Any], at: str) -> None:
    validator = jsonschema.Draft7Validator(editor.schema_of_all())

    assert list(validator.iter_errors(TOOL)) == []
    assert at in [error.json_path for error in validator.iter_errors({**TOOL, **change})]


def test_other_kinds_and_free_schemas_match() -> None:
    validator = jsonschema.Draft7Validator(editor.schema_of_all())
    free = {**TOOL, "spec": {**TOOL["spec"], "inputSchema": {"type": "object", "x-anything": {"deep": [1]}}}}

    assert list(validator.iter_errors({"apiVersion": "v1", "kind": "Pod", "spec": 5})) == []
    assert list(validator.iter_errors(free)) == []
