"""What admission accepts is listed by both official SDKs as they are, and its results are accepted."""

from __future__ import annotations

from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from crd import manifest
from crd.clients.listing import listed
from crd.finding import Reason
from crd.integrity import Change, judge
from crd.models.tool import ToolSpec
from crd.snapshot import Snapshot
from scripts.clients.node import Judge
from tests.clients import schemas

LOSSES = {Reason.CLIENT_PORTABILITY}


def tool_of(spec: dict[str, Any]) -> manifest.Object:
    return manifest.decode(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPTool",
            "metadata": {"name": "generated", "namespace": "shop"},
            "spec": {"service": {"name": "s", "port": 80}, "method": "POST", **spec},
        }
    )


def listed_tool(item: manifest.Object) -> dict[str, Any]:
    spec = item.spec
    assert isinstance(spec, ToolSpec)
    output = None if spec.output_schema is None else listed(spec.output_schema, of_arguments=False)
    return {
        "name": item.served_name,
        "description": spec.description,
        "inputSchema": listed(spec.input_schema, of_arguments=True),
        **({} if output is None else {"outputSchema": output}),
    }


def python_takes(schema: dict[str, Any]) -> bool:
    """What `validate_tool_result` of the Python SDK does before it validates."""
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError:
        return False
    return True


@given(schemas.tools)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_generated_tool_that_is_admitted_is_listed(judge_: Judge, spec: dict[str, Any]) -> None:
    item = tool_of(spec)
    errors = {f.reason for f in judge(Snapshot(), Change(item.ref, None, item)).errors}
    assume(errors <= LOSSES)
    tool = listed_tool(item)

    lists = judge_.tools([tool]) == {"v1": None, "v2": None}
    takes = "outputSchema" not in tool or python_takes(tool["outputSchema"])
    if not errors:
        assert lists, f"{tool}: {judge_.tools([tool])}"
        assert takes, str(tool)


@given(schemas.outputs, st.lists(st.dictionaries(schemas.NAMES, schemas.values, max_size=3), min_size=1, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_result_that_satisfies_an_admitted_output_schema_satisfies_the_sdks(
    judge_: Judge, output: dict[str, Any], results: list[Any]
) -> None:
    item = tool_of({"outputSchema": without_formats(output), "description": "A generated tool that nobody calls."})
    assume(not judge(Snapshot(), Change(item.ref, None, item)).errors)
    tool = listed_tool(item)
    assert isinstance(item.spec, ToolSpec)
    valid = jsonschema_rs.Draft202012Validator(item.spec.output_schema)
    results = [result for result in results if valid.is_valid(result)]

    assert judge_.results(tool, results) == {"v1": [True] * len(results), "v2": [True] * len(results)}, str(tool)
    assert all(jsonschema.Draft202012Validator(tool["outputSchema"]).is_valid(result) for result in results)


def test_tools_of_two_teams_with_one_id_do_not_take_each_other_from_the_list(judge_: Judge) -> None:
    """The TypeScript SDK compiles the outputSchemas of a list with one instance of Ajv."""
    one = "https://example.com/order"
    root = {"$id": one, "type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"type": "null"}}}
    inner = {"type": "object", "properties": {"a": {"$ref": one}}, "$defs": {"b": {"$id": one, "type": "string"}}}
    as_written = [{"name": name, "inputSchema": {"type": "object"}, "outputSchema": schema}
                  for name, schema in (("first", root), ("second", inner))]  # fmt: skip
    assert None not in judge_.tools(as_written).values()

    items = [tool_of({"outputSchema": schema, "description": "One of two tools."}) for schema in (root, inner)]
    errors = [{f.reason for f in judge(Snapshot(), Change(item.ref, None, item)).errors} for item in items]

    assert errors == [set(), {Reason.CLIENT_PORTABILITY}]
    assert "$id" not in listed_tool(items[0])["outputSchema"]


def without_formats(schema: Any) -> Any:
    """Formats are asserted by clients and not by us; that is a rule of its own."""
    if isinstance(schema, dict):
        return {name: without_formats(value) for name, value in schema.items() if name != "format"}
    return [without_formats(each) for each in schema] if isinstance(schema, list) else schema


@given(schemas.outputs, schemas.values | st.dictionaries(schemas.NAMES, schemas.values, max_size=3), st.booleans())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_listed_form_accepts_the_same_values(schema: dict[str, Any], value: Any, of_arguments: bool) -> None:
    try:
        before = jsonschema_rs.Draft202012Validator(schema)
    except ValueError:
        assume(False)
    form = listed(schema, of_arguments=of_arguments)

    assert jsonschema_rs.Draft202012Validator(form).is_valid(value) == before.is_valid(value), form
    assert listed(form, of_arguments=of_arguments) == form


@pytest.fixture(name="judge_", scope="session")
def _judge(judge: Judge) -> Judge:
    return judge
