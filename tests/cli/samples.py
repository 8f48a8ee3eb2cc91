"""Small manifests for tests of the command."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cli.commands import check

if TYPE_CHECKING:
    from pathlib import Path

TOOL = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPTool
metadata:
  name: {name}
  namespace: shop
  labels: {{app: shop}}
spec:
  name: {served}
  service: {{name: orders, port: 80}}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  ports: [{name: http, port: 80}]
"""
SERVER = """\
apiVersion: mcp.example.com/v1alpha1
kind: MCPServer
metadata: {name: main, namespace: shop}
spec:
  toolSelector:
    matchLabels: {app: shop}
"""


def tool(name: str, served: str | None = None) -> str:
    return TOOL.format(name=name, served=served or name.replace("-", "_"))


def files(folder: Path, **texts: str) -> str:
    """Write each text to <key>.yaml and return the folder."""
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return str(folder)


def run_check(*paths: str, stdin: bytes = b"", **options: Any) -> tuple[int, str, str]:
    """Exit code, output and errors of a check."""
    out, err = io.StringIO(), io.StringIO()
    asked = replace(check.Options(paths), **options)
    code = check.run(asked, stdin=io.BytesIO(stdin), out=out, err=err)
    return code, out.getvalue(), err.getvalue()


def findings(*paths: str, stdin: bytes = b"", **options: Any) -> list[dict[str, Any]]:
    """The findings of a check, as its JSON report has them."""
    return list(json.loads(run_check(*paths, stdin=stdin, format="json", **options)[1])["findings"])


def locate(text: str | bytes) -> list[tuple[str, str, int, int]]:
    """Reason, path, line and column of the findings of a text on standard input."""
    found = findings("-", stdin=text if isinstance(text, bytes) else text.encode())
    return [(f["reason"], f["path"], f["line"], f["column"]) for f in found]
