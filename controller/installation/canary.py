"""Proves that a webhook is in force: it must refuse an object that every schema accepts, sent as a dry run."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from certs import paths
from cluster import objects
from cluster.transport import ApiError
from controller.installation import registration
from crd.ref import GROUP, VERSION, Kind

if TYPE_CHECKING:
    from cluster.transport import Transport

__all__ = ["CALL_FAILED", "KNOWN_BAD", "ca_probe", "failure", "known_bad"]

# What the API server says to the author of a change when it could not call a webhook; the URL follows.
CALL_FAILED = "failed calling webhook"
# Valid by the schema, invalid by a rule that only the webhook holds.
KNOWN_BAD: dict[str, Any] = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": Kind.PROMPT.value,
    "metadata": {"name": "mcp-operator-canary", "namespace": "default"},
    "spec": {"template": "The canary sings of {{nothing}}."},
}


def known_bad(namespace: str) -> dict[str, Any]:
    """`KNOWN_BAD` in another namespace."""
    return {**KNOWN_BAD, "metadata": {**KNOWN_BAD["metadata"], "namespace": namespace}}


def ca_probe(namespace: str, fingerprint: str) -> dict[str, Any]:
    """The object that the registration for the proof of a CA matches, and nothing else does."""
    probe = copy.deepcopy(KNOWN_BAD)
    labels = {registration.CA_PROBE_LABEL: fingerprint}
    probe["metadata"] = {"name": registration.CA_PROBE, "namespace": namespace, "labels": labels}
    return probe


async def failure(transport: Transport, manifest: dict[str, Any], webhook: str) -> str | None:
    """None if this webhook refused the object, else what happened instead. Nothing is stored either way."""
    try:
        await objects.create(transport, manifest, dry_run=True)
    except ApiError as error:
        # A webhook that cannot be reached is named in the message too, but it denies nothing.
        if f'"{webhook}" denied the request' in error.message:
            return None
        # It goes into logs and Events, which more people read than were to know the path of the webhook.
        return f"{error.status} {error.reason}: {paths.redacted(error.message)}"[:300]
    except (TimeoutError, OSError) as error:
        return f"{type(error).__name__}: {error}"[:300]
    return "the API server admitted it"
