"""``mcp-operator registration``: the cluster-scoped objects of an installation that has Roles only.

Whoever may write webhook configurations decides over the whole cluster, so the operator of some namespaces does not: an
administrator reads these objects and installs them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO

import yaml

from certs import authority, secret
from certs.paths import NO_KEYS
from cli.commands import live
from cluster import objects, resources
from cluster.transport import ApiError
from controller.installation import registration
from controller.installation.registration import Injected
from crd.models import openapi

if TYPE_CHECKING:
    from pathlib import Path

    from certs.authority import Authority
    from certs.paths import PathKeys

__all__ = ["Options", "manifests", "run"]

CA_SECRET = "mcp-operator-ca"  # noqa: S105 -- a name, not a secret
PATH_SECRET = "mcp-operator-path"  # noqa: S105 -- a name, not a secret


@dataclass(frozen=True, slots=True)
class Options:
    """As on the command line."""

    namespace: str
    namespaces: tuple[str, ...]
    service: str = "mcp-operator-webhook"
    webhook_url: str | None = None
    webhook_next_url: str | None = None
    failure_policy: Literal["Fail", "Ignore"] = "Fail"
    crds: bool = False
    inject_ca_from: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None


def run(options: Options, *, out: TextIO, err: TextIO) -> int:
    """Print the objects as YAML; the exit code."""
    try:
        ca, keys = asyncio.run(_read_secret(options))
    except (ApiError, TimeoutError, OSError, live.UnreachableError) as error:
        print(f"the CA cannot be read: {error}", file=err)
        return 2
    if ca is None or not (keys.current if options.inject_ca_from else ca.current):
        place = f"{options.namespace}/{_secret_name(options)}"
        what = "key" if options.inject_ca_from else "CA"
        print(f"Secret {place} holds no {what}; start the controller, which makes it, and try again", file=err)
        return 2
    made = manifests(options, ca, datetime.now(UTC), keys)  # noqa: TID251 -- an entry point
    yaml.dump_all(made, out, Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)
    return 0


def manifests(options: Options, ca: Authority, now: datetime, keys: PathKeys = NO_KEYS) -> list[dict[str, Any]]:
    """The configurations, and one that proves the next CA and the next key if there is one of them."""
    url = options.webhook_url
    target = (
        registration.UrlTarget(url, options.webhook_next_url or url)
        if url
        else registration.ServiceTarget(options.namespace, options.service)
    )
    made = [openapi.definition(kind) for kind in openapi.KINDS] if options.crds else []
    injected = Injected(options.namespace, options.inject_ca_from) if options.inject_ca_from else None
    bundle = b"" if injected else authority.bundle(ca, now)
    key = keys.current if keys.following is None else keys.following
    made += registration.configurations(
        target,
        injected or bundle,
        failure_policy=options.failure_policy,
        namespace=options.namespace,
        owner=None,
        namespaces=options.namespaces,
        key=key,
    )
    if ca.following is not None or keys.following is not None:
        certificate = bundle if ca.following is None else ca.following.certificate
        probe = registration.ca_probe(
            target,
            injected or certificate,
            fingerprint=registration.probe_label(certificate, key),
            namespace=options.namespace,
            owner=None,
            name=registration.name_in(options.namespace, registration.CA_PROBE),
            key=key,
        )
        made.append(probe)
    return made


async def _read_secret(options: Options) -> tuple[Authority | None, PathKeys]:
    async with live.connect(options.context, options.kubeconfig) as transport:
        found = await objects.get(transport, resources.SECRETS, options.namespace, _secret_name(options))
        return secret.parse(found), secret.parse_keys(found)


def _secret_name(options: Options) -> str:
    return PATH_SECRET if options.inject_ca_from else CA_SECRET


class _Plain(yaml.SafeDumper):
    """Writes no anchors, although objects share parts."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
