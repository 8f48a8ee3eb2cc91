"""PURE. Compile a JSON Schema, at admission as well as for the validation of calls and replies.

Patterns are matched by an engine that takes linear time for every pattern and text. Loads without pydantic, because
every pod pays for its imports.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs
from jsonschema_rs import Draft202012Validator

__all__ = ["DIALECT", "PATTERN_BYTES", "Draft202012Validator", "compile_schema"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# The maximum size of a compiled pattern: enough for [^<>]{0,2000} and for 40 letters of any script.
PATTERN_BYTES = 2 * 1024 * 1024


def compile_schema(schema: Any, *, pattern_bytes: int = PATTERN_BYTES, mask: str | None = None) -> Draft202012Validator:
    """A validator of a schema, which fetches nothing. With a ``mask``, its messages quote the mask instead of values.

    Raises ValueError, or its subclass `jsonschema_rs.ValidationError`, if the schema cannot be compiled: it violates
    the meta-schema, has a remote reference, or has a pattern that the engine does not support or that needs more than
    ``pattern_bytes``. A schema without errors from `crd.rules.schemas` compiles.
    """
    options = jsonschema_rs.RegexOptions(size_limit=pattern_bytes)
    return Draft202012Validator(schema, retriever=_retrieve_nothing, mask=mask, pattern_options=options)


def _retrieve_nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is not in the schema, and remote references are not fetched")
