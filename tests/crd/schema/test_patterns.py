"""Patterns: real ones are accepted, and what the engine lacks or cannot afford is refused with what to write."""

from __future__ import annotations

from typing import Any

import pytest

from crd.finding import Reason
from crd.schema import patterns, subschemas
from crd.schema.validation import compile_schema

CURRENCIES = [
    "AED",
    "AFN",
    "ALL",
    "AMD",
    "ANG",
    "AOA",
    "ARS",
    "AUD",
    "AWG",
    "AZN",
    "BAM",
    "BBD",
    "BDT",
    "BGN",
    "BHD",
    "BIF",
    "BMD",
    "BND",
    "BOB",
    "BRL",
    "BSD",
    "BTN",
    "BWP",
    "BYN",
    "BZD",
    "CAD",
    "CDF",
    "CHF",
    "CLP",
    "CNY",
    "COP",
    "CRC",
    "CUP",
    "CVE",
    "CZK",
    "DJF",
    "DKK",
    "DOP",
    "DZD",
    "EGP",
    "ERN",
    "ETB",
    "EUR",
    "FJD",
    "FKP",
    "GBP",
    "GEL",
    "GHS",
    "GIP",
    "GMD",
    "GNF",
    "GTQ",
    "GYD",
    "HKD",
    "HNL",
    "HTG",
    "HUF",
    "IDR",
    "ILS",
    "INR",
    "IQD",
    "IRR",
    "ISK",
    "JMD",
    "JOD",
    "JPY",
    "KES",
]
H = "[0-9a-fA-F]{1,4}"
OCTET = "(25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
IPV4 = rf"({OCTET}\.){{3}}{OCTET}"
IPV6 = (
    f"^(({H}:){{7}}{H}|({H}:){{1,7}}:|({H}:){{1,6}}:{H}|({H}:){{1,5}}(:{H}){{1,2}}|({H}:){{1,4}}(:{H}){{1,3}}|"
    f"({H}:){{1,3}}(:{H}){{1,4}}|({H}:){{1,2}}(:{H}){{1,5}}|{H}:((:{H}){{1,6}})|:((:{H}){{1,7}}|:)|"
    f"::(ffff(:0{{1,4}})?:)?{IPV4}|({H}:){{1,4}}:{IPV4})$"
)
SEMVER = (
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$"
)
REAL = {
    "currency": (f"^({'|'.join(CURRENCIES)})$", "EUR", "EUX"),
    "IPv6": (IPV6, "2001:db8::1", "2001:db8::1::2"),
    "CIDR": (rf"^{IPV4}/(3[0-2]|[12]?[0-9])$", "10.0.0.0/8", "10.0.0.0/33"),
    "ARN": (
        r"^arn:(aws|aws-cn|aws-us-gov):[a-z0-9-]+:[a-z0-9-]*:([0-9]{12})?:[\w+=,.@/:-]{1,2048}$",
        "arn:aws:iam::123456789012:role/a",
        "arn:aws:iam::12:role/a",
    ),
    "semver": (SEMVER, "1.2.3-rc.1+build.5", "1.2"),
    "UUID": (
        "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        "123e4567-e89b-12d3-a456-426614174000",
        "123e4567",
    ),
    "e-mail": (r"^[\w.+-]+@[\w-]+(\.[\w-]+)+$", "a.b+c@mail.example.com", "a@b"),
    "nested repetition": ("^([a-z]+)+$", "abc", "a1"),
    "length": ("^[^<>]{0,1000}$", "x" * 1000, "x" * 1001),
    "letters": (r"^\p{L}+$", "Größe", "1"),
}


def of(*texts: str) -> dict[str, Any]:
    return {"properties": {f"p{number}": {"pattern": text} for number, text in enumerate(texts)}}


def reported(*texts: str) -> list[tuple[str, Reason, str]]:
    return [(".".join(map(str, f.path)), f.reason, f.message) for f in patterns.faults(subschemas.walk(of(*texts)))]


@pytest.mark.parametrize("name", REAL)
def test_real_patterns_are_accepted_and_match(name: str) -> None:
    pattern, good, bad = REAL[name]
    validator = compile_schema({"pattern": pattern})

    assert reported(pattern) == []
    assert validator.is_valid(good)
    assert not validator.is_valid(bad)


@pytest.mark.parametrize("pattern", ["(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b"])
def test_look_around_is_refused(pattern: str) -> None:
    message = (
        f'"{pattern}" uses look-around, which cannot be matched in linear time; use a second pattern in allOf or not'
    )

    assert reported(pattern) == [("properties.p0.pattern", Reason.UNSUPPORTED_PATTERN, message)]


@pytest.mark.parametrize("pattern", [r"(a)\1", r"(?<x>a)\k<x>", r"\\(a)\1"])
def test_backreferences_are_refused(pattern: str) -> None:
    ((_, reason, message),) = reported(pattern)

    assert reason is Reason.UNSUPPORTED_PATTERN
    assert "uses a backreference" in message


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("[", "unclosed character class"),
        (r"a\Z", "unrecognized escape sequence"),
        (r"\0", "backreferences are not supported"),
        (r"[\b]", "invalid escape sequence found in character class"),
        ("(" * 1000 + ")" * 1000, "exceed the maximum number of nested parentheses/brackets (250)"),
    ],
)
def test_what_is_not_an_expression_is_an_invalid_schema(pattern: str, why: str) -> None:
    ((_, reason, message),) = reported(pattern)

    assert reason is Reason.INVALID_SCHEMA
    assert message.endswith(f" is not a regular expression: {why}; correct it")


def test_what_only_one_of_the_two_engines_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_reason_of_refusal", lambda _text: "")

    assert reported("[")[0][2] == '"[" is not a regular expression: it is not one of ECMA-262; correct it'


DIGITS = r"\d" * 65
SMALLER = "limit the length with maxLength instead of {n,m} or shorten the pattern"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"\p{L}{1,5000}", rf'"\p{{L}}{{1,5000}}" needs more than 2048 KiB when compiled; {SMALLER}'),
        ("a" * 2049, f'"{"a" * 79}…" must have at most 2048 characters, got 2049; shorten it'),
        (
            DIGITS,
            (
                f'"{DIGITS[:79]}…" must have at most 64 character class escapes such as \\d and \\S, got 65; write '
                "them as classes, such as [0-9]"
            ),
        ),
    ],
)
def test_what_is_too_large_says_what_to_write(pattern: str, message: str) -> None:
    assert reported(pattern) == [("properties.p0.pattern", Reason.PATTERN_TOO_LARGE, message)]


@pytest.mark.parametrize("pattern", ["(?i)a", "(?i:a)", "(?-s)a", "(?s-i:a)"])
def test_flags_are_refused(pattern: str) -> None:
    message = f'"{pattern}" sets flags, which ECMA-262 does not have; write both cases, such as [aA]'

    assert reported(pattern) == [("properties.p0.pattern", Reason.UNSUPPORTED_PATTERN, message)]


@pytest.mark.parametrize("pattern", ["(?:a)", "(?<x>a)", r"\(\?=a\)", r"[(?=]a", r"[\](?=]a", "(?i", r"\\\\1", r"a\\?"])
def test_what_only_looks_like_it_is_not_refused_for_it(pattern: str) -> None:
    assert Reason.UNSUPPORTED_PATTERN not in {reason for _, reason, _ in reported(pattern)}


def test_the_bounds_themselves_are_allowed() -> None:
    assert reported("a" * 2048, r"\d" * 64) == []
    assert reported(*(f"{letter}" * 2048 for letter in "abcd")) == []
    assert reported(*(f"{letter}{chr(92)}d" * 64 for letter in "abcd")) == []


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([f"a{number}" for number in range(101)], "100 different patterns, got 101"),
        ([*(letter * 2048 for letter in "abcd"), "e"], "8192 characters of patterns, got 8193"),
        (
            [*(f"{letter}{chr(92)}d" * 64 for letter in "abcd"), r"\S"],
            r"256 character class escapes such as \d and \S in patterns, got 257",
        ),
    ],
)
def test_all_patterns_of_a_schema_have_bounds(texts: list[str], message: str) -> None:
    assert reported(*texts) == [
        ("", Reason.PATTERN_TOO_LARGE, f"the schema must have at most {message}; remove or shorten some")
    ]


def test_a_hundred_patterns_are_allowed_and_repetitions_are_one() -> None:
    assert reported(*(f"a{number}" for number in range(100)), "a1", "a2") == []


def test_eight_large_patterns_are_allowed() -> None:
    large = [f"[^<>]{{{number}}}" for number in range(501, 510)]

    assert reported(*large[:8]) == []
    assert reported(*large) == [
        (
            "",
            Reason.PATTERN_TOO_LARGE,
            (
                "the schema must have at most 8 patterns that need more than 64 KiB when compiled; "
                f'{SMALLER}: "[^<>]{{509}}"'
            ),
        )
    ]


def test_what_is_too_large_counts_as_large() -> None:
    found = reported(*(f"a{{{number}}}" for number in range(100_000, 100_020)))

    assert [place for place, _, _ in found] == [*(f"properties.p{number}.pattern" for number in range(8)), ""]


def test_names_of_properties_are_patterns_too() -> None:
    (found,) = patterns.faults(subschemas.walk({"patternProperties": {"(?=a)": True}}))

    assert found.path == ("patternProperties", "(?=a)")
