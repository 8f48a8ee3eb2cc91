"""PURE. What the pods of a server tell of their calls."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crd.models import patterns
from crd.models.metadata import LabelName, Model, PortNumber

__all__ = ["Telemetry", "Traces"]


class Traces(Model):
    """Export of traces to a collector, over OTLP/HTTP."""

    service_name: LabelName = Field(
        description="Name of the Service of the collector, in the namespace of the MCPServer."
    )
    port: PortNumber = Field(4318, description="Port of the Service, for OTLP/HTTP.")
    sample_ratio: Annotated[str, Field(min_length=1, max_length=10, pattern=patterns.RATIO)] = Field(
        "0.1",
        description="Share of the traces that begin at this server and are exported, from 0 to 1. A trace that a "
        "client began is exported if the client says so.",
    )


class Telemetry(Model):
    """What the pods tell of their calls, beside log and metrics."""

    traces: Traces | None = Field(None, description="Exports traces.")
