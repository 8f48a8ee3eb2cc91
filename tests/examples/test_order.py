"""``kubectl apply -f`` of an example folder works the first time: kubectl sends files by name, and never waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.examples import corpus

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = corpus.ROOT / "manifests" / "examples"
VALID = EXAMPLES / "valid"
FOLDERS = [VALID, *sorted(path for path in VALID.iterdir() if path.is_dir())]


def missing(folder: Path, made: set[str]) -> list[str]:
    """The objects whose namespace no earlier document creates; ``made`` grows by the namespaces of the folder."""
    found = []
    for file in sorted(folder.glob("*.yaml")):
        for document in filter(None, yaml.safe_load_all(file.read_text())):
            metadata = document["metadata"]
            if document["kind"] == "Namespace":
                made.add(metadata["name"])
            elif metadata.get("namespace", "default") not in made:
                found.append(f"{file.name}: {document['kind']} {metadata['namespace']}/{metadata['name']}")
    return found


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_creates_its_namespaces_first(folder: Path) -> None:
    assert missing(folder, {"default"}) == []


def test_the_warnings_need_the_valid_examples_only() -> None:
    made = {"default"}
    for folder in FOLDERS:
        missing(folder, made)

    assert missing(EXAMPLES / "warnings", made) == []


def test_an_object_before_its_namespace_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: ConfigMap\nmetadata: {name: a, namespace: late}\n")
    (tmp_path / "b.yaml").write_text("kind: Namespace\nmetadata: {name: late}\n")

    assert missing(tmp_path, {"default"}) == ["a.yaml: ConfigMap late/a"]
