"""`mcp-operator check`: its findings and exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from cli import __main__ as command
from cli.commands.files import read
from cli.manifests import transaction, validation
from cli.manifests.validation import ClusterState
from crd import defaults, manifest
from crd.finding import Level, Reason
from crd.ref import Kind
from tests.cli.samples import SERVER, SERVICE, TOOL, files, findings, run_check, tool

if TYPE_CHECKING:
    from cli.manifests.documents import Document

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "manifests" / "examples"
DESCRIBED = TOOL + "  description: Returns one order of the shop by its number.\n"


def described(name: str) -> str:
    return DESCRIBED.format(name=name, served=name)


def test_complete_files_have_no_findings(tmp_path: Path) -> None:
    folder = files(tmp_path, a=described("a"), server=SERVER, service=SERVICE)

    assert run_check(folder) == (
        0,
        "3 objects in 3 files: 0 errors, 0 warnings\n".replace("3 objects", "2 objects"),
        "",
    )


def test_the_files_are_one_transaction(tmp_path: Path) -> None:
    folder = files(tmp_path, b=DESCRIBED.format(name="b", served="a"), a=described("a"), server=SERVER, service=SERVICE)

    (found,) = findings(folder)

    assert (found["level"], found["reason"], found["kind"], found["namespace"], found["name"]) == (
        "error", "DuplicateName", "MCPTool", "shop", "b"
    )  # fmt: skip
    assert (found["file"], found["line"], found["column"], found["path"]) == (f"{folder}/b.yaml", 8, 3, "spec.name")
    assert [(r["kind"], r["name"], r.get("file"), r.get("line")) for r in found["related"]] == [
        ("MCPTool", "a", f"{folder}/a.yaml", 4),
        ("MCPServer", "main", f"{folder}/server.yaml", 3),
    ]


def test_a_missing_service_is_an_error_only_when_references_are_strict(tmp_path: Path) -> None:
    folder = files(tmp_path, a=described("a"))

    assert [(f["level"], f["reason"]) for f in findings(folder)] == [("warning", "ServiceMissing")]
    assert [(f["level"], f["reason"]) for f in findings(folder, strict_refs=True)] == [("error", "ServiceMissing")]
    assert (run_check(folder)[0], run_check(folder, strict_refs=True)[0]) == (0, 1)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("port", SERVICE.replace("port: 80}", "port: 81}"), "ServicePortMissing"),
        ("absent", SERVICE.replace("name: orders", "name: order"), "ServiceMissing"),
    ],
)
def test_strict_references_hold_services_and_their_ports(tmp_path: Path, name: str, text: str, reason: str) -> None:
    folder = files(tmp_path, a=described("a"), **{name: text})

    assert [(f["level"], f["reason"]) for f in findings(folder, strict_refs=True)] == [("error", reason)]


SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: token, namespace: shop}\n"
WITH_SECRET = DESCRIBED + "  headersFrom:\n  - {{name: X-Key, secretKeyRef: {{name: token, key: key}}}}\n"


def test_strict_references_hold_secrets(tmp_path: Path) -> None:
    folder = files(tmp_path, a=WITH_SECRET.format(name="a", served="a"), service=SERVICE)

    assert [(f["level"], f["reason"]) for f in findings(folder)] == [("warning", "SecretMissing")]
    assert [(f["level"], f["reason"]) for f in findings(folder, strict_refs=True)] == [("error", "SecretMissing")]
    assert findings(folder, str(tmp_path / "more"), strict_refs=True) == [] if files_in(tmp_path, SECRET) else None


def files_in(folder: Path, text: str) -> bool:
    (folder / "more").mkdir()
    return bool((folder / "more" / "secret.yaml").write_text(text))


SLICE = """\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: orders-1, namespace: shop, labels: {kubernetes.io/service-name: orders}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.7, 100.100.100.200]}]
"""
ENDPOINTS = """\
apiVersion: v1
kind: Endpoints
metadata: {name: orders, namespace: shop}
subsets: [{addresses: [{ip: 10.0.0.7}], notReadyAddresses: [{ip: 100.100.100.200}]}]
"""


@pytest.mark.parametrize("text", [SLICE, ENDPOINTS], ids=["EndpointSlice", "Endpoints"])
def test_a_service_whose_endpoint_in_a_file_must_not_be_called_is_not_called(tmp_path: Path, text: str) -> None:
    folder = files(tmp_path, a=described("a"), service=SERVICE, z=text)
    (found,) = findings(folder)
    assert (found["level"], found["reason"]) == ("error", "EndpointForbidden")
    assert "Service shop/orders has the endpoint 100.100.100.200 (a metadata address)" in found["message"]


@pytest.mark.parametrize(
    "text",
    [
        SLICE.replace(", 100.100.100.200", ""),
        SLICE.replace("namespace: shop", "namespace: other"),
        SLICE.replace("name: orders}}", "name: others}}"),
        SLICE.replace("[{addresses", "7 #"),
        ENDPOINTS.replace("[{addresses", "7 #"),
    ],
    ids=["allowed", "namespace", "service", "no list", "no subsets"],
)
def test_other_endpoints_in_files_are_none_of_its(tmp_path: Path, text: str) -> None:
    assert findings(files(tmp_path, a=described("a"), service=SERVICE, z=text)) == []


GRANT = """\
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: shop, namespace: stock}
spec:
  from: [{group: mcp.example.com, kind: MCPTool, namespace: shop}]
  to: [{group: "", kind: Service}]
"""


def test_a_grant_among_the_files_lets_a_tool_into_another_namespace(tmp_path: Path) -> None:
    abroad = described("a").replace("{name: orders, port: 80}", "{name: orders, namespace: stock, port: 80}")
    service = SERVICE.replace("namespace: shop", "namespace: stock")
    folder = files(tmp_path, a=abroad, service=service)

    assert [(f["level"], f["reason"], f["path"]) for f in findings(folder)] == [
        ("error", "CrossNamespaceDenied", "spec.service.namespace")
    ]
    files(tmp_path, grant=GRANT)
    assert findings(folder) == []


def test_warnings_fail_the_run_with_fail_on_warning(tmp_path: Path) -> None:
    folder = files(tmp_path, a=tool("a"), service=SERVICE)

    assert [f["reason"] for f in findings(folder)] == ["WeakDescription"]
    assert run_check(folder)[0] == 0
    assert run_check(folder, fail_on=Level.WARNING)[0] == 1


def test_only_findings_outside_of_the_baseline_fail(tmp_path: Path) -> None:
    folder = files(tmp_path, a=described("a").replace("port: 80", "port: 0"))
    baseline = tmp_path / "baseline.txt"
    baseline.write_text(run_check(folder, format="json")[1])

    assert run_check(folder, baseline=baseline)[:2] == (0, "1 object in 1 file: 0 errors, 0 warnings, 1 known\n")

    (tmp_path / "a.yaml").write_text("# moved down\n" + (tmp_path / "a.yaml").read_text())
    files(tmp_path, b=described("b").replace("port: 80", "port: -1"))
    code, out, _ = run_check(folder, baseline=baseline)
    assert code == 1
    assert "b.yaml:9:27: error: InvalidField: spec.service.port: " in out
    assert out.endswith("2 objects in 2 files: 1 error, 0 warnings, 1 known\n")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"findings": [{}]}'])
def test_a_baseline_must_be_a_report(tmp_path: Path, text: str) -> None:
    baseline = tmp_path / "baseline.txt"
    baseline.write_text(text)

    code, out, err = run_check(files(tmp_path, a=tool("a")), baseline=baseline)

    assert (code, out) == (2, "")
    why = "it must be a report of mcp-operator check --format json"
    assert err == f"mcp-operator check: cannot use the baseline {baseline}: {why}\n"


def test_a_missing_baseline_is_an_error(tmp_path: Path) -> None:
    code, _, err = run_check(files(tmp_path, a=tool("a")), baseline=tmp_path / "none")

    assert (code, "cannot read the baseline" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n",
            "no MCPServer or MCPTool or MCPPrompt or MCPResource in",
        ),
        ("", "no MCPServer or MCPTool or MCPPrompt or MCPResource in"),
    ],
)
def test_nothing_to_validate_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    code, out, err = run_check(files(tmp_path, a=text) + "/a.yaml")

    assert (code, out) == (2, "")
    assert said in err


def test_a_missing_path_is_an_error() -> None:
    assert run_check("/nowhere/at/all") == (2, "", "mcp-operator check: /nowhere/at/all does not exist\n")


def test_a_broken_file_is_a_finding_and_the_others_are_validated(tmp_path: Path) -> None:
    folder = files(tmp_path, broken="kind: [", b=described("b").replace("port: 80", "port: 0"))

    assert [(f["reason"], Path(f["file"]).name, f["line"]) for f in findings(folder)] == [
        ("InvalidField", "b.yaml", 9),
        ("InvalidDocument", "broken.yaml", 1),
    ]


def test_invalid_utf8_is_a_finding() -> None:
    (found,) = findings("-", stdin=b"a: 1\nb: \xff\n")

    assert (found["reason"], found["line"], found["column"], found["file"]) == ("InvalidDocument", 2, 4, "-")
    assert found["message"] == "byte 0xff is not UTF-8; save the file as UTF-8"


def test_a_duplicate_object_is_a_finding(tmp_path: Path) -> None:
    folder = files(tmp_path, a=described("a"), b=described("a"), service=SERVICE)

    (found,) = findings(folder)

    assert (found["reason"], Path(found["file"]).name, found["line"]) == ("DuplicateObject", "b.yaml", 4)
    assert found["message"] == (
        f"MCPTool shop/a is also at {folder}/a.yaml:4, and only the last one is applied; remove or rename one"
    )


def test_a_misspelt_kind_of_ours_is_a_finding_and_foreign_kinds_are_skipped(tmp_path: Path) -> None:
    text = "apiVersion: mcp.example.com/v1alpha1\nkind: MCPTol\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\n"

    (found,) = findings(files(tmp_path, a=text))

    assert (found["reason"], found["message"]) == (
        "InvalidDocument",
        'unknown kind "MCPTol" in mcp.example.com; did you mean "MCPTool"?',
    )


def test_a_date_is_a_string_as_kubernetes_reads_it(tmp_path: Path) -> None:
    text = (
        "apiVersion: mcp.example.com/v1alpha1\nkind: MCPPrompt\nmetadata: {name: a}\n"
        "spec: {template: '{{day}}', variables: [{name: day, default: 2026-01-31}]}\n"
    )

    assert run_check(files(tmp_path, a=text))[0] == 0


# Files are one state, so nothing in them has changed; `--live` compares them with a cluster's.
IN_ONE_STATE = [path for path in sorted((EXAMPLES / "invalid").glob("*.yaml")) if "ImmutableField" not in path.stem]


@cache
def read_valid_examples() -> tuple[Document, ...]:
    return read([str(EXAMPLES / "valid")], io.BytesIO()).documents


@pytest.mark.parametrize("file", IN_ONE_STATE, ids=lambda path: path.stem)
def test_an_invalid_example_has_a_finding_of_its_reason(file: Path) -> None:
    reading = read([str(file)], io.BytesIO())
    sorted_ = transaction.sort_documents([*read_valid_examples(), *reading.documents], reading.faults)
    errors = [*sorted_.entries, *validation.validate_alone(sorted_).errors]

    assert file.stem.partition("--")[0] in {error.reason for error in errors}


@pytest.mark.parametrize(("reason", "code"), [("DuplicateName", 0), ("duplicatename", 0), ("DuplicateNames", 2)])
def test_a_reason_is_explained(reason: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check", "--explain", reason]) == code

    said = capsys.readouterr()
    assert said.out.startswith("# DuplicateName") if code == 0 else "did you mean DuplicateName" in said.err


def test_colour_and_summary_follow_the_options(tmp_path: Path) -> None:
    folder = files(tmp_path, a=described("a"))

    assert "\x1b[1;33mwarning\x1b[0m: ServiceMissing" in run_check(folder, colour=True)[1]
    assert "\x1b" not in run_check(folder)[1]
    assert run_check(folder)[1].splitlines()[-1] == "1 object in 1 file: 0 errors, 1 warning"
    assert len(run_check(folder, quiet=True)[1].splitlines()) == 1


def test_a_pipe_gets_no_colour_and_a_shell_sees_the_exit_codes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "check", "-", "--format", "json"],
        input=described("a").replace("port: 80", "port: 0").encode(),
        capture_output=True,
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 1
    assert json.loads(done.stdout)["summary"] == {"objects": 1, "files": 1, "errors": 1, "warnings": 0, "known": 0}


def test_control_characters_of_a_manifest_are_escaped(tmp_path: Path) -> None:
    text = tool("a").replace("  name: a\n", '  name: "a\\e[2J\\n\\u202e"\n')

    _, out, _ = run_check(files(tmp_path, a=text), quiet=True)

    assert "a\\x1b[2J\\n\\u202e" in out
    assert all(character.isprintable() for line in out.removesuffix("\n").split("\n") for character in line)


def test_an_object_that_no_api_server_accepts_is_a_finding_and_the_others_are_validated(tmp_path: Path) -> None:
    large = f"{tool('a')}  description: {'x' * (3 * 2**20)}\n"

    code, out, _ = run_check(files(tmp_path, a=f"{large}---\n{tool('b')}", service=SERVICE, server=SERVER))

    assert code == 1
    assert "a.yaml:1:1: error: InvalidDocument: this object is 3.0 MiB as JSON; the API server accepts at most 3" in out
    assert "2 objects in 3 files: 1 error" in out


def test_a_server_of_the_cluster_may_select_what_no_server_of_the_files_does() -> None:
    own = SERVER.replace("main", "crm").replace("app: shop", "app: crm")
    texts = (own, tool("a").replace("app: shop", "app: crm"), tool("b"))
    reading = read(["-"], io.BytesIO("---\n".join(texts).encode()))
    sorted_ = transaction.sort_documents(reading.documents, reading.faults)
    main = manifest.decode(defaults.set_defaults(yaml.safe_load(SERVER)))

    def advised(cluster: ClusterState | None) -> list[str]:
        found = validation.find_advice(sorted_, cluster)
        return [str(each.ref) for each in found if each.reason is Reason.NOT_SELECTED]

    assert advised(None) == ["MCPTool shop/b"]
    assert advised(ClusterState({}, ())) == ["MCPTool shop/b"]
    assert advised(ClusterState({main.ref: main}, ())) == []
    assert advised(ClusterState({}, (), frozenset({Kind.SERVER}))) == []
