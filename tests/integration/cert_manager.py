"""Plays cert-manager on a real API server: issues what Certificates ask for, and injects their CA where it is asked."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from certs import issuance
from certs.authority import Pair
from controller.installation.registration import INJECT_FROM
from tests.threads import meanwhile

if TYPE_CHECKING:
    import threading

    from scripts.localcluster import Cluster

__all__ = ["CertManager"]

KINDS = "validatingwebhookconfigurations,mutatingwebhookconfigurations"


class CertManager:
    """Works in one namespace until it is left. `renew` issues a Certificate again, with the CA as it is then."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._meanwhile = meanwhile(self._run)

    def __enter__(self) -> Self:
        self._meanwhile.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._meanwhile.__exit__(*error)

    def renew(self, certificate: str) -> bytes:
        """Issue it again at once; the certificate, as PEM."""
        return self._issue(self._get("certificate", certificate))

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(0.2):
            for certificate in self._list("certificates"):
                if self._get("secret", certificate["spec"]["secretName"]) == {}:
                    self._issue(certificate)
            for configuration in self._items(KINDS):
                self._inject(configuration)

    def _issue(self, certificate: dict[str, Any]) -> bytes:
        spec, now = certificate["spec"], datetime.now(UTC)  # noqa: TID251 -- TLS judges by the clock of the machine
        issuer = self._get("issuer", spec["issuerRef"]["name"])["spec"]
        if spec.get("isCA"):
            assert issuer == {"selfSigned": {}}
            pair = issuance.authority(spec["commonName"], now, _duration(spec["duration"]))
            ca = pair.certificate
        else:
            held = self._get("secret", issuer["ca"]["secretName"])
            if not held:
                return b""
            signer = Pair(*(base64.b64decode(held["data"][name]) for name in ("tls.crt", "tls.key")))
            hosts = [*spec["dnsNames"], *spec.get("ipAddresses", ())]
            pair, ca = issuance.leaf(signer, hosts, now, _duration(spec["duration"])), signer.certificate
        parts = {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": ca}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": spec["secretName"], "namespace": self._namespace},
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(value).decode() for name, value in parts.items()},
        }
        self._cluster.run("apply", "-f", "-", stdin=json.dumps(secret))
        return pair.certificate

    def _inject(self, configuration: dict[str, Any]) -> None:
        source = (configuration["metadata"].get("annotations") or {}).get(INJECT_FROM, "")
        namespace, _, name = source.partition("/")
        if namespace != self._namespace:
            return
        secret = self._get("secret", self._get("certificate", name)["spec"]["secretName"])
        if not secret:
            return
        clients = [webhook["clientConfig"] for webhook in configuration["webhooks"]]
        if all(client.get("caBundle") == secret["data"]["ca.crt"] for client in clients):
            return
        for client in clients:
            client["caBundle"] = secret["data"]["ca.crt"]
        # Fails, and is done again, if somebody else wrote in between.
        self._cluster.run("replace", "-f", "-", stdin=json.dumps(configuration), check=False)

    def _get(self, kind: str, name: str) -> dict[str, Any]:
        words = ("-n", self._namespace, "get", kind, name, "--ignore-not-found", "-o", "json")
        return dict(json.loads(self._cluster.run(*words).stdout or "{}"))

    def _list(self, kind: str) -> list[dict[str, Any]]:
        return self._items(kind, "-n", self._namespace)

    def _items(self, kind: str, *words: str) -> list[dict[str, Any]]:
        return list(json.loads(self._cluster.run(*words, "get", kind, "-o", "json").stdout)["items"])


def _duration(text: str) -> timedelta:
    return timedelta(hours=int(text.removesuffix("h")))
