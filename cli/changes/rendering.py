"""PURE. The differences that clients see, as text for people and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cli.changes.servers import ServerChange

__all__ = ["describe", "to_json"]

# The maximum number of names in one line.
NAMED = 5


def describe(changes: Sequence[ServerChange]) -> Iterator[str]:
    """Lines about the servers whose clients see a difference."""
    for change in changes:
        before, after = change.tokens
        yield f"{change.server}: the tool list costs {before:,} → {after:,} tokens ({after - before:+,})"
        for what, names in (("no longer serves", change.gone), ("now serves", change.new)):
            if names:
                yield f"  {what} {_join(names)}"
        for what, refs in (("now selects", change.selected), ("no longer selects", change.released)):
            if refs:
                yield f"  {what} {_join([str(ref) for ref in refs])}"


def to_json(changes: Sequence[ServerChange]) -> list[dict[str, Any]]:
    """One object for each such server."""
    return [
        {
            "namespace": change.server.namespace,
            "server": change.server.name,
            "gone": [*change.gone],
            "new": [*change.new],
            "selected": [str(ref) for ref in change.selected],
            "released": [str(ref) for ref in change.released],
            "tokens": {"before": change.tokens[0], "after": change.tokens[1]},
        }
        for change in changes
    ]


def _join(words: Sequence[str]) -> str:
    more = [f"{len(words) - NAMED} more"] if len(words) > NAMED else []
    *first, last = [*words[:NAMED], *more]
    return f"{', '.join(first)} and {last}" if first else last
