"""What is true of the metrics of each program."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

PAGE = (Path(__file__).parents[1] / "docs/operations/README.md").read_text()
DOCUMENTED = frozenset(re.findall(r"`(mcp_(?:operator|server)_[a-z_]+)", PAGE))


def check(registry: CollectorRegistry, prefix: str) -> frozenset[str]:
    """Names and labels as Prometheus has them, and descriptions that are sentences. Returns the names."""
    for family in registry.collect():
        assert re.fullmatch(rf"{prefix}_[a-z]+(_[a-z]+)*", family.name), family.name
        assert re.fullmatch(r"(?!XX)[A-Z0-9][a-z ]+( \S+)*\.", family.documentation), family.documentation
        for sample in family.samples:
            assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", label) for label in sample.labels)
    return frozenset(
        {sample.name for family in registry.collect() for sample in family.samples}
        | {f"{family.name}_total" for family in registry.collect() if family.type == "counter"}
        | {family.name for family in registry.collect()}
    )
