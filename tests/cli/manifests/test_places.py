"""Findings have the line and column of the field that they name."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from cli.commands import files
from cli.manifests import documents, json_nodes
from cli.manifests.documents import Document, Fault, Source
from cli.manifests.nodes import BrokenError
from tests.cli.samples import locate

YAML = """\
# a comment
apiVersion: mcp.example.com/v1alpha1
kind: MCPPrompt
metadata:
    name: a
    labels: {app: "shop",   tier: 'one'}
spec:
  "template": |
    text: {{x}}
    ---- not a separator
  variables:
  - name: x
    required: true
  -   name: y
  - {name: z, default:
      "1"}
  -
    name: w
"""
# The place of the key of every member, or of the item of every list.
MARKED = [
    ((), "2:1"),
    (("apiVersion",), "2:1"),
    (("metadata", "name"), "5:5"),
    (("metadata", "labels", "app"), "6:14"),
    (("metadata", "labels", "tier"), "6:29"),
    (("metadata", "namespace"), "4:1"),
    (("spec",), "7:1"),
    (("spec", "name"), "7:1"),
    (("spec", "service", "namespace"), "7:1"),
    (("spec", "template"), "8:3"),
    (("spec", "template", "deeper"), "8:3"),
    (("spec", "variables"), "11:3"),
    (("spec", "variables", 0), "12:5"),
    (("spec", "variables", 0, "required"), "13:5"),
    (("spec", "variables", 1), "14:7"),
    (("spec", "variables", 1, "required"), "14:7"),
    (("spec", "variables", 2, "default"), "15:15"),
    (("spec", "variables", 3, "name"), "18:5"),
    (("spec", "variables", 9), "11:3"),
    (("spec", "variables", "x"), "11:3"),
]


def only(text: str) -> Document:
    (document,) = documents.parse_text(Source("a.yaml", text))
    assert isinstance(document, Document)
    return document


@pytest.mark.parametrize(("path", "place"), MARKED, ids=lambda value: str(value))
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_a_field_has_a_line_and_a_column(path: tuple[str | int, ...], place: str, end: str) -> None:
    assert "{}:{}".format(*only(YAML.replace("\n", end)).position(path)) == place


def test_line_numbers_count_from_the_start_of_the_file() -> None:
    first, second = documents.parse_text(Source("a", f"{YAML}---\n{YAML}"))

    assert isinstance(second, Document)
    assert isinstance(first, Document)
    assert (first.position(("spec",)), second.position(("spec",))) == ((7, 1), (26, 1))


def test_columns_count_characters_and_only_newlines_end_lines() -> None:
    document = only('apiVersion: v1\nkind: "A\u2028B\x85C"\nmetadata: {ä😀: ü, name: a}\n')

    assert document.position(("metadata", "name")) == (3, 19)


def test_a_byte_order_mark_does_not_count_as_a_column() -> None:
    reading = files.read(["-"], io.BytesIO("\ufeffapiVersion: v1\nkind: A\n".encode()))

    assert reading.documents[0].position(("apiVersion",)) == (1, 1)


def test_aliases_and_merges_keep_the_positions_of_their_targets() -> None:
    document = only(
        "apiVersion: v1\nkind: A\nbase: &base\n  one: 1\n  two: 2\n"
        "use:\n  <<: *base\n  two: 3\nlist: [*base, &x a, *x]\n"
        "both:\n  <<: [{three: 3}, *base]\n"
    )

    assert document.raw["use"] == {"one": 1, "two": 3}
    assert document.raw["both"] == {"one": 1, "two": 2, "three": 3}
    assert document.raw["list"] == [{"one": 1, "two": 2}, "a", "a"]
    assert document.position(("use", "one")) == (4, 3)
    assert document.position(("use", "two")) == (8, 3)
    assert document.position(("list", 0)) == (9, 8)
    assert document.position(("list", 2)) == (9, 21)
    assert document.position(("both", "three")) == (11, 9)


JSON = """\
{
\t"apiVersion": "v1",
\t"kind": "A",   "metadata": {"name": "\\ud83d\\ude00", "labels": {}},
\t"spec": {"list": [1, {"a": null},
\t\t[true, 2.0, "x"]], "empty": []}
}
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), "1:1"),
        (("kind",), "3:2"),
        (("metadata",), "3:17"),
        (("metadata", "name"), "3:30"),
        (("metadata", "labels", "app"), "3:54"),
        (("spec", "list", 0), "4:20"),
        (("spec", "list", 1, "a"), "4:24"),
        (("spec", "list", 2, 1), "5:10"),
        (("spec", "empty", 0), "5:22"),
    ],
)
def test_json_fields_have_positions(path: tuple[str | int, ...], place: str) -> None:
    document = only(JSON)

    assert document.raw == json.loads(JSON)
    assert "{}:{}".format(*document.position(path)) == place


def test_a_stream_of_json_documents_is_read_one_after_the_other() -> None:
    found = list(documents.parse_text(Source("a.json", f"{JSON}\n{JSON}")))

    assert [d.position(()) for d in found if isinstance(d, Document)] == [(1, 1), (8, 1)]


def test_a_yaml_flow_mapping_is_not_taken_for_json() -> None:
    document = only("{apiVersion: v1, kind: A, metadata: {name: a}}\n")

    assert document.position(("metadata", "name")) == (1, 38)


LIST = """\
apiVersion: v1
kind: List
items:
- apiVersion: mcp.example.com/v1alpha1
  kind: MCPTool
  metadata: {name: a}
  spec:
    service: {name: s, port: 0}
-
- kind: 5
"""


def test_findings_of_a_list_have_the_positions_of_its_items() -> None:
    assert [row for row in locate(LIST) if row[0] not in ("ServiceMissing", "WeakDescription")] == [
        ("InvalidField", "spec.service.port", 8, 24),
        ("InvalidDocument", "", 10, 3),
    ]


def test_the_items_of_a_typed_list_may_omit_their_kind() -> None:
    text = "apiVersion: mcp.example.com/v1alpha1\nkind: MCPToolList\nitems:\n- metadata: {name: a}\n"
    text += "  spec: {description: Returns one order by its number.}\n"

    assert locate(text) == [("InvalidField", "spec.service", 5, 3)]


@pytest.mark.parametrize(
    ("spec", "row"),
    [
        ("spec: {service: {name: s, port: 80}, inputschema: {}}", ("UnknownField", "spec.inputschema", 5, 38)),
        ("spec: {}", ("InvalidField", "spec.service", 5, 1)),
        ("", ("InvalidField", "spec", 2, 1)),
        ("spec: 5", ("InvalidField", "spec", 5, 1)),
        (
            (
                "spec:\n  service: {name: s, port: 80}\n"
                "  inputSchema:\n    type: object\n    required:\n    - a\n    - a\n"
            ),
            ("InvalidSchema", "spec.inputSchema.required", 9, 5),
        ),
        (
            "spec:\n  service: {name: s, port: 80}\n  inputSchema: {type: object, properties: {a: {type: wrong}}}\n",
            ("InvalidSchema", "spec.inputSchema.properties.a.type", 7, 48),
        ),
    ],
)
def test_a_finding_has_the_position_of_its_field(spec: str, row: tuple[str, str, int, int]) -> None:
    head = "---\napiVersion: mcp.example.com/v1alpha1\nkind: MCPTool\nmetadata: {name: a}\n"

    assert row in locate(f"{head}{spec}\n")


def faults(text: str) -> Any:
    found = documents.parse_text(Source("a.yaml", text))
    return [(*fault.position, fault.message) for fault in found if isinstance(fault, Fault)]


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("a: [", 1, 5, "invalid YAML"),
        ("a:\n\tb: 1", 2, 1, "a tab cannot indent"),
        ("a: b: c", 1, 5, "mapping values are not allowed"),
        ("a: 1\nb: 2\na: 3\n", 3, 1, 'duplicate key "a"'),
        ("a:\n  on: 1\n  true: 2\n", 3, 3, 'duplicate key "true"'),
        ("a: &a [*a]", 1, 8, "inside of its own anchor &a"),
        ("a: *b", 1, 4, "has no anchor &b"),
        ("a: {<<: 5}", 1, 9, "<< merges mappings only"),
        ('ä: "\x00"', 1, 5, "U+0000"),
        ("- a\n- b\n", 1, 1, "this document is a list"),
        ("7", 1, 1, "this document is a single value"),
        ("kind: A\nmetadata: {}\n", 1, 1, "apiVersion must be a non-empty string"),
        ("kind: A\napiVersion: 1\n", 2, 1, "apiVersion must be a non-empty string"),
        ("apiVersion: v1\nmetadata: {}", 1, 1, "kind must be a non-empty string"),
        ("[" * 300, 1, 251, "nested deeper than 250 levels"),
        ('{"apiVersion": "v1", "kind": "A", "kind": "B"}', 1, 35, 'duplicate key "kind"'),
    ],
)
def test_a_fault_has_a_position_and_a_message(text: str, line: int, column: int, expected: str) -> None:
    ((at_line, at_column, message),) = faults(text)

    assert (at_line, at_column) == (line, column)
    assert expected in message


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ('{"a": 1,}', 9, "name in double quotes"),
        ('{"a" 1}', 6, "expected a colon"),
        ('{"a": [1 2]}', 10, "expected a comma or ]"),
        ('{"a": NaN}', 7, "invalid number NaN;"),
        ('{"a": 1e999}', 7, "invalid number inf"),
        ('{"a": ' + "9" * 5000 + "}", 7, "invalid number 999999999999;"),
        ('{"a": what}', 7, "expecting value"),
        ("{", 2, "name in double quotes"),
    ],
)
def test_a_json_syntax_error_has_a_position_and_a_message(text: str, column: int, expected: str) -> None:
    with pytest.raises(BrokenError) as error:
        json_nodes.compose(text)

    assert (error.value.offset + 1, expected in error.value.message) == (column, True)


def test_a_json_file_gets_the_json_syntax_error() -> None:
    (fault,) = documents.parse_text(Source("a.json", '{"a": [1 2'))

    assert isinstance(fault, Fault)
    assert (fault.position, fault.message) == ((1, 10), "invalid JSON: expected a comma or ]")


def test_a_broken_document_does_not_hide_the_others() -> None:
    text = "%YAML 1.1\n---\na: {x: 1\n---  # next\napiVersion: v1\nkind: A\n---\n# nothing\n---\nb: 1\nb: 2\n---\n"
    found = list(documents.parse_text(Source("a", text)))

    assert [type(item).__name__ for item in found] == ["Fault", "Document", "Fault"]
    assert isinstance(found[1], Document)
    assert found[1].position(("kind",)) == (6, 1)
    assert [fault.position for fault in found if isinstance(fault, Fault)] == [(3, 9), (11, 1)]


def test_the_unfolding_of_aliases_is_limited() -> None:
    levels = [f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)]

    ((line, _, message),) = faults("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(levels))

    assert line == 7
    assert "aliases unfold to more than" in message


def test_the_unfolding_of_aliases_is_limited_for_the_whole_file() -> None:
    one = "a: &a " + "x" * 100_000 + "\nb: [*a, *a]\n"

    found = [message for _, _, message in faults("---\n".join([one] * 30))]

    assert sum("aliases unfold to more than 4194304 characters" in message for message in found) == 10


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ("x" * 2**20, True),
        ("ä" * 3 * 2**19, False),
        ("[" + "9" * 300 + "]", True),
        ("[&a " + "9" * 300 + ", *a" * 12_000 + "]", False),
    ],
    ids=["ascii", "two bytes a character", "number", "aliases of a long number"],
)
def test_an_object_has_at_most_three_mebibytes_of_json(value: str, accepted: bool) -> None:
    (found,) = documents.parse_text(Source("a", f"apiVersion: v1\nkind: A\nvalue: {value}\n"))

    assert isinstance(found, Document) is accepted


def test_the_nesting_of_aliases_is_limited() -> None:
    levels = [f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 300)]

    ((line, _, message),) = faults("a0: &a0 [x]\n" + "".join(levels))

    assert line == 250
    assert "aliases nest deeper than 250 levels" in message


def test_the_nesting_of_brackets_is_limited() -> None:
    assert len(faults("[" * 100_000 + "\n---\n" + "- " * 100_000 + "a")) == 2
