"""PURE. Prompt templates with ``{{name}}`` placeholders.

The rules check templates and the runtime renders them. Placeholders in values are not replaced, so that no argument can
refer to another one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["placeholders", "render"]

# Spaces around a name are stripped afterwards; in the pattern they would cause backtracking.
_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


def placeholders(template: str) -> tuple[str, ...]:
    """The names in a template, in order of first appearance; an empty name for ``{{}}``."""
    return tuple(dict.fromkeys(match[1].strip() for match in _PLACEHOLDER.finditer(template)))


def render(template: str, values: Mapping[str, str]) -> str:
    """The template with every placeholder replaced; a name without a value becomes the empty string."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1].strip(), ""), template)
