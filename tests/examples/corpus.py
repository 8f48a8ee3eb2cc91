"""Reads and validates the examples for tests.

``valid`` is what stands: the shop of the local cluster at its top, a folder for every other set. A file of ``invalid``
or ``warnings`` is applied on top of it, document by document; a document of an object that stands is a change of it. A
file of ``files`` or ``advice`` is for ``mcp-operator check`` alone: nobody applies it. A file of ``forbidden`` is
refused to a user who has no rights but on our kinds.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from crd import access, defaults, extraction, integrity, manifest
from crd.finding import Level, Reason
from crd.integrity import Change
from crd.models import openapi
from crd.rules import advice
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from crd.facts import Fact
    from crd.finding import Finding
    from crd.manifest import Object

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "manifests" / "examples"
STATUS_ONLY = frozenset({Reason.NAME_CONFLICT})
"""Reasons that only appear in a status, never in a review."""
FILES_ONLY = frozenset(
    {Reason.CATALOG_TOO_LARGE, Reason.DUPLICATE_OBJECT, Reason.ENDPOINT_FORBIDDEN, Reason.INVALID_DOCUMENT}
)
"""Reasons whose examples nobody applies: two are about files, a snapshot that is too large takes many objects, and
endpoints are not reviewed."""

ADVICE = advice.REASONS
"""Reasons of warnings that only ``mcp-operator check`` gives."""

RIGHTS_ONLY = frozenset({Reason.HOST_FORBIDDEN, Reason.SECRET_FORBIDDEN, Reason.WORKLOAD_FORBIDDEN})
"""Reasons that depend on who applies the object, and where."""


def files(folder: str) -> list[Path]:
    """The files of a folder and of those below it, in the order of an apply."""
    return sorted((EXAMPLES / folder).rglob("*.yaml"))


def folder_of(reason: Reason) -> str:
    """The folder of the examples of a reason."""
    if reason in FILES_ONLY:
        return "files"
    if reason in ADVICE:
        return "advice"
    if reason in RIGHTS_ONLY:
        return "forbidden"
    return "invalid" if reason.level is Level.ERROR else "warnings"


def reason_of(file: Path) -> Reason:
    """The reason that a file is named after."""
    return Reason(file.stem.partition("--")[0])


def documents(file: Path) -> list[dict[str, Any]]:
    """The documents of a file; the items of a List are documents."""
    found = [document for document in yaml.safe_load_all(file.read_text()) if document]
    return [item for document in found for item in (document["items"] if document["kind"] == "List" else [document])]


def objects(file: Path) -> list[Object]:
    """The objects of our kinds, as they are after the mutating webhook."""
    return [manifest.decode(defaults.set_defaults(d)) for d in documents(file) if manifest.kind_of(d) in openapi.KINDS]


@cache
def valid() -> tuple[Object, ...]:
    """The valid objects of our kinds."""
    return tuple(item for file in files("valid") for item in objects(file))


@cache
def background() -> Snapshot:
    """The objects that the valid examples refer to."""
    outside = [
        _moved(EXAMPLES / "backend" / "service.yaml", "shop"),
        _moved(EXAMPLES.parent / "components" / "redis" / "redis.yaml", "shop"),
    ]
    inside = [document for file in files("valid") for document in documents(file)]
    return Snapshot.of(
        filter(None, map(extraction.facts_of_foreign, [*(d for found in outside for d in found), *inside]))
    )


@cache
def standing() -> Snapshot:
    """The snapshot that contains the valid examples."""
    snapshot = background()
    for item in valid():
        snapshot = snapshot.put(_fact(item))
    return snapshot


def verdict(file: Path) -> list[Finding]:
    """The findings of a file that jane, who has no rights, applies to the valid examples, document by document.

    Only for a file of ``forbidden`` it matters who applies it.
    """
    snapshot = standing()
    there = {item.ref: item for item in valid()}
    found: list[Finding] = []
    for item in objects(file):
        change = Change(item.ref, there.get(item.ref), item)
        found += integrity.judge(snapshot, change)
        if file.parent.name == "forbidden":
            host = access.new_host(change)
            lacking = [access.forbidden(item.ref, demand, "jane") for demand in access.demands(change)]
            refused = access.forbidden_host(item.ref, host, "*.shop.example.com") if host else None
            found += (each for each in (*lacking, refused) if each is not None and each.reason is reason_of(file))
        if item.fact is not None:
            snapshot = snapshot.put(item.fact)
    return found


def _fact(item: Object) -> Fact:
    assert item.fact is not None, item.problems
    return item.fact


def _moved(file: Path, namespace: str) -> list[dict[str, Any]]:
    """The documents of a file in the namespace that a kustomization puts them in."""
    return [{**d, "metadata": {**d["metadata"], "namespace": namespace}} for d in documents(file)]
