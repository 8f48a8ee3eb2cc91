"""The reports: what each format says of the same findings, and that it is what its readers take."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from tests.cli.samples import SERVER, SERVICE, files, run_check, tool

SCHEMA = json.loads((Path(__file__).parent / "sarif-2.1.0.schema.json").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """An error between two files, a warning, a broken file."""
    twin = tool("b", served="a")
    return files(tmp_path, a=tool("a"), b=twin, broken="kind: [", server=SERVER, service=SERVICE)


def test_text_is_a_line_for_each_finding_and_a_summary(folder: str) -> None:
    _, out, _ = run_check(folder)

    lines = out.replace(folder, "F").splitlines()
    assert lines[0].startswith("F/a.yaml:7:1: warning: WeakDescription: spec.description: ")
    assert any(line.startswith("F/b.yaml:8:3: error: DuplicateName: spec.name: ") for line in lines)
    assert lines[-1] == "3 objects in 5 files: 2 errors, 2 warnings"


def test_text_has_one_line_for_all_objects_that_lack_the_same(tmp_path: Path) -> None:
    tools = {letter: tool(letter) for letter in "abcde"}
    tools["f"] = tool("f").replace("name: orders", "name: others")
    code, out, _ = run_check(files(tmp_path, **tools, server=SERVER))

    missing = [line for line in out.splitlines() if "ServiceMissing" in line]
    assert code == 0
    assert len(missing) == 2
    assert missing[0].startswith(f"{tmp_path}/a.yaml:")
    assert missing[0].endswith("(MCPTool shop/a, MCPTool shop/b, MCPTool shop/c and 2 others)")
    assert missing[1].endswith("(MCPTool shop/f)")
    listed = json.loads(run_check(str(tmp_path), format="json")[1])["findings"]
    assert [each["reason"] for each in listed].count("ServiceMissing") == 6


def test_text_has_one_line_for_all_objects_whose_label_differs_alike(tmp_path: Path) -> None:
    lost = {letter: tool(letter).replace("app: shop", "app: shopp") for letter in "bcde"}
    code, out, _ = run_check(files(tmp_path, a=tool("a"), **lost, server=SERVER))

    [line] = [line for line in out.splitlines() if "NotSelected" in line]
    assert code == 0
    assert line.startswith(f"{tmp_path}/b.yaml:")
    assert line.endswith("(MCPTool shop/b, MCPTool shop/c, MCPTool shop/d and 1 other)")


def test_json_has_the_agreed_members(folder: str) -> None:
    report = json.loads(run_check(folder, format="json")[1])

    agreed = {"level", "reason", "kind", "namespace", "name", "path", "message", "file", "line", "column", "related"}
    assert all(agreed <= set(found) for found in report["findings"])
    assert report["summary"] == {"objects": 3, "files": 5, "errors": 2, "warnings": 2, "known": 0}


def test_sarif_is_valid_by_its_published_schema(folder: str) -> None:
    log = json.loads(run_check(folder, format="sarif")[1])

    assert [error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(log)] == []
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [
        "DuplicateName", "InvalidDocument", "WeakDescription"
    ]  # fmt: skip
    clash = next(result for result in run["results"] if result["ruleId"] == "DuplicateName")
    assert clash["locations"][0]["physicalLocation"]["region"] == {"startLine": 8, "startColumn": 3}
    assert [other["message"]["text"] for other in clash["relatedLocations"]] == [
        "MCPTool shop/a",
        "MCPServer shop/main",
    ]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_an_invalid_sarif_log_fails_the_schema(folder: str) -> None:
    log = json.loads(run_check(folder, format="sarif")[1])
    log["runs"][0]["results"][0]["level"] = "bad"

    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(log)


def test_the_fingerprint_of_a_finding_outlives_its_line(folder: str) -> None:
    def prints() -> list[str]:
        (run,) = json.loads(run_check(folder, format="sarif")[1])["runs"]
        return [
            r["partialFingerprints"]["mcpOperatorFinding/v1"]
            for r in run["results"]
            if r["ruleId"] != "InvalidDocument"
        ]

    before = prints()
    moved = Path(folder) / "b.yaml"
    moved.write_text("\n\n" + moved.read_text())

    assert prints() == before


def test_junit_fails_the_objects_with_errors(folder: str) -> None:
    root = ET.fromstring(run_check(folder, format="junit")[1])

    (suite,) = root
    failed = {case.get("name"): case.find("failure") for case in suite if case.find("failure") is not None}
    assert suite.attrib | {"tests": "4", "failures": "2"} == suite.attrib
    assert set(failed) == {"MCPTool shop/b", f"{folder}/broken.yaml"}
    assert "WeakDescription" in "".join(suite.itertext())


def test_junit_replaces_characters_that_xml_forbids(tmp_path: Path) -> None:
    text = tool("a").replace("name: a\n  service", 'name: "\\x01"\n  service')

    assert ET.fromstring(run_check(files(tmp_path, a=text), format="junit")[1]) is not None


def test_github_commands_have_paths_relative_to_the_repository(folder: str) -> None:
    _, out, _ = run_check(folder, format="github", folder=folder)

    assert "::error file=b.yaml,line=8,col=3,title=DuplicateName::spec.name: " in out
    assert "::warning file=a.yaml,line=7,col=1,title=WeakDescription::" in out
    assert out.splitlines()[-1] == "3 objects in 5 files: 2 errors, 2 warnings"


def test_github_commands_cannot_be_forged(tmp_path: Path) -> None:
    text = tool("a").replace("port: 80", 'port: "x%0A::error::y"').replace("name: a\n", "name: a\n", 1)

    _, out, _ = run_check(files(tmp_path, **{"a,b": text}), format="github", folder=str(tmp_path), quiet=True)

    assert all(line.startswith(("::error file=a%2Cb.yaml,", "::warning file=a%2Cb.yaml,")) for line in out.splitlines())
    assert "%250A" in out
