"""Proves that the admission hook is live: a known-bad object, dry-run, has to be refused by us and by nobody else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import aiohttp

from cluster import objects
from cluster.transport import ApiError
from controller.installation import registration
from crd.ref import GROUP, VERSION, Kind

if TYPE_CHECKING:
    from cluster.transport import Transport

__all__ = ["KNOWN_BAD", "refused"]

logger = logging.getLogger(__name__)

# Valid by the schema, wrong by a rule that only the webhook holds.
KNOWN_BAD: dict[str, Any] = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": Kind.PROMPT.value,
    "metadata": {"name": "mcp-operator-canary", "namespace": "default"},
    "spec": {"template": "The canary sings of {{nothing}}."},
}


async def refused(transport: Transport) -> bool:
    """Whether our validator denied the known-bad object. Nothing is stored either way."""
    try:
        await objects.create(transport, KNOWN_BAD, dry_run=True)
    except ApiError as error:
        # A webhook that cannot be reached is named in the message too, but it denies nothing.
        return registration.VALIDATOR in error.message and "denied the request" in error.message
    except (TimeoutError, OSError, aiohttp.ClientError) as error:
        logger.warning("canary: %s: %s", type(error).__name__, error)
    return False
