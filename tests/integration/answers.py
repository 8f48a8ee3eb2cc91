"""The answers of a real API server and of our models to the same documents."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from crd import integrity, manifest
from crd.finding import format_path
from crd.integrity import Change
from crd.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.localcluster import Cluster

__all__ = ["contains", "of_the_api_server", "of_the_models", "of_the_rules", "plain", "words"]

_REFUSED = re.compile(r'"([^"]+)" is invalid: (.*?)(?=\nError from server|\Z)', re.DOTALL)
_FIELD = re.compile(
    r"(?:^|, |\[|\* )((?:spec|metadata)(?:\.[A-Za-z0-9_/-]+|\[[^\]\n]*\])*): "
    r"(?:Invalid|Required|Duplicate|Too|Unsupported|Forbidden)"
)


def of_the_api_server(
    cluster: Cluster, documents: Iterable[dict[str, Any]], *flags: str
) -> dict[str, tuple[set[str], str]]:
    """The fields that are refused and the words, by the name of the document; accepted ones are missing.

    Raises RuntimeError for an answer that is neither a refusal by fields nor an acceptance.
    """
    sent = list(documents)
    done = cluster.run(
        "create",
        "--dry-run=server",
        "-o",
        "name",
        *flags,
        "-f",
        "-",
        stdin="\n---\n".join(map(json.dumps, sent)),
        check=False,
    )
    refused = {name: (set(map(plain, _FIELD.findall(words))), words) for name, words in _REFUSED.findall(done.stderr)}
    accepted = {line.partition("/")[2] for line in done.stdout.split()}
    unheard = [name for name in (d["metadata"]["name"] for d in sent) if (name in refused) == (name in accepted)]
    if unheard:
        raise RuntimeError(f"no answer to {unheard[:3]}: {done.stderr[-2000:]}")
    return refused


def of_the_models(document: dict[str, Any]) -> set[str]:
    """The fields that keep the document from being read."""
    return {format_path(problem.path) for problem in manifest.decode(document).problems}


def of_the_rules(document: dict[str, Any], before: dict[str, Any] | None = None) -> set[str]:
    """The fields that the webhook refuses."""
    old, new = (manifest.decode(each) if each else None for each in (before, document))
    assert new is not None
    return {finding.field_path for finding in integrity.judge(Snapshot(), Change(new.ref, old, new)).errors}


def words(document: dict[str, Any]) -> list[str]:
    """What ``check`` and the webhook say of the document by itself."""
    return [finding.message for finding in integrity.find_own(manifest.decode(document)) if finding.level == "error"]


def contains(fields: set[str], place: str) -> bool:
    """Whether one of the fields is this place, or inside of it."""
    return any(field == place or field.startswith((f"{place}.", f"{place}[")) for field in fields)


def plain(field: str) -> str:
    """A field path as we write it: keys of a map are members."""
    return re.sub(r"\[([^\]]*[^\]0-9][^\]]*)\]", r".\1", field)
