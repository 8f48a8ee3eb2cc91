"""Reviews of changes that demand rights."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from cluster.transport import ApiError
from crd.access import Requester
from tests.cluster.conftest import simulated
from tests.webhook.replica import Replica
from tests.webhook.test_server import review, tool
from webhook import admit, object_process
from webhook import review as reviews
from webhook.metrics import Metrics
from webhook.object_cache import ObjectCache
from webhook.object_processes import ObjectProcesses
from webhook.rights import Mode, RequesterRights, UnansweredError
from webhook.server import Hook


class Authorizer:
    """Allows users and groups what ``rights`` lists as verb, resource and name; ``error`` is raised instead."""

    def __init__(self, rights: Mapping[str, set[str]], error: Exception | None = None) -> None:
        self.rights = rights
        self.error = error
        self.asked: list[str] = []
        self.at_once = 0
        self._open = 0

    async def request(self, _method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        if "subjectaccessreviews" not in path:
            raise ApiError(404, "NotFound", "no")
        self._open += 1
        self.at_once = max(self.at_once, self._open)
        await asyncio.sleep(0)
        self._open -= 1
        if self.error:
            raise self.error
        spec = body["spec"]
        right = spec["resourceAttributes"]
        line = f"{right['verb']} {right['resource']} {right['name']}".strip()
        self.asked.append(line)
        return {"status": {"allowed": any(line in self.rights.get(s, ()) for s in (spec["user"], *spec["groups"]))}}


def with_secrets(*names: str, **spec: Any) -> dict[str, Any]:
    found = tool("a")
    headers = [{"name": f"X-{n}", "secretKeyRef": {"name": name, "key": "k"}} for n, name in enumerate(names)]
    found["spec"] |= {"headersFrom": headers, **spec}
    return found


def server(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "metadata": {"name": "main", "namespace": "shop"},
        "spec": {"toolSelector": {"matchLabels": {"app": "shop"}}, **spec},
    }


async def judged(api: Authorizer, new: Any, old: Any = None, mode: Mode = "Enforce", **more: Any) -> list[str]:
    replica = Replica(api, mode=mode, annotations=more.pop("annotations", ()))
    decision = await replica.judge(new, old, **more)
    return [f"{f.level} {f.reason} {f.field_path}" for f in decision.verdict if f.reason != "ServiceMissing"]


FORBIDDEN = "SecretForbidden spec.headersFrom[0].secretKeyRef.name"


@pytest.mark.parametrize("verb", ["get", "use"])
@pytest.mark.parametrize("holder", ["jane", "authors"])
async def test_who_may_get_or_use_a_secret_may_refer_to_it(verb: str, holder: str) -> None:
    api = Authorizer({holder: {f"{verb} secrets keys"}})

    found = await judged(api, with_secrets("keys"), requester=Requester("jane", groups=("authors",)))

    assert not [line for line in found if "Forbidden" in line]
    assert "get secrets keys" in api.asked


@pytest.mark.parametrize(("mode", "level"), [("Enforce", "error"), ("Warn", "warning")])
@pytest.mark.parametrize("dry_run", [False, True])
async def test_who_may_not_is_refused_or_warned(mode: Mode, level: str, dry_run: bool) -> None:
    found = await judged(Authorizer({}), with_secrets("keys"), mode=mode, dry_run=dry_run)

    assert f"{level} {FORBIDDEN}" in found


async def test_questions_are_asked_at_once_and_each_only_once() -> None:
    api = Authorizer({"jane": {"get secrets a", "get secrets b"}})

    await judged(api, with_secrets("a", "b", "a"))

    assert sorted(api.asked) == ["get secrets a", "get secrets b"]
    assert api.at_once == 2


async def test_a_change_of_the_destination_asks_again_and_one_of_a_text_does_not() -> None:
    api = Authorizer({})
    old = with_secrets("keys")

    moved = with_secrets("keys", service={"name": "mine", "port": 80, "namespace": "shop"})
    assert f"error {FORBIDDEN}" in await judged(api, moved, old)
    api.asked.clear()
    await judged(api, with_secrets("keys", description="Gets orders."), old)
    await judged(api, tool("b"))
    assert api.asked == []


async def test_pods_need_the_right_to_create_them() -> None:
    spec = {"podTemplate": {"serviceAccountName": "deployer"}}

    assert "error WorkloadForbidden spec.podTemplate" in await judged(Authorizer({}), server(**spec))
    allowed = Authorizer({"jane": {"create deployments"}})
    assert not [line for line in await judged(allowed, server(**spec)) if "Forbidden" in line]


async def test_a_flag_allows_further_annotations_of_an_ingress() -> None:
    def host(name: str) -> dict[str, Any]:
        return server(ingress={"host": "a.example.com", "annotations": {f"nginx.ingress.kubernetes.io/{name}": "x"}})

    api = Authorizer({"jane": {"create ingresses"}})
    at = "error UnsafeWorkload spec.ingress.annotations.nginx.ingress.kubernetes.io/"
    listed = ("nginx.ingress.kubernetes.io/*",)

    assert f"{at}rewrite-target" in await judged(api, host("rewrite-target"))
    assert f"{at}rewrite-target" not in await judged(api, host("rewrite-target"), annotations=listed)
    assert f"{at}server-snippet" in await judged(api, host("server-snippet"), annotations=listed)


@pytest.mark.parametrize(
    ("namespace", "refused"),
    [
        ({"metadata": {"annotations": {"mcp.example.com/allowed-hosts": "*.example.com"}}}, False),
        ({"metadata": {"annotations": {"mcp.example.com/allowed-hosts": "b.example.com"}}}, True),
        ({"metadata": {}}, True),
        (None, True),
    ],
)
@pytest.mark.parametrize("mode", ["Warn", "Enforce"])
async def test_the_namespace_says_what_hosts_it_may_use(mode: Mode, namespace: Any, refused: bool) -> None:
    read: list[str] = []

    async def read_namespace(name: str) -> Any:
        read.append(name)
        return namespace

    replica = Replica(Authorizer({"jane": {"create ingresses"}}), mode=mode, read_namespace=read_namespace)
    hosted = server(ingress={"host": "a.example.com"})

    assert ("HostForbidden" in (await replica.judge(hosted)).message) is refused
    assert (await replica.judge(hosted, hosted)).allowed
    assert (await replica.judge(server())).allowed
    assert read == ["shop"]


async def test_without_the_namespace_the_failure_policy_decides() -> None:
    async def read_namespace(_: str) -> Any:
        raise ApiError(403, "Forbidden", "no")

    replica = Replica(Authorizer({"jane": {"create ingresses"}}), read_namespace=read_namespace)

    with pytest.raises(UnansweredError, match="Namespace shop, which says what hosts it may use, cannot be read"):
        await replica.judge(server(ingress={"host": "a.example.com"}))


async def test_a_denial_does_not_name_a_server_of_another_namespace() -> None:
    first, second = (server(ingress={"host": "a.example.com"}) for _ in range(2))
    first["metadata"] = {"name": "hidden", "namespace": "abroad"}
    replica = Replica(Authorizer({"jane": {"create ingresses"}}))
    assert (await replica.judge(first)).allowed

    denied = await replica.judge(second)

    assert "an MCPServer of another namespace already serves a.example.com/mcp" in denied.message
    assert "the other object was admitted 0 s ago" in denied.message
    assert "hidden" not in denied.message
    assert "abroad" not in denied.message
    assert denied.audit["related"] == "MCPServer abroad/hidden"


def hook_of(api: Authorizer, mode: Mode, metrics: Metrics | None = None) -> Hook:
    reviewer = Replica(api, mode=mode).reviewer
    return Hook(reviewer, ObjectProcesses(1), metrics or Metrics(), unready=lambda: None, draining=lambda: False)


async def send(client_of: Any, hook: Hook, **more: Any) -> tuple[int, Any]:
    client = await client_of(hook)
    body = json.dumps(review(with_secrets("keys"), **more))
    answer = await client.post("/validate", data=body, headers={"Content-Type": "application/json"})
    text = await answer.read()
    return answer.status, json.loads(text)["response"] if text.startswith(b"{") else text.decode()


USER = {"username": "jane", "uid": "1", "groups": ["authors"], "extra": {"a": ["b"]}}


@pytest.mark.parametrize("error", [ApiError(500, "InternalError", "etcd"), OSError("reset"), TimeoutError()])
async def test_without_an_answer_the_failure_policy_decides(hook_client: Any, error: Exception) -> None:
    status, response = await send(hook_client, hook_of(Authorizer({}, error), "Enforce"), userInfo=USER)

    assert (status, response["allowed"]) == (500, False)
    assert "did not say what the requester may do" in response["status"]["message"]


async def test_without_an_answer_a_warning_webhook_admits(hook_client: Any, caplog: pytest.LogCaptureFixture) -> None:
    status, response = await send(hook_client, hook_of(Authorizer({}, OSError("reset")), "Warn"), userInfo=USER)

    assert (status, response["allowed"]) == (200, True)
    assert "did not say what the requester may do" in caplog.text


async def test_a_bug_is_not_taken_for_a_missing_answer(hook_client: Any) -> None:
    metrics = Metrics()
    hook = hook_of(Authorizer({}, ZeroDivisionError()), "Warn", metrics)

    assert (await send(hook_client, hook, userInfo=USER))[0] == 500
    assert metrics.registry.get_sample_value("mcp_operator_admission_panics_total") == 1


@pytest.mark.parametrize(("mode", "level"), [("Enforce", "error"), ("Warn", "warning")])
async def test_what_is_or_would_be_refused_is_counted(hook_client: Any, mode: Mode, level: str) -> None:
    metrics = Metrics()

    _, response = await send(hook_client, hook_of(Authorizer({}), mode, metrics), userInfo=USER)

    labels = {"kind": "MCPTool", "reason": "SecretForbidden", "level": level}
    assert metrics.registry.get_sample_value("mcp_operator_admission_findings_total", labels) == 1
    said = response["status"]["message"] if mode == "Enforce" else "\n".join(response["warnings"])
    assert 'user "jane" may neither get nor use Secret shop/keys' in said


@pytest.mark.parametrize(
    "user",
    [
        "jane",
        {"username": 1},
        {"uid": []},
        {"groups": "authors"},
        {"groups": [1]},
        {"extra": ["a"]},
        {"extra": {"a": "b"}},
        {"extra": {"a": [{}]}},
        {"groups": ["x" * 1024] * 257},
    ],
)
def test_a_malformed_user_is_not_judged(user: Any) -> None:
    with pytest.raises(reviews.InvalidReviewError, match="userInfo"):
        reviews.parse(json.dumps(review(with_secrets("keys"), userInfo=user)).encode())


def test_the_user_is_read_whole_also_in_another_process() -> None:
    body = json.dumps(review(with_secrets("keys"), userInfo=USER)).encode()
    expected = Requester("jane", "1", ("authors",), {"a": ("b",)})

    assert reviews.parse(body).requester == expected
    answer = object_process.answer(body)
    assert isinstance(answer, tuple)
    asked, result = answer
    assert asked.requester == expected
    assert result is not None
    assert [demand.path[1] for demand in result.demands] == ["headersFrom"]
    assert reviews.parse(json.dumps(review(tool("a"))).encode()).requester == Requester()


@pytest.mark.parametrize(("seconds", "expected"), [(4.0, 2.0), (-1.0, 0.0)])
async def test_half_of_the_time_there_is_goes_into_the_questions(seconds: float, expected: float) -> None:
    class Reviews:
        timeout = -1.0

        async def meets(self, _who: Any, _demand: Any, timeout: float) -> bool:
            self.timeout = timeout
            return True

    asked = Reviews()
    new = with_secrets("keys")
    one = reviews.Review("u", reviews.Operation.CREATE, new["kind"], "shop", new["metadata"]["name"], new, None)
    judged = admit.judge_object(one, ObjectCache())
    deadline = asyncio.get_running_loop().time() + seconds

    await RequesterRights(asked).judge(judged, Requester("jane"), deadline)  # type: ignore[arg-type]

    assert asked.timeout == pytest.approx(expected, abs=0.1)


def demanded(cache: ObjectCache, new: dict[str, Any]) -> list[str]:
    """What a creation demands, as the webhook judges it with what its cache has seen."""
    asked = reviews.Review("u", reviews.Operation.CREATE, new["kind"], "shop", new["metadata"]["name"], new, None)
    found = admit.judge_object(asked, cache)
    assert found is not None
    return [f"{right.resource} {right.name}" for demand in found.demands for right in demand.rights]


@pytest.mark.parametrize("seen", ["judged", "mutated", "both"])
def test_what_was_seen_before_demands_the_same_rights(seen: str) -> None:
    # A rule that finds something would keep it out of the cache.
    cache, first = ObjectCache(), with_secrets("keys", description="Find the orders of the shop by their state.")
    wanted = demanded(ObjectCache(0), first)
    assert wanted == ["secrets keys", "secrets keys"]

    if seen in ("mutated", "both"):
        cache.fact_of(first)
    if seen in ("judged", "both"):
        assert demanded(cache, first) == wanted
    other = with_secrets("keys", description="Another description of the same tool, which reads the same Secret.")
    other["metadata"]["name"] = "thief"

    assert demanded(cache, first) == wanted
    assert demanded(cache, other) == wanted


def test_a_namespace_that_is_not_read_in_time_fails_the_review() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def read_namespace(_: str) -> Any:
            await asyncio.Event().wait()

        replica = Replica(Authorizer({"jane": {"create ingresses"}}), read_namespace=read_namespace)
        with pytest.raises(UnansweredError) as raised:
            await replica.judge(server(ingress={"host": "a.example.com"}), seconds=3.0)
        assert loop.time() == pytest.approx(3.0)
        assert str(raised.value) == ("Namespace shop, which says what hosts it may use, cannot be read: TimeoutError ")

    simulated(main())


async def test_what_is_missed_is_added_to_what_was_found() -> None:
    """With its wording, at its field, for the user that asks."""
    new = with_secrets("a", "b", inputSchema={"type": "array"})
    replica = Replica(Authorizer({"jane": {"get secrets b"}}), mode="Enforce")

    decision = await replica.judge(new)

    found = {finding.reason: finding for finding in decision.verdict.errors}
    assert set(found) == {"InvalidSchema", "SecretForbidden"}
    missed = found["SecretForbidden"]  # type: ignore[index]
    assert missed.field_path == "spec.headersFrom[0].secretKeyRef.name"
    assert missed.message.startswith('user "jane" may neither get nor use Secret shop/a; ')


async def test_an_unanswered_question_names_the_change_and_the_error(caplog: pytest.LogCaptureFixture) -> None:
    text = "the API server did not say what the requester may do: OSError reset"
    with pytest.raises(UnansweredError) as raised:
        await Replica(Authorizer({}, OSError("reset")), mode="Enforce").judge(with_secrets("keys"))
    assert str(raised.value) == text

    decision = await Replica(Authorizer({}, OSError("reset")), mode="Warn").judge(with_secrets("keys"))

    assert decision.allowed
    assert [record.getMessage() for record in caplog.records] == [f"MCPTool shop/a: {text}"]
