"""PURE. Numbers of JSON without loss: every digit that a client sends reaches the backend, and every one of a reply.

`orjson` reads integers above 64 bits and long decimals as doubles. Those are read as `Decimal` here, which validators
understand. A number without a fraction is an integer in JSON Schema however it is written, so it is written without
one: strictly typed backends reject ``5.0``.
"""

from __future__ import annotations

import json
import re
import sys
from decimal import Decimal
from typing import Any

import orjson

__all__ = ["MAX_DEPTH", "TooDeepError", "canonical", "dumps", "loads", "loads_reply", "to_text"]

# Nesting of arguments.
MAX_DEPTH = 64
# A double keeps 15 significant digits of every decimal. Longer numbers, and those with a large negative exponent, are
# read again. Numbers of more digits, and with larger exponents, stay doubles, so that the cost of a number is limited.
_LOSSY = re.compile(rb"[0-9][0-9.]{15}|[eE]-[0-9]{3}")
MAX_DIGITS = 400
# Stands for what is larger still: no number of a schema is as large.
_BEYOND = Decimal(10**MAX_DIGITS)
# Digits and points become "0", all else a space.
_SHAPE = bytes(0x30 if chr(byte) in "0123456789." else 0x20 for byte in range(256))
_LONG = b"0" * 16
_LEAST, _MOST = -(2**63), 2**64 - 1
_LARGEST = sys.float_info.max


class TooDeepError(ValueError):
    """The value is nested deeper than `MAX_DEPTH`."""


def loads(text: bytes) -> Any:
    """The value of a JSON document. Raises orjson.JSONDecodeError."""
    value = orjson.loads(text)
    # First what is cheap: few documents have as many digits in a row, or an exponent.
    if _LONG not in text.translate(_SHAPE) and b"e-" not in text and b"E-" not in text:
        return value
    if _LOSSY.search(text) is None:
        return value
    try:
        return json.loads(text, parse_float=_read_decimal, parse_int=_read_integer)
    except RecursionError:
        return value  # too deep for arguments, which `canonical` refuses


def loads_reply(text: str, *, exact: bool) -> Any:
    """The value of a JSON document that may have numbers larger than a double. Raises orjson.JSONDecodeError.

    Without ``exact`` the numbers of a document that has no such one are as `orjson` reads them. An integer of more than
    `MAX_DIGITS` digits is an error, because clients in Python cannot read it. In place of a number with a larger
    exponent there is another one, which no schema tells from it.
    """
    try:
        return loads(text.encode()) if exact else orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "infinity" not in error.msg:
            raise
        try:
            value = json.loads(
                text, parse_float=_read_decimal, parse_int=_read_integer, parse_constant=_refuse_constant
            )
            dumps(value)  # `json` reads surrogates that nothing can write
        except (ValueError, TypeError, RecursionError):
            raise error from None
        return value


def canonical(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The value with all numbers without a fraction as integers. Raises TooDeepError."""
    if isinstance(value, dict | list):
        if not depth:
            raise TooDeepError(f"must be nested at most {MAX_DEPTH} levels")
        # Most values are strings, which stay as they are.
        if isinstance(value, dict):
            return {name: child if type(child) is str else canonical(child, depth - 1) for name, child in value.items()}
        return [item if type(item) is str else canonical(item, depth - 1) for item in value]
    if isinstance(value, float) and value.is_integer():
        return _whole(int(value))
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return _whole(int(value))
    return value


def dumps(value: Any) -> bytes:
    """Compact JSON. Raises orjson.JSONEncodeError or TypeError."""
    return orjson.dumps(value, default=_write)


def to_text(value: float | Decimal) -> str:
    """A number or boolean as in JSON."""
    if isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        # orjson writes no more than 64 bits.
        return str(value)
    return orjson.dumps(value).decode()


def _read_integer(text: str) -> int | Decimal:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"an integer has more than {MAX_DIGITS} digits")
    return _whole(int(text))


def _read_decimal(text: str) -> float | Decimal:
    number = float(text)
    is_finite = abs(number) <= _LARGEST
    if len(text) <= MAX_DIGITS:
        exact = Decimal(text)
        if abs(exact.adjusted()) <= MAX_DIGITS:
            return number if is_finite and Decimal(repr(number)) == exact else exact
    return number if is_finite else _BEYOND.copy_sign(Decimal(1 if number > 0 else -1))


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _whole(number: int) -> int | Decimal:
    """An integer as `dumps` writes it: orjson writes no more than 64 bits."""
    return number if _LEAST <= number <= _MOST else Decimal(number)


def _write(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} is not a JSON value")
