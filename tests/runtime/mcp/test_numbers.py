"""Numbers arrive as they were sent: every digit, and integers without a fraction."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.mcp import json_schema, numbers


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ("5.0", "5"),
        ("1e3", "1000"),
        ("-0.0", "0"),
        ("1.10", "1.1"),
        ("0.1", "0.1"),
        ("9007199254740993", "9007199254740993"),
        ("18446744073709551615", "18446744073709551615"),
        ("115792089237316195423570985008687907853", "115792089237316195423570985008687907853"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("12345678901234567.89", "12345678901234567.89"),
        ("12345678901234567.00", "12345678901234567"),
        ("1e22", "10000000000000000000000"),
        ("1e-400", "1E-400"),
        ('{"a":[5.0,true,null,"5.0"]}', '{"a":[5,true,null,"5.0"]}'),
    ],
)
def test_a_number_arrives_with_every_digit(sent: str, written: str) -> None:
    assert numbers.dumps(numbers.canonical(numbers.loads(sent.encode()))).decode() == written


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10) | st.integers())
def test_the_value_is_the_same(number: Decimal | int) -> None:
    text = format(number, "f")

    assert Decimal(numbers.dumps(numbers.canonical(numbers.loads(text.encode()))).decode()) == Decimal(text)


@pytest.mark.parametrize("text", ["NaN", "1e400", "[1234567890123456789", "\ud800", '"\\ud800"'])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        numbers.loads(text.encode("utf-8", "surrogatepass"))


def test_a_fraction_of_many_digits_is_a_double() -> None:
    assert numbers.loads(b"0." + b"1" * 500) == 0.1111111111111111


def test_a_document_that_is_too_deep_to_read_twice_is_refused_as_arguments() -> None:
    deep = b"[" * 1000 + b"12345678901234567.89" + b"]" * 1000

    with pytest.raises(numbers.TooDeepError):
        numbers.canonical(numbers.loads(deep))


def test_only_json_is_written() -> None:
    with pytest.raises(TypeError):
        numbers.dumps({"a": object()})


@pytest.mark.parametrize(("schema", "valid"), [({"type": "integer"}, True), ({"maximum": 10**20}, False)])
def test_a_validator_understands_large_integers(schema: dict[str, object], valid: bool) -> None:
    validator = json_schema.compile_schema(schema)

    assert validator.is_valid(numbers.loads(b"1234567890123456789012345")) is valid
