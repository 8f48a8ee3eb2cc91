"""What ``make release-check`` holds a release to: locked dependencies, a base image by digest, a list of components.

It writes the list to ``dist/sbom.cdx.json`` (CycloneDX 1.6).
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import uuid
from typing import Any
from urllib.parse import quote

from scripts import requirements
from scripts.localcluster import paths, progress

__all__ = ["bill_of_materials", "find_faults", "main"]

SBOM = paths.ROOT / "dist" / "sbom.cdx.json"
_IMAGE = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
_DIGEST = re.compile(r"(?P<name>[a-z0-9./_-]+)(:(?P<tag>[A-Za-z0-9._-]+))?@sha256:(?P<digest>[0-9a-f]{64})")


def find_faults(dockerfile: str, committed: str) -> list[str]:
    """What keeps these texts of Dockerfile and requirements.txt from a release."""
    faults = []
    image = _IMAGE.search(dockerfile)
    if image is None or not _DIGEST.fullmatch(image[1]):
        faults.append("the base image of the Dockerfile must be named by digest, as in name:tag@sha256:…")
    if committed != requirements.render():
        faults.append("requirements.txt does not match poetry.lock; run poe generate")
    return faults


def bill_of_materials(lock: str, project: dict[str, Any], dockerfile: str) -> dict[str, Any]:
    """The components of the image as a CycloneDX document: the production dependencies, and the base image."""
    name, version = project["name"], project["version"]
    packages = [package for package in tomllib.loads(lock)["package"] if "main" in package["groups"]]
    references = {package["name"]: _reference(package["name"], package["version"]) for package in packages}
    components = [_library(package) for package in packages]
    image = _DIGEST.fullmatch(found[1]) if (found := _IMAGE.search(dockerfile)) else None
    if image is not None:
        components.append(_container(image))
    root = _reference(name, version)
    direct = {re.split(r"[<>=!;\[ ]", line)[0].lower().replace("_", "-") for line in project["dependencies"]}
    depends = [
        {
            "ref": references[package["name"]],
            "dependsOn": sorted(references[other] for other in package.get("dependencies", {}) if other in references),
        }
        for package in packages
    ]
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{root}#{paths.fingerprint(lock.encode(), dockerfile.encode())}")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": root, "name": name, "version": version, "purl": root,
            "licenses": [{"license": {"id": project["license"]}}],
        }},
        "components": components,
        "dependencies": [
            {"ref": root, "dependsOn": sorted(references[each] for each in direct if each in references)},
            *depends,
        ],
    }  # fmt: skip


def main() -> int:
    """Write the list of components. Returns 1, and prints why, if the release must wait."""
    dockerfile = (paths.ROOT / "Dockerfile").read_text()
    project = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]
    SBOM.parent.mkdir(exist_ok=True)
    document = bill_of_materials((paths.ROOT / "poetry.lock").read_text(), project, dockerfile)
    SBOM.write_text(json.dumps(document, indent=2) + "\n")
    progress.note(f"{len(document['components'])} components in {SBOM}")
    faults = find_faults(dockerfile, requirements.FILE.read_text())
    for fault in faults:
        print(f"make release-check: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _library(package: dict[str, Any]) -> dict[str, Any]:
    reference = _reference(package["name"], package["version"])
    return {
        "type": "library",
        "bom-ref": reference,
        "name": package["name"],
        "version": package["version"],
        "purl": reference,
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"{reference}?file_name={quote(file['file'])}",
                "hashes": [{"alg": "SHA-256", "content": file["hash"].removeprefix("sha256:")}],
            }
            for file in package["files"]
        ],
    }


def _container(image: re.Match[str]) -> dict[str, Any]:
    digest, tag = image["digest"], image["tag"] or ""
    reference = f"pkg:oci/{image['name'].rpartition('/')[2]}@sha256%3A{digest}" + (f"?tag={tag}" if tag else "")
    return {
        "type": "container",
        "bom-ref": reference,
        "name": image["name"],
        "version": f"sha256:{digest}",
        "purl": reference,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def _reference(name: str, version: str) -> str:
    """A package URL; PyPI names are normalised (PEP 503)."""
    return f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{quote(version)}"


if __name__ == "__main__":
    sys.exit(main())
