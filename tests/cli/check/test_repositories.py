"""`check` in the repositories of real projects: files of other programs, patches and templates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.samples import SERVER, SERVICE, TOOL, findings, run_check, tool

GOOD = TOOL.format(name="orders", served="orders") + "  description: Returns one order of the shop by its number.\n"
KUSTOMIZATION = "resources: [tool.yaml, server.yaml, service.yaml]\n"
PATCH = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPTool
metadata: {name: orders}
spec:
  timeout: 5s
"""
TEMPLATE = """\
{{- if .Values.tools }}
apiVersion: mcp.example.com/v1alpha1
kind: MCPTool
metadata:
  name: {{ .Release.Name }}-orders
spec:
  service: {name: {{ .Values.service | quote }}, port: 80}
{{- end }}
"""
OBJECTS = {"manifests/tool.yaml": GOOD, "manifests/server.yaml": SERVER, "manifests/service.yaml": SERVICE}

NODE = {
    "package.json": json.dumps({"name": "shop", "version": "1.0.0", "scripts": {"start": "node ."}}),
    "package-lock.json": json.dumps({"name": "shop", "lockfileVersion": 3, "packages": {"": {"name": "shop"}}}),
    "tsconfig.json": '{\n  // comments are allowed here\n  "compilerOptions": {"strict": true,},\n}\n',
    "openapi/kinds.json": '{"kind": "of no object"}',
    "node_modules/pkg/fixtures/broken.yaml": "apiVersion: v1\nkind: [",
    "locales/de.yaml": "welcome: Hallo\nkinds: [a, b]\n",
    "empty.yaml": "",
    "list.json": "[1, 2, 3]",
    "word.yml": "just a text",
}
HELM = {
    "chart/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n",
    "chart/values.yaml": "replicas: 2\nservice: orders\ntools: true\n",
    "chart/values.schema.json": json.dumps({"type": "object", "properties": {"kind": {"type": "string"}}}),
    "chart/templates/tool.yaml": TEMPLATE,
    "chart/templates/quoted.yaml": GOOD.replace("name: orders\n", 'name: "{{ .Release.Name }}"\n', 1),
    "chart/templates/deployment.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ .Values.x }}\n",
    "chart/charts/redis/Chart.yaml": "apiVersion: v2\nname: redis\nversion: 1.0.0\n",
    "chart/crds/widget.yaml": (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.org}\n"
    ),
}
KUSTOMIZE = {
    "base/kustomization.yaml": KUSTOMIZATION,
    "base/tool.yaml": GOOD,
    "base/server.yaml": SERVER,
    "base/service.yaml": SERVICE,
    "overlays/prod/kustomization.yaml": (
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../base]\n"
        "patches:\n- path: timeout.yaml\n- path: json/port.yaml\n  target: {kind: MCPTool}\n"
        "- patch: |-\n    - op: remove\n"
    ),
    "overlays/prod/timeout.yaml": PATCH,
    "overlays/prod/json/port.yaml": "- {op: replace, path: /spec/service/port, value: 81}\n",
    "overlays/old/kustomization.yml": "resources: [../../base]\npatchesStrategicMerge: [timeout.yaml]\n",
    "overlays/old/timeout.yaml": PATCH,
}
COMPOSE = {
    "docker-compose.yml": "services:\n  web:\n    image: nginx:1\n    ports: ['80:80']\n",
    "compose.override.yaml": "x-env: &env {A: b}\nservices:\n  web:\n    environment:\n      <<: *env\n",
    "mkdocs.yml": "site_name: x\nplugins:\n- emoji: !!python/name:material.extensions.emoji.twemoji\n",
    "template.yaml": "Resources:\n  Bucket:\n    Value: !Ref Other\n    Nested: !Sub [a, b]\n",
    "ansible/play.yml": "- hosts: all\n  vars:\n    secret: !vault |\n      abc\n",
    "cookiecutter/{{x}}.yml": "name: {{ cookiecutter.name }}\nvalue: {% if x %}1{% endif %}\n",
}
PYTHON = {
    "openapi.yaml": (
        "openapi: 3.1.0\ninfo: {title: Shop, version: '1'}\npaths: {}\n"
        "components:\n  schemas:\n    Object: {properties: {kind: {type: string}, apiVersion: {type: string}}}\n"
    ),
    "tests/data/latin1.json": '{"a": "é"}',
    "conda.yml": "name: shop\ndependencies: [python=3.14]\n",
    "schema.json": json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", "kind": "x"}),
}


def write(folder: Path, tree: dict[str, str]) -> str:
    for name, text in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="latin-1" if "latin1" in name else "utf-8")
    return str(folder)


@pytest.mark.parametrize("objects", [{}, OBJECTS], ids=["without objects", "with objects"])
@pytest.mark.parametrize(
    "tree", [NODE, HELM, KUSTOMIZE, COMPOSE, PYTHON], ids=["node", "helm", "kustomize", "compose", "python"]
)
def test_an_ordinary_repository_passes(tmp_path: Path, tree: dict[str, str], objects: dict[str, str]) -> None:
    objects = objects if tree is not KUSTOMIZE else {}
    code, out, err = run_check(write(tmp_path, {**tree, **objects}))

    assert code == 0, out + err
    assert ": error:" not in out
    assert ("1 object" in out or "2 objects" in out) if objects or tree is KUSTOMIZE else "0 objects" in out


def test_a_folder_without_objects_says_so(tmp_path: Path) -> None:
    code, out, err = run_check(write(tmp_path, PYTHON))

    assert (code, out) == (0, "0 objects in 4 files: 0 errors, 0 warnings\n")
    assert err == f"mcp-operator check: no MCPServer or MCPTool or MCPPrompt or MCPResource in {tmp_path}\n"


def test_a_folder_without_any_file_is_an_error(tmp_path: Path) -> None:
    assert run_check(write(tmp_path, {"README.md": "x"}))[0] == 2


def test_a_file_that_is_named_must_hold_objects(tmp_path: Path) -> None:
    write(tmp_path, PYTHON)

    (found,) = findings(str(tmp_path / "openapi.yaml"))
    assert found["message"] == "apiVersion must be a non-empty string; add it"


@pytest.mark.parametrize(
    "text",
    [
        tool("a").replace("kind: MCPTool\n", ""),
        tool("a").replace("apiVersion: mcp.example.com/v1alpha1\n", ""),
        tool("a").replace("kind: MCPTool\n", "kind: MCPTol\n"),
        tool("a").replace("spec:", "spec: ["),
        '{"\\u0061piVersion": "mcp.example.com/v1alpha1", "kind": "MCPTool"}',
    ],
    ids=["no kind", "no apiVersion", "misspelt", "broken", "escaped"],
)
def test_an_object_of_ours_in_a_folder_is_never_skipped(tmp_path: Path, text: str) -> None:
    assert "InvalidDocument" in [f["reason"] for f in findings(write(tmp_path, {"a.yaml": text}))]


def test_a_helm_template_is_named_with_the_command_that_renders_it(tmp_path: Path) -> None:
    folder = write(tmp_path, HELM)

    expected = (
        f"Helm template, which is not validated as it is; run: helm template {folder}/chart | mcp-operator check -"
    )
    for path in (folder, f"{folder}/chart/templates"):
        assert [(f["level"], Path(f["file"]).name, f["message"]) for f in findings(path)] == [
            ("warning", "quoted.yaml", expected), ("warning", "tool.yaml", expected),
        ]  # fmt: skip
    assert [f["message"] for f in findings(f"{folder}/chart/templates/tool.yaml")] == [expected]


def test_a_kustomize_patch_is_named_with_the_command_that_applies_it(tmp_path: Path) -> None:
    folder = write(tmp_path, KUSTOMIZE)

    found = findings(folder)

    overlays = ("old", "prod")
    assert [(f["level"], f["file"]) for f in found] == [
        ("warning", f"{folder}/overlays/{overlay}/timeout.yaml") for overlay in overlays
    ]
    for finding, overlay in zip(found, overlays, strict=True):
        assert finding["message"] == (
            "Kustomize patch, which is validated only together with its base; run: "
            f"kubectl kustomize {folder}/overlays/{overlay} | mcp-operator check -"
        )
    assert run_check(f"{folder}/overlays/prod/timeout.yaml")[0] == 0


def test_an_overlay_is_never_mistaken_for_a_patch(tmp_path: Path) -> None:
    folder = write(tmp_path, {**KUSTOMIZE, "overlays/prod/extra.yaml": PATCH})

    assert [f["reason"] for f in findings(folder) if f["file"].endswith("extra.yaml") and f["level"] == "error"] == [
        "InvalidField"
    ]


@pytest.mark.parametrize("pattern", ["broken", "broken/", "./broken", "bro*", "broken/*", "a.yaml", "*/a.yaml"])
def test_files_and_folders_are_excluded(tmp_path: Path, pattern: str) -> None:
    folder = write(tmp_path, {"broken/a.yaml": "kind: [", "b.yaml": GOOD})

    assert run_check(folder)[0] == 1
    assert run_check(folder, exclude=(pattern,))[0] == 0
