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


DIGITS = "1" * numbers.MAX_DIGITS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1234567890123456.78", Decimal("1234567890123456.78")),
        ("123456789012.1", 123456789012.1),
        ("1E-3", 0.001),
        ("1E-300", 1e-300),
        ("1e-324", Decimal("1e-324")),
        ("1E-400", Decimal("1e-400")),
        ("1e-401", 0.0),
        ("0.10000000000000000", 0.1),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("-1.7976931348623157e308", -1.7976931348623157e308),
        ("18446744073709551616", Decimal(2**64)),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", Decimal(-(2**63) - 1)),
        (f"0.{'1' * 398}", Decimal(f"0.{'1' * 398}")),
        (f"0.{'1' * 399}", 0.1111111111111111),
    ],
)
def test_a_number_is_a_double_only_if_that_is_exact(text: str, value: object) -> None:
    found = numbers.loads(text.encode())

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e400", Decimal("1e400")),
        ("1e401", Decimal(10**400)),
        ("-1e999", Decimal(-(10**400))),
        (DIGITS, Decimal(DIGITS)),
        (f"-{DIGITS[1:]}", Decimal(f"-{DIGITS[1:]}")),
    ],
)
def test_a_reply_may_have_numbers_that_no_double_holds(text: str, value: Decimal, exact: bool) -> None:
    assert numbers.loads_reply(f'{{"a":{text}}}', exact=exact) == {"a": value}


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    "text", [f"{DIGITS}1", f"-{DIGITS}", "[1e400,NaN]", "[1e400,Infinity]", '[1e400,"\\ud800"]', "{", ""]
)
def test_a_reply_that_nothing_can_write_is_no_json(text: str, exact: bool) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        numbers.loads_reply(text, exact=exact)


def test_without_exactness_a_reply_has_doubles() -> None:
    text = "[12345678901234567.89]"

    assert numbers.loads_reply(text, exact=False) == [12345678901234567.89]
    assert type(numbers.loads_reply(text, exact=False)[0]) is float
    assert numbers.loads_reply(text, exact=True) == [Decimal("12345678901234567.89")]


def nested(levels: int, inner: object = 1.0) -> object:
    for level in range(levels):
        inner = [inner] if level % 2 else {"a": inner}
    return inner


def test_arguments_are_nested_as_deep_as_is_allowed_and_no_deeper() -> None:
    assert repr(numbers.canonical(nested(numbers.MAX_DEPTH))) == repr(nested(numbers.MAX_DEPTH, 1))
    with pytest.raises(numbers.TooDeepError, match=r"^must be nested at most 64 levels$"):
        numbers.canonical(nested(numbers.MAX_DEPTH + 1))
    assert numbers.canonical([1.5, True, None, Decimal("1.5"), Decimal("2.0"), float(2**64)]) == [
        1.5, True, None, Decimal("1.5"), 2, Decimal(2**64),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (1.5, "1.5"), (7, "7"), (2**70, str(2**70)), (Decimal("1.10"), "1.10"), (1e-7, "1e-7")],
)
def test_a_number_as_text(value: float, text: str) -> None:
    assert numbers.to_text(value) == text


def test_what_is_not_json_is_named_by_its_type() -> None:
    with pytest.raises(TypeError) as caught:
        numbers._write(object())
    assert str(caught.value) == "object is not a JSON value"
