"""Regular expressions as trees."""

from __future__ import annotations

import pytest

from crd.schema import expressions
from crd.schema.expressions import LAST, Choice, Letter, Node, Repeat, Sequence, UnreadableError, parse


def of(text: str) -> Letter:
    return Letter(tuple((ord(c), ord(c)) for c in text))


A, B, C = of("a"), of("b"), of("c")
EMPTY = Sequence()


def seq(*parts: Node) -> Sequence:
    return Sequence(parts)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", EMPTY),
        ("ab", seq(A, B)),
        ("a|b|", Choice((seq(A), seq(B), EMPTY))),
        ("(a)b", seq(seq(A), B)),
        ("(?:a)", seq(seq(A))),
        ("(?<n>a)b", seq(seq(A), B)),
        ("(?=a)b", seq(EMPTY, B)),
        ("(?!a)b", seq(EMPTY, B)),
        ("(?<=a)b", seq(EMPTY, B)),
        ("(?<!a)b", seq(EMPTY, B)),
        ("^a$", seq(EMPTY, A, EMPTY)),
        (r"\ba\B", seq(EMPTY, A, EMPTY)),
        ("a*", seq(Repeat(A, 0, None))),
        ("a+b", seq(Repeat(A, 1, None), B)),
        ("a?b", seq(Repeat(A, 0, 1), B)),
        ("a*?b", seq(Repeat(A, 0, None), B)),
        ("a{2}", seq(Repeat(A, 2, 2))),
        ("a{2,}", seq(Repeat(A, 2, None))),
        ("a{2,3}b", seq(Repeat(A, 2, 3), B)),
        ("a{1}b", seq(A, B)),
        ("a{b", seq(A, of("{"), B)),
        ("a{,2}", seq(A, of("{"), of(","), of("2"), of("}"))),
        ("a{x}", seq(A, of("{"), of("x"), of("}"))),
        ("a{2,x}", seq(A, of("{"), of("2"), of(","), of("x"), of("}"))),
        (r"\.\n\t\r\f\v\0", seq(of("."), of("\n"), of("\t"), of("\r"), of("\f"), of("\v"), of("\0"))),
        (r"\x61\u0062\u{63}d", seq(A, B, C, of("d"))),
        (r"\d", seq(Letter(((48, 57),)))),
        (r"\D", seq(Letter(((0, 47), (58, LAST))))),
        (r"\w", seq(Letter(((48, 57), (65, 90), (95, 95), (97, 122))))),
        (r"\p{L}a", seq(Letter(((0, LAST),)), A)),
        (r"\P{L}", seq(Letter(((0, LAST),)))),
        (".", seq(Letter(((0, 9), (11, 12), (14, 0x2027), (0x202A, LAST))))),
        ("[ab]c", seq(of("ab"), C)),
        ("[a-c]", seq(Letter(((97, 99),)))),
        ("[a-]", seq(of("a-"))),
        ("[-a]", seq(of("-a"))),
        (r"[\d-z]", seq(Letter(((48, 57), (45, 45), (122, 122))))),
        (r"[a-\d]", seq(Letter(((97, 97),)))),
        (r"[\b\]]", seq(of("\b]"))),
        (r"[\x61-\x63]", seq(Letter(((97, 99),)))),
        ("[]", seq(Letter(()))),
        ("[^]", seq(Letter(((0, LAST),)))),
        ("[^a]", seq(Letter(((0, 96), (98, LAST))))),
        ("[^a-cb]", seq(Letter(((0, 96), (100, LAST))))),
    ],
)
def test_an_expression_is_a_tree(text: str, tree: Node) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x" * 1025, "it has 1025 characters"),
        ("a)", '")" closes nothing'),
        ("(a", "a group is not closed"),
        ("(?#a)", "a group of an unknown kind"),
        ("(?<a", "it ends in the middle"),
        ("*a", '"*" repeats nothing'),
        ("a|+", '"+" repeats nothing'),
        ("?", '"?" repeats nothing'),
        ("[a", "it ends in the middle"),
        ("\\", "it ends in the middle"),
        (r"(a)\1", "a reference to what matched before"),
        (r"\k<a>", "a reference to what matched before"),
        (r"\x6", "it ends in the middle"),
        (r"\u00", "it ends in the middle"),
        (r"\xzz", '"zz" is no hexadecimal number'),
        (r"\u{}", '"" is no hexadecimal number'),
        (r"\p", "braces are missing"),
        (r"\p{L", "braces are missing"),
        (r"[\B]", "an escape that is no character"),
    ],
)
def test_what_is_not_read_says_why(text: str, why: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse(text)

    assert str(caught.value) == why


def test_the_longest_expression_is_read() -> None:
    assert len(parse("x" * 1024).parts) == 1024  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("ranges", "rest"),
    [
        ((), ((0, LAST),)),
        (((0, LAST),), ()),
        (((5, 9), (1, 2)), ((0, 0), (3, 4), (10, LAST))),
        (((0, 3), (2, 5)), ((6, LAST),)),
        (((1, 9), (2, 3)), ((0, 0), (10, LAST))),
    ],
)
def test_all_but_some_characters(ranges: expressions.Ranges, rest: expressions.Ranges) -> None:
    assert expressions.inverted(ranges) == rest
