"""Path templates: what each placeholder needs, and what would lead out of the path."""

from __future__ import annotations

import pytest

from crd.finding import Reason
from crd.rules import inputs, paths
from tests.crd.rules.documents import taking

KNOWN = inputs.of_schema(
    taking(
        "id",
        "many",
        "maybe",
        id={"type": "string"},
        many={"type": "array"},
        maybe={"type": ["string", "object", "array"]},
        n={"type": "integer", "default": 1},
        opt={"type": "string"},
        ok={"type": "boolean", "default": True},
    )
)


@pytest.mark.parametrize(
    ("path", "names"),
    [("", ()), ("/a", ()), ("/{a}/{b+}/x-{a}.{c}", ("a", "b", "c")), ("/{}", ("",)), ("/{a{b}}", ("b",))],
)
def test_the_names_in_a_path(path: str, names: tuple[str, ...]) -> None:
    assert paths.placeholders(path) == names


@pytest.mark.parametrize(
    "path",
    ["", "/orders", "/{id}", "/{id}/lines/{n}", "/{id+}", "/x/{id+}/y", "/{ok}", "/{id}-{n}", "/v1.{id}", "/{id}.json"],
)
def test_a_path_that_every_argument_fits(path: str) -> None:
    assert list(paths.template_faults(path, KNOWN)) == []


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        (
            "/{idd}",
            (
                Reason.UNDECLARED_PLACEHOLDER,
                "idd",
                'placeholder "{idd}" is not declared in spec.inputSchema; did you mean "id"?',
            ),
        ),
        (
            "/{zzz+}",
            (
                Reason.UNDECLARED_PLACEHOLDER,
                "zzz",
                'placeholder "{zzz}" is not declared in spec.inputSchema; declare it there or remove it',
            ),
        ),
        (
            "/{many}",
            (
                Reason.INVALID_MAPPING,
                "many",
                '"many" can be of type array, which a path cannot carry; give it a scalar type',
            ),
        ),
        (
            "/{maybe}",
            (
                Reason.INVALID_MAPPING,
                "maybe",
                '"maybe" can be of type array or object, which a path cannot carry; give it a scalar type',
            ),
        ),
        (
            "/{opt}",
            (
                Reason.INVALID_MAPPING,
                "opt",
                '"opt" is optional but used in the path; make it required or give it a default',
            ),
        ),
    ],
)
def test_a_placeholder_that_no_argument_fills(path: str, fault: tuple[Reason, str, str]) -> None:
    assert list(paths.template_faults(path, KNOWN)) == [fault]


def test_a_placeholder_is_told_once_however_often_it_stands_there() -> None:
    assert [subject for _, subject, _ in paths.template_faults("/{x}/{x}/{y}", KNOWN)] == ["x", "y"]


def elsewhere(segment: str) -> str:
    return f'path segment "{segment}" resolves to another path; write the resolved path'


def hidden(segment: str) -> str:
    return f'path segment "{segment}" encodes a slash or control character; remove the encoded character'


def dots(segment: str) -> str:
    return f'path segment "{segment}" becomes ".." for some arguments; add a letter or digit'


def beside(segment: str) -> str:
    return (
        f'path segment "{segment}" has two adjacent placeholders, whose values cannot be '
        "separated; put text between them"
    )


def crowded(segment: str, name: str) -> str:
    return f'path segment "{segment}" holds more than {{{name}+}}, which must be a whole segment; put slashes around it'


@pytest.mark.parametrize(
    ("path", "segment", "message"),
    [
        ("/a/../b", "..", elsewhere("..")),
        ("/.", ".", elsewhere(".")),
        ("/%2e%2E", "%2e%2E", elsewhere("%2e%2E")),
        ("/..;x=1", "..;x=1", elsewhere("..;x=1")),
        ("/a%2Fb", "a%2Fb", hidden("a%2Fb")),
        ("/a%5cb", "a%5cb", hidden("a%5cb")),
        ("/a%1f", "a%1f", hidden("a%1f")),
        ("/.{a}", ".{a}", dots(".{a}")),
        ("/{a}%2e", "{a}%2e", dots("{a}%2e")),
        ("/{a}.{b}", "{a}.{b}", dots("{a}.{b}")),
        ("/x{a}{b}", "x{a}{b}", beside("x{a}{b}")),
        ("/{a}{b}", "{a}{b}", beside("{a}{b}")),
        ("/{a+}.x", "{a+}.x", crowded("{a+}.x", "a")),
        ("/x{a+}", "x{a+}", crowded("x{a+}", "a")),
        ("/{a}-{b+}", "{a}-{b+}", crowded("{a}-{b+}", "a")),
        ("/{a+}{b}", "{a+}{b}", crowded("{a+}{b}", "a")),
    ],
)
def test_what_would_lead_out_of_the_path(path: str, segment: str, message: str) -> None:
    assert list(paths.literal_faults(path)) == [(Reason.UNSAFE_PATH, segment, message)]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a//b",
        "/...",
        "/..a",
        "/;..",
        "/a%20b",
        "/a%25",
        "/%41",
        "/a%20",
        "/{a}",
        "/{a+}",
        "/{a}-{b}",
        "/.x{a}",
        "/{a}..{b}x",
        "..",
    ],
)
def test_what_stays_in_the_path(path: str) -> None:
    assert list(paths.literal_faults(path)) == []


def test_every_segment_is_reported() -> None:
    assert [subject for _, subject, _ in paths.literal_faults("/../{a}{b}/.")] == ["..", "{a}{b}", "."]


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"type": ["string", "null"]}, '"a" can be null, which a path cannot carry; remove null from its type'),
        (
            {"type": "string", "enum": ["x", "a/b"]},
            '"a" can be "a/b", which is refused in a path; correct its default or enum',
        ),
        (
            {"type": "string", "default": ".."},
            '"a" can be "..", which is refused in a path; correct its default or enum',
        ),
        ({"const": ""}, '"a" can be "", which is refused in a path; correct its default or enum'),
    ],
)
def test_a_value_that_a_path_cannot_carry(node: object, message: str) -> None:
    known = inputs.of_schema(taking("a", a=node))

    assert list(paths.template_faults("/{a}", known)) == [(Reason.INVALID_MAPPING, "a", message)]


def test_a_placeholder_of_several_segments_carries_a_slash() -> None:
    known = inputs.of_schema(taking("a", a={"enum": ["a/b"]}))

    assert list(paths.template_faults("/{a+}", known)) == []
