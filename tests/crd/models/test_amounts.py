"""Values that are written as a number or as text: both bounds of each, and what is said beyond them."""

from __future__ import annotations

from typing import Any

import pytest

from crd import manifest
from crd.finding import format_path
from crd.models import amounts

SERVICE = {"name": "orders", "port": 80}


def server(**spec: Any) -> list[str]:
    return said("MCPServer", {"toolSelector": {"selectAll": True}, **spec})


def said(kind: str, spec: dict[str, Any]) -> list[str]:
    document = {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": spec,
    }
    return [f"{format_path(problem.path)}: {problem.message}" for problem in manifest.decode(document).problems]


def size(value: Any) -> list[str]:
    return server(config={"maxRequestBytes": value})


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (1, 1),
        (16 * 1024**2, 16 * 1024**2),
        ("1Ki", 1024),
        ("9999Ki", 9999 * 1024),
        ("1Mi", 1024**2),
        ("9Mi", 9 * 1024**2),
        ("10Mi", 10 * 1024**2),
        ("16Mi", 16 * 1024**2),
    ],
)
def test_a_size(value: int | str, octets: int) -> None:
    assert size(value) == []
    assert amounts.to_bytes(value) == octets


@pytest.mark.parametrize("value", [0, -1, 16 * 1024**2 + 1])
def test_a_number_of_bytes_out_of_bounds(value: int) -> None:
    assert size(value) == [f"spec.config.maxRequestBytes: must be from 1 to 16777216 bytes (16Mi), got {value}"]


@pytest.mark.parametrize(
    "value", ["0Ki", "01Ki", "10000Ki", "0Mi", "17Mi", "1", "1M", "1.5Mi", "1Gi", "1 Mi", "", "Mi"]
)
def test_a_text_that_is_no_size(value: str) -> None:
    assert size(value) == [
        f'spec.config.maxRequestBytes: must be a number of bytes or a size up to 9999Ki or 16Mi, got "{value}"'
    ]


def quantity(value: Any) -> list[str]:
    return server(resources={"limits": {"cpu": value}})


@pytest.mark.parametrize("value", [0, 2, "0", "250m", "1.5", "256Mi", "2Ki", "3Gi", "1Ti", "1Pi", "1Ei", "1n", "1u"])
def test_a_quantity(value: int | str) -> None:
    assert quantity(value) == []


@pytest.mark.parametrize("value", ["-1", "1.", ".5", "1mi", "1K", "1e3", "1 Gi", "", "1,5", "1ki"])
def test_a_text_that_is_no_quantity(value: str) -> None:
    message = f'must be a quantity such as 250m, 1.5 or 256Mi, got "{value}"'
    assert quantity(value) == [f"spec.resources.limits.cpu: {message}"]


def test_a_quantity_is_not_below_nothing_nor_endless() -> None:
    assert quantity(-1) == ["spec.resources.limits.cpu: must be ≥ 0, got -1"]
    assert quantity("1" * 63) == []
    message = f'must be a quantity such as 250m, 1.5 or 256Mi, got "{"1" * 63}"'
    assert quantity("1" * 64) == [f"spec.resources.limits.cpu: {message}"]


def share(value: Any) -> list[str]:
    return server(podDisruptionBudget={"minAvailable": value})


@pytest.mark.parametrize("value", [0, 1, 100, "0%", "9%", "50%", "99%", "100%"])
def test_a_share(value: int | str) -> None:
    assert share(value) == []


@pytest.mark.parametrize("value", [-1, 101])
def test_a_number_of_pods_out_of_bounds(value: int) -> None:
    message = f"must be a number of pods from 0 to 100 or a percentage such as 50%, got {value}"
    assert share(value) == [f"spec.podDisruptionBudget.minAvailable: {message}"]


@pytest.mark.parametrize("value", ["101%", "50", "%", "-1%", "5.5%", "50 %", "1000%", ""])
def test_a_text_that_is_no_share(value: str) -> None:
    message = f'must be a number of pods from 0 to 100 or a percentage such as 50%, got "{value}"'
    assert share(value) == [f"spec.podDisruptionBudget.minAvailable: {message}"]


def timeout(value: str) -> list[str]:
    return said("MCPTool", {"service": SERVICE, "timeout": value})


@pytest.mark.parametrize("value", ["100ms", "0s100ms", "1s", "10m", "9m60s", "600s"])
def test_a_timeout(value: str) -> None:
    assert timeout(value) == []


@pytest.mark.parametrize("value", ["99ms", "1ms", "10m1ms", "601s", "1h"])
def test_a_timeout_out_of_bounds(value: str) -> None:
    assert timeout(value) == [f'spec.timeout: must be from 100ms to 10m, got "{value}"']


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, "must be an integer or a string, got 1.5"),
        (True, "must be an integer or a string, got true"),
        ([], "must be an integer or a string, got []"),
    ],
)
def test_what_is_neither_a_number_nor_text(value: Any, message: str) -> None:
    assert size(value) == [f"spec.config.maxRequestBytes: {message}"]
