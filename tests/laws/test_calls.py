"""The law of calls: what is admitted works.

For every tool that admission accepts, every argument that is valid by the listed schema and every reply that is valid
by the outputSchema, an official client calls the tool, the backend receives exactly that argument where the mapping
says, and the answer is the reply.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

import jsonschema
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from crd import defaults, integrity, manifest
from crd.finding import Level
from crd.published import catalogs
from crd.published.catalogs import Catalog
from tests.laws import requests, tools
from tests.laws.bench import Bench, published

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = 20261126
SERVER = manifest.decode(
    {
        "apiVersion": "mcp.example.com/v1alpha1",
        "kind": "MCPServer",
        "metadata": {"name": "main", "namespace": "shop"},
        "spec": {"toolSelector": {"matchLabels": {"app": "shop"}}},
    }
)
NUMBERS = itertools.count()
SEEN: Counter[str] = Counter()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    directory: Path = tmp_path_factory.mktemp("catalog")
    (directory / catalogs.FILE).write_bytes(catalogs.dump(Catalog("shop/main")))
    made = Bench(directory)
    yield made
    made.close()


def check_case(bench: Bench, data: st.DataObject) -> None:
    """Draw a tool; if it is admitted, serve and call it."""
    SEEN["cases"] += 1
    draft = data.draw(tools.drafts(f"t{next(NUMBERS)}"), label="tool")
    item = manifest.decode(defaults.set_defaults(draft.manifest))
    refused = {f.reason.value for f in integrity.find_own(item) if f.level is Level.ERROR}
    if refused:
        SEEN["rejected"] += 1
        SEEN.update(f"rejected: {reason}" for reason in refused)
        return
    bench.serve(published(SERVER, [item], bench.port))
    (tool,) = bench.do(bench.client.list_tools()).tools
    schema = tool.input_schema
    arguments = data.draw(tools.values_of(schema, schema), label="arguments")
    if not jsonschema.Draft202012Validator(schema).is_valid(arguments):
        SEEN["arguments that are not valid"] += 1
        return
    output = draft.spec.get("outputSchema")
    reply = data.draw(tools.values_of(output, output) if output else tools.anything, label="reply")
    if output and not jsonschema.Draft202012Validator(output).is_valid(reply):
        SEEN["replies that are not valid"] += 1
        return
    SEEN["called"] += 1
    SEEN.update(tools.features_of(draft, arguments))
    bench.reply = tools._plain(reply)
    bench.received.clear()
    result = bench.do(bench.client.call_tool(draft.name, arguments))
    assert not result.is_error, result.content[0].text
    assert len(bench.received) == 1
    filled = requests.with_defaults(draft.spec["inputSchema"], arguments, draft.spec["inputSchema"])
    assert [*requests.differences(draft.spec, filled, bench.received[0])] == []
    if isinstance(bench.reply, dict):
        assert requests.equal(result.structured_content, bench.reply)


QUICK = settings(
    max_examples=300,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@seed(SEED)
@QUICK
@given(st.data())
def test_what_is_admitted_works(bench: Bench, data: st.DataObject) -> None:
    check_case(bench, data)


@pytest.mark.long
@pytest.mark.parametrize("shard", range(4))
def test_ten_thousand_cases_without_a_surprise(bench: Bench, shard: int) -> None:
    SEEN.clear()

    @seed(SEED + shard)
    @settings(QUICK, max_examples=2500)
    @given(st.data())
    def law(data: st.DataObject) -> None:
        check_case(bench, data)

    law()
    for name, count in sorted(SEEN.items(), key=lambda pair: (-pair[1], pair[0])):
        print(f"| {name} | {count} |")
    assert SEEN["cases"] >= 2500
