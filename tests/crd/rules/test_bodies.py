"""Request bodies: each mode has what it needs and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from crd.finding import Reason
from crd.models.http import Body
from crd.rules import bodies, inputs
from tests.crd.rules.documents import taking

KNOWN = inputs.of_schema(
    taking(
        "text",
        text={"type": "string"},
        n={"type": "number"},
        list={"type": "array"},
        tags={"type": "array", "items": {"enum": ["a b", "c|d"]}},
        lists={"type": "array", "items": {"type": "array"}},
        thing={"type": "object", "properties": {"name": {"type": "string"}}},
        any={},
    )
)
INVALID, UNMAPPED = Reason.INVALID_MAPPING, Reason.UNMAPPED_ARGUMENT


def body(mode: str, **fields: Any) -> Body:
    return Body.model_validate({"mode": mode, **fields}, strict=False)


def said(method: str, given: Body) -> list[tuple[str, str]]:
    """Path and message of each fault; all of them are of one reason."""
    found = list(bodies.faults(given, method, KNOWN))
    assert {reason for reason, _, _ in found} <= {INVALID}
    return [(".".join(map(str, path)), message) for _, path, message in found]


@pytest.mark.parametrize(
    ("method", "mode"),
    [("POST", "Arguments"), ("PUT", "Arguments"), ("PATCH", "Arguments"), ("GET", "None"), ("DELETE", "None")],
)
def test_without_a_body_the_method_says_the_mode(method: str, mode: str) -> None:
    assert bodies.effective_mode(None, method) == mode
    assert bodies.effective_mode(body("Form"), method) == "Form"


FIELD = {"name": "f", "argument": "text"}
SOUND = [
    body("Arguments"),
    body("Arguments", contentType="application/json"),
    body("Arguments", contentType="application/json; charset=utf-8"),
    body("Arguments", contentType="Application/Merge-Patch+JSON"),
    body("Argument", argument="thing"),
    body("Argument", argument="/thing/name", contentType="application/json-patch+json"),
    body("Raw", argument="text", contentType="text/plain"),
    body("Raw", argument="text", contentType="image/png", encoding="Base64"),
    body("Fields", fields=[FIELD]),
    body("Fields", fields=[{"name": "/" + "/".join("abcdefgh"), "argument": "list"}]),
    body("Fields", fields=[{"name": "/a/b", "value": "x"}, {"name": "/a/c", "claim": "sub"}]),
    body("Form"),
    body("Form", fields=[FIELD, {"name": "n", "argument": "n"}]),
    body("Form", fields=[{"name": "/1/2/3/4/5/6/7/8/9", "argument": "text"}]),
    body("Form", fields=[{"name": "/a", "argument": "text"}, {"name": "/a/b", "argument": "text"}]),
    *(
        body("Form", fields=[{"name": "f", "argument": "list", "style": style}])
        for style in ("Repeat", "Comma", "Space", "Pipe", "Json")
    ),
    *(body("Form", fields=[{"name": "f", "argument": "thing", "style": style}]) for style in ("DeepObject", "Json")),
    *(body("Form", fields=[{**FIELD, "style": style}]) for style in ("Comma", "DeepObject", "Json")),
    body("Multipart"),
    body("Multipart", fields=[{"name": "f", "argument": "list"}, {"name": "g", "argument": "any", "style": "Json"}]),
    body("Multipart", fields=[{"name": "f", "argument": "list", "encoding": "Base64"}]),
    body("Multipart", fields=[{**FIELD, "fileName": "a.txt", "mediaType": "text/plain", "encoding": "Base64"}]),
    body("None"),
]


@pytest.mark.parametrize("given", SOUND)
def test_a_sound_body(given: Body) -> None:
    assert said("POST", given) == []


def test_a_get_has_no_body() -> None:
    message = "a GET request has no body; set mode to None or change spec.method"
    assert said("GET", body("Arguments")) == [("mode", message)]
    assert said("GET", body("None")) == []
    assert said("DELETE", body("Arguments")) == []


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        (body("Argument"), "argument", "mode Argument requires argument; set it to the argument to send"),
        (
            body("Raw", contentType="text/plain"),
            "argument",
            "mode Raw requires argument; set it to the argument to send",
        ),
        *(
            (
                body(mode, argument="text", **extra),
                "argument",
                f"mode {mode} does not support argument; remove it or use mode Argument",
            )
            for mode, extra in (
                ("Arguments", {}),
                ("Fields", {"fields": [FIELD]}),
                ("Form", {}),
                ("Multipart", {}),
                ("None", {}),
            )
        ),
        (body("Fields"), "fields", "mode Fields requires fields; add one or use mode Arguments"),
        *(
            (
                body(mode, fields=[FIELD], **extra),
                "fields",
                f"mode {mode} does not support fields; remove them or use mode Fields",
            )
            for mode, extra in (
                ("Arguments", {}),
                ("Argument", {"argument": "thing"}),
                ("Raw", {"argument": "text", "contentType": "a/b"}),
                ("None", {}),
            )
        ),
        *(
            (
                body(mode, encoding="Base64", **extra),
                "encoding",
                f"mode {mode} does not support encoding; remove it or use mode Raw",
            )
            for mode, extra in (
                ("Arguments", {}),
                ("Argument", {"argument": "thing"}),
                ("Fields", {"fields": [FIELD]}),
                ("Form", {}),
                ("Multipart", {}),
                ("None", {}),
            )
        ),
    ],
)
def test_a_mode_has_what_it_needs_and_nothing_else(given: Body, path: str, message: str) -> None:
    assert said("POST", given) == [(path, message)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            body("Argument", argument="texd"),
            '"texd" is not declared in spec.inputSchema; did you mean "text"?',
        ),
        (
            body("Raw", argument="zzz", contentType="a/b"),
            '"zzz" is not declared in spec.inputSchema; declare it there or remove it',
        ),
        (
            body("Raw", argument="n", contentType="a/b"),
            '"n" must be a string in mode Raw; set its type to string or use mode Argument',
        ),
        (
            body("Raw", argument="any", contentType="a/b"),
            '"any" must be a string in mode Raw; set its type to string or use mode Argument',
        ),
    ],
)
def test_the_argument_that_is_sent(given: Body, message: str) -> None:
    assert said("POST", given) == [("argument", message)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            body("Raw", argument="text"),
            "mode Raw requires contentType; set it to the media type of the argument",
        ),
        *(
            (
                body(mode, contentType="application/json"),
                f"mode {mode} does not support contentType; remove it",
            )
            for mode in ("Form", "Multipart", "None")
        ),
        *(
            (
                body("Arguments", contentType=given),
                f'must be application/json or application/*+json, got "{given}"; change it or use mode Raw',
            )
            for given in ("text/json", "application/jsonp", "text/x+json", "application/json+xml")
        ),
        (
            body("Fields", fields=[FIELD], contentType="text/plain"),
            'must be application/json or application/*+json, got "text/plain"; change it or use mode Raw',
        ),
        (
            body("Argument", argument="thing", contentType="text/plain"),
            'must be application/json or application/*+json, got "text/plain"; change it or use mode Raw',
        ),
    ],
)
def test_the_content_type(given: Body, message: str) -> None:
    assert said("POST", given) == [("contentType", message)]


CORRECT = "correct its default or enum, or use style Json"


def fields(mode: str, *listed: dict[str, Any]) -> Body:
    return body(mode, fields=list(listed))


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        (
            fields("Fields", FIELD, {"name": "g", "argument": "texd"}),
            "fields.1.argument",
            '"texd" is not declared in spec.inputSchema; did you mean "text"?',
        ),
        (
            fields("Form", {"name": "f", "argument": "thing"}),
            "fields.0.style",
            '"thing" can be an object, which style Repeat does not support; use DeepObject or Json',
        ),
        (
            fields("Form", {"name": "f", "argument": "list", "style": "DeepObject"}),
            "fields.0.style",
            '"list" can be an array, which style DeepObject does not support; use Repeat, Comma, Space, Pipe or Json',
        ),
        *(
            (
                fields("Form", {"name": "f", "argument": "tags", "style": style}),
                "fields.0.argument",
                f'"tags" can be "{text}", which style {style} cannot send in a form; {CORRECT}',
            )
            for style, text in (("Space", "a b"), ("Pipe", "c|d"))
        ),
        (
            fields("Multipart", {"name": "f", "argument": "any"}),
            "fields.0.style",
            '"any" can be an object, which style Repeat does not support; use Json',
        ),
        (
            fields("Multipart", {**FIELD, "style": "Comma"}),
            "fields.0.style",
            "style Comma requires mode Form; use Repeat or Json",
        ),
        (
            fields("Fields", {**FIELD, "style": "Json"}),
            "fields.0.style",
            "style requires mode Form or Multipart; remove it",
        ),
        (
            fields("Multipart", {**FIELD, "style": "Json", "encoding": "Base64"}),
            "fields.0.encoding",
            "encoding has no effect with style Json; remove one of them",
        ),
        (
            fields("Fields", {"name": "/1/2/3/4/5/6/7/8/9", "argument": "text"}),
            "fields.0.name",
            '"/1/2/3/4/5/6/7/8/9" must have at most 8 steps, got 9',
        ),
        (
            fields("Fields", {**FIELD, "fileName": "a.txt"}),
            "fields.0.fileName",
            "fileName requires mode Multipart; remove it or change the mode",
        ),
        (
            fields("Form", {**FIELD, "mediaType": "text/plain"}),
            "fields.0.mediaType",
            "mediaType requires mode Multipart; remove it or change the mode",
        ),
        (
            fields("Form", {**FIELD, "encoding": "Base64"}),
            "fields.0.encoding",
            "encoding requires mode Multipart; remove it or change the mode",
        ),
    ],
)
def test_a_field(given: Body, path: str, message: str) -> None:
    assert said("POST", given) == [(path, message)]


@pytest.mark.parametrize(
    ("names", "clash"),
    [
        pytest.param(("a", "/a"), ("/a", "a"), id="a member by name and by pointer"),
        pytest.param(("a", "/a/b"), ("/a/b", "a"), id="inside of a value"),
        pytest.param(("/a/b", "a"), ("a", "/a/b"), id="around a value"),
        pytest.param(("/a/b/c", "x", "/a/b"), ("/a/b", "/a/b/c"), id="with another between"),
        pytest.param(("a/b", "/a~1b"), ("/a~1b", "a/b"), id="a slash that is escaped"),
        pytest.param(("a~b", "/a~0b"), ("/a~0b", "a~b"), id="a tilde that is escaped"),
        pytest.param(("/a/b", "/a/c", "/ab"), None, id="side by side"),
        pytest.param(("a/b", "/a/b"), None, id="a name with a slash is one step"),
        pytest.param(("a~1b", "/a~1b"), None, id="a name is taken as it is"),
    ],
)
def test_two_fields_are_not_at_one_place(names: tuple[str, ...], clash: tuple[str, str] | None) -> None:
    found = said("POST", fields("Fields", *({"name": name, "argument": "text"} for name in names)))
    if clash is None:
        assert found == []
    else:
        later, earlier = clash
        message = f'"{later}" and "{earlier}" write to the same place in the body; remove or rename one'
        assert found == [(f"fields.{names.index(later)}.name", message)]


NOWHERE = '"{0}" is declared in spec.inputSchema but never sent to the backend; map it or remove it'
QUERY = (
    '"{0}" can be an object, which the query cannot carry by default; add a query entry with '
    "style DeepObject or Json, or give it a scalar type"
)
FORM = (
    '"{0}" can be an object, which a form cannot carry by default; add a field with style DeepObject or Json, or give '
    "it a scalar type"
)
PART = FORM.replace("DeepObject or Json", "Json")


@pytest.mark.parametrize(
    ("mode", "unused", "expected"),
    [
        ("Arguments", ("text", "thing", "any"), []),
        ("Argument", ("text",), [(UNMAPPED, "text", NOWHERE)]),
        ("Fields", ("text", "n"), [(UNMAPPED, "text", NOWHERE), (UNMAPPED, "n", NOWHERE)]),
        ("Raw", ("thing",), [(UNMAPPED, "thing", NOWHERE)]),
        ("None", ("text", "n", "list", "unheard"), []),
        ("None", ("thing", "any"), [(INVALID, "thing", QUERY), (INVALID, "any", QUERY)]),
        ("Form", ("text", "n", "unheard"), []),
        ("Form", ("list", "thing"), [(INVALID, "thing", FORM)]),
        ("Multipart", ("any",), [(INVALID, "any", PART)]),
        ("Multipart", ("text", "list"), []),
    ],
)
def test_where_an_argument_goes_that_no_entry_names(
    mode: str, unused: tuple[str, ...], expected: list[tuple[Reason, str, str]]
) -> None:
    assert list(bodies.leftover_faults(mode, unused, KNOWN)) == [
        (reason, name, message.format(name, mode)) for reason, name, message in expected
    ]


def test_the_fields_whose_items_are_written_as_texts() -> None:
    lists = {"name": "f", "argument": "lists"}

    assert list(bodies.listed_fields(fields("Form", {**FIELD, "name": "g"}, {**lists, "style": "Comma"}))) == [
        (0, "text", "Repeat"), (1, "lists", "Comma")
    ]  # fmt: skip
    assert list(bodies.listed_fields(fields("Multipart", lists))) == [(0, "lists", "Repeat")]
    # Each part is said to be JSON, and is.
    assert list(bodies.listed_fields(fields("Multipart", {**lists, "mediaType": "application/json"}))) == []
    assert list(bodies.listed_fields(fields("Fields", lists))) == []
