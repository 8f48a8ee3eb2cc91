"""What a release is built from: locked dependencies, a base image by digest, and the list of its components."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from scripts import release, requirements

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCK = (ROOT / "poetry.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_this_checkout_is_ready_for_a_release() -> None:
    assert release.find_faults(DOCKERFILE, requirements.FILE.read_text()) == []


@pytest.mark.parametrize(
    "image", ["python:3.14-slim", "python@sha256:abc", "python:3.14-slim@sha256:" + "g" * 64, "$OTHER"]
)
def test_a_base_image_without_a_digest_is_a_fault(image: str) -> None:
    lines = [f"ARG BASE={image}" if line.startswith("ARG BASE=") else line for line in DOCKERFILE.splitlines()]

    (fault,) = release.find_faults("\n".join(lines), requirements.render())
    assert "by digest" in fault


def test_every_stage_uses_the_base_image() -> None:
    stages = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")]

    assert set(stages) == {"${BASE}"}


def test_requirements_that_do_not_match_the_lock_are_a_fault() -> None:
    changed = requirements.render().replace("pyyaml==", "pyyaml==0.")

    assert "poe generate" in " ".join(release.find_faults(DOCKERFILE, changed))


def test_every_requirement_has_hashes() -> None:
    entries = requirements.render().replace(" \\\n", " ").splitlines()[1:]

    assert len(entries) > 20
    assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)


def test_the_list_of_components_is_complete_and_consistent() -> None:
    document: dict[str, Any] = release.bill_of_materials(LOCK, PROJECT, DOCKERFILE)

    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    libraries = {c["name"]: c for c in document["components"] if c["type"] == "library"}
    locked = {p["name"] for p in tomllib.loads(LOCK)["package"] if "main" in p["groups"]}
    assert set(libraries) == locked
    assert {"aiohttp", "pydantic-core"} <= locked
    assert "pytest" not in libraries
    hashes = [ref["hashes"][0]["content"] for ref in libraries["aiohttp"]["externalReferences"]]
    assert hashes
    assert all(len(each) == 64 for each in hashes)
    (image,) = [c for c in document["components"] if c["type"] == "container"]
    assert image["version"].removeprefix("sha256:") in DOCKERFILE
    references = [c["bom-ref"] for c in document["components"]] + [document["metadata"]["component"]["bom-ref"]]
    assert len(set(references)) == len(references)
    named = {each for entry in document["dependencies"] for each in (entry["ref"], *entry["dependsOn"])}
    assert named <= set(references)
    root, *_ = document["dependencies"]
    assert {"pkg:pypi/aiohttp@" + libraries["aiohttp"]["version"]} <= set(root["dependsOn"])
    assert json.dumps(release.bill_of_materials(LOCK, PROJECT, DOCKERFILE)) == json.dumps(document)


def test_the_list_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "SBOM", tmp_path / "dist" / "sbom.cdx.json")

    assert release.main() == 0
    assert json.loads(release.SBOM.read_text())["components"]
