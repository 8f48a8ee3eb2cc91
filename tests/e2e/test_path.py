"""One ``kubectl apply`` travels the whole way: admission, workloads, an agent's call, and each part failing."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from mcp import Client
from mcp.client.subscriptions import ToolsListChanged

from scripts.localcluster import installation

if TYPE_CHECKING:
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
# One of each reason; tests/integration has them all.
FILES = sorted((EXAMPLES / "invalid").glob("*.yaml"))
INVALID = list({path.stem.partition("--")[0]: path for path in FILES}.values())


def get(cluster: Cluster, *words: str) -> dict[str, Any]:
    return dict(json.loads(cluster.run("get", *words, "-o", "json").stdout))


def address(cluster: Cluster, server: str = "main") -> str:
    return "http://" + get(cluster, "-n", "shop", "service", f"{server}-mcp")["spec"]["clusterIP"] + "/mcp"


def pods(cluster: Cluster, server: str = "main") -> list[dict[str, Any]]:
    found = get(cluster, "-n", "shop", "pods", "-l", f"mcp.example.com/server={server}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def tool(name: str, **spec: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "mcp.example.com/v1alpha1",
            "kind": "MCPTool",
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": "shop"}},
            "spec": {
                "description": "Counts the orders of the shop, all of them.",
                "service": {"name": "orders", "port": "http", "path": "/api/orders/count"},
                **spec,
            },
        }
    )


def _refusal_after(cluster: Cluster, before: list[str], last: str) -> subprocess.CompletedProcess[str]:
    """The answer to the last document of a file, once both webhooks know the others."""
    for document in before:
        cluster.run("apply", "-f", "-", stdin=document)
    answers = []

    def is_refused() -> bool:
        answers.append(cluster.run("apply", "--dry-run=server", "-f", "-", stdin=last, check=False))
        return answers[-1].returncode != 0

    try:
        installation.until("the last document is refused", is_refused, 30)
    finally:
        for document in before:
            cluster.run("delete", "-f", "-", "--wait=false", stdin=document)
    return answers[-1]


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_an_invalid_example_is_refused_in_words_that_help(cluster: Cluster, file: Path) -> None:
    reason = file.stem.partition("--")[0]

    *before, last = (json.dumps(each) for each in yaml.safe_load_all(file.read_text()) if each)
    done = _refusal_after(cluster, before, last) if before else cluster.run("apply", "-f", str(file), check=False)

    assert done.returncode != 0, done.stdout
    by_us = "denied the request" in done.stderr
    assert by_us or "is invalid" in done.stderr or reason == "UnknownField", done.stderr
    if by_us:
        assert f"- {reason}: " in done.stderr
        assert re.search(r"\b(spec|metadata)[.:]", done.stderr), done.stderr


def test_the_valid_examples_are_accepted_and_unchanged_when_applied_again(cluster: Cluster) -> None:
    lines = cluster.run("apply", "-f", str(EXAMPLES / "valid")).stdout.splitlines()

    assert lines
    assert [line for line in lines if not line.endswith("unchanged")] == []


def test_a_label_change_that_brings_two_tools_of_one_name_together_is_refused(cluster: Cluster) -> None:
    done = cluster.run(
        "-n",
        "shop",
        "label",
        "mcptool",
        "check-stock-customers",
        "app=shop",
        "audience=staff",
        "--overwrite",
        check=False,
    )

    assert done.returncode != 0
    assert "DuplicateName: metadata.labels: MCPTool shop/check-stock-staff already serves" in done.stderr


async def call_everything(url: str, mode: Any) -> None:
    async with Client(url, mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert "search_orders" in names
        result = await client.call_tool("search_orders", {"status": "open"})
        assert not result.is_error
        assert result.structured_content["orders"]
        prompt = await client.get_prompt("order_status", {"customer": "Ada {{tone}}", "order_id": "o-1001"})
        assert "Ada {{tone}}" in prompt.messages[0].content.text
        resource = await client.read_resource("shop://policies/returns")
        assert resource.contents[0].text.startswith("# Returns")
        stock = await client.read_resource("mcp://stock/stock/mug-blue")
        assert json.loads(stock.contents[0].text)["sku"] == "mug-blue"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_lists_calls_prompts_and_reads(cluster: Cluster, mode: str) -> None:
    await call_everything(address(cluster), mode)


async def test_bad_arguments_come_back_as_an_error_the_model_can_read(cluster: Cluster) -> None:
    async with Client(address(cluster)) as client:
        result = await client.call_tool("search_orders", {"status": 7})

    assert result.is_error
    fault = json.loads(result.content[0].text)["error"]
    assert fault["code"] == "invalid_arguments"
    assert "/status" in fault["message"]


async def test_a_session_goes_on_when_the_pod_that_began_it_is_deleted(shop: Cluster) -> None:
    async with Client(address(shop), mode="legacy") as client:
        await client.list_tools()
        for victim in pods(shop):
            shop.run("-n", "shop", "delete", "pod", victim["metadata"]["name"], "--grace-period=0", "--force")
            installation.until("two pods are ready", lambda: ready(shop) == 2)
            await asyncio.sleep(1)
            result = await client.call_tool("search_orders", {"status": "open"})
            assert not result.is_error


def ready(cluster: Cluster) -> int:
    return int(get(cluster, "-n", "shop", "mcpserver", "main")["status"].get("readyReplicas") or 0)


async def served_by_both(cluster: Cluster) -> list[list[str]]:
    lists = []
    for pod in pods(cluster):
        async with Client(f"http://{pod['status']['podIP']}:8080/mcp") as client:
            lists.append([tool.name for tool in (await client.list_tools()).tools])
    return lists


async def test_a_new_tool_is_served_by_every_pod_within_two_seconds_without_a_restart(shop: Cluster) -> None:
    before = {pod["metadata"]["name"] for pod in pods(shop)}
    async with AsyncExitStack() as stack:
        listening = []
        for pod in pods(shop):
            client = await stack.enter_async_context(Client(f"http://{pod['status']['podIP']}:8080/mcp"))
            listening.append(await stack.enter_async_context(client.listen(tools_list_changed=True)))
        shop.run("apply", "-f", "-", stdin=tool("brand-new"))
        started = time.monotonic()
        # Who listens at a pod hears of the tool.
        for subscription in listening:
            async with asyncio.timeout(10):
                assert await anext(aiter(subscription)) == ToolsListChanged()
    try:
        while not all("brand-new" in names for names in await served_by_both(shop)):
            assert time.monotonic() - started < 2, "not served by both pods within two seconds"
            await asyncio.sleep(0.05)
        assert {pod["metadata"]["name"] for pod in pods(shop)} == before
        assert all(s["restartCount"] == 0 for pod in pods(shop) for s in pod["status"]["containerStatuses"])
    finally:
        shop.run("-n", "shop", "delete", "mcptool", "brand-new")


def versions(cluster: Cluster) -> dict[str, str]:
    kinds = "deployments,services,serviceaccounts,roles,rolebindings,ingresses,configmaps,mcp"
    found = get(cluster, "-n", "shop", kinds)["items"]
    return {f"{i['kind']}/{i['metadata']['name']}": i["metadata"]["resourceVersion"] for i in found}


def test_a_killed_controller_comes_back_and_changes_nothing(cluster: Cluster) -> None:
    before = versions(cluster)
    selector = "app.kubernetes.io/name=mcp-operator-controller"
    cluster.run("-n", "mcp-system", "delete", "pods", "-l", selector, "--grace-period=0", "--force")
    cluster.run("-n", "mcp-system", "rollout", "status", "deployment/mcp-operator-controller", "--timeout=120s")
    installation.until("somebody leads again", lambda: leads(cluster))
    time.sleep(3)

    assert versions(cluster) == before


def leads(cluster: Cluster) -> bool:
    holder = get(cluster, "-n", "mcp-system", "lease", "mcp-operator-controller")["spec"].get("holderIdentity")
    found = get(cluster, "-n", "mcp-system", "pods")["items"]
    names = [pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"]]
    return str(holder).rpartition("_")[0] in names


def test_a_deployment_deleted_by_hand_comes_back(shop: Cluster) -> None:
    old = get(shop, "-n", "shop", "deployment", "main-mcp")["metadata"]["uid"]
    shop.run("-n", "shop", "delete", "deployment", "main-mcp", "--wait=false")

    def back() -> bool:
        found = shop.run("-n", "shop", "get", "deployment", "main-mcp", "-o", "json", check=False)
        return found.returncode == 0 and json.loads(found.stdout)["metadata"]["uid"] != old

    installation.until("the Deployment is back", back, 30)


def test_of_a_deleted_server_nothing_is_left(shop: Cluster) -> None:
    shop.run("-n", "shop", "delete", "mcpserver", "main")

    def left() -> list[str]:
        kinds = "deployments,services,serviceaccounts,roles,rolebindings,ingresses,configmaps,pods"
        found = get(shop, "-n", "shop", kinds, "-l", "mcp.example.com/server=main")["items"]
        return [f"{item['kind']}/{item['metadata']['name']}" for item in found]

    installation.until("everything of it is gone", lambda: not left(), 90)


def test_without_webhooks_changes_are_refused_and_not_admitted_until_they_are_back(cluster: Cluster) -> None:
    bad = EXAMPLES / "invalid" / "DuplicateName--tool.yaml"
    selector = "app.kubernetes.io/name=mcp-operator-webhook"
    cluster.run("-n", "mcp-system", "delete", "pods", "-l", selector, "--grace-period=0", "--force")

    unanswered = False
    deadline = time.monotonic() + 60
    while not unanswered and time.monotonic() < deadline:
        done = cluster.run("apply", "-f", str(bad), check=False)
        assert done.returncode != 0, "admitted while no webhook was there"
        unanswered = "failed calling webhook" in done.stderr

    assert unanswered, "the webhooks were never away"
    cluster.run("-n", "mcp-system", "rollout", "status", "deployment/mcp-operator-webhook", "--timeout=120s")
    good = EXAMPLES / "valid" / "tool-count-orders.yaml"
    installation.until(
        "changes are admitted again",
        lambda: cluster.run("replace", "--dry-run=server", "-f", str(good), check=False).returncode == 0,
        60,
    )


def test_a_missing_service_warns_and_shows_in_the_conditions_until_it_is_there(shop: Cluster) -> None:
    lost = tool("lost", service={"name": "nowhere", "port": 80})
    try:
        done = shop.run("apply", "-f", "-", stdin=lost)
        assert "Warning: ServiceMissing: spec.service: Service shop/nowhere does not exist" in done.stderr

        def reason() -> str:
            status = get(shop, "-n", "shop", "mcptool", "lost").get("status") or {}
            return next((c["reason"] for c in status.get("conditions", ()) if c["type"] == "ResolvedRefs"), "")

        installation.until("ResolvedRefs says why", lambda: reason() == "ServiceMissing", 20)
        shop.run("-n", "shop", "create", "service", "clusterip", "nowhere", "--tcp=80:8080")
        installation.until("ResolvedRefs comes true", lambda: reason() == "ResolvedRefs", 20)
    finally:
        shop.run("-n", "shop", "delete", "mcptool/lost", "service/nowhere", "--ignore-not-found")
