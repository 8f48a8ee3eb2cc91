"""mcp-operator who-can answers what the runtime answers."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from cli import __main__ as command
from cli.commands import who_can
from cli.permissions import decisions
from cli.permissions.decisions import Principal
from crd.published import catalogs, entries
from crd.published.settings import Auth, Jwt, Settings
from runtime.app.compiled import CompiledCatalog
from runtime.auth import tokens
from runtime.auth.authenticator import Authenticator
from runtime.auth.oauth_metadata import DeniedError
from tests.runtime.auth.test_auth import ISSUER, KEYS, NOW, token

EXAMPLES = Path(__file__).parents[3] / "manifests" / "examples" / "valid"
SCOPES = [frozenset(each) for size in range(4) for each in itertools.combinations(("read", "write", "admin"), size)]
AUTHS = [
    Auth(),
    Auth("APIKey", api_key_secret="clients"),
    *(
        Auth("JWT", jwt=Jwt(ISSUER, ("shop",), jwks_secret="issuer", required_scopes=required))
        for required in ((), ("read",), ("read", "write"))
    ),
]
PRINCIPALS = [Principal("none"), Principal("API key"), *(Principal("token", scopes) for scopes in SCOPES)]
TOOLS = tuple(
    entries.Tool(
        "_".join(("t", *sorted(scopes))), "shop/t", "GET", entries.Backend("a.shop.svc", 80), {"type": "object"},
        required_scopes=tuple(sorted(scopes)),
    )
    for scopes in SCOPES
)  # fmt: skip


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    for name, key, content in (("clients", "alice", "s3cret"), ("issuer", "jwks.json", json.dumps({"keys": KEYS}))):
        (tmp_path / name).mkdir()
        (tmp_path / name / key).write_text(content)
    return tmp_path


def sent(principal: Principal) -> list[str]:
    """The Authorization headers of a client."""
    if principal.credential == "token":
        return [f"Bearer {token(scope=' '.join(sorted(principal.scopes)))}"]
    return ["Bearer s3cret"] if principal.credential == "API key" else []


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: f"{auth.type} {auth.jwt.required_scopes if auth.jwt else ''}")
def test_each_client_may_call_what_the_runtime_lets_it_call(auth: Auth, secrets: Path) -> None:
    nowhere: Any = None  # no key set is fetched
    authenticator = Authenticator(secrets, nowhere, lambda: NOW)
    catalog = catalogs.Catalog("shop/main", settings=Settings(auth=auth), tools=TOOLS)
    compiled = CompiledCatalog.load(catalogs.dump(catalog))
    for principal in PRINCIPALS:
        try:
            identity = asyncio.run(authenticator.authenticate(auth, sent(principal)))
            served = {*compiled.visible_to(tokens.scopes(identity.claims)).tools}
        except DeniedError:
            served = set()
        assert {tool.name for tool in TOOLS if decisions.may_call(principal, auth, tool)} == served, principal


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: f"{auth.type} {auth.jwt.required_scopes if auth.jwt else ''}")
def test_the_requirement_is_the_least_that_may_call(auth: Auth) -> None:
    for tool in TOOLS:
        least = decisions.requirement(auth, tool)
        able = [each for each in PRINCIPALS if decisions.may_call(each, auth, tool)]
        assert (least is None) == (able == [])
        if least is not None:
            assert least in able
            assert all(each.scopes >= least.scopes for each in able)


def test_the_command_prints_a_row_for_each_tool(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["who-can", str(EXAMPLES / "crm"), "--server", "crm/sales"]) == 0

    rows = capsys.readouterr().out.splitlines()
    issuer = "tokens of https://login.example.com/realms/staff"
    assert f"crm/sales  crm_delete_contact  {issuer} with the scopes crm.contacts.delete crm.read crm.write" in rows


def asked(principal: Principal, tool: str) -> tuple[int, str]:
    out = io.StringIO()
    options = who_can.Options((str(EXAMPLES / "crm"),), principal, "sales", tool, "json")
    code = who_can.run(options, stdin=io.BytesIO(), out=out, err=io.StringIO())
    return code, out.getvalue()


def test_a_client_is_answered_by_its_scopes() -> None:
    enough = Principal("token", frozenset({"crm.read", "crm.write", "crm.contacts.delete"}))

    code, out = asked(enough, "crm_delete_contact")

    assert (code, [row["allowed"] for row in json.loads(out)]) == (0, [True])
    assert asked(Principal("token", frozenset({"crm.read", "crm.write"})), "crm_delete_contact")[0] == 1
    assert asked(enough, "no_such_tool")[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tool", "nosuch"), 'no tool "nosuch" is served; there are: crm_'),
        (("--server", "nosuch"), 'no MCPServer "nosuch" that serves a tool; there are: crm/placed, crm/reading'),
    ],
)
def test_what_is_not_there_is_told_with_what_there_is(words: tuple[str, str], message: str, capsys: Any) -> None:
    assert command.main(["who-can", str(EXAMPLES / "crm"), *words]) == 2
    assert message in capsys.readouterr().err


def test_scopes_are_those_of_a_token() -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["who-can", str(EXAMPLES), "--credential", "key", "--scopes", "a"])

    assert ended.value.code == 2
