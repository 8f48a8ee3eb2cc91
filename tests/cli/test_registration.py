"""What an administrator installs for an operator of some namespaces."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from certs import issuance
from certs.authority import Authority
from certs.paths import NO_KEYS, PathKeys
from cli.__main__ import main
from cli.commands import registration
from cli.commands.registration import Options
from controller.installation import registration as configurations

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CA, NEXT = issuance.authority("one", NOW), issuance.authority("two", NOW)
OPTIONS = Options("mcp-shops", ("bank", "shop"))


def bundles(manifest: dict[str, Any]) -> set[bytes]:
    return {base64.b64decode(each["clientConfig"]["caBundle"]) for each in manifest["webhooks"]}


def test_two_configurations_for_the_listed_namespaces_alone() -> None:
    made = registration.manifests(OPTIONS, Authority(CA), NOW)

    assert [(each["kind"], each["metadata"]["name"]) for each in made] == [
        ("ValidatingWebhookConfiguration", "mcp-operator-validating-mcp-shops"),
        ("MutatingWebhookConfiguration", "mcp-operator-mutating-mcp-shops"),
    ]
    for each in made:
        assert "ownerReferences" not in each["metadata"]
        assert bundles(each) == {CA.certificate}
        for webhook in each["webhooks"]:
            (selected,) = webhook["namespaceSelector"]["matchExpressions"]
            assert selected == {
                "key": "kubernetes.io/metadata.name", "operator": "In", "values": ["bank", "shop"],
            }  # fmt: skip
            assert webhook["clientConfig"]["service"]["namespace"] == "mcp-shops"
    assert made[0]["webhooks"][0]["failurePolicy"] == "Fail"


def test_the_next_ca_is_trusted_and_has_a_configuration_that_proves_it() -> None:
    validating, _, probe = registration.manifests(OPTIONS, Authority(CA, NEXT), NOW)

    assert bundles(validating) == {CA.certificate + NEXT.certificate}
    assert probe["metadata"]["name"] == "mcp-operator-ca-probe-mcp-shops"
    assert bundles(probe) == {NEXT.certificate}
    (webhook,) = probe["webhooks"]
    label = configurations.probe_label(NEXT.certificate)
    assert list(webhook["objectSelector"]["matchLabels"].values()) == [label]


def test_the_next_key_is_printed_and_has_a_configuration_that_proves_it() -> None:
    keys = PathKeys("a" * 32, "b" * 32)

    validating, mutating, probe = registration.manifests(OPTIONS, Authority(CA), NOW, keys)

    for each in (validating, mutating, probe):
        for webhook in each["webhooks"]:
            assert webhook["clientConfig"]["service"]["path"].endswith("/" + "b" * 32)
    assert bundles(probe) == {CA.certificate}
    label = configurations.probe_label(CA.certificate, "b" * 32)
    assert list(probe["webhooks"][0]["objectSelector"]["matchLabels"].values()) == [label]


def test_with_cert_manager_the_bundle_is_left_to_it() -> None:
    options = Options("mcp-shops", ("shop",), inject_ca_from="webhook")

    made = registration.manifests(options, Authority(None), NOW, PathKeys("a" * 32, "b" * 32))

    assert len(made) == 3
    for each in made:
        assert each["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": "mcp-shops/webhook"}
        for webhook in each["webhooks"]:
            assert "caBundle" not in webhook["clientConfig"]
            assert webhook["clientConfig"]["service"]["path"].endswith("/" + "b" * 32)
    label = configurations.probe_label(b"", "b" * 32)
    assert list(made[2]["webhooks"][0]["objectSelector"]["matchLabels"].values()) == [label]


def test_what_is_printed_can_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(_options: Options) -> tuple[Authority, PathKeys]:
        return Authority(CA), PathKeys("a" * 32)

    monkeypatch.setattr(registration, "_read_secret", read)
    out = io.StringIO()

    options = Options("mcp-shops", ("shop",), crds=True, webhook_url="https://127.0.0.1:1", failure_policy="Ignore")
    assert registration.run(options, out=out, err=io.StringIO()) == 0
    printed = list(yaml.safe_load_all(out.getvalue()))
    assert [each["kind"] for each in printed[:4]] == ["CustomResourceDefinition"] * 4
    assert printed[4]["webhooks"][0]["clientConfig"]["url"] == f"https://127.0.0.1:1/validate/{'a' * 32}"
    assert printed[4]["webhooks"][0]["failurePolicy"] == "Ignore"
    assert "&id" not in out.getvalue()


def test_without_a_ca_nothing_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(_options: Options) -> tuple[None, PathKeys]:
        return None, NO_KEYS

    monkeypatch.setattr(registration, "_read_secret", read)
    out, err = io.StringIO(), io.StringIO()

    assert registration.run(OPTIONS, out=out, err=err) == 2
    assert out.getvalue() == ""
    assert err.getvalue() == (
        "Secret mcp-shops/mcp-operator-ca holds no CA; start the controller, which makes it, and try again\n"
    )


def test_with_cert_manager_the_key_is_what_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(_options: Options) -> tuple[Authority, PathKeys]:
        return Authority(None), NO_KEYS

    monkeypatch.setattr(registration, "_read_secret", read)
    err = io.StringIO()

    options = Options("mcp-shops", ("shop",), inject_ca_from="webhook")
    assert registration.run(options, out=io.StringIO(), err=err) == 2
    assert err.getvalue().startswith("Secret mcp-shops/mcp-operator-path holds no key; start the controller")


def test_without_a_cluster_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registration", "--namespaces", "shop", "--kubeconfig", str(tmp_path / "none")]) == 2
    assert "the CA cannot be read: " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", ",", "a,,b", "A", "a.b", "a b"])
def test_namespaces_are_names(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["registration", f"--namespaces={text}"])
    assert "must be names of namespaces such as shop,bank" in capsys.readouterr().err
