"""`mcp-operator dev`: servers of files on one port, their reload, and who may use them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from cli import __main__ as command
from cli.commands import dev
from cli.dev import targets
from cli.dev.router import Access
from tests.cli.dev.conftest import SECRET, SERVER, TOKEN, TOOL, Running, started
from tests.runtime.raw_http import listen, send

ROOT = Path(__file__).parents[3]


async def ask(running: Running, path: str, body: Any = None, **headers: str) -> Any:
    headers.setdefault("Authorization", f"Bearer {TOKEN}")
    return await send(f"{running.base}{path}", "GET" if body is None else "POST", body, **headers)


async def state(running: Running) -> Any:
    return (await ask(running, "/api/state"))[2]


async def test_what_a_call_lacks_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "tool.yaml").write_text(TOOL)
    out = io.StringIO()
    workspace = dev.Workspace(dev.Options((str(tmp_path),)), tmp_path, out=out)

    await workspace.reload()
    first = out.getvalue()
    (tmp_path / "server.yaml").write_text(SERVER)
    await workspace.reload()
    second = out.getvalue().removeprefix(first)

    address = "no address for Service shop/orders, so calls to it fail; start with --service shop/orders=http://"
    assert "no MCPServer in the files, so nothing is served; write one, or import with --server NAME" in first
    assert first.count(address) == second.count(address) == 1
    assert "no value for Secret shop/crm key token, so calls that need it fail; set MCP_SECRET_SHOP_CRM_TOKEN" in second
    assert "no MCPServer" not in second


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_sdk_connects_as_to_any_server(running: Running, backend: Any, mode: Any) -> None:
    async with Client(running.mcp, mode=mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["find_orders"]
        result = await client.call_tool("find_orders", {"status": "open"})
        assert result.structured_content["orders"] == [{"id": "o-1"}]
        assert (await client.get_prompt("greet", {"name": "Ada"})).messages[0].content.text == "Hello Ada"
        assert (await client.read_resource("shop://terms")).contents[0].text == "All sales are final."

    assert backend[1][0].startswith("GET /orders/open?limit=10 HTTP/1.1\r\n")
    assert f"Authorization: Bearer {SECRET}\r\n" in backend[1][0]


async def test_a_save_is_served_and_a_mistake_keeps_what_was_there(running: Running) -> None:
    tool = running.folder / "tool.yaml"

    tool.write_text(TOOL.replace("name: find_orders", "name: list_orders"))
    await running.until("reloaded in")
    assert [tool["name"] for tool in (await state(running))["servers"][0]["tools"]] == ["list_orders"]

    tool.write_text(TOOL.replace("{status}", "{staus}"))
    await running.until("error: ")
    shown = await state(running)
    assert [tool["name"] for tool in shown["servers"][0]["tools"]] == ["list_orders"]
    finding = next(each for each in shown["findings"] if each["level"] == "error")
    assert finding["file"] == str(tool)
    assert "{staus}" in finding["excerpt"][finding["line"] - finding["firstLine"]]

    tool.write_text(TOOL + "  odd: [")
    await running.until("InvalidDocument")
    assert [tool["name"] for tool in (await state(running))["servers"][0]["tools"]] == ["list_orders"]

    tool.unlink()
    async with asyncio.timeout(10.0):
        while (await state(running))["servers"][0]["tools"]:
            await asyncio.sleep(0.02)


async def test_a_client_that_listens_hears_of_a_save_and_of_the_end_of_its_server(running: Running) -> None:
    tool = running.folder / "tool.yaml"
    async with listen(running.mcp, "tools") as stream:
        await stream.next()
        tool.write_text(TOOL.replace("name: find_orders", "name: list_orders"))
        assert (await stream.next())["method"] == "notifications/tools/list_changed"
        (running.folder / "server.yaml").unlink()
        assert (await stream.next())["result"]["resultType"] == "complete"


async def test_a_client_that_listens_hears_that_dev_ends(running: Running) -> None:
    async with listen(running.mcp, "tools") as stream:
        await stream.next()
        running.stop.set()
        assert (await stream.next())["result"]["resultType"] == "complete"


async def test_a_server_comes_and_goes_with_its_file(running: Running) -> None:
    other = running.folder / "other.yaml"
    other.write_text(SERVER.replace("name: main", "name: other"))
    await running.until("reloaded in")
    assert [server["key"] for server in (await state(running))["servers"]] == ["shop/main", "shop/other"]

    (running.folder / "server.yaml").unlink()
    async with asyncio.timeout(10.0):
        while (await send(running.mcp, body={}))[0] != 404:
            await asyncio.sleep(0.02)


async def test_the_page_calls_and_explains_with_the_token_of_the_run(running: Running) -> None:
    body = {"server": "shop/main", "kind": "tool", "name": "find_orders", "arguments": {"status": "open"}}

    _, _, called = await ask(running, "/api/call", body)
    _, _, explained = await ask(running, "/api/explain", body)
    _, _, prompted = await ask(
        running, "/api/call", {**body, "kind": "prompt", "name": "greet", "arguments": {"name": "A"}}
    )
    _, _, read = await ask(running, "/api/call", {**body, "kind": "resource", "name": "shop://terms"})
    _, _, news = await ask(running, "/api/changes", {"after": 0, "revision": 1})

    (exchange,) = called["exchanges"]
    assert (exchange["status"], exchange["url"]) == (200, "http://orders.shop.svc:80/orders/open?limit=10")
    assert called["result"]["structuredContent"]["orders"] == [{"id": "o-1"}]
    assert ["Authorization", "Bearer <Secret shop/crm key token>"] in explained["request"]["headers"]
    assert prompted["result"]["messages"][0]["content"]["text"] == "Hello A"
    assert read["result"]["contents"][0]["text"] == "All sales are final."
    assert news["calls"][0]["operation"] == "tools/call find_orders (from the page)"
    assert news["last"] == 3


async def test_values_of_secrets_are_never_shown(running: Running) -> None:
    body = {"server": "shop/main", "kind": "tool", "name": "find_orders", "arguments": {"status": "open"}}
    async with Client(running.mcp) as client:
        await client.call_tool("find_orders", {"status": "open"})

    answers = [await ask(running, "/api/call", body), await ask(running, "/api/explain", body)]
    answers += [await ask(running, "/api/changes", {"after": 0, "revision": 1}), await ask(running, "/api/state")]

    assert "Bearer <Secret shop/crm key token>" in str(answers[0])
    assert SECRET not in str(answers)
    assert SECRET not in running.out.getvalue() + running.err.getvalue()


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/", None, {"Host": "evil.example"}, 403),
        ("/api/state", None, {"Host": "evil.example"}, 403),
        ("/shop/main/mcp", {}, {"Host": "evil.example"}, 403),
        ("/api/state", None, {"Authorization": ""}, 401),
        ("/api/state", None, {"Authorization": "Bearer other"}, 401),
        ("/api/call", {}, {"Authorization": ""}, 401),
        ("/api/state", None, {"Origin": "https://evil.example"}, 403),
        ("/api/state", None, {"Origin": "http://localhost:3000"}, 403),
        ("/shop/main/mcp", {}, {"Origin": "https://evil.example"}, 403),
        ("/shop/main/mcp", {}, {"Origin": "http://localhost:3000"}, 403),
        ("/shop/nothing/mcp", {}, {}, 404),
        ("/api/nothing", {}, {}, 404),
        ("/api/call", b"x", {"Content-Type": "text/plain"}, 404),
        ("/api/call", b"x", {}, 400),
        ("/api/call", b"[]", {}, 400),
        ("/api/call", b" " * 1024 * 1025, {}, 413),
    ],
)  # fmt: skip
async def test_others_may_not_use_the_port(
    running: Running, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    found, sent, _ = await ask(running, path, body, **headers)

    assert found == status
    assert "Access-Control-Allow-Origin" not in sent
    assert sent["Content-Security-Policy"] == "default-src 'none'; sandbox"


async def test_the_page_has_no_token_and_loads_from_its_own_port_only(running: Running) -> None:
    for path in ("/", "/page.js", "/style.css", "/icon.svg"):
        status, headers, text = await ask(running, path, Authorization="")
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert TOKEN not in text
        assert "https://" not in text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"server": "shop/x", "kind": "tool", "name": "a"}, "not served any more"),
        ({"server": "shop/main", "kind": "odd", "name": "a"}, "not served any more"),
        ({"server": "shop/main", "kind": "tool", "name": "a"}, "Unknown tool: a"),
    ],
)
async def test_a_call_that_cannot_be_made_is_an_answer(running: Running, body: Any, message: str) -> None:
    assert message in (await ask(running, "/api/call", body))[2]["error"]


async def test_an_explanation_that_cannot_be_made_is_an_answer(running: Running) -> None:
    body = {"server": "shop/main", "name": "find_orders", "arguments": {}}

    assert "missing required" in (await ask(running, "/api/explain", body))[2]["error"]
    assert "does not serve" in (await ask(running, "/api/explain", {**body, "name": "x"}))[2]["error"]
    assert "does not serve" in (await ask(running, "/api/explain", {**body, "server": "x"}))[2]["error"]


async def test_a_service_without_an_address_and_a_secret_without_a_value_are_named(folder: Path) -> None:
    (folder / "service.yaml").write_text(SERVICE.format("shop"))
    async with started(folder) as running:
        body = {"server": "shop/main", "kind": "tool", "name": "find_orders", "arguments": {"status": "open"}}
        first = (await ask(running, "/api/call", body))[2]
        (folder / "crm.yaml").write_text(
            "apiVersion: v1\nkind: Secret\nmetadata: {name: crm, namespace: shop}\nstringData: {token: abcdef}\n"
        )
        shown = await state(running)
        await running.until("reloaded in")
        second = (await ask(running, "/api/call", body))[2]

    assert shown["services"] == [{"name": "shop/orders", "url": None, "isForwarded": False}]
    assert shown["missing"] == [
        {"kind": "Secret", "name": "shop/crm", "key": "token", "variable": "MCP_SECRET_SHOP_CRM_TOKEN"}
    ]
    assert "the credentials for header Authorization are missing" in str(first)
    assert "start with --service shop/orders=http://127.0.0.1:PORT" in str(second)


async def test_clients_authenticate_unless_it_is_turned_off(folder: Path) -> None:
    (folder / "server.yaml").write_text(SERVER + "  auth: {type: APIKey, apiKey: {secretName: clients}}\n")
    environment = {"MCP_SECRET_SHOP_CLIENTS_ADA": "key-of-ada"}
    ping = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}

    async with started(folder, environment=environment) as running:
        assert (await send(running.mcp, body=ping))[0] == 401
        assert (await send(running.mcp, body=ping, Authorization="Bearer key-of-ada"))[0] == 200
    async with started(folder, environment=environment, open_to_all=True) as running:
        assert (await send(running.mcp, body=ping))[0] == 200


async def test_an_allowed_origin_may_call_and_read(folder: Path) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}
    origin = "http://localhost:6274"
    async with started(folder, origins=(origin,)) as running:
        status, headers, _ = await send(running.mcp, body=ping, Origin=origin)

    assert (status, headers["Access-Control-Allow-Origin"]) == (200, origin)


@pytest.mark.parametrize(
    ("host", "is_local", "allowed"),
    [
        ("127.0.0.1:8080", True, True), ("localhost", True, True), ("[::1]:80", True, True), ("LOCALHOST", True, True),
        ("dev.internal:8080", True, True), ("10.0.0.1:8080", True, False), ("10.0.0.1:8080", False, True),
        ("evil.example", False, False), ("127.0.0.1.evil.example", True, False), (None, True, False), ("", True, False),
    ],
)  # fmt: skip
def test_a_host_must_name_this_machine(host: str | None, is_local: bool, allowed: bool) -> None:
    assert Access("t", ("dev.internal",), is_local=is_local).allows_host(host) is allowed


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: orders, namespace: {0}}}
spec:
  ports: [{{name: http, port: 80}}]
"""
KUBECTL = """\
#!{python}
import sys, time
with open({log!r}, "a") as log:
    print(sys.argv[1:], file=log)
if "shop" not in sys.argv:
    sys.exit("error: services not found")
print("Forwarding from 127.0.0.1:{port} -> 80", flush=True)
time.sleep(60)
"""


async def test_other_services_are_reached_by_kubectl(folder: Path, backend: Any, tmp_path: Path) -> None:
    kubectl, log = tmp_path / "kubectl", tmp_path / "log"
    kubectl.write_text(KUBECTL.format(python=sys.executable, log=str(log), port=backend[0].rpartition(":")[2]))
    kubectl.chmod(0o700)
    (folder / "service.yaml").write_text(SERVICE.format("shop"))
    environment = {"MCP_SECRET_SHOP_CRM_TOKEN": SECRET}
    body = {"server": "shop/main", "kind": "tool", "name": "find_orders", "arguments": {"status": "open"}}

    async with started(folder, kubectl=(str(kubectl), "--context", "c"), environment=environment) as running:
        answers = [(await ask(running, "/api/call", body))[2] for _ in range(2)]
    (folder / "server.yaml").write_text(SERVER.replace("namespace: shop", "namespace: bank"))
    (folder / "tool.yaml").write_text(TOOL.replace("namespace: shop", "namespace: bank").partition("  headersFrom")[0])
    (folder / "service.yaml").write_text(SERVICE.format("bank"))
    async with started(folder, kubectl=(str(kubectl),)) as running:
        failed = (await ask(running, "/api/call", {**body, "server": "bank/main"}))[2]
    async with started(folder, kubectl=(str(tmp_path / "none"),)) as running:
        absent = (await ask(running, "/api/call", {**body, "server": "bank/main"}))[2]

    assert all(answer["result"]["structuredContent"]["orders"] for answer in answers)
    words = "['--context', 'c', 'port-forward', '--address', '127.0.0.1', '-n', 'shop', 'service/orders', ':80']"
    assert log.read_text().splitlines()[0] == words
    assert log.read_text().count("'shop'") == 1
    assert "services not found" in str(failed)
    assert "cannot be started" in str(absent)


def test_the_folder_with_secrets_is_private_and_removed(folder: Path, tmp_path: Path) -> None:
    """As a process of its own: the folder of temporary files is empty again after SIGTERM."""
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "dev", str(folder), "--port", "0", "--service", "shop/orders=http://127.0.0.1:9"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={"TMPDIR": str(tmp_path / "tmp"), "MCP_SECRET_SHOP_CRM_TOKEN": SECRET, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    with contextlib.closing(process.stdout):
        said = []
        line = process.stdout.readline()
        while not line.startswith("page: "):
            said.append(line)
            line = process.stdout.readline()
        (made,) = (tmp_path / "tmp").iterdir()
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
        assert (made / "shop" / "Secret" / "crm" / "token").read_text() == SECRET
        process.terminate()
        assert process.wait(20) == 0
    assert list((tmp_path / "tmp").iterdir()) == []
    assert any(line.startswith("http://127.0.0.1:") and line.endswith("/shop/main/mcp  1 tool\n") for line in said)


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_a_port_that_does_not_exist_is_named(folder: Path, port: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["dev", str(folder), f"--port={port}"])

    assert ended.value.code == 2
    assert f'argument --port: must be a port number up to 65535, got "{port}"' in capsys.readouterr().err


def test_a_missing_folder_and_a_taken_port_exit_with_two(folder: Path, capsys: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert command.main(["dev", str(folder), "--port", port]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
    assert command.main(["dev", str(folder / "nothing")]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("authorization", "allowed"),
    [("Bearer t", True), ("Bearer u", False), ("t", False), ("", False), (None, False), ("Bearer \udcff", False)],
)
def test_only_the_page_has_the_token_of_the_run(authorization: str | None, allowed: bool) -> None:
    assert Access("t").allows_token(authorization) is allowed


@pytest.mark.parametrize("words", [["-"], [".", "--service", "shop/orders=http://example.com:80"]])
def test_wrong_arguments_exit_with_two(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["dev", *words])

    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("orders=http://127.0.0.1:1", "namespace/name=URL"),
        ("shop/orders", "namespace/name=URL"),
        ("Shop/orders=http://127.0.0.1:1", "namespace/name=URL"),
        ("shop/orders=ftp://127.0.0.1:1", "http or https URL"),
        ("shop/orders=http://127.0.0.1:1/?a=b", "http or https URL"),
        ("shop/orders=http://127.0.0.1", "loopback address with a port"),
        ("shop/orders=http://10.0.0.1:80", "loopback address with a port"),
        ("shop/orders=http://127.0.0.1:0", "loopback address with a port"),
        ("shop/orders=http://user@127.0.0.1:80", "loopback address with a port"),
    ],
)
def test_a_service_is_at_an_address_of_this_machine(option: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        targets.parse(option)
