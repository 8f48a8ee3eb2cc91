"""PURE. What folders of real projects hold beside manifests: Kustomize patches and Helm templates.

A patch is a part of an object, and a template becomes one: neither is validated, and the finding says what to pipe into
`check` instead. Files of other programs are skipped by `cli.manifests.documents`. Called by `cli.commands.files`.
"""

from __future__ import annotations

import posixpath
import shlex
from typing import TYPE_CHECKING, Any

from cli.manifests import yaml_nodes
from cli.manifests.documents import Document, Fault, Source
from cli.manifests.nodes import Node
from crd.finding import Level
from crd.ref import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["describe_template", "is_template", "set_patches_apart"]

# The members of a kustomization that name files with patches.
_PATCHES = ("patches", "patchesJson6902", "patchesStrategicMerge")


def is_template(data: bytes) -> bool:
    """Whether a file in the folder of a chart's templates has actions of the template language."""
    return b"{{" in data


def describe_template(name: str, data: bytes, chart: str) -> Iterator[Fault]:
    """A warning about a template of an object of ours; nothing for other templates."""
    if GROUP.encode() in data:
        command = f"helm template {shlex.quote(chart)} | mcp-operator check -"
        message = f"Helm template, which is not validated as it is; run: {command}"
        yield Fault(Source(name, ""), 0, message, Level.WARNING)


def set_patches_apart(
    found: Iterable[Document | Fault], kustomizations: Mapping[str, str]
) -> Iterator[Document | Fault]:
    """Replace what is in files of Kustomize patches; ``kustomizations`` are the texts by folder.

    A patch of an object of ours becomes a warning. Other patches are skipped.
    """
    patches = dict(_patches(kustomizations))
    described: set[str] = set()
    for item in found:
        name = posixpath.normpath(item.source.name)
        folder = patches.get(name)
        if folder is None:
            yield item
        elif name not in described and GROUP in item.source.text:
            described.add(name)
            command = f"kubectl kustomize {shlex.quote(folder or '.')} | mcp-operator check -"
            message = f"Kustomize patch, which is validated only together with its base; run: {command}"
            yield Fault(item.source, 0, message, Level.WARNING)


def _patches(kustomizations: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The files that hold patches, each with the folder of its kustomization."""
    for folder, text in kustomizations.items():
        for node in yaml_nodes.compose(text):
            for path in _named(node.value) if isinstance(node, Node) and isinstance(node.value, dict) else ():
                yield posixpath.normpath(posixpath.join(folder, path)), folder


def _named(kustomization: Mapping[str, Any]) -> Iterator[str]:
    for member in _PATCHES:
        entries = kustomization.get(member)
        if not isinstance(entries, list):
            continue
        for entry in entries:
            path = entry.get("path") if isinstance(entry, dict) else entry
            if isinstance(path, str) and "\n" not in path:
                yield path
