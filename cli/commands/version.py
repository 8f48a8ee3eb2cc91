"""Prints which program this is: its version, the commit it was built from, and a digest of the schemas it knows.

Two installations with the same digest have the same CustomResourceDefinitions.
"""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import orjson

from cli.commands import revisions
from crd.models import openapi

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["REVISION_VARIABLE", "UNKNOWN", "revision", "run", "schema_digest"]

DISTRIBUTION = "mcp-operator"
# The image is built with it; see the Dockerfile.
REVISION_VARIABLE = "MCP_OPERATOR_REVISION"
UNKNOWN = "unknown"
CHECKOUT = Path(__file__).parents[2]


def run(*, as_json: bool, environment: Mapping[str, str], out: TextIO) -> int:
    """Print the version. Returns 0."""
    found = {
        "version": metadata.version(DISTRIBUTION),
        "revision": revision(environment, _source(), CHECKOUT),
        "schemas": schema_digest(),
        "python": platform.python_version(),
    }
    if as_json:
        out.write(json.dumps(found, indent=2) + "\n")
    else:
        out.writelines(f"{name:<9} {value}\n" for name, value in found.items())
    return 0


def schema_digest() -> str:
    """SHA-256 over the CustomResourceDefinitions of all kinds, as JSON with sorted keys."""
    definitions = [openapi.definition(kind) for kind in openapi.KINDS]
    return "sha256:" + hashlib.sha256(orjson.dumps(definitions, option=orjson.OPT_SORT_KEYS)).hexdigest()


def revision(environment: Mapping[str, str], source: str | None, checkout: Path) -> str:
    """The commit: of the image, of the repository that pip installed from, or of a checkout that is run in place.

    ``source`` is the ``direct_url.json`` of the installation (PEP 610).
    """
    given = environment.get(REVISION_VARIABLE)
    if given:
        return given
    commit = (json.loads(source) if source else {}).get("vcs_info", {}).get("commit_id")
    if commit:
        return str(commit)
    if not (checkout / ".git").exists():
        return UNKNOWN
    try:
        return revisions.head(checkout, environment)
    except revisions.NoRevisionError:
        return UNKNOWN


def _source() -> str | None:
    return metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
