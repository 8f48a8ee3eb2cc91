"""PURE. Expressions of CEL, in which the CustomResourceDefinitions state what a value must be, and say what it is.

A message of `crd.models.problem` and one that the API server makes of these expressions have the same words.
"""

from __future__ import annotations

from typing import Final

__all__ = ["QUOTED", "matching", "string"]

# A text as `crd.models.problem.quote` writes it, but for characters that JSON escapes: a message is one line.
QUOTED: Final = """(self.size() > 78 ? '"' + self.substring(0, 78) + '…' : '"' + self + '"')"""


def string(text: str) -> str:
    """A text as a string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def matching(pattern: str, meaning: str) -> dict[str, str]:
    """The rule that a string matches a pattern, with a message that quotes the string."""
    return {
        "rule": f"self.matches({string(pattern)})",
        "message": f"must be {meaning}",
        "messageExpression": f"{string(f'must be {meaning}, got ')} + {QUOTED}",
    }
