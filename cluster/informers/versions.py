"""PURE. Which of two resourceVersions of one resource is the newer one.

Kubernetes documents since 1.35 that the resourceVersions of one resource are decimal numbers that grow. Older releases
call them opaque, but have written etcd's revision since the first one. So two versions are compared where both are
numbers; an aggregated API that writes anything else gets no comparison, and the order of arrival decides.
"""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["Version", "is_older", "parse"]

Version: TypeAlias = "int | str"
# 2**64 has 20 digits. What is longer cannot be a revision, and must not cost the time to read it.
DIGITS = 20


def parse(text: object) -> Version:
    """A version to compare: a number where the text is one, else the text itself. Raises ValueError without one."""
    if not isinstance(text, str) or not text:
        raise ValueError(f"resourceVersion must be a non-empty string, not {text!r:.40}")
    if text.isascii() and text.isdecimal() and len(text) <= DIGITS:
        return int(text)
    return text


def is_older(version: Version, other: Version) -> bool:
    """Whether a version is certainly older than another one; False where they cannot be compared."""
    return isinstance(version, int) and isinstance(other, int) and version < other
