"""PURE. What became of each operation of a description, or tool of a server, and the report on it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Outcome", "Why", "render_json", "render_text"]


class Why(StrEnum):
    """Why an operation or a tool is not imported."""

    DEPRECATED = "Deprecated"
    EXCLUDED = "Excluded"
    OVER_BUDGET = "OverBudget"
    INVALID = "InvalidDescription"
    NOT_SUPPORTED = "NotSupported"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An operation or a tool, and the object that was made of it; or why none was made.

    ``notes`` are the parts of it that the object lacks or has in another form. ``tokens`` is the estimated
    number of tokens that a model reads of a tool.
    """

    operation: str
    id: str = ""
    kind: str = ""
    name: str = ""
    tokens: int = 0
    why: Why | None = None
    message: str = ""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The operation as a person looks for it."""
        return f"{self.operation} ({self.id})" if self.id else self.operation


def render_text(outcomes: Sequence[Outcome], noun: str = "operation") -> Iterator[str]:
    """The lines for a terminal: what is not imported, the notes, and a summary. The same note is printed once.

    What the user leaves out by name is only counted: of a large API it is most of it.
    """
    for each in outcomes:
        if each.why is not None and each.why is not Why.EXCLUDED:
            yield f"not imported: {each.title}: {each.why}: {each.message}"
    if any(each.why is Why.OVER_BUDGET for each in outcomes):
        yield f"to import other {noun}s within --budget, leave some out with --exclude; to import more, raise it"
    places: dict[str, list[Outcome]] = {}
    for each in outcomes:
        for note in each.notes:
            places.setdefault(note, []).append(each)
    for note, found in places.items():
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        yield f"note: {found[0].title}{more}: {note}"
    made = [each for each in outcomes if each.why is None]
    kinds = Counter(each.kind for each in made)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"
    reasons = Counter(each.why for each in outcomes if each.why is not None)
    rest = "; not imported: " + ", ".join(f"{count} {why}" for why, count in sorted(reasons.items())) if reasons else ""
    tokens = sum(each.tokens for each in made)
    yield f"{len(outcomes)} {noun}{'' if len(outcomes) == 1 else 's'}: {counts}, about {tokens} tokens of context{rest}"


def render_json(outcomes: Sequence[Outcome], noun: str = "operation") -> dict[str, Any]:
    """The report as JSON: every operation of the description, or tool of the server, in order."""
    return {
        f"{noun}s": [
            {
                noun: each.operation,
                **({"operationId": each.id} if each.id else {}),
                **({"kind": each.kind, "name": each.name, "tokens": each.tokens} if each.why is None else {}),
                **({"reason": str(each.why), "message": each.message} if each.why is not None else {}),
                "notes": list(each.notes),
            }
            for each in outcomes
        ],
        "imported": sum(each.why is None for each in outcomes),
        "reasons": dict(sorted(Counter(str(each.why) for each in outcomes if each.why is not None).items())),
    }
