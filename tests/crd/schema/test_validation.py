"""One way to compile a schema: patterns take linear time and have a size, and nothing is fetched."""

from __future__ import annotations

import jsonschema_rs
import pytest

from crd.schema.validation import compile_schema


def test_a_pattern_that_takes_exponential_time_elsewhere_is_matched() -> None:
    validator = compile_schema({"pattern": "^(a|a)*$"})

    assert validator.is_valid("a" * 10_000)
    assert not validator.is_valid("a" * 10_000 + "!")


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "a{1000000}"])
def test_what_the_linear_engine_lacks_does_not_compile(pattern: str) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        compile_schema({"pattern": pattern})


def test_the_size_of_a_pattern_is_limited() -> None:
    compile_schema({"pattern": "a{1000}"})
    with pytest.raises(jsonschema_rs.ValidationError):
        compile_schema({"pattern": "a{1000}"}, pattern_bytes=1024)


def test_nothing_is_fetched() -> None:
    with pytest.raises(ValueError, match="and remote references are not fetched"):
        compile_schema({"$ref": "https://x.example/a"})


def test_a_mask_hides_values() -> None:
    (error,) = compile_schema({"type": "string"}, mask="the value").iter_errors(7)

    assert error.message == 'the value is not of type "string"'
