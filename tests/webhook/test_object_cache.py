"""The same content is decoded and judged once, whatever the API server wrote into its metadata."""

from __future__ import annotations

from typing import Any

import pytest

from crd import integrity, manifest
from crd.finding import Reason
from crd.rules import texts
from webhook.object_cache import ObjectCache

decode = manifest.decode


def tool(name: str = "a", *, served: str = "get", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPTool",
        "metadata": {"name": name, "namespace": "shop", **metadata},
        "spec": {"name": served, "service": {"name": "orders", "port": 80}, "inputSchema": {"type": "array"}},
    }


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def count(raw: Any) -> manifest.Object:
        names.append((raw["metadata"] or {}).get("name", ""))
        return decode(raw)

    monkeypatch.setattr("webhook.object_cache.manifest.decode", count)
    return names


def test_a_dry_run_and_the_change_itself_are_decoded_once(decoded: list[str]) -> None:
    cache = ObjectCache()
    stored = tool(uid="u", resourceVersion="5", creationTimestamp="2026-01-01T00:00:00Z", generation=3)

    first, findings = judged(cache, tool())
    again, same = judged(cache, stored)

    assert decoded == ["a"]
    assert findings == same == tuple(integrity.find_own(first))
    assert [finding.reason for finding in findings if finding.level == "error"] == ["InvalidSchema"]
    assert again == decode(stored)
    assert again.metadata["resourceVersion"] == "5"


def test_the_status_of_an_object_is_no_content(decoded: list[str]) -> None:
    cache = ObjectCache()
    cache.judge({**tool(), "status": {"conditions": []}})

    assert cache.decode({**tool(), "status": {"servers": ["main"]}}).ref == decode(tool()).ref
    assert cache.decode(tool()).ref == decode(tool()).ref
    assert decoded == ["a"]


@pytest.mark.parametrize(
    "other",
    [tool("b"), tool(served="put"), tool(labels={"a": "b"}), tool(annotations={"a": "b"}), tool(namespace="else")],
)
def test_other_content_is_another_object(decoded: list[str], other: Any) -> None:
    cache = ObjectCache()
    cache.judge(tool())

    assert cache.decode(other) == decode(other)
    assert len(decoded) == 2


def test_what_was_used_last_is_kept(decoded: list[str]) -> None:
    cache = ObjectCache(600)
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.decode(tool(name))

    assert decoded == ["a", "b", "c", "b"]


def test_what_cannot_be_read_is_kept_as_well(decoded: list[str]) -> None:
    cache = ObjectCache()
    broken = {**tool(), "spec": 7}

    assert cache.decode(broken) == cache.decode(broken)
    assert cache.decode(broken).problems
    assert decoded == ["a"]
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    assert cache.decode({**tool(), "spec": deep}).problems
    with pytest.raises(ValueError, match="not a named object"):
        cache.decode({**tool(), "metadata": None})


def test_the_facts_of_a_tool_with_other_texts_need_no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    fact_of = manifest.fact_of

    def count(raw: Any) -> Any:
        read.append(raw["metadata"]["name"])
        return fact_of(raw)

    monkeypatch.setattr("webhook.object_cache.manifest.fact_of", count)
    cache = ObjectCache()
    items = [described(name, uid=f"uid-{name}", labels={"app": name}) for name in ("a", "b", "c")]

    assert [cache.fact_of(item) for item in items] == [fact_of(item) for item in items]
    assert read == ["a"]
    # Another schema, or a text that is not plain, is read; so is what has no facts.
    for other in (tool("d"), described("e", description="\u200b" + LONG), {**described("f"), "spec": 7}):
        assert cache.fact_of(other) == fact_of(other)
    assert read == ["a", "d", "e", "f"]


def test_what_is_asked_for_its_structure_is_not_decoded_again_to_be_judged(decoded: list[str]) -> None:
    cache = ObjectCache()

    assert cache.is_sound(tool("a"))
    assert decoded == ["a"]
    assert cache.judge(tool("a", uid="u", creationTimestamp="2026-01-01T00:00:00Z")) is not None
    assert decoded == ["a"]
    # Of a tool with other texts nothing is decoded, and a structural fault is found each time.
    cache.fact_of(described("b"))
    assert cache.is_sound(described("c"))
    assert decoded == ["a"]
    assert not cache.is_sound({**tool("d"), "spec": 7})


def test_what_the_watches_showed_is_not_judged_yet(decoded: list[str]) -> None:
    cache = ObjectCache()
    cache.fact_of(described("a"))

    assert cache.judge(described("b"), lambda: False) is None
    assert cache.judge(described("b")) == (decode(described("b")), ())
    assert cache.judge(described("c"), lambda: False) == (decode(described("c")), ())
    assert decoded == ["b"]


def test_a_tool_with_the_content_of_a_faulty_one_is_judged(decoded: list[str]) -> None:
    cache = ObjectCache()
    faulty = [described(name, schema="array") for name in ("a", "b")]
    first, second = judged(cache, faulty[0])[1], judged(cache, faulty[1])[1]

    assert cache.judge(described("c", schema="array"), lambda: False) is None
    assert [finding.reason for finding in first] == [finding.reason for finding in second]
    assert first
    assert decoded == ["a", "b"]


def judged(cache: ObjectCache, raw: Any) -> Any:
    found = cache.judge(raw)
    assert found is not None
    return found


LONG = "Returns one order of the shop by its number."


def described(name: str, description: str = LONG, schema: str = "object", **metadata: Any) -> dict[str, Any]:
    item = tool(name, **metadata)
    return {**item, "spec": {**item["spec"], "description": description, "inputSchema": {"type": schema}}}


def test_a_description_that_is_too_long_is_found_in_a_tool_with_the_content_of_a_good_one() -> None:
    cache = ObjectCache()
    assert judged(cache, described("a"))[1] == ()
    assert judged(cache, described("b", LONG + "." * (texts.LONGEST - len(LONG))))[1] == ()
    (found,) = judged(cache, described("c", LONG + "." * (texts.LONGEST - len(LONG) + 1)))[1]
    assert found.reason is Reason.WEAK_DESCRIPTION
