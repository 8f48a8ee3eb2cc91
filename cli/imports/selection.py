"""PURE. What an import has made, and which of it is written: by name, and within a budget of tokens."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from cli.imports.outcomes import Outcome, Why
from crd.clients import listing, tokens
from crd.ref import GROUP, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Candidate", "Imported", "Placement", "choose", "count_tokens", "find_unused", "matches"]


@dataclass(frozen=True, slots=True)
class Placement:
    """The Service that the objects call, and where they belong. ``server`` is the name of an MCPServer to write."""

    service: str
    port: int | str
    scheme: str = "http"
    namespace: str = "default"
    server: str | None = None
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def all_labels(self) -> dict[str, str]:
        """The labels of every object."""
        return dict(self.labels or ((f"{GROUP}/api", self.service),))

    def servers(self) -> tuple[dict[str, Any], ...]:
        """The MCPServer that selects the objects, if one is to be written."""
        if self.server is None:
            return ()
        return (
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "MCPServer",
                "metadata": {"name": self.server, "namespace": self.namespace},
                "spec": {"toolSelector": {"matchLabels": self.all_labels}},
            },
        )


@dataclass(frozen=True, slots=True)
class Imported:
    """The objects in the order of their source, and the outcome of each of its parts.

    ``unused`` are sentences about options that had no effect.
    """

    objects: tuple[dict[str, Any], ...]
    outcomes: tuple[Outcome, ...]
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """What one part of the source became. ``raw`` is None if it is not imported.

    ``group`` is the part of the API that it belongs to. A lower ``rank`` is chosen first.
    """

    outcome: Outcome
    raw: dict[str, Any] | None
    group: str = ""
    rank: int = 0


def choose(candidates: Sequence[Candidate], placement: Placement, budget: int | None) -> Imported:
    """The objects that are written. Those that do not fit into the budget are listed."""
    chosen = range(len(candidates)) if budget is None else _fitting(candidates, budget)
    objects, outcomes = [*placement.servers()], []
    for index, each in enumerate(candidates):
        if each.raw is None:
            outcomes.append(each.outcome)
        elif index in chosen:
            outcomes.append(each.outcome)
            objects.append(each.raw)
        else:
            message = f"its {each.outcome.tokens} tokens do not fit into what is left of --budget {budget}"
            outcomes.append(replace(each.outcome, why=Why.OVER_BUDGET, message=message, kind="", notes=()))
    return Imported(tuple(objects), tuple(outcomes))


def _fitting(candidates: Sequence[Candidate], budget: int) -> frozenset[int]:
    """The tools that fit into a budget of tokens: in turn one of each group, by rank, and the small first.

    So every part of an API is there before one part is complete.
    """
    waiting: dict[str, list[int]] = {}
    there = [index for index, each in enumerate(candidates) if each.raw is not None]
    for index in sorted(there, key=lambda index: (candidates[index].rank, candidates[index].outcome.tokens, index)):
        waiting.setdefault(candidates[index].group, []).append(index)
    chosen: set[int] = set()
    left = budget
    while waiting:
        for group in [*waiting]:
            index = waiting[group].pop(0)
            if candidates[index].outcome.tokens <= left:
                chosen.add(index)
                left -= candidates[index].outcome.tokens
            if not waiting[group]:
                del waiting[group]
    return frozenset(chosen)


def count_tokens(raw: Mapping[str, Any]) -> int:
    """The estimated number of tokens that a model reads of a tool; 0 for a resource, which it reads on demand."""
    spec = raw["spec"]
    if raw["kind"] != "MCPTool":
        return 0
    shown = {key: spec[key] for key in ("name", "title", "description", "annotations") if key in spec}
    shown["inputSchema"] = listing.listed(spec["inputSchema"], of_arguments=True)
    if "outputSchema" in spec:
        shown["outputSchema"] = listing.listed(spec["outputSchema"], of_arguments=False)
    return tokens.estimate(orjson.dumps(shown))


def matches(known: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether one of the names matches one of the patterns."""
    return any(fnmatch.fnmatchcase(each, pattern) for each in known if each for pattern in patterns)


def find_unused(
    names: Sequence[Sequence[str]], include: Sequence[str], exclude: Sequence[str], noun: str = "operation"
) -> tuple[str, ...]:
    """Tells the options whose pattern matches none of the ``names`` of any part of the source, a ``noun``."""
    return tuple(
        f'{option} "{pattern}" names no {noun}; correct or remove it'
        for option, patterns in (("--include", include), ("--exclude", exclude))
        for pattern in patterns
        if not any(matches(known, (pattern,)) for known in names)
    )
