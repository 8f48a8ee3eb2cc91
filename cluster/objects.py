"""Single objects: read, create, replace, apply, delete. One function a verb of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster import resources
from cluster.transport import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.resources import ResourceType
    from cluster.transport import Transport

__all__ = ["APPLY", "METADATA", "apply", "apply_status", "create", "delete", "get", "list_all", "replace"]

APPLY = "application/apply-patch+yaml"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


async def get(transport: Transport, kind: ResourceType, namespace: str | None, name: str) -> dict[str, Any] | None:
    """The object, or None if there is none. Raises as `Transport.request`."""
    try:
        return await transport.request("GET", kind.path(namespace, name))
    except ApiError as error:
        if error.status == 404:
            return None
        raise


async def list_all(
    transport: Transport,
    kind: ResourceType,
    namespace: str | None = None,
    *,
    accept: str = "application/json",
    **query: str,
) -> list[dict[str, Any]]:
    """All objects of a type, page by page; query members such as ``labelSelector`` go along.

    With `METADATA` as ``accept``, only what their metadata says.
    """
    items: list[dict[str, Any]] = []
    page = {"limit": "500", **query}
    while True:
        answer = await transport.request("GET", kind.path(namespace), query=page, accept=accept)
        items += answer.get("items") or ()
        token = answer.get("metadata", {}).get("continue")
        if not token:
            return items
        page["continue"] = token


async def create(
    transport: Transport, manifest: Mapping[str, Any], *, dry_run: bool = False, manager: str = ""
) -> dict[str, Any]:
    """Create an object, its fields as those of ``manager``. Raises ApiError 409 AlreadyExists."""
    query = {**({"dryRun": "All"} if dry_run else {}), **_managed_by(manager)} or None
    path = resources.of(manifest).path(manifest["metadata"].get("namespace"))
    return await transport.request("POST", path, query=query, body=manifest)


async def replace(transport: Transport, manifest: Mapping[str, Any], *, manager: str = "") -> dict[str, Any]:
    """Replace an object; its resourceVersion, if set, must be the stored one. Raises ApiError 409 Conflict.

    The fields that change become those of ``manager``.
    """
    metadata = manifest["metadata"]
    path = resources.of(manifest).path(metadata.get("namespace"), metadata["name"])
    return await transport.request("PUT", path, query=_managed_by(manager) or None, body=manifest)


async def delete(transport: Transport, kind: ResourceType, namespace: str | None, name: str, *, uid: str = "") -> None:
    """Delete an object, in the background as far as dependents go; with ``uid``, only that incarnation.

    An object that is not there is fine. Raises ApiError 409 when another incarnation stands under the name.
    """
    body: dict[str, Any] = {"propagationPolicy": "Background"}
    if uid:
        body["preconditions"] = {"uid": uid}
    try:
        await transport.request("DELETE", kind.path(namespace, name), body=body)
    except ApiError as error:
        if error.status != 404:
            raise


async def apply(
    transport: Transport,
    manifest: Mapping[str, Any],
    *,
    manager: str,
    force: bool = True,
    subresource: str | None = None,
) -> dict[str, Any]:
    """Server-side apply: the fields in ``manifest``, and only those, are ``manager``'s."""
    metadata = manifest["metadata"]
    path = resources.of(manifest).path(metadata.get("namespace"), metadata["name"], subresource)
    query = {"fieldManager": manager, "force": "true" if force else "false"}
    return await transport.request("PATCH", path, query=query, body=manifest, content_type=APPLY)


async def apply_status(transport: Transport, manifest: Mapping[str, Any], *, manager: str) -> dict[str, Any]:
    """Server-side apply of the status subresource."""
    return await apply(transport, manifest, manager=manager, subresource="status")


def _managed_by(manager: str) -> dict[str, str]:
    """The API server names the program by its User-Agent if the request does not say."""
    return {"fieldManager": manager} if manager else {}
