"""PURE. Prompt templates: ``{{name}}`` and nothing else.

Shared by the rules, which prove a template, and by the runtime, which renders it. A value is inserted once and never
read for placeholders, so no argument can name another one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["placeholders", "render"]

# Without the spaces around a name: the engine would try every way to part them.
_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


def placeholders(template: str) -> tuple[str, ...]:
    """The names in a template, in order of first appearance; an empty name for ``{{}}``."""
    return tuple(dict.fromkeys(match[1].strip() for match in _PLACEHOLDER.finditer(template)))


def render(template: str, values: Mapping[str, str]) -> str:
    """The template with every placeholder replaced; a name without a value becomes the empty text."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1].strip(), ""), template)
