"""PURE. Who serves what, as a published catalog says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.facts import Claim, Space
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.published.catalogs import Catalog
    from crd.published.entries import HttpResource, InlineResource

__all__ = ["holders", "served"]


def holders(catalog: Catalog) -> dict[Claim, Ref]:
    """The object that is served under each name (with the server's prefix), URI and door."""
    return dict(_holders(catalog))


def served(catalog: Catalog) -> frozenset[Ref]:
    """The objects that are served under one thing or another."""
    return frozenset(ref for _, ref in _holders(catalog))


def _holders(catalog: Catalog) -> Iterator[tuple[Claim, Ref]]:
    for tool in catalog.tools:
        ref = _ref(Kind.TOOL, tool.source)
        yield Claim(Space.TOOL_NAME, tool.name), ref
        yield from _door("POST", tool.ingress_path, ref)
    for prompt in catalog.prompts:
        ref = _ref(Kind.PROMPT, prompt.source)
        yield Claim(Space.PROMPT_NAME, prompt.name), ref
        yield from _door("GET", prompt.ingress_path, ref)
    resources: tuple[InlineResource | HttpResource, ...] = (*catalog.resources, *catalog.http_resources)
    for resource in resources:
        yield Claim(Space.URI, resource.uri), _ref(Kind.RESOURCE, resource.source)
    for operation in catalog.operations:
        ref = _ref(Kind.RESOURCE, operation.source)
        if operation.uri_template:
            yield Claim(Space.URI, operation.uri_template), ref
        yield from _door(operation.method, operation.ingress_path, ref)


def _door(method: str, path: str, ref: Ref) -> Iterator[tuple[Claim, Ref]]:
    if path:
        yield Claim(Space.REST_PATH, f"{method} {path}"), ref


def _ref(kind: Kind, source: str) -> Ref:
    namespace, _, name = source.partition("/")
    return Ref(kind, namespace, name)
