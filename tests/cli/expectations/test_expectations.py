"""mcp-operator test: users' own expectations."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cli.commands import expectations
from tests.cli.samples import SERVER, SERVICE, files, tool

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples"


def run(*paths: object, output: str = "text") -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    options = expectations.Options(tuple(map(str, paths)), output)  # type: ignore[arg-type]
    code = expectations.run(options, out=out, err=err)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    schema = "  inputSchema: {type: object, properties: {status: {type: string, maxLength: 6}}}\n"
    files(tmp_path, all="---\n".join((SERVER, SERVICE, tool("list-orders") + schema)))
    return tmp_path


def written(folder: Path, *tests: str) -> Path:
    file = folder / "orders.test.yaml"
    file.write_text("files: [all.yaml]\ntests:\n" + "".join(f"  - {{name: case, {test}}}\n" for test in tests))
    return file


CALL = "call: {tool: list_orders, arguments: {status: open}}"


def test_the_examples_pass() -> None:
    code, out, err = run(EXAMPLES / "tests")

    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "4 passed, 0 failed"


@pytest.mark.parametrize(
    "test",
    [
        f"{CALL}, request: {{method: POST, url: 'http://orders.shop.svc:80/', body: {{status: open}}}}",
        f'{CALL}, request: {{headers: {{content-type: application/json}}, body: \'{{"status":"open"}}\'}}',
        "call: {tool: shop/list-orders, arguments: {status: too long}}, refused: length must be",
        "change: [{delete: {kind: MCPTool, namespace: shop, name: list-orders}}], verdict: allowed",
    ],
)
def test_what_happens_passes(folder: Path, test: str) -> None:
    assert run(written(folder, test))[:2] == (0, f"ok  {folder}/orders.test.yaml:3: case\n1 passed, 0 failed\n")


@pytest.mark.parametrize(
    ("test", "fault"),
    [
        (f"{CALL}, request: {{method: GET}}", "expected method GET, got POST"),
        (f"{CALL}, request: {{url: 'http://x/'}}", "expected url http://x/, got http://orders.shop.svc:80/"),
        (f"{CALL}, request: {{headers: {{X-Key: a}}}}", "expected header X-Key: a, got no such header"),
        (f"{CALL}, request: {{body: {{status: lost}}}}", 'expected body {"status": "lost"}, got {"status":"open"}'),
        (f"{CALL}, request: {{body: null}}", "expected body null, got"),
        (f"{CALL}, refused: x", 'expected a refusal with "x", got the request POST'),
        ("call: {tool: list_orders, arguments: {status: 7}}, request: {}", "the call is refused: /status"),
        ("call: {tool: list_orders, arguments: {status: 7}}, refused: x", 'expected a refusal with "x", got: '),
        ("call: {tool: nothing}, request: {}", 'no MCPTool "nothing"'),
        (
            "change: [{delete: {kind: MCPTool, namespace: shop, name: list-orders}}], verdict: denied",
            "expected denied, got allowed",
        ),
        (
            "change: [{delete: {kind: MCPTool, namespace: shop, name: list-orders}}], verdict: allowed, findings: []",
            "expected the findings none, got SelectsNothing",
        ),
        ("change: [{delete: {kind: MCPTool, name: other}}], verdict: allowed", "it is not in the files"),
    ],
)
def test_what_differs_fails(folder: Path, test: str, fault: str) -> None:
    code, out, _ = run(written(folder, test))

    assert code == 1
    assert fault in out
    assert out.endswith("0 passed, 1 failed\n")


def test_given_objects_are_there_before_the_change(folder: Path) -> None:
    metadata = "metadata: {name: %s, namespace: shop, labels: {app: shop}}"
    other = (
        f"{{apiVersion: mcp.example.com/v1alpha1, kind: MCPTool, {metadata}"
        ", spec: {name: taken, service: {name: orders, port: 80}}}"
    )
    findings = "[DuplicateName, WeakDescription]"
    test = f"given: [{other % 'a'}], change: [{other % 'b'}], verdict: denied, findings: {findings}"

    assert run(written(folder, test))[0] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n", "the file has an unknown member"),
        ("files: [all.yaml]\n", 'the file lacks the member "tests"; add it'),
        ("files: [all.yaml]\ntests: []\n", "tests must be a list with at least one test"),
        ("files: [all.yaml]\ntests: [{name: x}]\n", "tests[0] must have either call or change"),
        ("files: [all.yaml]\ntests: [{name: x, call: {tool: a}}]\n", "must have either request or refused"),
        ("files: [all.yaml]\ntests: [{name: x, call: {tool: a}, request: {uri: x}}]\n", 'unknown member "uri"'),
        ("files: [all.yaml]\ntests: [{name: x, change: [], verdict: allowed}]\n", "change must not be empty"),
        ("files: [all.yaml]\ntests: [{name: x, change: [{}], verdict: fine}]\n", "must be allowed or denied"),
        ("files: [all.yaml]\ntests: [{name: x, change: [{kind: Pod}], verdict: denied}]\n", "not a named object"),
        ("files: [none.yaml]\ntests: [{name: x, call: {tool: a}, request: {}}]\n", "does not exist"),
        ("files: [\n", "must be one YAML document"),
        ("a: 1\n---\nb: 1\n", "must be one YAML document"),
    ],
)
def test_a_file_that_cannot_be_used_ends_with_two(folder: Path, text: str, message: str) -> None:
    (folder / "orders.test.yaml").write_text(text)

    code, out, err = run(folder)

    assert (code, out) == (2, "")
    assert message in err


def test_a_folder_without_tests_ends_with_two(folder: Path) -> None:
    assert run(folder)[0] == 2


def test_junit_has_a_case_for_each_test(folder: Path) -> None:
    file = written(folder, f"{CALL}, request: {{method: GET}}", f"{CALL}, request: {{}}")

    code, out, _ = run(file, output="junit")

    root = ET.fromstring(out)
    assert (code, root.get("tests"), root.get("failures")) == (1, "2", "1")
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == "expected method GET, got POST"
