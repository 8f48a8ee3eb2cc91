"""The reader of regular expressions, compared with Node.js and Python."""

from __future__ import annotations

import re
import sys
import warnings

import pytest
from hypothesis import example, given, settings

from crd.clients import ecma, unicode_properties
from scripts.clients.node import Judge
from tests.clients import schemas


def compiles_in_python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            re.compile(text)
        except (re.error, OverflowError):
            return False
    return True


def agree(judge: Judge, text: str) -> None:
    found = ecma.read(text)
    error = judge.pattern(text)
    assert (found.ecma == "") == (error is None), f"{text!r}: {found.ecma!r}, Node.js: {error!r}"
    if error is None:
        another_meaning = "look-behind" in found.python or "empty class" in found.python  # as in [][]
        assert not found.python or not compiles_in_python(text) or another_meaning, f"{text!r}: {found}"
        assert found.python or compiles_in_python(text), f"{text!r} does not compile in Python {sys.version}"


@pytest.mark.parametrize(
    "text",
    [
        "(?i)^get$",
        "^(?P<x>..)$",
        "^a++$",
        "^https\\:\\/\\/",
        "^https:\\/\\/",
        "^\\p{L}+$",
        "^\\p{Greek}$",
        "^\\p{Script=Greek}$",
        "^\\p{gc=Lu}\\P{Emoji}$",
        "(?<x>..)\\k<x>",
        "(?<x>a)|(?<x>b)",
        "\\k<x>",
        "(a)\\1",
        "(a)\\2",
        "[\\w-]",
        "[\\w-.]",
        "[a-\\d]",
        "[z-a]",
        "[\\uD83D\\uDE00-\\uD83D\\uDE4F]",
        "[\\u{1F600}-\\u{1F64F}]",
        "\\uD83D\\uDE00",
        "[]",
        "[^]",
        "[]a]",
        "a{,3}",
        "a{2,1}",
        "a{02,10}",
        "a{4294967296}",
        "a{1}{2}",
        "^*",
        "\\b+",
        "(?=a)*",
        "(?<=a)b",
        "(?<=a+)b",
        "\\cA",
        "\\c1",
        "\\01",
        "\\0",
        "\\x4",
        "\\u12",
        "\\u{110000}",
        "\\",
        "(",
        ")",
        "]",
        "}",
        "a|*",
        "(?#a)",
        "(?i:a)",
        "(?>a)",
        "(?<1a>b)",
        "(?<$a>b)",
        "a*?b+?c??d{1,2}?",
        "[\\b\\-\\]]",
        "\\$\\^\\.",
        "\\_",
        "\\ ",
        "\\z",
        "[[:alpha:]]",
        "[a&&b]",
        "^[0-9A-Fa-f:.]{2,39}$",
        "",
    ],
)
def test_a_pattern_is_read_as_node_and_python_read_it(judge: Judge, text: str) -> None:
    agree(judge, text)


@given(schemas.patterns)
@settings(deadline=None)
@example("(?:a)[^\\]]")
def test_generated_patterns_are_read_as_node_and_python_read_them(judge: Judge, text: str) -> None:
    agree(judge, text)


def test_node_knows_every_property_and_script_that_is_listed(judge: Judge) -> None:
    names = [
        *(f"\\p{{{name}}}" for name in unicode_properties.BINARY | unicode_properties.GENERAL_CATEGORIES),
        *(f"\\p{{Script={name}}}" for name in unicode_properties.SCRIPTS),
    ]

    unknown = [name for name in names if judge.pattern(name) is not None]
    assert unknown == []
