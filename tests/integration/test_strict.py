"""A Strict server and two replicas of the webhook: of two conflicting objects at most one is admitted.

The API server speaks to one address; behind it connections go to the replicas in turn, as they do behind a Service.
"""

from __future__ import annotations

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certs import authority, issuance, secret
from certs.authority import Authority
from cluster import client, objects, resources
from cluster.transport import ApiError
from controller.installation import registration
from controller.installation.registration import UrlTarget
from scripts.localcluster import installation
from scripts.localcluster.ports import free_port
from tests.integration.programs import read_kubeconfigs
from tests.threads import Program
from webhook import program

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from cluster.transport import Transport
    from scripts.localcluster import Cluster

pytestmark = pytest.mark.integration

BASE = Path(__file__).parents[2] / "manifests" / "base"
HOME, SHOP = "mcp-strict", "strict-shop"
LEDGER = f"mcp-operator-ledger-{SHOP}"
ROUNDS = 100


class Balancer:
    """Connections to one port go to the others in turn."""

    def __init__(self, port: int, behind: list[int]) -> None:
        self.port = port
        self.behind = behind
        self.served = [0] * len(behind)
        self._turn = count()

    async def run(self, stop: asyncio.Event) -> None:
        server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)
        await stop.wait()
        server.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        which = next(self._turn) % len(self.behind)
        self.served[which] += 1
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self.behind[which])
        await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer), return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def tool(name: str, served: str, app: str = "strict") -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": name, "namespace": SHOP, "labels": {"app": app}},
        "spec": {"name": served, "service": {"name": "orders", "port": 80}},
    }


def server(*apps: str) -> dict[str, Any]:
    wanted = {"matchExpressions": [{"key": "app", "operator": "In", "values": list(apps)}]}
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "metadata": {"name": "main", "namespace": SHOP},
        "spec": {"toolSelector": wanted, "integrity": "Strict"},
    }


def register(cluster: Cluster, ca: Authority, port: int) -> None:
    bundle = authority.bundle(ca, program.utc())
    validating, _ = registration.configurations(
        UrlTarget(f"https://127.0.0.1:{port}", ""), bundle, failure_policy="Fail", namespace=HOME, owner=None
    )
    validating["metadata"]["name"] = "mcp-strict-validating"
    for webhook in validating["webhooks"]:
        webhook["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": SHOP}}
    cluster.run("apply", "-f", "-", stdin=json.dumps(validating))


@pytest.fixture(scope="module")
def balancer(control_plane: Cluster) -> Iterator[Balancer]:
    control_plane.run("apply", "-k", str(BASE / "crds"))
    control_plane.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    for namespace in (HOME, SHOP):
        control_plane.run("create", "namespace", namespace)
    ca = Authority(issuance.authority("strict", program.utc()))
    control_plane.run("apply", "-f", "-", stdin=json.dumps(secret.manifest(HOME, "mcp-operator-ca", ca)))
    found = Balancer(free_port(), [free_port(), free_port()])
    programs = [Program(found.run)]
    health = []
    read_kubeconfigs(control_plane.kubeconfig)
    for port in found.behind:
        health.append(free_port())
        settings = program.Settings(
            namespace=HOME,
            host="127.0.0.1",
            port=port,
            health_port=health[-1],
            hosts=("127.0.0.1",),
            kubeconfig=control_plane.kubeconfig,
            drain_seconds=0.1,
        )
        programs.append(Program(lambda stop, settings=settings: program.run(settings, stop)))
    installation.until("both replicas listen", lambda: all(map(listens, found.behind)), 60)
    register(control_plane, ca, found.port)
    installation.until("admission is in force", lambda: refuses(control_plane), 60)
    control_plane.run("apply", "-f", "-", stdin=json.dumps(server("strict")))
    yield found
    control_plane.run("delete", "validatingwebhookconfiguration", "mcp-strict-validating")
    for each in programs:
        each.ask_to_stop()
    for each in programs:
        each.stop()
    control_plane.run("delete", "mcp", "--all", "-n", SHOP, "--wait=false")
    control_plane.run("delete", "namespace", HOME, SHOP, "--wait=false")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def refuses(cluster: Cluster) -> bool:
    bad = tool("known-bad", "x")
    bad["spec"]["inputSchema"] = {"type": "array"}
    done = cluster.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(bad), check=False)
    return "denied the request" in done.stderr


async def both(*writes: Coroutine[Any, Any, Any]) -> list[bool | str]:
    """The outcomes of two concurrent writes: True if admitted, else the message of the denial."""
    answers = await asyncio.gather(*writes, return_exceptions=True)
    outcomes: list[bool | str] = []
    for answer in answers:
        if isinstance(answer, ApiError):
            outcomes.append(answer.message)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            outcomes.append(True)
    return outcomes


async def connected(cluster: Cluster) -> Transport:
    return await client.connect(None, cluster.kubeconfig)


async def served_names(transport: Transport, *apps: str) -> list[str]:
    found = await objects.list_all(transport, resources.TOOLS, SHOP)
    return [item["spec"]["name"] for item in found if item["metadata"]["labels"]["app"] in apps]


async def test_exactly_one_of_two_concurrent_creations_is_admitted(control_plane: Cluster, balancer: Balancer) -> None:
    transport = await connected(control_plane)
    outcomes = [
        await both(
            objects.create(transport, tool(f"left-{number}", f"prize_{number}")),
            objects.create(transport, tool(f"right-{number}", f"prize_{number}")),
        )
        for number in range(ROUNDS)
    ]
    names = await served_names(transport, "strict")
    await transport.close()

    assert [outcome.count(True) for outcome in outcomes] == [1] * ROUNDS
    assert sorted(names) == sorted(f"prize_{number}" for number in range(ROUNDS))
    messages = [answers for outcome in outcomes for answers in outcome if isinstance(answers, str)]
    assert all("DuplicateName: spec.name: MCPTool" in message for message in messages)
    assert min(balancer.served) > 0


async def test_a_selector_and_a_tool_that_change_concurrently(control_plane: Cluster, balancer: Balancer) -> None:
    transport = await connected(control_plane)
    for number in range(20):
        label = f"new-{number}"
        await objects.create(transport, tool(f"inside-{number}", f"wide_{number}"))
        answers = await both(
            objects.apply(transport, server("strict", label), manager="test"),
            objects.create(transport, tool(f"outside-{number}", f"wide_{number}", label)),
        )
        current = await objects.get(transport, resources.SERVERS, SHOP, "main")
        assert current is not None
        apps = current["spec"]["toolSelector"]["matchExpressions"][0]["values"]
        names = await served_names(transport, *apps)
        assert len(names) == len(set(names)), answers
        assert answers.count(True) == 1, answers
        await objects.apply(transport, server("strict"), manager="test")
    await transport.close()


async def test_a_name_is_free_once_its_object_is_deleted(control_plane: Cluster, balancer: Balancer) -> None:
    transport = await connected(control_plane)
    for number in range(10):
        await objects.create(transport, tool(f"holder-{number}", "passed_on"))
        await objects.delete(transport, resources.TOOLS, SHOP, f"holder-{number}")
    names = await served_names(transport, "strict")
    await transport.close()

    assert "passed_on" not in names


async def test_a_name_is_free_once_its_object_is_renamed(control_plane: Cluster, balancer: Balancer) -> None:
    transport = await connected(control_plane)
    await objects.create(transport, tool("renamed", "first_name"))
    for number in range(5):
        await objects.apply(transport, tool("renamed", f"next_name_{number}"), manager="test")
        given_up = f"next_name_{number - 1}" if number else "first_name"
        await objects.create(transport, tool(f"heir-{number}", given_up))
    names = await served_names(transport, "strict")
    await transport.close()

    assert len(names) == len(set(names))


def test_a_dry_run_does_not_change_the_ledger(control_plane: Cluster, balancer: Balancer) -> None:
    def version() -> str:
        done = control_plane.run("-n", HOME, "get", "configmap", LEDGER, "-o", "jsonpath={.metadata.resourceVersion}")
        return done.stdout

    before = version()

    done = control_plane.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(tool("tried", "tried_out")))

    assert done.returncode == 0
    assert version() == before


def test_kubectl_names_the_object_that_was_first(control_plane: Cluster, balancer: Balancer) -> None:
    def apply(number: int) -> tuple[int, str]:
        text = json.dumps(tool(f"shell-{number}", "the_prize"))
        done = control_plane.run("apply", "-f", "-", stdin=text, check=False)
        return done.returncode, done.stderr

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(apply, range(4)))

    assert [code for code, _ in answers].count(0) == 1
    assert all("(DuplicateName)" in text for code, text in answers if code)


def test_the_webhook_may_write_ledgers_only_in_its_own_namespace(control_plane: Cluster) -> None:
    control_plane.run("create", "namespace", "mcp-system", check=False)
    control_plane.run("apply", "-k", str(BASE / "rbac"), "-n", "mcp-system")
    account = "system:serviceaccount:mcp-system:mcp-operator-webhook"

    def may(verb: str, namespace: str) -> bool:
        done = control_plane.run("auth", "can-i", verb, "configmaps", "--as", account, "-n", namespace, check=False)
        return done.stdout.strip() == "yes"

    assert all(may(verb, "mcp-system") for verb in ("get", "create", "update"))
    assert not any(may(verb, "mcp-system") for verb in ("delete", "list", "watch", "patch"))
    assert not any(may(verb, SHOP) for verb in ("get", "create", "update"))
