"""What a cluster holds, and what its API server says to a dry-run of the files. Nothing is changed there."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from cli.manifests import transaction
from cli.manifests.judgement import Cluster, Refusal
from cluster import client, objects, resources
from cluster.transport import ApiError
from crd import extraction, manifest
from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from cli.manifests.transaction import Transaction
    from cluster.resources import ResourceType
    from cluster.transport import Transport
    from crd.manifest import Object
    from crd.ref import Ref

__all__ = ["UnreachableError", "holdings", "look", "read", "refusals"]

MANAGER = "mcp-operator-check"
AT_ONCE = 16
# What the API server keeps of an object, and refuses, or compares, in an apply.
_STORED = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
# Status codes that refuse the object; any other says something about the caller or the server.
_REFUSALS = frozenset({400, 403, 404, 409, 413, 422})

TYPES: dict[Kind, ResourceType] = {
    **{Kind(kind.kind): kind for kind in resources.OURS},
    Kind.SERVICE: resources.SERVICES,
    Kind.SECRET: resources.SECRETS,
    Kind.CONFIG_MAP: resources.CONFIG_MAPS,
    Kind.GRANT: resources.REFERENCE_GRANTS,
}
# Kinds of which only the names matter, and whose contents are nobody's business here.
_NAMES_ONLY = frozenset({Kind.SECRET, Kind.CONFIG_MAP})


class UnreachableError(Exception):
    """The cluster cannot be asked; the message says why."""


async def look(
    context: str | None, kubeconfig: Path | None, sorted_: Transaction
) -> tuple[Cluster, tuple[Refusal, ...]]:
    """Read the cluster of a context, and send it the files as dry-runs. Raises UnreachableError."""
    async with _connected(context, kubeconfig) as transport:
        return await holdings(transport), await refusals(transport, sorted_)


async def read(context: str | None, kubeconfig: Path | None) -> Cluster:
    """Read the cluster of a context. Raises UnreachableError."""
    async with _connected(context, kubeconfig) as transport:
        return await holdings(transport)


@asynccontextmanager
async def _connected(context: str | None, kubeconfig: Path | None) -> AsyncIterator[Transport]:
    try:
        transport = await client.connect(context, kubeconfig)
    except Exception as error:
        # The library alone knows its exceptions for a kubeconfig it cannot use.
        raise UnreachableError(f"no cluster to ask: {error}") from error
    try:
        yield transport
    finally:
        await transport.close()


async def holdings(transport: Transport) -> Cluster:
    """Our objects in a cluster, and the facts of what the rules look up. Raises UnreachableError."""
    judged = await asyncio.gather(*(_listed(transport, kind) for kind in transaction.JUDGED))
    found: dict[Ref, Object] = {}
    for raw in (item for items in judged for item in items or ()):
        decoded = manifest.decode(raw)
        found[decoded.ref] = decoded
    background = await asyncio.gather(*(_listed(transport, kind) for kind in transaction.BACKGROUND))
    hidden = {kind for kind, items in zip(transaction.BACKGROUND, background, strict=True) if items is None}
    facts = (extraction.facts_of_foreign(item) for items in background for item in items or ())
    return Cluster(found, tuple(fact for fact in facts if fact is not None), frozenset(hidden))


async def refusals(transport: Transport, sorted_: Transaction) -> tuple[Refusal, ...]:
    """What the API server refuses of the files, each object on its own. Raises UnreachableError."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def tried(item: Object) -> Refusal | None:
        async with gate:
            return await _tried(transport, item.ref, sorted_.origins[item.ref].raw)

    said = await asyncio.gather(*map(tried, sorted_.objects))
    return tuple(_meant((refusal for refusal in said if refusal is not None), sorted_.namespaces))


async def _listed(transport: Transport, kind: Kind) -> list[dict[str, Any]] | None:
    """The objects of a kind; None for a background kind that the caller may not list.

    Their list leaves apiVersion and kind out of core objects.
    """
    resource = TYPES[kind]
    try:
        accept = objects.METADATA if kind in _NAMES_ONLY else "application/json"
        items = await objects.list_all(transport, resource, accept=accept)
    except ApiError as error:
        if error.status == 404 and kind not in transaction.JUDGED:
            return []
        if error.status == 403 and kind not in transaction.JUDGED:
            return None
        absent = f"the cluster has no {kind}; apply the CustomResourceDefinitions first"
        raise UnreachableError(absent if error.status == 404 else f"{kind}: {error}") from error
    except (TimeoutError, OSError, aiohttp.ClientError) as error:
        raise UnreachableError(f"the API server does not answer: {error}") from error
    return [{**item, "apiVersion": resource.api_version, "kind": kind.value} for item in items]


async def _tried(transport: Transport, ref: Ref, raw: dict[str, Any]) -> Refusal | None:
    metadata = {key: value for key, value in raw["metadata"].items() if key not in _STORED}
    body = {key: value for key, value in raw.items() if key != "status"} | {"metadata": metadata}
    resource = TYPES[ref.kind]
    query = {"dryRun": "All", "fieldManager": MANAGER, "fieldValidation": "Strict"}
    try:
        if metadata.get("name"):
            path = resource.path(ref.namespace, ref.name)
            query |= {"force": "true"}
            await transport.request("PATCH", path, query=query, body=body, content_type=objects.APPLY)
        else:
            await transport.request("POST", resource.path(ref.namespace), query=query, body=body)
    except ApiError as error:
        # An apply of a field that the schema has not, or of two entries of one key, is a 500 with these words.
        untyped = error.status == 500 and "failed to create typed patch object" in error.message
        if untyped or (error.status in _REFUSALS and not _forbidden(error)):
            return Refusal(ref, error.reason, error.message)
        raise UnreachableError(f"{ref} could not be tried: {error}") from error
    except (TimeoutError, OSError, aiohttp.ClientError) as error:
        raise UnreachableError(f"{ref} could not be tried: {error}") from error
    return None


def _forbidden(error: ApiError) -> bool:
    """Whether the caller may not ask, which says nothing about the object."""
    return error.status == 403 and error.reason == "Forbidden" and " cannot " in error.message


def _meant(found: Iterable[Refusal], namespaces: frozenset[str]) -> Iterable[Refusal]:
    """Without those for want of a namespace that the files bring along themselves."""
    for refusal in found:
        wanted = f'namespaces "{refusal.ref.namespace}" not found'
        if refusal.reason != "NotFound" or wanted not in refusal.message or refusal.ref.namespace not in namespaces:
            yield refusal
