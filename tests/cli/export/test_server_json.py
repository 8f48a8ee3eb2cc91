"""mcp-operator export server-json: what the MCP registry's schema 2025-12-11 demands of a server with remotes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli import __main__ as command

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples" / "valid"


def exported(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert command.main(["export", "server-json", str(EXAMPLES), *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_each_server_with_an_address_is_a_document_within_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    documents = exported(capsys)

    assert len(documents) > 2
    for document in documents:
        assert document["$schema"] == "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
        assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", document["name"])
        assert 3 <= len(document["name"]) <= 200
        assert 1 <= len(document["description"]) <= 100
        assert 1 <= len(document["version"]) <= 255
        (remote,) = document["remotes"]
        assert remote["type"] == "streamable-http"
        assert re.fullmatch(r"https?://[^\s]+", remote["url"])


def test_a_server_is_named_by_its_host_in_reverse(capsys: pytest.CaptureFixture[str]) -> None:
    document = exported(capsys, "--server", "shop/storefront")

    assert document["name"] == "com.example.shop/shop-storefront"
    assert document["remotes"] == [{"type": "streamable-http", "url": "https://shop.example.com/assistants/mcp"}]


def test_a_key_is_a_secret_header(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "server.yaml").write_text(
        "apiVersion: mcp.example.com/v1alpha1\nkind: MCPServer\nmetadata: {name: main, namespace: shop}\n"
        "spec:\n  toolSelector: {matchLabels: {app: shop}}\n  ingress: {host: mcp.example.com, tlsSecretName: tls}\n"
        "  auth: {type: APIKey, apiKey: {secretName: clients}}\n"
        f"  info: {{title: Shop, version: 1.2.3, instructions: '{'long ' * 40}', websiteUrl: 'https://example.com/'}}\n"
    )

    assert command.main(["export", "server-json", str(tmp_path)]) == 0

    (document,) = json.loads(capsys.readouterr().out)
    (header,) = document["remotes"][0]["headers"]
    assert (header["name"], header["value"]) == ("Authorization", "Bearer {api_key}")
    assert header["variables"]["api_key"]["isSecret"] is True
    assert (document["title"], document["version"], document["websiteUrl"]) == ("Shop", "1.2.3", "https://example.com/")
    assert len(document["description"]) == 100


def test_a_server_without_an_address_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["export", "server-json", str(EXAMPLES / "handbook")]) == 2
    told = capsys.readouterr().err
    assert "has no ingress" in told
    assert "no MCPServer with an ingress in the files; add spec.ingress" in told
    assert command.main(["export", "server-json", str(EXAMPLES / "handbook"), "--server", "nosuch"]) == 2
    assert 'no MCPServer "nosuch" with an ingress' in capsys.readouterr().err
