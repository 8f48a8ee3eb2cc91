"""The controller as a process: what becomes of its settings, and what it leaves behind when it is stopped."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from certs import secret
from cluster.transport import ApiError
from controller import program
from controller.installation import registration
from controller.metrics import Metrics
from controller.signing import keys as signing
from crd.published import catalogs
from scripts.localcluster.ports import free_port
from tests.cluster.conftest import simulated
from tests.controller.fake_api import FakeApi
from tests.controller.states import raw, tool
from tests.controller.test_reconciler import a_pod, fill

SERVER = raw("MCPServer", "main", {"toolSelector": {"matchLabels": {"app": "shop"}}})
OWN_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"namespace": "mcp-system", "name": "me"},
    "spec": {"containers": [{"name": "controller", "image": "operator:own"}]},
    "status": {},
}
DENIED = f'admission webhook "{registration.VALIDATOR}" denied the request: no'


class Api(FakeApi):
    """Refuses the canary, if it ``refuses``, and proxies to pods, which serve the catalog that is published."""

    def __init__(self) -> None:
        super().__init__()
        self.proxied: list[str] = []
        self.refuses = True

    async def request(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        if method == "POST" and path.endswith("/mcpprompts"):
            if self.refuses:
                raise ApiError(422, "Invalid", DENIED)
            return {}
        return await super().request(method, path, **more)

    async def fetch(
        self, path: str, *, query: Mapping[str, str], timeout: float, accept: str = "", limit: int = 0
    ) -> bytes:
        if path.endswith("/proxy/statusz"):
            self.proxied.append(path)
            stored = self.get("ConfigMap", "main-catalog")
            digest = stored["metadata"]["annotations"][catalogs.DIGEST_ANNOTATION] if stored else ""
            return orjson.dumps({"digest": digest})
        return await super().fetch(path, query=query, timeout=timeout, accept=accept)


def api_with(*items: Any) -> Api:
    api = Api()
    fill(api, *items)
    for name in ("mcp-system", "shop"):
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"namespace": "", "name": name}})
    api.put(OWN_POD)
    return api


@pytest.fixture(autouse=True)
def quick_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller looks at its own state every second, to write it into the condition of its pod."""
    monkeypatch.setattr("controller.installation.condition.INTERVAL", 0.01)


class Running:
    def __init__(self, api: Api, port: int) -> None:
        self.api = api
        self.metrics = Metrics()
        self.stop = asyncio.Event()
        self.session = ClientSession()
        self._port = port

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"http://127.0.0.1:{self._port}{path}") as answer:
            return answer.status, await answer.text()

    async def ready(self) -> str:
        """What the page of readiness says once everything is listed."""
        async with asyncio.timeout(30):
            while (found := await self.get("/readyz"))[0] != 200:
                await asyncio.sleep(0.005)
        return found[1]

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                await asyncio.sleep(0.005)

    def condition(self) -> Any:
        pod = self.api.get("Pod", "me", "mcp-system")
        return next(iter((pod or {}).get("status", {}).get("conditions") or [{}]))

    def webhook(self, kind: str, name: str) -> Any:
        found = self.api.get(kind, name, "")
        return found["webhooks"][0] if found else {}

    def leader(self) -> str:
        lease = self.api.get("Lease", "our-lease", "mcp-system")
        return str(lease["spec"]["holderIdentity"]) if lease else ""


@asynccontextmanager
async def running(api: Api, **settings: Any) -> AsyncIterator[Running]:
    """A controller from its start until it has ended."""
    port = free_port()
    given = program.Settings(
        "mcp-system", "me", lease="our-lease", host="127.0.0.1", health_port=port, **{"pod_access": "proxy", **settings}
    )
    found = Running(api, port)
    working = asyncio.create_task(program._work(given, api, found.session, found.metrics, found.stop))
    try:
        yield found
    finally:
        found.stop.set()
        async with asyncio.timeout(30):
            await working
        await found.session.close()


async def test_a_controller_leads_installs_and_publishes_by_its_settings() -> None:
    api = api_with(SERVER, tool("a"), a_pod())
    settings = {
        "pod": "me",
        "runtime_image": "operator:7",
        "ca_secret": "our-ca",
        "keys_secret": "our-keys",
        "webhook_url": "https://hook:8443",
        "webhook_next_url": "https://hook:9443",
        "cluster_domain": "cluster.test",
    }
    async with running(api, **settings) as controller:
        await controller.until(lambda: api.get("Deployment", "main-mcp") and api.proxied and controller.condition())
        deployment = api.get("Deployment", "main-mcp")
        assert deployment is not None
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        assert container["image"] == "operator:7"
        assert "--cluster-domain" in container["args"]
        assert "cluster.test" in container["args"]
        assert api.proxied[0] == "/api/v1/namespaces/shop/pods/p:9090/proxy/statusz"

        # The installation: a CA of ours, which the canary proves.
        ca = secret.parse(api.get("Secret", "our-ca", "mcp-system"))
        assert ca is not None
        assert ca.current is not None
        await controller.until(lambda: controller.webhook("ValidatingWebhookConfiguration", registration.VALIDATING))
        validating = controller.webhook("ValidatingWebhookConfiguration", registration.VALIDATING)
        assert validating["clientConfig"]["url"].startswith("https://hook:8443/validate/")
        assert base64.b64decode(validating["clientConfig"]["caBundle"]) == ca.current.certificate
        await controller.until(lambda: controller.condition().get("reason") == "CanaryRefused")
        assert controller.condition()["status"] == "True"

        # What is signed is signed with the keys of the Secret.
        keys = signing.parse(api.get("Secret", "our-keys", "mcp-system"))
        assert keys is not None
        assert f"{keys.argument}" in container["args"]

        assert await controller.ready() == "ok\n"
        assert (await controller.get("/healthz"))[0] == 200
        assert controller.leader().startswith("me_")
        assert controller.metrics.leader._value.get() == 1
    # Nothing is left behind: the next candidate need not wait.
    assert controller.leader() == ""
    assert controller.metrics.leader._value.get() == 0
    with pytest.raises(ConnectionError):
        await asyncio.open_connection("127.0.0.1", controller._port)


async def test_a_replica_that_does_not_lead_is_ready_and_writes_nothing_but_its_condition() -> None:
    api = api_with(SERVER, tool("a"))
    now = datetime.now(UTC)  # noqa: TID251 -- the controller reads the clock of the machine
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"namespace": "mcp-system", "name": "our-lease"},
        "spec": {
            "holderIdentity": "other_1",
            "leaseDurationSeconds": 3600,
            "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }
    api.put(lease)
    async with running(api, pod="me", runtime_image="operator:7") as controller:
        await controller.until(lambda: controller.condition().get("reason") == "Standby")
        assert await controller.ready() == "ok\n"
        assert controller.condition()["status"] == "True"
        assert controller.metrics.leader._value.get() == 0
        assert api.get("Deployment", "main-mcp") is None
        assert controller.leader() == "other_1"


async def test_a_webhook_that_does_not_refuse_the_canary_is_told_by_readyz_and_the_pod() -> None:
    api = api_with()
    api.refuses = False
    async with running(api, pod="me", webhook_service="our-webhook") as controller:
        await controller.until(lambda: controller.condition().get("reason") == "CanaryNotRefused")
        text = await controller.ready()
        validating = controller.webhook("ValidatingWebhookConfiguration", registration.VALIDATING)
    assert text == "ok, but admission canary not refused: the API server admitted it\n"
    assert controller.condition()["status"] == "False"
    service = validating["clientConfig"]["service"]
    assert (service["namespace"], service["name"]) == ("mcp-system", "our-webhook")
    assert validating["failurePolicy"] == "Ignore"


async def test_with_certificates_of_cert_manager_the_secret_holds_the_keys_of_the_paths_alone() -> None:
    api = api_with()
    async with running(api, inject_ca_from="webhook", path_secret="our-paths") as controller:
        await controller.until(lambda: api.get("Secret", "our-paths", "mcp-system"))
        await controller.until(lambda: api.get("MutatingWebhookConfiguration", registration.MUTATING, ""))
    found = api.get("MutatingWebhookConfiguration", registration.MUTATING, "")
    assert found is not None
    assert found["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == "mcp-system/webhook"
    stored = api.get("Secret", "our-paths", "mcp-system")
    assert secret.parse_keys(stored).current is not None
    held = secret.parse(stored)
    assert held is None or held.current is None
    assert api.get("Secret", "mcp-operator-ca", "mcp-system") is None


async def test_with_namespaces_an_administrator_installs_the_configurations() -> None:
    api = api_with(SERVER, tool("a"))
    async with running(api, namespaces=("shop",), pod="me", runtime_image="operator:7") as controller:
        await controller.until(lambda: controller.condition().get("reason") == "CanaryRefused")
        await controller.until(lambda: api.get("Deployment", "main-mcp"))
    assert api.get("ValidatingWebhookConfiguration", registration.VALIDATING, "") is None


async def test_without_an_image_the_servers_get_that_of_the_controller() -> None:
    api = api_with(SERVER, tool("a"))
    async with running(api) as controller:
        await controller.until(lambda: api.get("Deployment", "main-mcp"))
    deployment = api.get("Deployment", "main-mcp")
    assert deployment is not None
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "operator:own"


async def test_without_an_image_and_a_pod_the_flag_is_named() -> None:
    with pytest.raises(RuntimeError) as raised:
        await program._own_image(api_with(), program.Settings("mcp-system", "laptop"))

    assert str(raised.value) == "no pod mcp-system/laptop: name the image of the servers with --runtime-image"


async def test_pods_are_asked_directly_in_a_cluster() -> None:
    asked: list[str] = []

    class Session:
        def get(self, url: str, **_: Any) -> Any:
            asked.append(url)
            raise OSError("unreachable")

    pod = a_pod()
    pod["status"]["podIP"] = "10.0.0.9"
    api, stop = api_with(SERVER, tool("a"), pod), asyncio.Event()
    settings = program.Settings("mcp-system", "me", host="127.0.0.1", health_port=free_port())
    working = asyncio.create_task(program._work(settings, api, Session(), Metrics(), stop))  # type: ignore[arg-type]
    async with asyncio.timeout(30):
        while not asked:
            await asyncio.sleep(0.005)
        stop.set()
        await working

    assert asked[0] == "http://10.0.0.9:9090/statusz"
    assert api.proxied == []


def test_a_term_that_ends_by_an_exception_is_followed_by_another_one(caplog: pytest.LogCaptureFixture) -> None:
    terms: list[float] = []

    async def main() -> None:
        api, again = api_with(), asyncio.Event()
        loop = asyncio.get_running_loop()

        async def lead() -> None:
            terms.append(loop.time())
            if len(terms) == 1:
                raise ZeroDivisionError
            again.set()
            await asyncio.Event().wait()

        settings = program.Settings("mcp-system", "me", lease="our-lease")
        task = asyncio.create_task(program._run_forever(settings, api, lead))
        await again.wait()
        lease = api.get("Lease", "our-lease", "mcp-system")
        assert lease is not None
        assert lease["spec"]["holderIdentity"].startswith("me_")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    simulated(main())

    assert terms[1] - terms[0] == pytest.approx(1.0)
    assert "leading ended by an exception" in caplog.text


def test_other_keys_sign_every_catalog_again() -> None:
    """Whoever replaces the Secret of the keys gets new signatures within a minute, without a change of any server."""

    async def main() -> None:
        api, stop = api_with(SERVER, tool("a")), asyncio.Event()
        settings = program.Settings(
            "mcp-system", "me", runtime_image="operator:7", host="127.0.0.1", health_port=free_port()
        )
        session: Any = None
        working = asyncio.create_task(program._work(settings, api, session, Metrics(), stop))

        def root() -> Any:
            deployment = api.get("Deployment", "main-mcp")
            return deployment and deployment["spec"]["template"]["spec"]["containers"][0]["args"]

        while not root():
            await asyncio.sleep(1)
        before = root()
        fresh = signing.generate(datetime.now(UTC) - timedelta(days=1))  # noqa: TID251 -- as above
        api.put(signing.manifest("mcp-system", settings.keys_secret, fresh))
        while root() == before:
            await asyncio.sleep(1)
        assert fresh.argument in root()
        stop.set()
        await working

    simulated(main())


@pytest.mark.parametrize("error", [None, ValueError("a bug of ours")])
async def test_a_controller_of_which_a_part_has_ended_ends(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """So it is started again. Otherwise it would seem to work, and would do a part of it only."""

    async def keep_short(_sleep: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(program.collector, "keep_short", keep_short)
    settings = program.Settings("mcp-system", "me", host="127.0.0.1", health_port=free_port())
    session: Any = None
    async with asyncio.timeout(30):
        with pytest.raises(RuntimeError, match="the garbage collector has ended") as raised:
            await program._work(settings, api_with(), session, Metrics(), asyncio.Event())

    assert raised.value.__cause__ is error


async def test_a_controller_connects_by_its_settings_and_gives_the_connection_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connected: list[Any] = []
    api, stop, port = api_with(), asyncio.Event(), free_port()

    async def connect(context: Any, kubeconfig: Any, *, refresh_failed: Any) -> Api:
        connected.append((context, kubeconfig))
        refresh_failed()
        return api

    async def close() -> None:
        connected.append("closed")

    sweeps: list[str] = []

    async def keep_short(_sleep: object) -> None:
        sweeps.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            sweeps.append("ended")

    monkeypatch.setattr(program.collector, "keep_short", keep_short)
    monkeypatch.setattr(program.client, "connect", connect)
    monkeypatch.setattr(api, "close", close)
    settings = program.Settings(
        "mcp-system", "me", host="127.0.0.1", health_port=port, context="c", kubeconfig=tmp_path
    )
    running = asyncio.create_task(program.run(settings, stop))
    async with asyncio.timeout(30), ClientSession() as session:
        while not api.get("Lease", settings.lease, "mcp-system"):
            await asyncio.sleep(0.005)
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            text = await answer.text()
        stop.set()
        await running

    assert sweeps == ["begun", "ended"]
    assert connected == [("c", tmp_path), "closed"]
    assert "mcp_operator_credentials_refresh_failures_total 1.0" in text
