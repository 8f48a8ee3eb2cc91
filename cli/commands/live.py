"""Reads a cluster, asks it for the rights of the user, and sends it the files as dry-runs. It changes nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from cli.manifests import transaction
from cli.manifests.validation import ClusterState, Rejection
from cluster import access as reviews
from cluster import client, objects, resources
from cluster.transport import ApiError
from crd import access, extraction, manifest
from crd.access import Demand
from crd.finding import Level
from crd.integrity import Change
from crd.ref import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cli.manifests.transaction import Transaction
    from cluster.resources import ResourceType
    from cluster.transport import Transport
    from crd.access import Right
    from crd.finding import Finding
    from crd.manifest import Object
    from crd.ref import Ref

__all__ = ["UnreachableError", "ask_rights", "connect", "dry_run", "read", "read_and_dry_run", "read_objects"]

MANAGER = "mcp-operator-check"
AT_ONCE = 16
# Fields that the API server maintains, and rejects or compares in an apply.
_STORED = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
# Status codes that reject the object; any other concerns the caller or the server.
_REJECTIONS = frozenset({400, 403, 404, 409, 413, 422})

TYPES: dict[Kind, ResourceType] = {
    **{Kind(kind.kind): kind for kind in resources.OURS},
    Kind.SERVICE: resources.SERVICES,
    Kind.SECRET: resources.SECRETS,
    Kind.CONFIG_MAP: resources.CONFIG_MAPS,
    Kind.GRANT: resources.REFERENCE_GRANTS,
}
# Kinds of which only metadata is read: the contents may be secret.
_NAMES_ONLY = frozenset({Kind.SECRET, Kind.CONFIG_MAP})


class UnreachableError(Exception):
    """The cluster cannot be read; the message gives the cause."""


async def read_and_dry_run(
    context: str | None, kubeconfig: Path | None, sorted_: Transaction
) -> tuple[ClusterState, tuple[Rejection, ...], tuple[Finding, ...]]:
    """Read the cluster of a context, and send it the files as dry-runs.

    The findings are about rights that the current user lacks. Raises UnreachableError.
    """
    async with connect(context, kubeconfig) as transport:
        cluster = await read_objects(transport)
        return cluster, await dry_run(transport, sorted_), await ask_rights(transport, sorted_, cluster)


async def read(context: str | None, kubeconfig: Path | None) -> ClusterState:
    """Read the cluster of a context. Raises UnreachableError."""
    async with connect(context, kubeconfig) as transport:
        return await read_objects(transport)


@asynccontextmanager
async def connect(context: str | None, kubeconfig: Path | None) -> AsyncIterator[Transport]:
    """A connection to the cluster of a context, closed at the end. Raises UnreachableError."""
    try:
        transport = await client.connect(context, kubeconfig)
    except Exception as error:
        # The library does not document which exceptions an unusable kubeconfig raises.
        raise UnreachableError(f"cannot connect to a cluster: {error}") from error
    try:
        yield transport
    finally:
        await transport.close()


async def read_objects(transport: Transport) -> ClusterState:
    """The objects of our kinds, and the facts of the kinds that rules look up. Raises UnreachableError."""
    judged = await asyncio.gather(*(_list(transport, kind) for kind in transaction.JUDGED))
    found: dict[Ref, Object] = {}
    for raw in (item for items in judged for item in items or ()):
        decoded = manifest.decode(raw)
        found[decoded.ref] = decoded
    background = await asyncio.gather(*(_list(transport, kind) for kind in transaction.BACKGROUND))
    hidden = {kind for kind, items in zip(transaction.BACKGROUND, background, strict=True) if items is None}
    facts = (extraction.facts_of_foreign(item) for items in background for item in items or ())
    return ClusterState(found, tuple(fact for fact in facts if fact is not None), frozenset(hidden))


async def dry_run(transport: Transport, sorted_: Transaction) -> tuple[Rejection, ...]:
    """The objects of the files that the API server rejects, each sent on its own. Raises UnreachableError."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def send(item: Object) -> Rejection | None:
        async with limit:
            return await _send(transport, item.ref, sorted_.origins[item.ref].raw)

    answers = await asyncio.gather(*map(send, sorted_.objects))
    rejections = [answer for answer in answers if answer is not None]
    return tuple(each for each in rejections if not _lacks_own_namespace(each, sorted_.namespaces))


async def ask_rights(transport: Transport, sorted_: Transaction, cluster: ClusterState) -> tuple[Finding, ...]:
    """Warnings about what the files demand and the current user may not do. Raises UnreachableError.

    They are warnings because the webhook may be set to warn; if it denies, the dry-run of the object is rejected.
    """
    demanded = [
        (item.ref, demand)
        for item in sorted_.objects
        for demand in access.demands(Change(item.ref, cluster.objects.get(item.ref), item))
    ]
    limit = asyncio.Semaphore(AT_ONCE)

    async def ask(rights: tuple[Right, ...]) -> bool:
        async with limit:
            return await reviews.may_self(transport, Demand(rights, ()))

    questions = [*dict.fromkeys(demand.rights for _, demand in demanded)]
    try:
        answers = dict(zip(questions, await asyncio.gather(*map(ask, questions)), strict=True))
    except (ApiError, TimeoutError, OSError) as error:
        raise UnreachableError(f"the rights of the current user are not known: {error}") from error
    return tuple(
        access.forbidden(ref, demand, "", Level.WARNING) for ref, demand in demanded if not answers[demand.rights]
    )


async def _list(transport: Transport, kind: Kind) -> list[dict[str, Any]] | None:
    """The objects of a kind; None for a background kind that the caller may not list.

    The items of a list of core objects lack apiVersion and kind; they are added.
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
        absent = f"the cluster does not serve {kind}; apply the CustomResourceDefinitions first"
        raise UnreachableError(absent if error.status == 404 else f"{kind}: {error}") from error
    except (TimeoutError, OSError) as error:
        raise UnreachableError(f"the API server does not answer: {error}") from error
    return [{**item, "apiVersion": resource.api_version, "kind": kind.value} for item in items]


async def _send(transport: Transport, ref: Ref, raw: dict[str, Any]) -> Rejection | None:
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
        # The API server answers an apply with an unknown field, or with two entries of one key, with this 500.
        untyped = error.status == 500 and "failed to create typed patch object" in error.message
        if untyped or (error.status in _REJECTIONS and not _forbidden(error)):
            return Rejection(ref, error.reason, error.message)
        raise UnreachableError(f"dry-run of {ref} failed: {error}") from error
    except (TimeoutError, OSError) as error:
        raise UnreachableError(f"dry-run of {ref} failed: {error}") from error
    return None


def _forbidden(error: ApiError) -> bool:
    """Whether the caller lacks the permission; the object may still be valid."""
    return error.status == 403 and error.reason == "Forbidden" and " cannot " in error.message


def _lacks_own_namespace(rejection: Rejection, namespaces: frozenset[str]) -> bool:
    """Whether the object was rejected only because its namespace, which the files create, does not exist yet."""
    missing = f'namespaces "{rejection.ref.namespace}" not found'
    return rejection.reason == "NotFound" and missing in rejection.message and rejection.ref.namespace in namespaces
