"""Regular expressions that can take exponential time, and those that cannot."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crd.schema import ambiguity, expressions
from crd.schema.expressions import UnreadableError

UNSAFE = [
    "^([a-z]+)+$",
    "^(a|a)*$",
    "(a*)*",
    "(a*b*)*",
    r"^(\w+\s?)*$",
    "(x+x+)+y",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    "(ab|a|b)*",
    r"^(([^\s]+)\s*)*$",
    "(.*a){20}",
    "(a|[ab])+",
    r"(\d|\w)*x",
    "(?:a+)*",
    "(?<name>a+)+",
    r"([\x61-\x7a]|[a-z])*",
    r"(\u0061|a)*",
    r"(\u{61}|a)*",
    r"(\p{L}|a)*",
    "([^a]|b)*",
    r"(\S|\D)*",
    "(a{2,}b?)*",
    "(a{1,30}){1,30}",
    r"(\n|[\s])*",
    "(a?b?)*c*(a|a)*",
    "(a*?)*",
]
SAFE = [
    "",
    "^[0-9]+$",
    "^(a|b)*$",
    r"^([a-z0-9]+\.)+[a-z]{2,}$",
    r"^(\w+\s)*$",
    r"^\d{4}-\d{2}-\d{2}$",
    r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$",
    r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}$",
    "(a|ab)(c|bcd)(d*)",
    "^((a|b)c?)*d",
    "(a?){8}",
    "a{",
    "a{x}",
    "a{,3}",
    "a{1}",
    "(?=a+)b+",
    "(?!a)b",
    "(?<=a)b",
    "(?<!a)b",
    r"[]",
    "[a-]+",
    r"[\b\d-z]+",
    r"\bword\B",
    r"(\.|\-)*",
    "(a.)*",
    "[^]",
    r"(\r|\t|\f|\v|\0)*",
    "(ab*)*c",
]


@pytest.mark.parametrize("text", UNSAFE)
def test_what_repeats_a_repetition_is_exponential(text: str) -> None:
    assert ambiguity.exponential(text)


@pytest.mark.parametrize("text", SAFE)
def test_what_has_one_way_for_every_word_is_not(text: str) -> None:
    assert not ambiguity.exponential(text)


@pytest.mark.parametrize(
    "text",
    [
        "(",
        ")",
        "a)",
        "*a",
        "(?",
        "(?#x)",
        "[a",
        "\\",
        r"(a)\1",
        r"\k<a>",
        r"\u00",
        r"\xzz",
        r"\p",
        "(?<a",
        r"[\p",
        "x" * 2000,
        "(" * 1500 + ")" * 1500,
    ],
)
def test_what_is_not_looked_into_is_said_to_be(text: str) -> None:
    with pytest.raises(UnreadableError):
        expressions.parse(text)


@pytest.mark.parametrize("text", ["(a|b|c|d|e)" * 50, "a?" * 201])
def test_too_much_is_said_to_be_too_much(text: str) -> None:
    with pytest.raises(ambiguity.TooComplexError):
        ambiguity.exponential(text)


def ways(text: str, word: str) -> int:
    """In how many ways an expression matches a word, by trying all of them; 0 if it does not."""
    return sum(rest == "" for rest in _rests(expressions.parse(text), word, 12))


def _rests(node: expressions.Node, word: str, depth: int) -> list[str]:
    match node:
        case expressions.Letter(ranges):
            fits = bool(word) and any(low <= ord(word[0]) <= high for low, high in ranges)
            return [word[1:]] if fits else []
        case expressions.Sequence(parts):
            rests = [word]
            for part in parts:
                rests = [after for rest in rests for after in _rests(part, rest, depth)]
            return rests
        case expressions.Choice(options):
            return [rest for option in options for rest in _rests(option, word, depth)]
    found = [word] if node.least == 0 else []
    rests = [word]
    for number in range(1, min(node.most or depth, depth) + 1):
        rests = [after for rest in rests for after in _rests(node.inner, rest, depth) if after != rest]
        found += rests if number >= node.least else []
    return found


ATOMS = st.sampled_from(["a", "b", "[ab]", "."])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from("*+?")).map(lambda pair: f"({pair[0]}){pair[1]}"),
    ),
    max_leaves=4,
)


@settings(deadline=None)
@given(PATTERNS)
def test_a_safe_expression_never_has_exponentially_many_ways(text: str) -> None:
    """Doubling a word at most multiplies its ways by a power of two that does not grow with the word."""
    if ambiguity.exponential(text):
        return
    for word in ("aaaaaaaa", "abababab", "bbbbbbbb"):
        assert ways(text, word) <= 8**3, (text, word)


@settings(deadline=None)
@given(st.text(alphabet="ab(|)*+?[]^$.\\d{1,}", max_size=12))
def test_whatever_the_text_there_is_an_answer(text: str) -> None:
    try:
        re.compile(text)
        ambiguity.exponential(text)
    except (re.error, UnreadableError, ambiguity.TooComplexError, FutureWarning):
        return
