"""How a value is written at each position, and in which words it is refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from crd.published.entries import BodyField, ParameterEntry
from runtime.backends.faults import CallError
from runtime.backends.http_mapping import escaping

LONG_HEADER = "must be visible ASCII of 1 to 4096 characters to be sent in a header"
LONG_PATH = "must have 1 to 1024 characters to be sent in a path"
SURROGATE = "must not contain a lone surrogate (not valid Unicode)"


@pytest.mark.parametrize(
    ("write", "value", "rule"),
    [
        (escaping.to_text, [1], "must be a string, a number or a boolean"),
        (escaping.to_text, None, "must be a string, a number or a boolean"),
        (escaping.encode, "\ud800", SURROGATE),
        (escaping.escape, "\ud800", SURROGATE),
        (escaping.escape_segment, "", LONG_PATH),
        (escaping.escape_segment, "ü" * 1025, LONG_PATH),
        (escaping.escape_segment, "a" * 1025, LONG_PATH),
        (escaping.escape_segment, "\ud800", SURROGATE),
        (escaping.escape_segment, "a/b", 'must not contain "/"'),
        (escaping.escape_segment, "a%2fb", 'must not contain "/"'),
        (escaping.escape_segment, "a%25252fb", 'must not contain "/"'),
        (escaping.escape_segment, "a\x1f", "must not contain a control character"),
        (escaping.escape_segment, "a\x7f", "must not contain a control character"),
        (escaping.escape_segment, "a%00", "must not contain a control character"),
        (escaping.escape_segment, "a\\b", 'must not contain "\\"'),
        (escaping.escape_segment, "a%5cb", 'must not contain "\\"'),
        (escaping.escape_segment, ".", "must not contain a dot segment"),
        (escaping.escape_segment, "..;x", "must not contain a dot segment"),
        (escaping.escape_segment, "%2e%2e", "must not contain a dot segment"),
        (escaping.escape_segments, "", LONG_PATH),
        (escaping.escape_segments, "a//b", "must not contain an empty path segment"),
        (escaping.escape_segments, "/a", "must not contain an empty path segment"),
        (escaping.escape_segments, "a/", "must not contain an empty path segment"),
        (escaping.escape_segments, "a/../b", "must not contain a dot segment"),
        (escaping.escape_segments, "a%2f..%2fb", "must not contain a dot segment"),
        (escaping.escape_segments, "a/b\n", "must not contain a control character"),
        (escaping.check_header, "", LONG_HEADER),
        (escaping.check_header, " a", LONG_HEADER),
        (escaping.check_header, "ü", LONG_HEADER),
        (escaping.check_header, "a" * 4097, LONG_HEADER),
        (escaping.to_plain_text, None, "must be a string, a number or a boolean"),
    ],
)
def test_a_value_is_refused_by_its_pointer_and_its_rule(write: Callable[..., Any], value: Any, rule: str) -> None:
    for name, pointer in (("a/b", "/a~1b"), ("/a/b", "/a/b")):
        with pytest.raises(CallError) as caught:
            write(name, value)
        assert (caught.value.code, caught.value.message) == ("invalid_arguments", f"{pointer}: {rule}")


@pytest.mark.parametrize(
    ("write", "value", "written"),
    [
        (escaping.to_text, "a", "a"),
        (escaping.to_text, True, "true"),
        (escaping.to_text, 7, "7"),
        (escaping.to_text, 1.5, "1.5"),
        (escaping.to_text, Decimal("1.10"), "1.10"),
        (escaping.to_plain_text, {"ü": [1]}, '{"\\u00fc":[1]}'),
        (escaping.to_plain_text, ["😀"], '["\\ud83d\\ude00"]'),
        (escaping.to_plain_text, "ü", "ü"),
        (escaping.encode, "ü", b"\xc3\xbc"),
        (escaping.escape, "a-b._~", "a-b._~"),
        (escaping.escape, "a/b &ü", "a%2Fb%20%26%C3%BC"),
        (escaping.escape, "", ""),
        (escaping.escape_segment, "a" * 1024, "a" * 1024),
        (escaping.escape_segment, "a b;c", "a%20b%3Bc"),
        (escaping.escape_segment, "a.b", "a.b"),
        (escaping.escape_segment, "...", "..."),
        (escaping.escape_segment, "%41", "%2541"),
        (escaping.escape_segments, "a b/c?", "a%20b/c%3F"),
        (escaping.escape_segments, "a", "a"),
        (escaping.check_header, "a b", "a b"),
        (escaping.check_header, "a" * 4096, "a" * 4096),
    ],
)
def test_a_value_is_written_for_its_position(write: Callable[..., Any], value: Any, written: Any) -> None:
    assert write("a", value) == written


def test_what_an_author_wrote_stays_as_far_as_a_url_allows_it() -> None:
    assert escaping.escape_literal("/a%20b/~x:@!$&'()*+,;=-._") == "/a%20b/~x:@!$&'()*+,;=-._"
    assert escaping.escape_literal("/a b?#ü") == "/a%20b%3F%23%C3%BC"


@pytest.mark.parametrize(
    ("path", "base", "message"),
    [
        ("/api", "/api", None),
        ("/api/a", "/api", None),
        ("/api/a", "/api/", None),
        ("/a", "/", None),
        ("/api/a%2Eb", "/api", None),
        ("/api/...", "/api", None),
        ("/apix", "/api", "the path would leave the base path of the service"),
        ("/", "/api", "the path would leave the base path of the service"),
        ("/api/..", "/api", "the path would contain a dot segment"),
        ("/api/.", "/api", "the path would contain a dot segment"),
        ("/api/%2e%2e", "/api", "the path would contain a dot segment"),
        ("/api/%252e", "/api", "the path would contain a dot segment"),
        ("/api/a/..;x/b", "/api", "the path would contain a dot segment"),
        ("/..", "/..", "the path would contain a dot segment"),
    ],
)
def test_a_path_stays_at_or_below_its_base(path: str, base: str, message: str | None) -> None:
    if message is None:
        escaping.check_path(path, base)
        return
    with pytest.raises(CallError) as caught:
        escaping.check_path(path, base)
    assert (caught.value.code, caught.value.message) == ("invalid_arguments", message)


def test_refusals_are_collected_once_each_and_other_faults_are_raised() -> None:
    refusals = escaping.Refusals()
    refusals.check()
    for rule in ("one", "two", "one"):
        with refusals.collect():
            raise escaping.refuse("a", rule)
    with pytest.raises(CallError, match="away"), refusals.collect():
        raise CallError("unreachable", "away")

    with pytest.raises(CallError) as caught:
        refusals.check()
    assert (caught.value.code, caught.value.message) == ("invalid_arguments", "/a: one; /a: two")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (ParameterEntry("X-A", claim="sub"), 'the claim "sub" of the client token cannot be sent as X-A: it is bad'),
        (ParameterEntry("X-A", value="v"), "a constant of the tool cannot be sent as X-A: it is bad"),
        (BodyField("f", value="v"), "a constant of the tool cannot be sent as f: it is bad"),
    ],
)
def test_what_no_argument_can_help_is_a_misconfiguration(entry: Any, message: str) -> None:
    refusals = escaping.Refusals()

    with pytest.raises(CallError) as caught, refusals.collect(entry):
        raise escaping.refuse("X-A", "is bad")

    assert (caught.value.code, caught.value.message) == ("misconfigured", message)
    with refusals.collect(ParameterEntry("X-A", argument="a")):
        raise escaping.refuse("a", "is bad")
    with pytest.raises(CallError, match=r"^invalid_arguments: /a: is bad$"):
        refusals.check()


def test_the_first_refusal_is_raised_as_it_is() -> None:
    with pytest.raises(CallError, match="/a: one"), escaping.FirstRefusal().collect():
        raise escaping.refuse("a", "one")
    escaping.FirstRefusal().check()


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(CallError) as caught:
        escaping.to_json({"a": "\ud800"})
    assert caught.value.code == "invalid_arguments"
    assert caught.value.message.startswith("the arguments cannot be written as JSON: ")
    with pytest.raises(CallError, match=r"object is not a JSON value|not JSON serializable"):
        escaping.to_json({"a": object()})
