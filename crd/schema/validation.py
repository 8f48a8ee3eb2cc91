"""PURE. The one way to compile a JSON Schema: at admission, and where calls and replies are checked.

Patterns are matched by an engine that takes linear time in the text, whatever the pattern. Loads without pydantic,
because every pod of every server pays for its imports.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs
from jsonschema_rs import Draft202012Validator

__all__ = ["DIALECT", "PATTERN_BYTES", "Draft202012Validator", "compile_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# What one compiled pattern may take: enough for [^<>]{0,2000} and for 40 letters of any script.
PATTERN_BYTES = 2 * 1024 * 1024


def compile_schema(schema: Any, *, pattern_bytes: int = PATTERN_BYTES, mask: str | None = None) -> Draft202012Validator:
    """A validator of this schema, which fetches nothing. With a ``mask``, its messages quote that in place of values.

    Raises ValueError, or its subclass `jsonschema_rs.ValidationError`, for a schema that cannot be compiled: it breaks
    the meta-schema, refers to something outside, or holds a pattern that the engine does not have or that needs more
    than ``pattern_bytes``. A schema that `crd.rules.schemas` found sound compiles.
    """
    options = jsonschema_rs.RegexOptions(size_limit=pattern_bytes)
    return Draft202012Validator(schema, retriever=_retrieve_nothing, mask=mask, pattern_options=options)


def _retrieve_nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is not in the schema, and remote references are not fetched")
