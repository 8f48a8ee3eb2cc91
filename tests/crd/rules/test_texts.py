"""Texts that a model reads: long enough to choose by, and nothing in them that a reviewer does not see."""

from __future__ import annotations

from typing import Any

import pytest

from crd.rules import texts
from tests.crd.rules.documents import broken, findings_of, prompt, resource, server, tool

SAID = "describe in a sentence what it does and when to use it"


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("", "the description is empty"),
        (" \n", "the description is empty"),
        ("Orders", 'the description "Orders" is too short'),
        ("d" * 19, f'the description "{"d" * 19}" is too short'),
        (f"  {'d' * 19}  ", f'the description "{"d" * 19}" is too short'),
        ("d" * 20, None),
    ],
)
def test_a_description_to_choose_by(description: str, expected: str | None) -> None:
    content = {"uri": "urn:a", "text": ""}
    items = (
        tool(description=description),
        prompt(description=description),
        resource(description=description, content=content),
    )
    for item in items:
        line = f"warning WeakDescription: spec.description: {expected}; {SAID}"
        assert findings_of(texts.weak_description(item)) == ([line] if expected else [])


@pytest.mark.parametrize("item", [tool, prompt])
def test_a_description_of_more_than_a_kibibyte_costs_a_model_too_much(item: Any) -> None:
    (found,) = findings_of(texts.weak_description(item(description="ö" * 513)))

    assert found.startswith("warning WeakDescription: spec.description: the description has 1026 bytes, more than 1024")
    assert findings_of(texts.weak_description(item(description="ö" * 512))) == []


def test_a_server_and_what_cannot_be_read_are_not_chosen_by_description() -> None:
    for item in (server(), broken("MCPTool", {})):
        assert findings_of(texts.weak_description(item)) == []
        assert findings_of(texts.unsafe_texts(item)) == []


# The first and last of each range of characters that are refused.
UNSEEN = {
    "\x00": "a control character",
    "\x08": "a control character",
    "\x0b": "a control character",
    "\x0c": "a control character",
    "\x0e": "a control character",
    "\x1f": "a control character",
    "\x7f": "a control character",
    "\x9f": "a control character",
    "\u061c": "arabic letter mark",
    "\u200b": "zero width space",
    "\u200e": "left-to-right mark",
    "\u200f": "right-to-left mark",
    "\u202a": "left-to-right embedding",
    "\u202e": "right-to-left override",
    "\u2060": "word joiner",
    "\u2064": "invisible plus",
    "\u2066": "left-to-right isolate",
    "\u2069": "pop directional isolate",
    "\ufeff": "zero width no-break space",
    "\U000e0000": "a control character",
    "\U000e0041": "tag latin capital letter a",
    "\U000e007f": "cancel tag",
}


def hidden(path: str, character: str, position: int) -> str:
    name = UNSEEN[character]
    return (
        f"error UnsafeText: {path}: U+{ord(character):04X} ({name}) at character {position} is "
        f"invisible to reviewers; remove it from {path}"
    )


@pytest.mark.parametrize("character", UNSEEN, ids=lambda character: f"U+{ord(character):04X}")
def test_a_character_that_nobody_sees(character: str) -> None:
    assert findings_of(texts.unsafe_texts(tool(description=f"ab{character}c{character}"))) == [
        hidden("spec.description", character, 3)
    ]


# What stands just outside of those ranges, and what scripts need.
SEEN = "\t\n\r \u00a0\u061b\u061d\u200a\u200c\u200d\u2010\u2029\u202f\u205f\u2065\u206a\ufefe\uff00\U000e0080"


@pytest.mark.parametrize("character", SEEN, ids=lambda character: f"U+{ord(character):04X}")
def test_a_character_that_may_stand(character: str) -> None:
    assert findings_of(texts.unsafe_texts(tool(description=f"a{character}b"))) == []


BAD = "\u202e"


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"title": BAD}
    for _ in range(levels):
        schema = {"not": schema}
    return {"type": "object", **schema} if levels == 0 else {"type": "object", "not": schema["not"]}


@pytest.mark.parametrize(
    ("item", "path"),
    [
        (tool(title=BAD), "spec.title"),
        (resource(title=BAD, content={"uri": "urn:a", "text": BAD}), "spec.title"),
        (prompt(title=BAD), "spec.title"),
        (prompt(BAD), "spec.template"),
        (
            broken("MCPPrompt", {"messages": [{"text": "t"}, {"resource": {"uri": "urn:a"}}, {"text": BAD}]}),
            "spec.messages[2].text",
        ),
        (prompt(variables=[{"name": "a"}, {"name": "b", "title": BAD}]), "spec.variables[1].title"),
        (prompt(variables=[{"name": "a", "description": BAD}]), "spec.variables[0].description"),
        (server(info={"title": BAD}), "spec.info.title"),
        (server(info={"instructions": BAD}), "spec.info.instructions"),
        (tool(inputSchema={"type": "object", "title": BAD}), "spec.inputSchema.title"),
        (tool(inputSchema={"type": "object", "$comment": BAD}), "spec.inputSchema.$comment"),
        (
            tool(inputSchema={"type": "object", "properties": {"a": {"anyOf": [{}, {"description": BAD}]}}}),
            "spec.inputSchema.properties.a.anyOf[1].description",
        ),
        (
            tool(inputSchema={"type": "object", "properties": {"title": {"description": BAD}}}),
            "spec.inputSchema.properties.title.description",
        ),
        (tool(outputSchema={"type": "object", "title": BAD}), "spec.outputSchema.title"),
        (tool(inputSchema=nested(30)), "spec.inputSchema" + ".not" * 30 + ".title"),
    ],
)
def test_every_text_that_a_model_reads(item: Any, path: str) -> None:
    assert findings_of(texts.unsafe_texts(item)) == [hidden(path, BAD, 1)]


@pytest.mark.parametrize(
    "item",
    [
        server(),
        server(info={"version": BAD}),
        tool(inputSchema={"type": "object", "default": BAD, "enum": [BAD]}),
        tool(inputSchema=nested(31)),
    ],
)
def test_what_no_model_reads_as_a_text(item: Any) -> None:
    assert findings_of(texts.unsafe_texts(item)) == []


READ = "warning ContradictoryHint: spec.annotations.readOnlyHint: readOnlyHint is true but spec.method is DELETE; "
READ += "remove the hint or correct the method"
BOTH = "warning ContradictoryHint: spec.annotations.destructiveHint: readOnlyHint and destructiveHint are both true; "
BOTH += "remove the one that is wrong"
GET = "warning ContradictoryHint: spec.annotations.destructiveHint: destructiveHint is true but spec.method is GET; "
GET += "remove the hint or correct the method"


@pytest.mark.parametrize(
    ("method", "hints", "expected"),
    [
        ("GET", {"destructiveHint": True}, [GET]),
        ("GET", {"destructiveHint": True, "readOnlyHint": True}, [GET]),
        ("GET", {"destructiveHint": False, "readOnlyHint": True}, []),
        ("POST", {"destructiveHint": True, "readOnlyHint": True}, [BOTH]),
        ("POST", {"destructiveHint": True, "readOnlyHint": False}, []),
        ("POST", {"destructiveHint": False, "readOnlyHint": True}, []),
        ("POST", {"destructiveHint": True}, []),
        ("DELETE", {"readOnlyHint": True}, [READ]),
        ("DELETE", {"readOnlyHint": True, "destructiveHint": True}, [BOTH, READ]),
        ("DELETE", {"readOnlyHint": False, "destructiveHint": True}, []),
        ("PUT", {"readOnlyHint": True}, []),
        ("GET", {}, []),
    ],
)
def test_hints_that_contradict(method: str, hints: dict[str, bool], expected: list[str]) -> None:
    assert findings_of(texts.contradictory_hints(tool(method=method, annotations=hints))) == expected


def test_without_hints_nothing_contradicts() -> None:
    for item in (tool(method="DELETE"), prompt(), server()):
        assert findings_of(texts.contradictory_hints(item)) == []
