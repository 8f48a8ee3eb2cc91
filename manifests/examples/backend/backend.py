"""The HTTP service behind the examples: a shop's orders, products and stock. README.md states its contract.

Standard library only and nothing is stored, so it runs in any image that has Python: ``python3 backend.py [PORT]``.
"""  # noqa: INP001 -- a program mounted from a ConfigMap, no package

from __future__ import annotations

import json
import signal
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ORDERS = [
    {"id": "o-1001", "status": "open", "customer": "Ada", "items": ["mug-blue"], "total": "12.50"},
    {"id": "o-1002", "status": "shipped", "customer": "Grace", "items": ["tee-m", "mug-red"], "total": "34.00"},
    {"id": "o-1003", "status": "open", "customer": "Edsger", "items": ["pen-ink"], "total": "7.20"},
    {"id": "o-1004", "status": "cancelled", "customer": "Barbara", "items": ["tee-l"], "total": "21.50"},
]
PRODUCTS = [
    {"sku": "mug-blue", "en": "Blue mug", "de": "Blaue Tasse", "price": "12.50"},
    {"sku": "mug-red", "en": "Red mug", "de": "Rote Tasse", "price": "12.50"},
    {"sku": "tee-m", "en": "T-shirt, medium", "de": "T-Shirt, mittel", "price": "21.50"},
    {"sku": "tee-l", "en": "T-shirt, large", "de": "T-Shirt, groß", "price": "21.50"},
    {"sku": "pen-ink", "en": "Fountain pen", "de": "Füllfederhalter", "price": "7.20"},
]
STOCK = {
    "mug-blue": {"north": 14, "south": 3},
    "mug-red": {"north": 0, "south": 8},
    "tee-m": {"north": 25, "south": 25},
    "tee-l": {"north": 0, "south": 0},
    "pen-ink": {"north": 61, "south": 0},
}
STATUSES = ("open", "shipped", "cancelled")


class RefusedError(Exception):
    """The request cannot be answered; carries the HTTP status that says so."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def orders(wanted: Any) -> list[dict[str, Any]]:
    """The orders of one status, or all of them for None."""
    if wanted is not None and wanted not in STATUSES:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"status is {wanted!r}, not one of {', '.join(STATUSES)}")
    return [order for order in ORDERS if wanted in (None, order["status"])]


def products(text: str, languages: str) -> list[dict[str, str]]:
    """The products whose name holds the text, named in German where the client prefers it."""
    language = "de" if languages.lower().startswith("de") else "en"
    named = [{"sku": entry["sku"], "name": entry[language], "price": entry["price"]} for entry in PRODUCTS]
    return [product for product in named if text.lower() in product["name"].lower()]


def stock(sku: str, warehouse: str | None) -> dict[str, Any]:
    """How many pieces of one product are there, in all warehouses or in one."""
    if sku not in STOCK:
        raise RefusedError(HTTPStatus.NOT_FOUND, f"there is no product {sku!r}")
    kept = {place: count for place, count in STOCK[sku].items() if warehouse in (None, place)}
    return {"sku": sku, "available": sum(kept.values()), "warehouses": kept}


class Shop(BaseHTTPRequestHandler):
    """The routes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        match [unquote(step) for step in url.path.strip("/").split("/")]:
            case ["healthz"]:
                self._answer(lambda: {"status": "ok"})
            case ["api", "orders", key]:
                self._answer(lambda: self._order(key))
            case ["api", "products"]:
                languages = self.headers.get("Accept-Language", "")
                self._answer(lambda: {"products": products(query.get("q", ""), languages)})
            case ["api", "stock"]:
                self._answer(lambda: stock(query.get("sku", ""), query.get("warehouse")))
            case ["api", "stock", sku]:
                self._answer(lambda: stock(sku, query.get("warehouse")))
            case _:
                self._answer(self._nowhere)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.path:
            case "/api/orders/search":
                self._answer(lambda: {"orders": orders(_status(body))})
            case "/api/orders/count":
                self._answer(lambda: {"count": len(orders(_status(body)))})
            case _:
                self._answer(self._nowhere)

    def _order(self, key: str) -> dict[str, Any]:
        for order in ORDERS:
            if order["id"] == key:
                return order
        raise RefusedError(HTTPStatus.NOT_FOUND, f"there is no order {key!r}")

    def _nowhere(self) -> dict[str, Any]:
        raise RefusedError(HTTPStatus.NOT_FOUND, f"nothing answers {self.command} {self.path}")

    def _answer(self, make: Any) -> None:
        try:
            status, document = HTTPStatus.OK, make()
        except RefusedError as refusal:
            status, document = refusal.status, {"error": str(refusal)}
        payload = json.dumps(document, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def _status(body: bytes) -> Any:
    try:
        document = json.loads(body or b"{}")
    except ValueError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
    return document.get("status")


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    server = ThreadingHTTPServer(("", int(sys.argv[1]) if len(sys.argv) > 1 else 8080), Shop)
    # As process 1 of a container Python ignores SIGTERM unless told, and the pod would take 30 seconds to stop.
    # shutdown() waits for serve_forever(), which this very thread runs.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on port {server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
