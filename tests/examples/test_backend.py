"""The examples' backend keeps its contract (manifests/examples/backend/README.md)."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).parents[2] / "manifests" / "examples" / "backend" / "backend.py"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with subprocess.Popen([sys.executable, PROGRAM, "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline().rpartition(" ")[2])
        process.terminate()
        assert process.wait(timeout=5) == 0


def ask(port: int, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    document = json.loads(answer.read())
    assert answer.headers["Content-Type"] == "application/json"
    connection.close()
    return answer.status, document


def test_orders_of_a_status(port: int) -> None:
    status, document = ask(port, "POST", "/api/orders/search", '{"status": "open"}')
    assert status == 200
    assert [order["id"] for order in document["orders"]] == ["o-1001", "o-1003"]
    assert set(document["orders"][0]) == {"id", "status", "customer", "items", "total"}


@pytest.mark.parametrize(("body", "count"), [('{"status": "open"}', 2), ("{}", 4), (None, 4)])
def test_the_count_of_orders(port: int, body: str | None, count: int) -> None:
    assert ask(port, "POST", "/api/orders/count", body) == (200, {"count": count})


def test_one_order(port: int) -> None:
    status, document = ask(port, "GET", "/api/orders/o-1002")
    assert (status, document["customer"]) == (200, "Grace")


@pytest.mark.parametrize(
    ("path", "language", "names"),
    [
        ("/api/products?q=mug", "", ["Blue mug", "Red mug"]),
        ("/api/products?q=tasse", "de-CH", ["Blaue Tasse", "Rote Tasse"]),
        ("/api/products?q=T-shirt%2C%20large", "en", ["T-shirt, large"]),
        ("/api/products?q=sock", "", []),
    ],
)
def test_products_by_a_part_of_their_name(port: int, path: str, language: str, names: list[str]) -> None:
    status, document = ask(port, "GET", path, **{"Accept-Language": language})
    assert status == 200
    assert [product["name"] for product in document["products"]] == names


def test_all_products(port: int) -> None:
    assert len(ask(port, "GET", "/api/products")[1]["products"]) == 5


@pytest.mark.parametrize("path", ["/api/stock/mug-blue", "/api/stock?sku=mug-blue"])
def test_the_stock_of_a_product(port: int, path: str) -> None:
    expected = {"sku": "mug-blue", "available": 17, "warehouses": {"north": 14, "south": 3}}
    assert ask(port, "GET", path) == (200, expected)


@pytest.mark.parametrize("path", ["/api/stock/mug-blue?warehouse=south", "/api/stock?sku=mug-blue&warehouse=south"])
def test_the_stock_of_one_warehouse(port: int, path: str) -> None:
    assert ask(port, "GET", path) == (200, {"sku": "mug-blue", "available": 3, "warehouses": {"south": 3}})


def test_the_health_path_answers(port: int) -> None:
    assert ask(port, "GET", "/healthz") == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", "/api/orders/o-9", None, 404, "there is no order 'o-9'"),
        ("GET", "/api/stock/sock", None, 404, "there is no product 'sock'"),
        ("GET", "/api/stock", None, 404, "there is no product ''"),
        ("GET", "/elsewhere", None, 404, "nothing answers GET /elsewhere"),
        ("POST", "/api/products", "{}", 404, "nothing answers POST /api/products"),
        ("POST", "/api/orders/count", "{", 400, "the body is not JSON"),
        ("POST", "/api/orders/count", "[]", 400, "the body must be a JSON object"),
        ("POST", "/api/orders/search", '{"status": "lost"}', 400, "status is 'lost', not one of open"),
    ],
)
def test_an_error_has_a_status_and_a_message(
    port: int, method: str, path: str, body: str | None, status: int, message: str
) -> None:
    given, document = ask(port, method, path, body)
    assert given == status
    assert message in document["error"]
