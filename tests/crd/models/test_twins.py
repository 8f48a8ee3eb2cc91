"""The rules that the CRDs state in CEL and their twins in Python; the integration tests ask a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crd import manifest
from crd.finding import Reason
from crd.models import openapi
from tests.integration import answers, twins, wholes

if TYPE_CHECKING:
    from collections.abc import Iterator


def rules(node: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """Every CEL rule under a schema, and where it stands."""
    for rule in node.get("x-kubernetes-validations", ()):
        yield path, rule
    for name, child in node.get("properties", {}).items():
        yield from rules(child, (*path, name))
    for member in ("items", "additionalProperties"):
        if member in node:
            yield from rules(node[member], (*path, member))


RULES = {rule["message"] for kind in openapi.KINDS for _, rule in rules(openapi.schema(kind), ())}


@pytest.mark.parametrize("message", sorted(RULES))
def test_every_rule_has_a_document_that_breaks_it(message: str) -> None:
    said = [row.message for row in twins.REFUSED if row.message] + [said for *_, said in twins.CHANGES if said]
    assert any(words in message for words in said), message


@pytest.mark.parametrize("row", twins.REFUSED, ids=lambda row: row.what)
def test_python_refuses_what_the_schema_refuses(row: twins.Refused) -> None:
    fields = answers.of_the_models(row.document) or answers.of_the_rules(row.document)
    assert answers.contains(fields, row.field), fields


@pytest.mark.parametrize("what", twins.ACCEPTED)
def test_python_reads_what_the_schema_accepts(what: str) -> None:
    item = manifest.decode(twins.ACCEPTED[what])
    assert item.problems == ()
    assert item.fact is not None


@pytest.mark.parametrize(("what", "before", "after", "words"), twins.CHANGES, ids=[row[0] for row in twins.CHANGES])
def test_python_refuses_the_same_changes(what: str, before: dict[str, Any], after: dict[str, Any], words: str) -> None:
    refused = answers.of_the_rules(after, before)
    assert (refused == {"spec.redis.keyPrefix"}) == bool(words), what


@pytest.mark.parametrize(
    ("kind", "spec"), wholes.WHOLES, ids=[f"{n}-{kind}" for n, (kind, _) in enumerate(wholes.WHOLES)]
)
def test_a_whole_is_sound(kind: str, spec: dict[str, Any]) -> None:
    assert manifest.decode(wholes.raw(kind, spec)).problems == ()


@pytest.mark.parametrize("kind", openapi.KINDS)
def test_the_wholes_set_every_field(kind: str) -> None:
    schema = openapi.schema(manifest.Kind(kind))["properties"]["spec"]
    fields = {path for path, _ in _named(schema, ("spec",))}
    found = {
        tuple("[]" if isinstance(step, int) else step for step in path)
        for each, spec in wholes.WHOLES
        if each == kind
        for path, _, _ in wholes.leaves(spec, schema, ("spec",))
    }
    assert fields - found == set()


def _named(node: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from _named(child, (*path, name))
    if "items" in node:
        yield from _named(node["items"], (*path, "[]"))


def test_the_probes_break_every_bound() -> None:
    """Of every field at least one value is refused by the models, and its own value is not."""
    broken = {probe.path[-1] for probe in wholes.probes() if answers.of_the_models(probe.document)}
    fields = {
        path[-1] for kind in openapi.KINDS for path, _ in _named(openapi.schema(kind)["properties"]["spec"], ("spec",))
    }
    # What a list holds is named by its index; inputSchema and outputSchema only have a type.
    assert {field for field in fields if field != "[]"} - broken == set()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (twins.server(sessions={"mode": "Redis"}), Reason.REDIS_REQUIRED),
        (twins.server(replicas=2, sessions={"mode": "Memory"}), Reason.REDIS_REQUIRED),
        (twins.server(replicas=2, rateLimits={}), Reason.REDIS_REQUIRED),
        (twins.server(replicas=1, autoscaling={"maxReplicas": 2}), Reason.INVALID_FIELD),
        (twins.tool(http={}, mcp={}), Reason.INVALID_MAPPING),
        (twins.query(), Reason.INVALID_MAPPING),
        (twins.paged(), Reason.INVALID_MAPPING),
        (twins.mounted(), Reason.INVALID_MAPPING),
        (twins.content(), Reason.INVALID_CONTENT),
        (twins.said({"role": "user"}), Reason.INVALID_CONTENT),
        (twins.server("1a"), Reason.INVALID_NAME),
        (twins.tool(name="a b"), Reason.INVALID_NAME),
        (twins.content(blob="YQ=a"), Reason.INVALID_CONTENT),
        (twins.resource(content={"uri": "a", "text": ""}), Reason.INVALID_URI),
        (twins.tool(headersFrom=[{"name": "X A", **twins.SECRET}]), Reason.INVALID_MAPPING),
        (twins.tool(response={"select": "a"}), Reason.INVALID_MAPPING),
        (twins.tool(http={"path": "a"}), Reason.INVALID_MAPPING),
        (twins.prompt(variables=[{"name": "a"}] * 2), Reason.DUPLICATE_ENTRY),
        (twins.tool(timeout="1ms"), Reason.INVALID_FIELD),
    ],
)
def test_a_breach_has_the_reason_of_its_family(document: dict[str, Any], reason: Reason) -> None:
    (problem,) = manifest.decode(document).problems
    assert problem.reason is reason
