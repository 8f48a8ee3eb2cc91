"""PURE. The value of an unquoted YAML scalar: string, number, boolean or null. `plain` reads it as kubectl does.

kubectl reads YAML 1.1 by its own rules (go.yaml.in/yaml/v2, resolve.go): ``yes``, ``on`` and ``y`` are true, ``0777``
is octal, ``1:30`` is a string and not base 60, a date is a string. A file is validated as kubectl would send it.
`core` reads it as YAML 1.2 does, for descriptions of APIs: OpenAPI demands it, and ``y`` is the name of a coordinate.
Called by `cli.manifests.yaml_nodes`.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Value", "core", "plain", "tagged"]

Value = str | int | float | bool | None

_WORDS: dict[str, Value] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_CORE_WORDS = {
    word: value for word, value in _WORDS.items() if type(value) is not bool or word.lower() in {"true", "false"}
}
_LONGEST_WORD = 5
_NUMERIC = frozenset("+-0123456789.")
_INTEGER = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_POINT = re.compile(r"\.[0-9](_?[0-9])*([eE][-+]?[0-9]+)?")
_BASES = (16, 2, 8, 10)
_CORE_INTEGER = re.compile(r"0x([0-9a-fA-F]+)|0o([0-7]+)|([-+]?[0-9]+)")
_CORE_BASES = (16, 8, 10)
_LONGEST_NUMBER = 309  # digits of the largest float; Go reads anything longer as a string

_TAG = "tag:yaml.org,2002:"


def plain(text: str) -> Value:
    """The value of an unquoted scalar. Never raises; ``.inf`` and ``.nan`` become floats, which JSON cannot hold."""
    if len(text) <= _LONGEST_WORD and text in _WORDS:
        return _WORDS[text]
    return _read_number(text) if text[0] in _NUMERIC else text


def core(text: str) -> Value:
    """The value of an unquoted scalar by the core schema of YAML 1.2.2 (10.3.2). Never raises, as `plain`."""
    if len(text) <= _LONGEST_WORD and text in _CORE_WORDS:
        return _CORE_WORDS[text]
    if text[0] not in _NUMERIC or len(text) > _LONGEST_NUMBER:
        return text
    if match := _CORE_INTEGER.fullmatch(text):
        digits, base = next((d, base) for d, base in zip(match.groups(), _CORE_BASES, strict=True) if d)
        return int(digits, base)
    if _FLOAT.fullmatch(text) is None:
        return text
    value = float(text)
    return text if math.isinf(value) else value


def tagged(tag: str, text: str) -> Value:
    """The value of a scalar with an explicit tag; a tag outside of YAML's own leaves the text as it is.

    Raises ValueError if the text is not a value of the tag's type.
    """
    kind = tag.removeprefix(_TAG)
    reader = _TAGGED.get(kind) if kind != tag else None
    if reader is None:
        return text
    try:
        return reader(text)
    except ValueError as error:
        raise ValueError(f'"{text}" is not a valid !!{kind}; correct it or remove the tag') from error


def _read_number(text: str) -> Value:
    bare = text.replace("_", "")
    if len(bare) > _LONGEST_NUMBER:
        return text
    if text[0] != "." and (match := _INTEGER.fullmatch(bare)):
        sign, *digits = match.groups()
        found = next((d, base) for d, base in zip(digits, _BASES, strict=True) if d)
        return int(sign + found[0], found[1])
    if (_POINT.fullmatch(text) if text[0] == "." else _FLOAT.fullmatch(bare)) is None:
        return text
    value = float(bare)
    return text if math.isinf(value) else value


def _reader_of(*types: type) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        value = plain(text)
        if type(value) not in types:
            raise ValueError(text)
        return value

    return read


def _decode_binary(text: str) -> Value:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("utf-8", "replace")
    except binascii.Error as error:
        raise ValueError(text) from error


_TAGGED: dict[str, Callable[[str], Value]] = {
    "bool": _reader_of(bool),
    "int": _reader_of(int),
    "float": _reader_of(float, int),
    "null": _reader_of(type(None)),
    "binary": _decode_binary,
}
