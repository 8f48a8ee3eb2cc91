"""A re-import keeps what the user changed, and tells what both sides changed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.__main__ import main
from cli.imports import merging

DESCRIPTION = """\
openapi: 3.0.3
info: {title: Orders}
paths:
  /orders:
    get:
      operationId: listOrders
      summary: List the orders of the shop
      description: The newest comes first.
      parameters: [{name: status, in: query, schema: {type: string}}]
    post:
      operationId: createOrder
      summary: Create an order in the shop
      requestBody:
        required: true
        content: {application/json: {schema: {type: object, properties: {note: {type: string}}}}}
"""


def tool(name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "MCPTool", "metadata": {"name": name}, "spec": spec}


def test_changes_of_one_side_are_taken() -> None:
    base = tool("a", x=1, y=1, query=[{"name": "p"}, {"name": "q"}], required=["p", "q"])
    mine = tool("a", x=2, y=1, query=[{"name": "p", "style": "Comma"}, {"name": "q"}], required=["p", "q", "z"])
    new = tool("a", x=1, y=3, query=[{"name": "p"}, {"name": "r"}], required=["p", "r"])
    found = merging.merge([base], [mine], [new])

    assert found.objects == (
        tool("a", x=2, y=3, query=[{"name": "p", "style": "Comma"}, {"name": "r"}], required=["p", "z", "r"]),
    )
    assert found.conflicts == ()


def test_a_field_that_both_changed_stays_and_is_a_conflict() -> None:
    found = merging.merge([tool("a", x=1)], [tool("a", x=2)], [tool("a", x=3)])

    assert found.objects == (tool("a", x=2),)
    assert [str(each) for each in found.conflicts] == ["MCPTool default/a spec.x: 2 is kept, the import has 3"]


def test_objects_come_and_go() -> None:
    base = [tool("gone", x=1), tool("edited", x=1), tool("removed", x=1)]
    mine = [tool("gone", x=1), tool("edited", x=2), tool("own", x=1)]
    found = merging.merge(base, mine, [tool("removed", x=1), tool("fresh", x=1)])

    assert found.objects == (tool("edited", x=2), tool("own", x=1), tool("fresh", x=1))
    assert [each.key[2] for each in found.conflicts] == ["edited"]
    assert sorted(line.partition(":")[0] for line in found.told) == ["added", "left out", "removed"]


def run(*words: str) -> int:
    return main(["import", "openapi", *words, "--service", "orders:8080"])


def test_hand_edits_survive_the_next_import(tmp_path: Path, capsys: Any) -> None:
    source, output = tmp_path / "api.yaml", tmp_path / "tools.yaml"
    source.write_text(DESCRIPTION)
    assert run(str(source), "--output", str(output)) == 0
    text = output.read_text()
    output.write_text(
        text.replace("title: List the orders of the shop", "title: Orders of the shop # mine").replace(
            "kind: MCPTool\nmetadata:\n  name: create-order", "kind: MCPTool # kept\nmetadata:\n  name: create-order"
        )
    )
    source.write_text(DESCRIPTION.replace("name: status", "name: state").replace("listOrders", "findOrders"))

    assert run(str(source), "--output", str(output)) == 0
    after = output.read_text()
    assert "title: Orders of the shop" in after
    assert "name: state" in after
    assert "name: status" not in after
    assert "name: listOrders" in after
    assert "kind: MCPTool # kept" in after
    told = capsys.readouterr().err
    assert "updated: MCPTool default/list-orders" in told
    assert "comments are lost: MCPTool default/list-orders" in told
    assert main(["check", "-q", str(output)]) == 0


def test_a_conflict_is_told_and_the_edit_stays(tmp_path: Path, capsys: Any) -> None:
    source, output = tmp_path / "api.yaml", tmp_path / "tools.yaml"
    source.write_text(DESCRIPTION)
    run(str(source), "--output", str(output))
    output.write_text(output.read_text().replace("title: List the orders of the shop", "title: Mine"))
    source.write_text(DESCRIPTION.replace("List the orders of the shop", "List all orders of the shop"))

    assert run(str(source), "--output", str(output)) == 1
    assert "title: Mine" in output.read_text()
    assert "conflict: MCPTool default/list-orders spec.title" in capsys.readouterr().err


def test_a_file_of_somebody_else_is_not_touched(tmp_path: Path, capsys: Any) -> None:
    source, output = tmp_path / "api.yaml", tmp_path / "tools.yaml"
    source.write_text(DESCRIPTION)
    output.write_text("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n")

    assert run(str(source), "--output", str(output)) == 2
    assert "name another file" in capsys.readouterr().err
    assert output.read_text().startswith("apiVersion: v1")


def test_check_finds_what_the_api_no_longer_has(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    source, output = tmp_path / "api.yaml", tmp_path / "tools.yaml"
    source.write_text(DESCRIPTION)
    run(str(source), "--output", str(output))
    assert main(["check", str(output), "--openapi", str(source)]) == 0
    source.write_text(DESCRIPTION.replace("name: status", "name: state").replace("note:", "remark:"))
    capsys.readouterr()

    assert main(["check", str(output), "--openapi", str(source)]) == 1
    told = capsys.readouterr().out
    assert 'no longer has the query parameter "status"' in told
    assert 'no longer has the body member "note"' in told
    source.write_text(DESCRIPTION.partition("    post:")[0])
    assert main(["check", str(output), "--openapi", str(source)]) == 1
    assert 'the API "Orders" no longer has POST /orders' in capsys.readouterr().out


def test_an_operation_at_another_path_keeps_its_name_and_what_was_edited(tmp_path: Path, capsys: Any) -> None:
    source, output = tmp_path / "api.yaml", tmp_path / "tools.yaml"
    source.write_text(DESCRIPTION)
    assert run(str(source), "--output", str(output)) == 0
    output.write_text(output.read_text().replace("The newest comes first", "The oldest comes last"))
    source.write_text(DESCRIPTION.replace("/orders:", "/v2/orders:"))
    capsys.readouterr()

    assert run(str(source), "--output", str(output)) == 0

    told = capsys.readouterr().err
    assert "updated: MCPTool default/list-orders" in told
    assert "removed" not in told
    assert "added" not in told
    first = next(yaml.safe_load_all(output.read_text()))
    assert (first["metadata"]["name"], first["spec"]["name"]) == ("list-orders", "listOrders")
    assert first["spec"]["http"]["path"] == "/v2/orders"
    assert "The oldest comes last" in first["spec"]["description"]


def test_what_the_options_leave_out_now_is_removed_with_the_reason(tmp_path: Path, capsys: Any) -> None:
    source, output = tmp_path / "api.yaml", tmp_path / "tools.yaml"
    source.write_text(DESCRIPTION)
    assert run(str(source), "--output", str(output)) == 0

    assert run(str(source), "--exclude", "GET *", "--output", str(output)) == 0

    told = capsys.readouterr().err
    assert "removed: MCPTool default/list-orders: the API no longer has it, or the options leave it out" in told


def test_without_its_option_the_server_stays(tmp_path: Path, capsys: Any) -> None:
    source, output = tmp_path / "api.yaml", tmp_path / "tools.yaml"
    source.write_text(DESCRIPTION)
    assert run(str(source), "--server", "shop", "--output", str(output)) == 0
    before = output.read_text()
    capsys.readouterr()

    assert run(str(source), "--output", str(output)) == 0

    assert "removed" not in capsys.readouterr().err
    assert output.read_text() == before


def test_a_file_of_another_namespace_is_left_alone(tmp_path: Path, capsys: Any) -> None:
    source, output = tmp_path / "api.yaml", tmp_path / "tools.yaml"
    source.write_text(DESCRIPTION)
    assert run(str(source), "--namespace", "shop", "--output", str(output)) == 0
    before = output.read_text()

    assert run(str(source), "--output", str(output)) == 2

    told = capsys.readouterr().err
    assert "was imported for namespace shop, not default; add --namespace shop, or name another file" in told
    assert output.read_text() == before


def test_a_report_lists_every_operation(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    report = tmp_path / "report.json"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(DESCRIPTION.encode())))

    assert run("-", "--report", str(report), "--server", "shop", "--exclude", "GET *") == 0
    printed = capsys.readouterr()
    assert printed.out.count("kind: MCP") == 2
    assert "not imported: GET /orders" not in printed.err
    assert "not imported: 1 Excluded" in printed.err
    assert '"imported": 1' in report.read_text()
    assert '"message": "an --exclude names it"' in report.read_text()


def test_a_pattern_that_names_no_operation_is_reported(tmp_path: Path, capsys: Any) -> None:
    source = tmp_path / "api.yaml"
    source.write_text(DESCRIPTION)

    assert run(str(source), "--include", "GET *", "--include", "PATCH *", "--exclude", "nosuch") == 0
    told = capsys.readouterr().err
    assert 'warning: --include "PATCH *" names no operation; correct or remove it' in told
    assert 'warning: --exclude "nosuch" names no operation; correct or remove it' in told
    assert told.count("warning: -") == 2


def test_one_operation_is_counted_in_the_singular(tmp_path: Path, capsys: Any) -> None:
    source = tmp_path / "api.yaml"
    source.write_text(DESCRIPTION.partition("    post:")[0])

    assert run(str(source)) == 0
    assert "\n1 operation: 1 MCPTool, about " in "\n" + capsys.readouterr().err


def test_a_secret_that_no_tool_needs_is_reported(tmp_path: Path, capsys: Any) -> None:
    source = tmp_path / "api.yaml"
    source.write_text(DESCRIPTION)

    assert run(str(source), "--secret", "token") == 0
    assert "warning: --secret token is not used: the description names no credentials" in capsys.readouterr().err
    assert run(str(source)) == 0
    assert "warning: --secret" not in capsys.readouterr().err


def test_what_is_over_the_budget_is_told_with_one_repair(tmp_path: Path, capsys: Any) -> None:
    source = tmp_path / "api.yaml"
    source.write_text(DESCRIPTION)

    assert run(str(source), "--budget", "1") == 2
    told = capsys.readouterr().err
    assert told.count("do not fit into what is left of --budget 1\n") == 2
    assert told.count("to import other operations within --budget") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--namespace", "Shop"), "argument -n/--namespace: must be lower-case letters"),
        (("--budget", "0"), 'argument --budget: must be a number of tokens such as 4000, got "0"'),
        (("--budget", "x"), 'argument --budget: must be a number of tokens such as 4000, got "x"'),
        (("--service", "orders:70000"), "argument --service: the port must be a number from 1 to 65535, got 70000"),
    ],
)
def test_a_wrong_argument_is_named_once(words: tuple[str, str], message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["import", "openapi", "api.yaml", "--service", "orders:80", *words])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "https://example.com/openapi.json",
            "curl -s https://example.com/openapi.json | mcp-operator import openapi -",
        ),
        (".", "a folder, which is not read; name a regular file"),
    ],
)
def test_what_is_not_a_file_is_refused_with_the_repair(file: str, message: str, capsys: Any) -> None:
    assert run(file) == 2
    assert message in capsys.readouterr().err


def test_the_folder_of_the_output_is_made(tmp_path: Path) -> None:
    description = tmp_path / "api.yaml"
    description.write_text(DESCRIPTION)
    output = tmp_path / "new" / "shop" / "tools.yaml"

    assert main(["import", "openapi", str(description), "--service", "orders:80", "--output", str(output)]) == 0
    assert "listOrders" in output.read_text()
