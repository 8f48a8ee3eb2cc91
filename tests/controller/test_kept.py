"""What is read out of objects that are not kept whole."""

from __future__ import annotations

from typing import Any

import pytest

from controller import kept
from controller.planning.state import Rollout, ServerReadiness
from crd.compiler.known_tools import KnownTools
from tests.controller.states import endpoint_slice, raw, tool

LABELS = {"mcp.example.com/server": "main"}


def workload(kind: str = "Deployment", **more: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "main-mcp", "labels": LABELS, **more.pop("metadata", {})}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {}, **more}


def entry(manager: str, spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": spec}, **more}


CONTAINER = 'k:{"name":"server"}'
CONTAINERS = {"f:containers": {CONTAINER: {".": {}, "f:image": {}}}}
OURS = entry("mcp-operator", {"f:template": {"f:metadata": {"f:labels": {"f:a": {}}}, "f:spec": CONTAINERS}})
RESTARTED = {"f:template": {"f:metadata": {"f:annotations": {".": {}, "f:at": {}}}}}


def in_pod(fields: dict[str, Any]) -> dict[str, Any]:
    return {"f:template": {"f:spec": fields}}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((), ""),
        ((OURS,), ""),
        ((OURS, entry("kubectl-edit", in_pod({"f:nodeSelector": {"f:disk": {}}}))), "kubectl-edit"),
        ((OURS, entry("kubectl-edit", in_pod({"f:containers": {CONTAINER: {"f:env": {}}}}))), "kubectl-edit"),
        ((OURS, entry("kubectl-edit", in_pod({"f:containers": {'k:{"name":"x"}': {".": {}, "f:name": {}}}}))),
         "kubectl-edit"),
        # Somebody who sets the same value as we do changes nothing.
        ((OURS, entry("argocd", in_pod(CONTAINERS))), ""),
        ((OURS, entry("kube-controller-manager", {"f:replicas": {}}, subresource="scale")), ""),
        ((OURS, entry("kubectl-scale", {"f:replicas": {}})), ""),
        ((OURS, entry("kubectl-rollout", RESTARTED)), ""),
        ((OURS, entry("kubectl-label", {"f:template": {"f:metadata": {"f:labels": {"f:b": {}}}}})), "kubectl-label"),
        ((OURS, {"manager": "somebody", "fieldsV1": {"f:metadata": {"f:labels": {"f:b": {}}}}}), ""),
        ((OURS, entry("", {"f:paused": {}})), "unknown"),
        ((OURS, entry("mcp-operator-scale", {"f:replicas": {}, "f:paused": {}})), ""),
    ],
)  # fmt: skip
def test_who_has_set_fields_of_a_spec(entries: tuple[dict[str, Any], ...], expected: str) -> None:
    found = kept.keep_object(workload(metadata={"managedFields": list(entries)}))

    assert found is not None
    assert found.editor == expected
    assert "managedFields" not in found.manifest()["metadata"]


@pytest.mark.parametrize(
    ("generation", "status", "expected"),
    [
        (2, {}, Rollout(False, 0, 0, 0, is_late=False)),
        (2, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
         Rollout(False, 2, 2, 2, is_late=False)),
        (2, {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 1},
         Rollout(True, 3, 2, 1, is_late=False)),
        (2, {"observedGeneration": 2, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]},
         Rollout(True, 0, 0, 0, is_late=True)),
    ],
)  # fmt: skip
def test_how_far_a_deployment_is(generation: int, status: dict[str, Any], expected: Rollout) -> None:
    found = kept.keep_object(workload(metadata={"generation": generation}, status=status))

    assert found is not None
    assert found.rollout == expected
    other = kept.keep_object(workload("Service", status=status))
    assert other is not None
    assert other.rollout is None


@pytest.mark.parametrize(
    ("rollout", "desired", "expected"),
    [
        (Rollout(True, 2, 2, 2, is_late=False), 2, True),
        (Rollout(True, 3, 3, 3, is_late=False), 2, True),
        (Rollout(True, 0, 0, 0, is_late=False), 0, True),
        (Rollout(False, 2, 2, 2, is_late=False), 2, False),
        (Rollout(True, 3, 2, 2, is_late=False), 2, False),
        (Rollout(True, 2, 2, 1, is_late=False), 2, False),
        (Rollout(True, 1, 1, 2, is_late=False), 2, False),
    ],
)
def test_a_rollout_is_complete_when_all_pods_are_new_and_enough_of_them_available(
    rollout: Rollout, desired: int, expected: bool
) -> None:
    assert rollout.is_complete(desired) is expected


def waiting(reason: str, **more: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"ready": False, "state": {"waiting": {"reason": reason}}, **more}]}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ""),
        (waiting("ContainerCreating"), ""),
        (waiting("ErrImagePull"), "ImagePullBackOff"),
        (waiting("ImagePullBackOff"), "ImagePullBackOff"),
        (waiting("InvalidImageName"), "InvalidImageName"),
        (waiting("CreateContainerConfigError"), "CreateContainerConfigError"),
        (waiting("CrashLoopBackOff"), "CrashLoopBackOff"),
        ({"containerStatuses": [{"ready": False, "restartCount": 2, "started": False, "state": {"running": {}}}]},
         "CrashLoopBackOff"),
        ({"containerStatuses": [{"ready": False, "restartCount": 1, "started": False, "state": {"running": {}}}]}, ""),
        ({"containerStatuses": [{"ready": False, "restartCount": 9, "started": True, "state": {"running": {}}}]}, ""),
        ({"containerStatuses": [{"ready": True, "restartCount": 9}]}, ""),
        ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}, "Unschedulable"),
        ({"conditions": [{"type": "PodScheduled", "status": "True"}]}, ""),
    ],
)  # fmt: skip
def test_what_keeps_a_pod_from_becoming_ready(status: dict[str, Any], expected: str) -> None:
    found = kept.keep_pod(
        {"kind": "Pod", "metadata": {"namespace": "shop", "name": "p", "labels": LABELS}, "status": status}
    )

    assert found is not None
    assert found.trouble == expected


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], ServerReadiness.NOT_READY),
        ([{"type": "Accepted", "status": "True"}], ServerReadiness.NOT_READY),
        ([{"type": "Ready", "status": "False", "reason": "Pending"}], ServerReadiness.NOT_READY),
        ([{"type": "Ready", "status": "True", "reason": "Ready"}], ServerReadiness.READY),
        ([{"type": "Ready", "status": "True", "reason": "ScaledToZero"}], ServerReadiness.SCALED_TO_ZERO),
    ],
)
def test_whether_a_server_serves(conditions: list[dict[str, Any]], expected: ServerReadiness) -> None:
    assert kept.keep_server({**raw("MCPServer", "main", {}), "status": {"conditions": conditions}}).serving is expected


@pytest.mark.parametrize(("ready", "expected"), [(True, True), (None, True), (False, False)])
def test_an_endpoint_whose_state_is_unknown_counts_as_ready(ready: bool | None, expected: bool) -> None:
    assert (kept.keep_readiness(endpoint_slice(ready=ready)) is not None) is expected
    assert kept.keep_readiness({**endpoint_slice(), "endpoints": None}) is None


def test_a_service_keeps_what_an_address_and_a_policy_are_made_of() -> None:
    spec = {"clusterIP": "10.0.0.1", "ports": [{"port": 80}], "selector": {"app": "x"}, "type": "ClusterIP"}
    raw = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "shop"},
        "spec": {**spec, "externalName": "x"},
    }  # fmt: skip

    assert kept.unpack(kept.keep_service(raw).packed) == {"spec": spec}


def test_the_schemas_of_a_tool_are_told_apart() -> None:
    """What one lists as input is not what another lists as output."""

    def schemas(**spec: object) -> str:
        item = tool("a", **spec)
        facts = kept.keep_member(item.raw, None, KnownTools()).tool
        assert facts is not None
        return facts.schema_hash

    shape = {"type": "object", "properties": {"x": {"type": "string"}}}
    assert len({schemas(), schemas(inputSchema=shape), schemas(outputSchema=shape)}) == 3
