"""Keeps admission installed: the CA in its Secret, and the webhook configurations with their bundle and failure policy.

Only the leader runs it. The validating webhook starts with ``failurePolicy: Ignore``, so that an installation can come
up in any order, and goes to ``Fail`` when the canary is refused for the first time. From then on it stays there: while
no webhook answers, changes are refused, not admitted. Whoever has to get rid of it deletes the configuration: it comes
back with ``Ignore``, and goes to ``Fail`` only once a webhook refuses the canary again.

The paths of the webhooks end in a key (`certs.paths`). While the canary is not refused, the API server may quote the
URL to everybody who applies something, so the key is replaced.

With certificates of cert-manager there is no CA of ours: cert-manager writes the bundle, and the Secret holds the keys
of the paths alone.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from certs import authority, issuance, paths, secret
from certs.authority import Authority, Step
from certs.paths import NO_KEYS
from cluster import objects, resources
from cluster.events import Recorder
from cluster.informers.informer import Informer
from cluster.transport import ApiError
from controller.installation import canary, registration
from controller.installation.condition import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certs.paths import PathKeys
    from cluster.clock import Clock
    from cluster.resources import ResourceType
    from cluster.transport import Transport
    from controller.installation.registration import Injected, ServiceTarget, UrlTarget
    from controller.metrics import Metrics

__all__ = ["SETTLING", "Installer"]

logger = logging.getLogger(__name__)

CA_NAME = "mcp-operator admission CA"
NO_AUTHORITY = Authority(None)
# Between two rounds in which nothing changed: in force; not in force; while a new CA is being proved.
INTERVAL, FIRST_INTERVAL, PROVING_INTERVAL = 30.0, 1.0, 5.0
# Between two rounds, however often the configurations change.
PAUSE = 0.2
# How long the proof of a new CA has to hold. It shows one API server at a time; the others, and every replica of the
# webhook, learn of the CA by watch or within seconds.
SETTLING = timedelta(seconds=60)
ATTEMPTS = 3
# A canary that fails once may have met a webhook that was just leaving.
FAILURES_TO_REPORT = 2


class Installer:
    """``namespace`` is the operator's own; with it, the configurations are garbage collected.

    ``secret_name`` is the Secret of the CA and the keys of the paths; with ``injected``, of the keys alone.

    With ``namespaces``, the operator has Roles there and no rights on the configurations. An administrator installs
    what `mcp-operator registration` prints, and the installer keeps the CA and sends the canary to the first of them.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str,
        secret_name: str,
        target: ServiceTarget | UrlTarget,
        identity: str,
        metrics: Metrics,
        now: Callable[[], datetime],
        clock: Clock,
        settling: timedelta = SETTLING,
        namespaces: tuple[str, ...] = (),
        injected: Injected | None = None,
    ) -> None:
        self._transport = transport
        self._namespace = namespace
        self._secret = secret_name
        self._target = target
        self._events = Recorder(transport, reporter=identity, now=now)
        self._metrics = metrics
        self._now = now
        self._clock = clock
        self._settling = settling
        self._namespaces = namespaces
        self._injected = injected
        self._changed = asyncio.Event()
        self._enforced = False
        self._not_refused: str | None = "the canary was not sent yet"
        # Of canaries in a row that were not refused; and whether one was refused before.
        self._failures = 0
        self._proved = False
        self._bundle = b""
        self._written: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        # The label of the probe of the next CA and the next key, and since when every probe succeeded.
        self._proving: tuple[str, datetime] | None = None
        self._probe_removed = False
        self._next_waits = False
        self._keys = NO_KEYS
        # The key that we registered; None if it is not known to be registered.
        self._registered: str | None = None
        # The registered key, and since when every canary was refused under it.
        self._used: tuple[str, datetime] | None = None
        self._exposed = False

    @property
    def trouble(self) -> str | None:
        """Why admission is not proved to be in force, or None."""
        if self._not_refused:
            repair = "; install the output of mcp-operator registration" if self._namespaces else ""
            return f"admission canary not refused: {self._not_refused}{repair}"
        if self._namespaces and self._next_waits:
            return "the next CA or path is not installed yet; install the output of mcp-operator registration again"
        return None

    @property
    def state(self) -> State | None:
        """What the condition of the pod should say; None while that is not known, or after a single failure."""
        if self._not_refused is None:
            return State(holds=True, reason="CanaryRefused", message="the webhook refuses the canary")
        if self._failures < (FAILURES_TO_REPORT if self._proved else 1):
            return None
        return State(holds=False, reason="CanaryNotRefused", message=self.trouble or "")

    async def run(self) -> None:
        """Install, prove, renew and repair, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers():
                group.create_task(informer.run())
            group.create_task(self._keep_installed())

    async def step(self) -> None:
        """One round: CA, configurations, canary, failure policy, and the proof of a next CA."""
        if self._namespaces:
            await self._keep_authority()
            return
        found = await objects.get(self._transport, resources.VALIDATING_WEBHOOKS, None, registration.VALIDATING)
        owner = await self._owner()
        ca = await self._keep_secret(found)
        # A configuration that was deleted starts anew. Of an existing one, a restart never lowers the policy.
        self._enforced = found is not None and (self._enforced or _enforces(found))
        await self._install(owner, found)
        await self._send_canary()
        if not self._enforced and self._not_refused is None:
            self._enforced = True
            written = self._written[registration.VALIDATING][1]
            await self._install(owner, written)
            note = "the webhook refuses the canary; failurePolicy is Fail from now on"
            logger.info(note)
            await self._report(written, "AdmissionEnforced", note, warning=False)
        self._note_use()
        await self._prove(ca, owner)

    async def _keep_authority(self) -> None:
        """One round where an administrator installs the configurations."""
        ca = await self._keep_secret(None)
        manifest = canary.known_bad(self._namespaces[0])
        self._not_refused = await canary.failure(self._transport, manifest, registration.VALIDATOR)
        self._count_canary()
        if self._not_refused is None:
            self._registered = self._keys.current
        else:
            self._exposed |= self._enforced and canary.CALL_FAILED in self._not_refused
        self._enforced = self._not_refused is None
        self._note_use()
        probe = self._next_probe(ca)
        if probe is None:
            self._proving = None
        else:
            await self._send_probe(*probe)
        self._next_waits = probe is not None and self._proving is None
        self._probe_removed = probe is None

    async def _keep_installed(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self.step()
            except ApiError as error:
                if error.status == 409:
                    # Somebody else wrote in between; what they wrote is read in the next round.
                    self._changed.set()
                else:
                    logger.warning("installing admission: %s", error)
            except (TimeoutError, OSError) as error:
                logger.warning("installing admission: %s: %s", type(error).__name__, error)
            await self._clock.sleep(PAUSE)
            try:
                async with asyncio.timeout(self._interval()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _interval(self) -> float:
        if not self._enforced:
            return FIRST_INTERVAL
        settled = self._probe_removed and self._not_refused is None and self._keys.previous is None
        return INTERVAL if settled else PROVING_INTERVAL

    def _informers(self) -> list[Informer[str]]:
        """What others do to our configurations and to the Secret is seen at once."""

        def version(manifest: dict[str, Any]) -> str:
            return str(manifest["metadata"]["resourceVersion"])

        watched: list[tuple[ResourceType, str | None, str]] = [
            (resources.VALIDATING_WEBHOOKS, None, registration.VALIDATING),
            (resources.MUTATING_WEBHOOKS, None, registration.MUTATING),
            (resources.SECRETS, self._namespace, self._secret),
        ]
        if self._namespaces:
            del watched[:2]
        informers = [
            Informer(
                self._transport,
                resource,
                version,
                clock=self._clock,
                namespace=namespace,
                field_selector=f"metadata.name={name}",
            )
            for resource, namespace, name in watched
        ]
        for informer in informers:
            informer.on_change(lambda _key, _old, _new: self._changed.set())
        return informers

    async def _keep_secret(self, validating: dict[str, Any] | None) -> Authority:
        """The CA after the next step, and the keys in ``_keys``.

        Of two controllers that write at once, one reads what the other has written.
        """
        for _ in range(ATTEMPTS):
            stored = await objects.get(self._transport, resources.SECRETS, self._namespace, self._secret)
            now = self._now()
            parsed = NO_AUTHORITY if self._injected else secret.parse(stored) or NO_AUTHORITY
            trusted = () if self._injected else secret.certificates(self._bundle or _bundle_in(validating))
            held = authority.repaired(parsed, trusted, now)
            proved = self._is_proved(held, secret.parse_keys(stored), now)
            changed = held if self._injected else _next_authority(held, now, proved=proved)
            keys = self._next_keys(stored, validating, now, proved=proved)
            if changed != parsed or keys != secret.parse_keys(stored):
                try:
                    await self._store(stored, changed, keys)
                except ApiError as error:
                    if error.status != 409:
                        raise
                    continue
                if held.current is None and changed.current is None and not self._injected:
                    await self._report_secret("CARepaired", "no CA in it can sign; a new one is being proved")
            if keys.following is not None:
                self._exposed = False
            self._keys = keys
            self._bundle = authority.bundle(changed, now)
            return changed
        raise TimeoutError(f"Secret {self._namespace}/{self._secret} was changed by others {ATTEMPTS} times")

    def _next_keys(
        self, stored: dict[str, Any] | None, validating: dict[str, Any] | None, now: datetime, *, proved: bool
    ) -> PathKeys:
        """The keys after their next step."""
        found = secret.parse_keys(stored)
        registered = registration.registered_key(validating) if self._registered is None else self._registered
        if self._namespaces and registered is None and stored is not None:
            # An administrator may have installed the configurations before there were keys.
            registered = found.current
        if registered is None and not found.current:
            return paths.PathKeys(issuance.path_key(), created=now)
        keys = paths.repaired(found, registered, trusted=self._registered is not None)
        if keys.previous is not None:
            key, since = self._used or ("", now)
            return paths.retired(keys) if key == keys.current and now - since >= self._settling else keys
        if keys.following is not None:
            return paths.promoted(keys, now) if proved and keys == found else keys
        # An administrator who installs the configurations is not asked to do so every day.
        is_due = paths.is_due(keys, now) and not (self._namespaces and keys.current)
        return paths.introduced(keys, issuance.path_key()) if self._exposed or is_due else keys

    async def _store(self, stored: dict[str, Any] | None, ca: Authority, keys: PathKeys) -> None:
        made = self._content(ca, keys)
        if stored is None:
            await objects.create(self._transport, made)
            return
        metadata = stored["metadata"]
        try:
            await objects.replace(self._transport, self._content(ca, keys, metadata["resourceVersion"]))
        except ApiError as error:
            if error.status != 422:
                raise
            # Immutable, or of another type: only another Secret under this name can hold the CA.
            uid = str(metadata.get("uid") or "")
            await objects.delete(self._transport, resources.SECRETS, self._namespace, self._secret, uid=uid)
            await objects.create(self._transport, made)

    def _content(self, ca: Authority, keys: PathKeys, version: str | None = None) -> dict[str, Any]:
        """The Secret as it should be."""
        if self._injected:
            return secret.keys_manifest(keys, self._namespace, self._secret, version)
        return secret.manifest(self._namespace, self._secret, ca, version, keys)

    def _next_probe(self, ca: Authority) -> tuple[bytes, str] | None:
        """The CA and the key that a probe has to prove, if one of them is the next one."""
        return _probe(ca, self._keys, self._bundle)

    def _is_proved(self, held: Authority, keys: PathKeys, now: datetime) -> bool:
        """Whether the next CA, and the next key, were used for long enough."""
        probe = _probe(held, keys, self._bundle)
        if probe is None or self._proving is None:
            return False
        label, since = self._proving
        return label == registration.probe_label(*probe) and now - since >= self._settling

    def _note_use(self) -> None:
        """Note since when the API server calls under the registered key."""
        if self._not_refused is not None:
            self._used = None
        elif self._used is None or self._used[0] != self._keys.current:
            self._used = (self._keys.current, self._now())

    async def _install(self, owner: dict[str, Any] | None, validating: dict[str, Any] | None) -> None:
        """Make both configurations as they should be; ``validating`` is that configuration as last read or written."""
        policy: Literal["Ignore", "Fail"] = "Fail" if self._enforced else "Ignore"
        desired_validating, desired_mutating = registration.configurations(
            self._target,
            self._injected or self._bundle,
            failure_policy=policy,
            namespace=self._namespace,
            owner=owner,
            key=self._keys.current,
        )
        mutating = await objects.get(self._transport, resources.MUTATING_WEBHOOKS, None, registration.MUTATING)
        # The mutating one first: an API server that has the new validating one, or a probe, should have this one too.
        await self._write(desired_mutating, mutating)
        await self._write(desired_validating, validating)
        self._registered = self._keys.current

    async def _write(self, desired: dict[str, Any], found: dict[str, Any] | None) -> None:
        """Make a configuration as it should be, and report what somebody else has changed in it."""
        name = desired["metadata"]["name"]
        wrote, stored = self._written.get(name, (None, None))
        edits: tuple[str, ...] = ()
        if stored is not None:
            edits = ("it was deleted",) if found is None else registration.differences(found, stored)
        if found is None:
            result = await objects.create(self._transport, desired)
        elif edits or (wrote != desired if stored is not None else registration.differences(found, desired)):
            # Not by server-side apply: that would leave in place what others have added.
            result = await objects.replace(self._transport, registration.corrected(found, desired))
        else:
            self._written.setdefault(name, (desired, found))
            return
        self._written[name] = (desired, result)
        if edits:
            self._metrics.repairs.labels(name).inc()
            note = f"undone, because this configuration is the operator's: {', '.join(edits)}"
            logger.warning("%s %s: %s", desired["kind"], name, note)
            await self._report(result, "ForeignEditUndone", note, warning=True)

    async def _send_canary(self) -> None:
        self._not_refused = await canary.failure(self._transport, canary.KNOWN_BAD, registration.VALIDATOR)
        reported = self._enforced and self._failures >= FAILURES_TO_REPORT
        self._count_canary()
        if self._not_refused is None:
            if reported:
                await self._report_validating("CanaryRefused", "the webhook refuses the canary again", warning=False)
            return
        if not self._enforced:
            return
        self._exposed |= canary.CALL_FAILED in self._not_refused
        if self._failures == FAILURES_TO_REPORT:
            note = f"the webhook does not refuse the canary: {self._not_refused}"
            logger.warning(note)
            await self._report_validating("CanaryNotRefused", note, warning=True)

    def _count_canary(self) -> None:
        if self._not_refused is None:
            self._failures, self._proved = 0, True
            self._metrics.canary.set(self._now().timestamp())
        else:
            self._failures += 1
            self._metrics.canary_failures.inc()

    async def _prove(self, ca: Authority, owner: dict[str, Any] | None) -> None:
        """Have an API server use the next CA and the next key, and nothing but these, to reach the webhook."""
        found = self._next_probe(ca)
        if found is None:
            self._proving = None
            if not self._probe_removed:
                await objects.delete(self._transport, resources.VALIDATING_WEBHOOKS, None, registration.CA_PROBE)
                self._written.pop(registration.CA_PROBE, None)
                self._probe_removed = True
            return
        self._probe_removed = False
        certificate, key = found
        probe = registration.ca_probe(
            self._target,
            self._injected or certificate,
            fingerprint=registration.probe_label(certificate, key),
            namespace=self._namespace,
            owner=owner,
            key=key,
        )
        name = registration.CA_PROBE
        await self._write(probe, await objects.get(self._transport, resources.VALIDATING_WEBHOOKS, None, name))
        await self._send_probe(certificate, key)

    async def _send_probe(self, certificate: bytes, key: str) -> None:
        """Note since when an API server uses a CA and a key to reach the webhook."""
        label = registration.probe_label(certificate, key)
        manifest = canary.ca_probe(self._namespace, label)
        failed = await canary.failure(self._transport, manifest, registration.CA_PROVER)
        if failed is not None:
            logger.info("the next CA and path (%s) are not proved yet: %s", label, failed)
            self._proving = None
        elif self._proving is None or self._proving[0] != label:
            logger.info(
                "the next CA and path (%s) are proved; they are used if that holds for %s", label, self._settling
            )
            self._proving = (label, self._now())

    async def _owner(self) -> dict[str, Any] | None:
        """The operator's namespace: when it is gone, the garbage collector removes the configurations."""
        found = await objects.get(self._transport, resources.NAMESPACES, None, self._namespace)
        if found is None:
            return None
        kind = resources.NAMESPACES
        return {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "name": self._namespace,
            "uid": found["metadata"]["uid"],
        }

    async def _report_validating(self, reason: str, note: str, *, warning: bool) -> None:
        await self._report(self._written[registration.VALIDATING][1], reason, note, warning=warning)

    async def _report_secret(self, reason: str, note: str) -> None:
        logger.warning("Secret %s/%s: %s", self._namespace, self._secret, note)
        kind = resources.SECRETS
        metadata = {"namespace": self._namespace, "name": self._secret}
        about = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
        await self._report(about, reason, note, warning=True)

    async def _report(self, about: dict[str, Any], reason: str, note: str, *, warning: bool) -> None:
        await self._events.record_about(about, reason=reason, note=note, warning=warning)


def _next_authority(held: Authority, now: datetime, *, proved: bool) -> Authority:
    """The CA after its next step."""
    match authority.next_step(held, now, proved=proved):
        case Step.CREATE:
            return Authority(issuance.authority(CA_NAME, now), None, held.previous)
        case Step.INTRODUCE:
            return authority.introduced(held, issuance.authority(CA_NAME, now))
        case Step.PROMOTE:
            return authority.promoted(held)
        case Step.KEEP:
            return held


def _probe(ca: Authority, keys: PathKeys, bundle: bytes) -> tuple[bytes, str] | None:
    if ca.following is None and keys.following is None:
        return None
    certificate = bundle if ca.following is None else ca.following.certificate
    return certificate, keys.current if keys.following is None else keys.following


def _enforces(validating: dict[str, Any]) -> bool:
    webhooks = validating.get("webhooks") or ()
    return any(each["name"] == registration.VALIDATOR and each.get("failurePolicy") == "Fail" for each in webhooks)


def _bundle_in(validating: dict[str, Any] | None) -> bytes:
    """The CA certificates that a configuration gives to the API servers."""
    bundles = [each.get("clientConfig", {}).get("caBundle") or "" for each in (validating or {}).get("webhooks") or ()]
    try:
        return b"".join(base64.b64decode(each, validate=True) for each in bundles)
    except (binascii.Error, TypeError):
        return b""
