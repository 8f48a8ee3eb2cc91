"""Values that are written as a number or as text: both bounds of each, and what is said beyond them."""

from __future__ import annotations

from typing import Any

import pytest

from crd import manifest
from crd.finding import dotted
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
    return [f"{dotted(problem.path)}: {problem.message}" for problem in manifest.decode(document).problems]


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
    assert amounts.octets(value) == octets


@pytest.mark.parametrize("value", [0, -1, 16 * 1024**2 + 1])
def test_a_number_of_bytes_out_of_bounds(value: int) -> None:
    assert size(value) == [f"spec.config.maxRequestBytes: {value} bytes are not allowed; use 1 to 16777216 (16Mi)"]


@pytest.mark.parametrize(
    "value", ["0Ki", "01Ki", "10000Ki", "0Mi", "17Mi", "1", "1M", "1.5Mi", "1Gi", "1 Mi", "", "Mi"]
)
def test_a_text_that_is_no_size(value: str) -> None:
    assert size(value) == [
        f'spec.config.maxRequestBytes: "{value}" is no size; write bytes as a number, or up to 9999Ki or 16Mi'
    ]


def quantity(value: Any) -> list[str]:
    return server(resources={"limits": {"cpu": value}})


@pytest.mark.parametrize("value", [0, 2, "0", "250m", "1.5", "256Mi", "2Ki", "3Gi", "1Ti", "1Pi", "1Ei", "1n", "1u"])
def test_a_quantity(value: int | str) -> None:
    assert quantity(value) == []


@pytest.mark.parametrize("value", ["-1", "1.", ".5", "1mi", "1K", "1e3", "1 Gi", "", "1,5", "1ki"])
def test_a_text_that_is_no_quantity(value: str) -> None:
    message = f'"{value}" is no quantity; write a number with a unit, such as 250m, 1.5 or 256Mi'
    assert quantity(value) == [f"spec.resources.limits.cpu: {message}"]


def test_a_quantity_is_not_below_nothing_nor_endless() -> None:
    assert quantity(-1) == ["spec.resources.limits.cpu: -1 is below nothing; use 0 or more"]
    assert quantity("1" * 63) == []
    message = f'"{"1" * 63}" is no quantity; write a number with a unit, such as 250m, 1.5 or 256Mi'
    assert quantity("1" * 64) == [f"spec.resources.limits.cpu: {message}"]


def share(value: Any) -> list[str]:
    return server(podDisruptionBudget={"minAvailable": value})


@pytest.mark.parametrize("value", [0, 1, 100, "0%", "9%", "50%", "99%", "100%"])
def test_a_share(value: int | str) -> None:
    assert share(value) == []


@pytest.mark.parametrize("value", [-1, 101])
def test_a_number_of_pods_out_of_bounds(value: int) -> None:
    message = f"{value} pods are not allowed; use 0 to 100, or a share such as 50%"
    assert share(value) == [f"spec.podDisruptionBudget.minAvailable: {message}"]


@pytest.mark.parametrize("value", ["101%", "50", "%", "-1%", "5.5%", "50 %", "1000%", ""])
def test_a_text_that_is_no_share(value: str) -> None:
    message = f'"{value}" is no share; write a number of pods, or a share such as 50%'
    assert share(value) == [f"spec.podDisruptionBudget.minAvailable: {message}"]


def timeout(value: str) -> list[str]:
    return said("MCPTool", {"service": SERVICE, "timeout": value})


@pytest.mark.parametrize("value", ["100ms", "0s100ms", "1s", "10m", "9m60s", "600s"])
def test_a_timeout(value: str) -> None:
    assert timeout(value) == []


@pytest.mark.parametrize("value", ["99ms", "1ms", "10m1ms", "601s", "1h"])
def test_a_timeout_out_of_bounds(value: str) -> None:
    assert timeout(value) == [f'spec.timeout: "{value}" is out of bounds; use 100ms to 10m']


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, "1.5 is neither a whole number nor text; put it in quotes"),
        (True, "true is neither a whole number nor text; put it in quotes"),
        ([], "[] is neither a whole number nor text; put it in quotes"),
    ],
)
def test_what_is_neither_a_number_nor_text(value: Any, message: str) -> None:
    assert size(value) == [f"spec.config.maxRequestBytes: {message}"]
