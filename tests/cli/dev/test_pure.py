"""The pure parts of `mcp-operator dev`: what is in force, values of Secrets, Services, what is remembered."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from cli.commands import check, dev, files
from cli.dev import plan as planning
from cli.dev import secret_values, targets, view
from cli.dev.memo import Memo
from cli.dev.plan import NOTHING, Plan
from cli.dev.secret_values import Item, Redaction
from cli.manifests import transaction, validation
from cli.manifests.documents import Document
from cli.manifests.entries import Entry, Place, Subject
from crd.facts import ServiceFact
from crd.finding import Level, Reason
from crd.ref import Kind, Ref
from tests.cli.dev.conftest import PROMPT, RESOURCE, SERVER, TOOL

CRM = Item(Ref(Kind.SECRET, "shop", "crm"), "token")
TLS = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPTool
metadata: {name: tls, namespace: shop, labels: {app: shop}}
spec:
  description: Calls an API over TLS, with a header from a ConfigMap.
  service: {name: orders, port: 443, scheme: https}
  tls: {caSecretName: ca}
  headersFrom: [{name: X-Shop, configMapKeyRef: {name: shop, key: id}}]
"""


def read(tmp_path: Path, **texts: str) -> transaction.Transaction:
    for old in tmp_path.iterdir():
        old.unlink()
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    found = files.read((str(tmp_path),), io.BytesIO())
    return transaction.sort_documents(found.documents, found.faults)


def follow(before: Plan, sorted_: transaction.Transaction, **options: Any) -> Plan:
    verdict = check.add_faults_of_metadata(sorted_, validation.validate_alone(sorted_))
    entries = check.build_report(sorted_, verdict, 1, None).entries
    settings = {"origins": (), "open_to_all": False, "memo": Memo(), **options}
    return planning.plan(before, sorted_, entries, **settings)


def tools(plan: Plan) -> list[str]:
    return [tool.name for server in plan.servers for tool in server.catalog.tools]


def test_an_object_with_an_error_keeps_its_last_good_version(tmp_path: Path) -> None:
    bad = TOOL.replace("{status}", "{staus}")
    first = follow(NOTHING, read(tmp_path, a=bad, s=SERVER))
    second = follow(first, read(tmp_path, a=TOOL, s=SERVER))
    third = follow(second, read(tmp_path, a=bad.replace("name: find_orders", "name: other"), s=SERVER))
    fourth = follow(third, read(tmp_path, a=f"{TOOL}  odd: [", s=SERVER))
    fifth = follow(fourth, read(tmp_path, s=SERVER))

    assert [tools(plan) for plan in (first, second, third, fourth, fifth)] == [
        [], ["find_orders"], ["find_orders"], ["find_orders"], []
    ]  # fmt: skip


def test_a_server_answers_at_its_path_and_for_the_origins(tmp_path: Path) -> None:
    server = SERVER + (
        "  ingress: {host: shop.example.com, pathPrefix: /x}\n  auth: {type: APIKey, apiKey: {secretName: c}}\n"
        "  config: {allowedOrigins: ['https://a.example']}\n"
    )
    made = follow(NOTHING, read(tmp_path, s=server), origins=("https://b.example",))
    opened = follow(NOTHING, read(tmp_path, s=server), open_to_all=True)

    settings = made.servers[0].catalog.settings
    assert (settings.path_prefix, settings.hosts, settings.auth.type) == ("/shop/main/mcp", (), "APIKey")
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
    assert opened.servers[0].catalog.settings.auth.type == "None"


def test_the_page_lists_what_clients_see(tmp_path: Path) -> None:
    (server,) = view.describe_servers(follow(NOTHING, read(tmp_path, a=TOOL, p=PROMPT, r=RESOURCE, s=SERVER)))

    (tool,) = server["tools"]
    assert (tool["name"], tool["source"], tool["isMcp"]) == ("find_orders", "MCPTool shop/find-orders", False)
    assert tool["bytes"] == server["bytes"] > tool["tokens"] == server["tokens"] > 20
    assert server["prompts"][0]["schema"]["required"] == ["name"]
    assert [resource["uri"] for resource in server["resources"]] == ["shop://terms"]


def test_a_finding_comes_with_the_lines_around_it() -> None:
    place = Place("a/b.yaml", 6, 3)
    entry = Entry(Level.ERROR, Reason.INVALID_FIELD, "wrong", Subject("MCPTool", "shop", "a"), place, "spec.x")
    alone = Entry(Level.WARNING, Reason.INVALID_FIELD, "odd", Subject(), None)

    first, second = view.describe_findings([entry, alone], {"a/b.yaml": "\n".join("123456789")}, "/home/ada")

    assert (first["absolute"], first["firstLine"], first["excerpt"]) == ("/home/ada/a/b.yaml", 2, list("23456789")[:9])
    assert "file" not in second


def test_what_objects_need_is_what_pods_mount(tmp_path: Path) -> None:
    jwt = "  auth: {type: JWT, jwt: {issuer: 'https://i.example', audiences: [a], jwksSecretName: keys}}\n"
    api = "  auth: {type: APIKey, apiKey: {secretName: clients}}\n"
    texts = {"a": TOOL, "t": TLS, "s": SERVER + api, "j": SERVER.replace("main", "other") + jwt, "p": PROMPT}

    needed = set(map(str, secret_values.needed_by(read(tmp_path, **texts).objects)))

    assert needed == {
        "<Secret shop/crm key token>", "<Secret shop/ca key ca.crt>", "<ConfigMap shop/shop key id>",
        "<Secret shop/clients key >", "<Secret shop/keys key jwks.json>",
    }  # fmt: skip


def test_a_variable_gives_a_value_unless_it_could_be_meant_for_two() -> None:
    one = Item(Ref(Kind.SECRET, "a-b", "c"), "d")
    other = Item(Ref(Kind.SECRET, "a", "b-c"), "d")
    clients = Item(Ref(Kind.SECRET, "shop", "clients"), "")
    environment = {
        "MCP_SECRET_SHOP_CRM_TOKEN": "x", "MCP_SECRET_A_B_C_D": "y", "MCP_SECRET_SHOP_CLIENTS_ADA": "k",
        "MCP_SECRET_SHOP_CLIENTS_": "k", "MCP_SECRET_SHOP_CLIENTS_../../X": "k", "HOME": "/",
    }  # fmt: skip

    values, doubtful = secret_values.read_environment([CRM, CRM, one, other, clients], environment)

    assert values == {CRM: b"x", Item(clients.ref, "ada"): b"k"}
    assert [message.partition(":")[0] for message in doubtful] == ["MCP_SECRET_A_B_C_D is not used"]


def test_values_of_files_are_those_of_kubernetes() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "crm"}, "data": {"a": "eA=="}, "stringData": {"b": "y"}}
    config = {"kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": {"a": "x"}}

    values = dict(secret_values.items_of(secret, "shop"))

    assert {item.key: value for item, value in values.items()} == {"a": b"x", "b": b"y"}
    assert [(str(item), value) for item, value in secret_values.items_of(config, "shop")] == [
        ("<ConfigMap n/c key a>", b"x")
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metadata": {"name": "../x"}}, "invalid name"),
        ({"metadata": {"name": "x", "namespace": "a/b"}}, "invalid name"),
        ({"stringData": {"../x": "y"}}, "a key of Secret shop/crm is not valid"),
        ({"stringData": {"..x": "y"}}, "a key of Secret shop/crm is not valid"),
        ({"stringData": {"a": 7}}, "key a of Secret shop/crm must be a string"),
        ({"data": {"a": "?"}}, "key a of Secret shop/crm must be base64"),
    ],
)
def test_a_secret_that_kubernetes_refuses_is_refused_without_its_value(change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(secret_values.items_of({"kind": "Secret", "metadata": {"name": "crm"}, **change}, "shop"))


def test_values_are_hidden_in_texts_names_and_lists_and_as_base64() -> None:
    values = {CRM: b"abcdef\n", Item(CRM.ref, "longer"): b"abcdefgh", Item(CRM.ref, "short"): b"abc",
              Item(Ref(Kind.CONFIG_MAP, "shop", "c"), "open"): b"shown"}  # fmt: skip
    redaction = Redaction.of(values)

    assert redaction.text("Bearer abcdef") == "Bearer <Secret shop/crm key token>"
    assert redaction.text("abcdefgh abc shown") == "<Secret shop/crm key longer> abc shown"
    assert redaction.any({"abcdef": ["abcdef", 7, None, {"x": "YWJjZGVmCg=="}]}) == {
        str(CRM): [str(CRM), 7, None, {"x": str(CRM)}]
    }
    assert "abcdef" not in repr(redaction)
    assert Redaction().text("abcdef") == "abcdef"


def test_a_given_service_has_every_port_that_is_called() -> None:
    known = ServiceFact(Ref(Kind.SERVICE, "shop", "known"), "ClusterIP", (("", 1),))
    given, other = Ref(Kind.SERVICE, "shop", "given"), Ref(Kind.SERVICE, "shop", "other")

    facts = list(targets.complete([known], [given, known.ref], [(given, "http"), (given, 8), (given, 8), (other, 9)]))

    assert facts == [known, ServiceFact(given, "ClusterIP", (("http", 80), ("", 8)))]
    assert targets.service_of("http://given.shop.svc:80") == given
    with pytest.raises(ValueError, match=r"127\.0\.0\.1 is not a Service"):
        targets.service_of("http://127.0.0.1:80")


def test_a_memo_keeps_what_the_last_two_readings_used() -> None:
    memo, made = Memo(), []

    def get(source: str) -> str:
        return memo.get("key", source, lambda: made.append(source) or source)

    assert [get("a"), get("a"), get("b")] == ["a", "a", "b"]
    memo.forget()
    assert get("b") == "b"
    memo.forget()
    memo.forget()
    assert get("b") == "b"
    assert made == ["a", "b", "b"]


def test_a_memo_keeps_what_the_last_reading_used() -> None:
    memo, made = Memo(), list[str]()

    def read(key: str) -> None:
        memo.get(key, None, lambda: made.append(key))

    read("used")
    read("left")
    for _ in range(3):
        memo.forget()
        memo.keep("used")
        memo.keep("unknown")
    read("used")
    assert made == ["used", "left"]
    read("left")
    assert made == ["used", "left", "left"]


def test_a_save_parses_the_documents_that_changed(tmp_path: Path) -> None:
    workspace = dev.Workspace(dev.Options(()), tmp_path, out=io.StringIO())
    text = f"{TOOL}---\n{SERVER}"

    def parse(text: str) -> list[Document]:
        workspace._memo.forget()
        return [item for item in workspace._parse("a.yaml", text.encode()) if isinstance(item, Document)]

    before = parse(text)
    for _ in range(3):
        parse(text)
    after = parse(f"# a comment\n{text}")

    assert after[0].node is not before[0].node
    assert after[1].node is before[1].node
    assert after[1].position(("kind",))[0] == before[1].position(("kind",))[0] + 1
