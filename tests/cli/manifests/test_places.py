"""Every finding stands at the line and column of the field that it names."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from cli.commands import documents
from cli.commands.documents import Document, Fault, Source
from cli.manifests import json_nodes
from cli.manifests.nodes import BrokenError
from tests.cli.samples import told

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
    (document,) = documents.documents_of(Source("a.yaml", text))
    assert isinstance(document, Document)
    return document


@pytest.mark.parametrize(("path", "place"), MARKED, ids=lambda value: str(value))
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_a_field_has_a_line_and_a_column(path: tuple[str | int, ...], place: str, end: str) -> None:
    assert "{}:{}".format(*only(YAML.replace("\n", end)).position(path)) == place


def test_lines_go_on_through_the_documents_of_a_file() -> None:
    first, second = documents.documents_of(Source("a", f"{YAML}---\n{YAML}"))

    assert isinstance(second, Document)
    assert isinstance(first, Document)
    assert (first.position(("spec",)), second.position(("spec",))) == ((7, 1), (26, 1))


def test_columns_count_characters_and_strange_line_ends_are_no_lines() -> None:
    document = only('apiVersion: v1\nkind: "A\u2028B\x85C"\nmetadata: {ä😀: ü, name: a}\n')

    assert document.position(("metadata", "name")) == (3, 19)


def test_a_byte_order_mark_takes_no_column() -> None:
    reading = documents.read(["-"], io.BytesIO("\ufeffapiVersion: v1\nkind: A\n".encode()))

    assert reading.documents[0].position(("apiVersion",)) == (1, 1)


def test_aliases_and_merges_are_followed_to_what_they_name() -> None:
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
def test_json_has_places_too(path: tuple[str | int, ...], place: str) -> None:
    document = only(JSON)

    assert document.raw == json.loads(JSON)
    assert "{}:{}".format(*document.position(path)) == place


def test_a_stream_of_json_documents_is_read_one_after_the_other() -> None:
    found = list(documents.documents_of(Source("a.json", f"{JSON}\n{JSON}")))

    assert [d.position(()) for d in found if isinstance(d, Document)] == [(1, 1), (8, 1)]


def test_what_begins_with_a_brace_may_still_be_yaml() -> None:
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


def test_findings_of_a_list_stand_at_its_items() -> None:
    assert [row for row in told(LIST) if row[0] != "ServiceMissing"] == [
        ("InvalidField", "spec.service.port", 8, 24),
        ("InvalidDocument", "", 10, 3),
    ]


def test_the_items_of_a_typed_list_may_leave_their_kind_to_it() -> None:
    text = "apiVersion: mcp.example.com/v1alpha1\nkind: MCPToolList\nitems:\n- metadata: {name: a}\n  spec: {}\n"

    assert told(text) == [("InvalidField", "spec.service", 5, 3)]


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
def test_a_finding_stands_at_its_field(spec: str, row: tuple[str, str, int, int]) -> None:
    head = "---\napiVersion: mcp.example.com/v1alpha1\nkind: MCPTool\nmetadata: {name: a}\n"

    assert row in told(f"{head}{spec}\n")


def faults(text: str) -> Any:
    found = documents.documents_of(Source("a.yaml", text))
    return [(*fault.position, fault.message) for fault in found if isinstance(fault, Fault)]


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("a: [", 1, 5, "not YAML"),
        ("a:\n\tb: 1", 2, 1, "a tab cannot indent"),
        ("a: b: c", 1, 5, "mapping values are not allowed"),
        ("a: 1\nb: 2\na: 3\n", 3, 1, 'the key "a" is here twice'),
        ("a:\n  on: 1\n  true: 2\n", 3, 3, 'the key "true" is here twice'),
        ("a: &a [*a]", 1, 8, "stands inside of &a"),
        ("a: *b", 1, 4, "has no anchor &b"),
        ("a: {<<: 5}", 1, 9, "<< merges mappings only"),
        ('ä: "\x00"', 1, 5, "U+0000"),
        ("- a\n- b\n", 1, 1, "this document is a list"),
        ("7", 1, 1, "this document is one value"),
        ("kind: A\nmetadata: {}\n", 1, 1, "apiVersion is missing"),
        ("kind: A\napiVersion: 1\n", 2, 1, "apiVersion is missing or no text"),
        ("apiVersion: v1\nmetadata: {}", 1, 1, "kind is missing"),
        ("[" * 300, 1, 251, "nested deeper than 250 levels"),
        ('{"apiVersion": "v1", "kind": "A", "kind": "B"}', 1, 35, 'the key "kind" is here twice'),
    ],
)
def test_what_cannot_be_read_is_said_at_its_place(text: str, line: int, column: int, said: str) -> None:
    ((at_line, at_column, message),) = faults(text)

    assert (at_line, at_column) == (line, column)
    assert said in message


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ('{"a": 1,}', 9, "name in double quotes"),
        ('{"a" 1}', 6, "a colon is missing"),
        ('{"a": [1 2]}', 10, "a comma or ] is missing"),
        ('{"a": NaN}', 7, "NaN} is no number"),
        ('{"a": 1e999}', 7, "inf is no number"),
        ('{"a": ' + "9" * 5000 + "}", 7, "is no number"),
        ('{"a": what}', 7, "expecting value"),
        ("{", 2, "name in double quotes"),
    ],
)
def test_broken_json_is_said_in_words_of_json(text: str, column: int, said: str) -> None:
    with pytest.raises(BrokenError) as error:
        json_nodes.compose(text)

    assert (error.value.offset + 1, said in error.value.message) == (column, True)


def test_what_neither_json_nor_yaml_can_read_is_said_in_words_of_json_in_a_json_file() -> None:
    (fault,) = documents.documents_of(Source("a.json", '{"a": [1 2'))

    assert isinstance(fault, Fault)
    assert (fault.position, fault.message) == ((1, 10), "this is not JSON: a comma or ] is missing; add it")


def test_a_broken_document_hides_no_other() -> None:
    text = "%YAML 1.1\n---\na: {x: 1\n---  # next\napiVersion: v1\nkind: A\n---\n# nothing\n---\nb: 1\nb: 2\n---\n"
    found = list(documents.documents_of(Source("a", text)))

    assert [type(item).__name__ for item in found] == ["Fault", "Document", "Fault"]
    assert isinstance(found[1], Document)
    assert found[1].position(("kind",)) == (6, 1)
    assert [fault.position for fault in found if isinstance(fault, Fault)] == [(3, 9), (11, 1)]


def test_aliases_that_explode_end_at_once() -> None:
    levels = [f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)]

    ((line, _, message),) = faults("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(levels))

    assert line == 7
    assert "aliases unfold to more than" in message


def test_aliases_that_nest_end_at_once() -> None:
    levels = [f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 300)]

    ((line, _, message),) = faults("a0: &a0 [x]\n" + "".join(levels))

    assert line == 250
    assert "aliases nest deeper than 250 levels" in message


def test_a_hundred_thousand_brackets_end_neither_the_process_nor_the_patience() -> None:
    assert len(faults("[" * 100_000 + "\n---\n" + "- " * 100_000 + "a")) == 2
