"""Rights that the current user lacks, as `check --live` reports them."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cli.commands import check, files, live
from cli.manifests import transaction
from cli.manifests.validation import ClusterState
from cluster.transport import ApiError
from crd import defaults, manifest

TOOL = {
    "apiVersion": "mcp.example.com/v1alpha1",
    "kind": "MCPTool",
    "metadata": {"name": "a", "namespace": "shop"},
    "spec": {
        "description": "List the returned goods of a customer.",
        "service": {"name": "orders", "port": 80},
        "headersFrom": [
            {"name": "Authorization", "secretKeyRef": {"name": "keys", "key": "token"}},
            {"name": "X-Token", "secretKeyRef": {"name": "keys", "key": "token"}},
            {"name": "X-Region", "secretKeyRef": {"name": "known", "key": "region"}},
        ],
    },
}


class Api:
    """An empty cluster that accepts every dry-run, and whose user may use the Secret ``known``."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[tuple[str, str]] = []

    async def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> dict[str, Any]:
        if not path.endswith("/selfsubjectaccessreviews"):
            return {"items": [], "metadata": {}} if method == "GET" else {}
        if self.error:
            raise self.error
        right = body["spec"]["resourceAttributes"]
        self.asked.append((right["verb"], right["name"]))
        return {"status": {"allowed": (right["verb"], right["name"]) == ("use", "known")}}

    async def close(self) -> None:
        """Nothing is open."""


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, api: Api) -> tuple[int, str, str]:
    async def connect(*_: Any) -> Api:
        return api

    monkeypatch.setattr(live.client, "connect", connect)
    (folder / "a.yaml").write_text(json.dumps(TOOL))
    out, err = io.StringIO(), io.StringIO()
    options = check.Options((str(folder),), format="json", live=True)
    return check.run(options, stdin=io.BytesIO(), out=out, err=err), out.getvalue(), err.getvalue()


def test_a_right_that_the_current_user_lacks_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    api = Api()

    code, out, _ = run(monkeypatch, tmp_path, api)

    found = [f for f in json.loads(out)["findings"] if f["reason"] == "SecretForbidden"]
    assert code == 0
    assert [(f["level"], f["path"]) for f in found] == [
        ("warning", f"spec.headersFrom[{index}].secretKeyRef.name") for index in (0, 1)
    ]
    assert found[0]["message"].startswith("the current user may neither get nor use Secret shop/keys;")
    assert sorted(api.asked) == [("get", "keys"), ("get", "known"), ("use", "keys"), ("use", "known")]


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", "no"), OSError("reset"), TimeoutError()])
def test_without_an_answer_nothing_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    code, out, err = run(monkeypatch, tmp_path, Api(error))

    assert (code, out) == (2, "")
    assert "the rights of the current user are not known" in err


def test_nothing_is_asked_about_what_is_stored_already() -> None:
    stored = manifest.decode(defaults.set_defaults(TOOL))
    reading = files.read(["-"], io.BytesIO(json.dumps(TOOL).encode()))
    sorted_ = transaction.sort_documents(reading.documents, reading.faults)
    api: Any = Api()

    assert asyncio.run(live.ask_rights(api, sorted_, ClusterState({stored.ref: stored}, ()))) == ()
    assert api.asked == []
