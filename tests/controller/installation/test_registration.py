"""The registration fits the CRDs, the server's routes and the canary; a webhook for a wrong name is never called."""

from __future__ import annotations

import base64

import pytest

from certs import paths
from controller.installation import canary, registration
from controller.installation.registration import ServiceTarget, UrlTarget
from crd import integrity, manifest
from crd.finding import Reason
from crd.models import openapi
from crd.snapshot import Snapshot
from webhook import server
from webhook.metrics import Metrics

OWNER = {"apiVersion": "v1", "kind": "ClusterRole", "name": "r", "uid": "u"}


def webhooks(target: ServiceTarget | UrlTarget, policy: str = "Fail") -> list[dict]:  # type: ignore[type-arg]
    """The validating webhook, that of deletions, and the mutating one."""
    made = registration.configurations(target, b"ca", failure_policy=policy, namespace="ops", owner=OWNER)  # type: ignore[arg-type]
    return [webhook for configuration in made for webhook in configuration["webhooks"]]


def test_the_validating_hook_is_asked_about_every_kind() -> None:
    validating, deletions, mutating = webhooks(ServiceTarget("ops", "hook"))

    plurals = {openapi.definition(kind)["spec"]["names"]["plural"] for kind in openapi.KINDS}
    assert set(validating["rules"][0]["resources"]) == plurals
    assert set(mutating["rules"][0]["resources"]) == plurals
    assert validating["rules"][0]["operations"] == ["CREATE", "UPDATE"]
    assert set(deletions["rules"][0]["resources"]) == plurals
    assert deletions["rules"][0]["operations"] == ["DELETE"]


def test_the_paths_are_routes_of_the_server() -> None:
    hook = server.Hook(None, None, Metrics(), unready=lambda: None, draining=lambda: False)  # type: ignore[arg-type]

    assert {w["clientConfig"]["service"]["path"] for w in webhooks(ServiceTarget("ops", "hook"))} == set(hook._paths)


def test_every_path_ends_in_the_key() -> None:
    """The path of deletions too: whoever could call it could free names that are in use."""
    target, key = ServiceTarget("ops", "hook"), "a" * 32
    made = registration.configurations(target, b"ca", failure_policy="Fail", namespace="ops", owner=OWNER, key=key)
    probe = registration.ca_probe(target, b"ca", fingerprint="f", namespace="ops", owner=OWNER, key=key)

    called = [webhook["clientConfig"] for each in (*made, probe) for webhook in each["webhooks"]]
    assert [paths.key_in(client) for client in called] == [key] * 4
    assert registration.registered_key(made[0]) == key
    assert registration.registered_key(None) is registration.registered_key({"webhooks": None}) is None


def test_a_process_is_called_by_its_url() -> None:
    validating, deletions, mutating = webhooks(UrlTarget("https://10.0.0.1:8443/", "https://10.0.0.1:8444/"))

    assert validating["clientConfig"]["url"] == "https://10.0.0.1:8443/validate"
    assert deletions["clientConfig"]["url"] == "https://10.0.0.1:8443/note-deletion"
    assert mutating["clientConfig"]["url"] == "https://10.0.0.1:8443/mutate"
    assert base64.b64decode(validating["clientConfig"]["caBundle"]) == b"ca"


@pytest.mark.parametrize("policy", ["Ignore", "Fail"])
def test_only_the_validating_hook_may_fail_closed(policy: str) -> None:
    validating, deletions, mutating = webhooks(ServiceTarget("ops", "hook"), policy)

    assert validating["failurePolicy"] == policy
    assert (deletions["failurePolicy"], mutating["failurePolicy"]) == ("Ignore", "Ignore")


def test_a_deletion_waits_a_second_at_most_for_a_webhook_that_does_not_answer() -> None:
    _, deletions, _ = webhooks(ServiceTarget("ops", "hook"))

    assert deletions["timeoutSeconds"] == 1


def test_only_the_validating_configuration_writes_and_never_for_a_dry_run() -> None:
    effects = [webhook["sideEffects"] for webhook in webhooks(ServiceTarget("ops", "hook"))]

    assert effects == ["NoneOnDryRun", "NoneOnDryRun", "None"]


def test_the_operator_and_the_system_are_never_asked_about() -> None:
    for webhook in webhooks(ServiceTarget("ops", "hook")):
        assert webhook["namespaceSelector"]["matchExpressions"][0]["values"] == ["kube-system", "ops"]


def test_the_canary_breaks_a_rule_that_no_schema_holds() -> None:
    item = manifest.decode(canary.KNOWN_BAD)

    verdict = integrity.judge(Snapshot(), integrity.Change(item.ref, None, item))

    assert not item.problems
    assert [finding.reason for finding in verdict.errors] == [Reason.UNDECLARED_PLACEHOLDER]


def test_the_proof_of_a_ca_goes_to_the_port_of_the_next_ca() -> None:
    target = UrlTarget("https://10.0.0.1:8443/", "https://10.0.0.1:8444/")
    probe = registration.ca_probe(target, b"next", fingerprint="f", namespace="ops", owner=OWNER)

    (webhook,) = probe["webhooks"]
    assert webhook["clientConfig"] == {"url": "https://10.0.0.1:8444/validate", "caBundle": "bmV4dA=="}
    assert webhook["matchConditions"] == [
        {"name": "ca-probe", "expression": f"object.metadata.name == '{registration.CA_PROBE}'"}
    ]


def test_no_other_webhook_is_asked_about_the_object_that_proves_a_ca() -> None:
    proof = canary.ca_probe("ops", "f")

    assert proof["spec"] == canary.KNOWN_BAD["spec"]
    for webhook in webhooks(ServiceTarget("ops", "hook")):
        assert proof["metadata"]["namespace"] in webhook["namespaceSelector"]["matchExpressions"][0]["values"]


def test_a_missing_label_of_ours_is_a_difference_and_a_foreign_one_is_not() -> None:
    expected, _ = registration.configurations(
        ServiceTarget("ops", "hook"), b"ca", failure_policy="Fail", namespace="ops", owner=OWNER
    )
    foreign = {**expected, "metadata": {**expected["metadata"], "labels": {**expected["metadata"]["labels"], "a": "b"}}}
    bare = {**expected, "metadata": {**expected["metadata"], "labels": None}}

    assert registration.differences(foreign, expected) == ()
    assert registration.differences(bare, expected) == ("metadata.labels",)
