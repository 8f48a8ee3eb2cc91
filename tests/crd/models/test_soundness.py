"""Rules run on the sound parts of an object: one wrong field hides no other fault, and no fault follows from it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from crd import integrity, manifest
from crd.models.metadata import UnsoundError
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"
# Values that few fields accept: text with a control character, a list of lists, a large number.
BROKEN = ("\x00 \u00e9", [["x"]], 10**6)
SCHEMA = {"type": "object", "properties": {"id": {"type": "strin"}, "filter": {"type": "object"}}}


def tool(**spec: Any) -> dict[str, Any]:
    whole = {
        "name": "find_order",
        "description": "Returns one order of the shop by its number.",
        "service": {"name": "orders", "port": 80},
        **spec,
    }
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": "a", "namespace": "shop", "labels": {"app": "shop"}},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def found(raw: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f.reason.value, f.field_path) for f in integrity.find_own(manifest.decode(raw))]


def test_a_bad_name_hides_neither_a_bad_schema_nor_a_placeholder_nor_an_argument() -> None:
    raw = tool(name="find order", inputSchema=SCHEMA, http={"path": "/x/{nope}", "body": {"mode": "None"}})

    assert found(raw) == [
        ("InvalidName", "spec.name"),
        ("InvalidSchema", "spec.inputSchema.properties.id.type"),
        ("UndeclaredPlaceholder", "spec.http.path"),
        ("InvalidMapping", "spec.http"),
    ]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"service": None, "description": ""}, [
            ("InvalidField", "spec.service"), ("WeakDescription", "spec.description"),
        ], id="a missing field"),
        pytest.param({"inputSchema": []}, [("InvalidField", "spec.inputSchema")], id="no argument is undeclared"),
        pytest.param({"description": 5}, [("InvalidField", "spec.description")], id="no advice about a wrong text"),
        pytest.param(
            {"headersFrom": [{"name": "Host", "secretKeyRef": {"name": "s", "key": "k"}}, {"name": "X-A"}, 7]},
            [("InvalidMapping", "spec.headersFrom[1]"), ("InvalidField", "spec.headersFrom[2]"),
             ("UnsafeHeader", "spec.headersFrom[0].name")],
            id="entries keep their places",
        ),
        pytest.param(
            {"inputSchema": {"type": "object", "properties": {"a": {"type": "string"}}},
             "http": {"query": [{"name": "a", "argument": 5}], "path": "/{b}"}},
            [("InvalidField", "spec.http.query[0].argument"), ("UndeclaredPlaceholder", "spec.http.path")],
            id="an argument whose entry is broken is not unmapped",
        ),
    ],
)  # fmt: skip
def test_faults_are_found_beside_one_another_and_none_follows(
    spec: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert sorted(found(tool(**spec))) == sorted(expected)


def test_a_rule_that_reads_what_is_not_sound_ends() -> None:
    part = manifest.sound_part(manifest.decode(tool(name="find order")))

    assert part.spec is not None
    assert part.spec.description.startswith("Returns")
    with pytest.raises(UnsoundError):
        _ = part.spec.name


@pytest.mark.parametrize("spec", [None, 5, {"toolSelector": {"matchLabels": 5}}])
def test_a_server_without_sound_selectors_has_no_facts(spec: Any) -> None:
    raw = {"apiVersion": "mcp.example.com/v1alpha1", "kind": "MCPServer", "metadata": {"name": "main"}, "spec": spec}

    assert manifest.sound_part(manifest.decode(raw)).fact is None


def test_labels_and_names_count_although_another_field_is_wrong() -> None:
    item = manifest.sound_part(manifest.decode(tool(timeout="soon")))
    nothing = manifest.sound_part(manifest.decode({**tool(), "spec": 5}))

    assert item.fact is not None
    assert nothing.fact is not None
    assert [claim.value for claim in getattr(item.fact, "claims", ())] == ["find_order"]
    assert getattr(nothing.fact, "labels", None) == {"app": "shop"}
    assert getattr(nothing.fact, "claims", None) == ()


def test_a_repair_of_one_fault_is_admitted_while_another_one_stays() -> None:
    both = manifest.decode(tool(name="find order", http={"path": "/{nope}"}))
    repaired = manifest.decode(tool(http={"path": "/{nope}"}))

    assert integrity.judge(Snapshot.of(()), integrity.Change(both.ref, both, repaired)).allowed


def documents() -> list[dict[str, Any]]:
    return [
        document
        for folder in ("valid", "warnings")
        for file in sorted((EXAMPLES / folder).rglob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if isinstance(document, dict) and document.get("apiVersion", "").startswith("mcp.example.com/")
    ]


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, key)
        yield from places(child, (*path, key))


def with_value(raw: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(raw)
    node: Any = changed["spec"]
    for step in path[:-1]:
        node = node[step]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return changed


def test_no_rule_fails_on_a_part_and_nothing_but_the_broken_field_is_an_error() -> None:
    """Each field of each example is broken in turn: what is found then was found before, or is about that field."""
    broken = 0
    for raw in documents():
        if not isinstance(raw.get("spec"), dict):
            continue
        before = {(f.reason, f.path) for f in integrity.find_own(manifest.decode(raw))}
        spots = [path for path in places(raw["spec"]) if not {"inputSchema", "outputSchema"} & {*path[:-1]}]
        for turn, path in enumerate(spots):
            item = manifest.decode(with_value(raw, path, BROKEN[turn % len(BROKEN)]))
            findings = [*integrity.find_own(item)]
            if not item.problems:
                continue
            broken += 1
            at = ("spec", *path)
            structural = {(problem.reason, problem.path) for problem in item.problems}
            for finding in findings:
                key = finding.reason, finding.path
                related = finding.path[: len(at)] == at or at[: len(finding.path)] == finding.path
                assert key in before or key in structural or related, (raw["metadata"], path, finding)
    assert broken > 300
