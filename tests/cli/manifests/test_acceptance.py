"""What the API server and ``kubectl apply`` refuse by themselves is found in files, too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.samples import findings


def tool(spec: dict[str, Any] | None = None, **metadata: Any) -> str:
    return json.dumps({
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": "a", **metadata},
        "spec": {"service": {"name": "s", "port": 80}, "description": "Returns one order by its number.",
                 **(spec or {})},
    })  # fmt: skip


def found(text: str) -> list[tuple[str, str, str]]:
    return [
        (f["level"], f["reason"], f["path"])
        for f in findings("-", stdin=text.encode())
        if f["reason"] != "ServiceMissing"
    ]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"name": "Upper"}, ("error", "InvalidName", "metadata.name")),
        ({"name": "a" * 254}, ("error", "InvalidName", "metadata.name")),
        ({"name": "a_b"}, ("error", "InvalidName", "metadata.name")),
        ({"name": "", "generateName": "A-"}, ("error", "InvalidName", "metadata.generateName")),
        ({"namespace": "a.b"}, ("error", "InvalidField", "metadata.namespace")),
        ({"labels": {"app": "a b"}}, ("error", "InvalidField", "metadata.labels.app")),
        ({"labels": {"app": "a" * 64}}, ("error", "InvalidField", "metadata.labels.app")),
        ({"labels": {"-a": "b"}}, ("error", "InvalidField", "metadata.labels.-a")),
        ({"labels": {"Example.com/a": "b"}}, ("error", "InvalidField", "metadata.labels.Example.com/a")),
        ({"labels": {"a/b/c": "b"}}, ("error", "InvalidField", "metadata.labels.a/b/c")),
        ({"annotations": {"a b": "b"}}, ("error", "InvalidField", "metadata.annotations.a b")),
        ({"annotations": {"a": 1}}, ("error", "InvalidField", "metadata.annotations.a")),
        ({"annotations": {"a": "x" * 262_144}}, ("error", "InvalidField", "metadata.annotations")),
        ({"annotations": {"a": "x" * 131_072}}, ("warning", "InvalidField", "metadata.annotations")),
        ({"lables": {"app": "a"}}, ("error", "UnknownField", "metadata.lables")),
    ],
)
def test_metadata_that_the_api_server_refuses(metadata: dict[str, Any], expected: tuple[str, str, str]) -> None:
    assert expected in found(tool(**metadata))


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "a.b-c.1"},
        {"name": "a" * 63 + "." + "b" * 64},
        {"name": "", "generateName": "a-"},
        {"labels": {"example.com/A_b.c": "A-b_c.1", "empty": ""}, "annotations": {"Example.com/x": "any text\n"}},
        {"annotations": {"a": "x" * 100_000}},
    ],
)
def test_metadata_that_it_accepts(metadata: dict[str, Any]) -> None:
    assert [row for row in found(tool(**metadata)) if row[0] == "error" or row[2].startswith("metadata")] == []


def test_the_annotation_of_a_client_side_apply_has_a_limit() -> None:
    """kubectl stores the object as JSON in an annotation; the limit is 262,144 bytes for all of them."""
    schema = {"type": "object", "$comment": ""}
    empty = len(json.dumps(json.loads(tool({"outputSchema": schema})), separators=(",", ":")))
    room = 262_144 - len("kubectl.kubernetes.io/last-applied-configuration") - 1 - empty

    def warned(length: int) -> bool:
        text = tool({"outputSchema": {**schema, "$comment": "x" * length}})
        rows = findings("-", stdin=text.encode())
        return any("kubectl apply --server-side" in row["message"] for row in rows)

    assert (warned(room), warned(room + 1)) == (False, True)


def test_nulls_that_kubectl_apply_drops() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"], "default": None}, "b": {"enum": ["x", None]},
                       "c": {"anyOf": [{"const": None}]}},
    }  # fmt: skip

    rows = found(tool({"inputSchema": schema, "http": {"body": {}}, "method": "POST"}))
    assert [row for row in rows if row[1] != "UndescribedArgument"] == [
        ("warning", "InvalidField", "spec.inputSchema.properties.a.default")
    ]


def test_many_nulls_have_few_findings() -> None:
    schema = {"type": "object", "properties": {f"p{n}": {"default": None} for n in range(50)}}

    assert (
        sum("drops a null" in f["message"] for f in findings("-", stdin=tool({"inputSchema": schema}).encode())) == 10
    )
