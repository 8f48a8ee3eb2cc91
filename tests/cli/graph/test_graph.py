"""`mcp-operator graph`: which server exposes what, backed by which Service."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cli.commands import graph
from cli.graph import FORMATS, rendering
from tests.cli.samples import SERVER, SERVICE, files, tool

RESOURCE = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPResource
metadata: {name: stock, namespace: shop, labels: {app: shop}}
spec:
  description: What the shop has in stock, by article and by house.
  operations:
  - {method: GET, ingressPath: /stock, service: {name: orders, port: http, path: /stock}}
  - {method: POST, ingressPath: /recount, service: {name: none, port: 80, path: /recount}}
"""


def draw(*paths: str, form: str = "text") -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    code = graph.run(graph.Options(paths, form), stdin=io.BytesIO(), out=out, err=err)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    alone = tool("alone").replace("app: shop", "app: other")
    twin = tool("b", served="a")
    return files(tmp_path, a=tool("a"), b=twin, alone=alone, r=RESOURCE, server=SERVER, service=SERVICE)


def test_a_tree_shows_servers_members_and_services(folder: str) -> None:
    assert draw(folder) == (
        0,
        """\
MCPServer shop/main  156 bytes, about 38 tokens
├─ tools
│  ├─ ! a → Service shop/orders:80  (MCPTool shop/a)  78 bytes, about 19 tokens
│  └─ ✗ a → Service shop/orders:80  (MCPTool shop/b)  78 bytes, about 19 tokens
└─ resources
   └─ ! MCPResource shop/stock
      ├─ mcp://stock/stock → Service shop/orders:http
      └─ POST /recount → Service shop/none:80 (missing)
selected by no MCPServer
└─ tools
   └─ ! alone → Service shop/orders:80  (MCPTool shop/alone)  86 bytes, about 19 tokens

✗ error  ! warning; run mcp-operator check for details
""",
        "",
    )


def test_mermaid_and_dot_hold_the_same_nodes_and_edges(folder: str) -> None:
    _, mermaid, _ = draw(folder, form="mermaid")
    _, dot, _ = draw(folder, form="dot")

    assert mermaid.startswith("flowchart LR\n")
    assert dot.startswith("digraph mcp {\n")
    assert mermaid.count(" --> ") == dot.count(" -> ") == 9
    for text in ("MCPServer shop/main", "MCPTool shop/b", "Service shop/none"):
        assert text in mermaid
        assert text in dot
    assert "class n3 error" in mermaid
    assert "style=dashed" in dot


def test_labels_are_escaped(tmp_path: Path) -> None:
    uri = RESOURCE.replace("{method: GET,", '{method: GET, uriTemplate: "shop://a\\"];b",')
    folder = files(tmp_path, r=uri, server=SERVER)

    assert '"];b' not in draw(folder, form="mermaid")[1]
    assert '\\"];b' in draw(folder, form="dot")[1] or "unreadable" in draw(folder, form="dot")[1]


def test_unreadable_objects_are_shown(tmp_path: Path) -> None:
    server = SERVER.replace("matchLabels: {app: shop}", "5")
    folder = files(tmp_path, a=tool("a").replace("port: 80", "port: 0"), server=server, broken="kind: [")

    code, out, err = draw(folder)

    assert code == 1
    assert "unreadable\n└─ ✗ MCPServer shop/main\n" in out
    assert "└─ ✗ a  (MCPTool shop/a)\n" in out
    assert "broken.yaml:1:8: error: InvalidDocument" in err


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    assert draw(files(tmp_path, a=SERVICE))[0] == 2
    assert "does not exist" in draw("/nowhere")[2]


def test_the_formats_of_the_parser_are_those_that_are_rendered() -> None:
    assert tuple(rendering.FORMATS) == FORMATS
