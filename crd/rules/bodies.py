"""PURE. Request bodies: each mode has the members that it requires and no others, and every argument is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.finding import Reason
from crd.rules import styles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crd.models.http import Body, BodyField
    from crd.rules.inputs import Inputs

__all__ = ["MAX_STEPS", "SENDS_LISTS", "effective_mode", "faults", "leftover_faults", "listed_fields"]

Path = tuple[str | int, ...]
Fault = tuple[Reason, Path, str]
"""Reason, path below spec.http.body and message."""

MAX_STEPS = 8
_WITH_FIELDS = ("Fields", "Form", "Multipart")
_WITH_ARGUMENT = ("Argument", "Raw")
_JSON_MODES = ("Arguments", "Argument", "Fields")
# Modes that send arguments without an entry: as the body, or in the query.
_SENDS_UNUSED = ("Arguments", "Form", "Multipart", "None")
_FORMS = ("Form", "Multipart")
SENDS_LISTS = ("None", *_FORMS)
"""Modes that send a list without an entry as one parameter, field or part for each item."""
_STYLES = {"None": "DeepObject or Json", "Form": "DeepObject or Json", "Multipart": "Json"}
_ENTRIES = {"None": ("the query", "a query entry"), "Form": ("a form", "a field"), "Multipart": ("a form", "a field")}


def effective_mode(body: Body | None, method: str) -> str:
    """The configured mode, or the default of the method."""
    if body is not None:
        return body.mode
    return "Arguments" if method in ("POST", "PUT", "PATCH") else "None"


def faults(body: Body, method: str, inputs: Inputs) -> Iterator[Fault]:
    """The faults of a body."""
    mode = body.mode
    if mode != "None" and method == "GET":
        yield Reason.INVALID_MAPPING, ("mode",), "a GET request has no body; set mode to None or change spec.method"
    yield from _check_members(body)
    if mode in _WITH_ARGUMENT and body.argument:
        yield from _check_argument(body, inputs)
    yield from _check_content_type(body)
    for index, field in enumerate(body.fields):
        yield from _check_field(mode, field, ("fields", index), inputs)
    if mode == "Fields":
        yield from _clashes(body.fields)


def leftover_faults(mode: str, unused: tuple[str, ...], inputs: Inputs) -> Iterator[tuple[Reason, str, str]]:
    """The faults of ``unused`` arguments: those that no entry, path or field uses."""
    if mode == "Arguments":
        return  # JSON holds any value
    for name in unused:
        if mode not in _SENDS_UNUSED:
            message = f'"{name}" is declared in {inputs.where} but never sent to the backend; map it or remove it'
            yield Reason.UNMAPPED_ARGUMENT, name, message
            continue
        found = inputs.find(name)
        if found is not None and "object" in found.types:
            place, entry = _ENTRIES[mode]
            message = (
                f'"{name}" can be an object, which {place} cannot carry by default; add {entry} with style '
                f"{_STYLES[mode]}, or give it a scalar type"
            )
            yield Reason.INVALID_MAPPING, name, message


def listed_fields(body: Body) -> Iterator[tuple[int, str, str]]:
    """The fields of a form whose items are written as texts: index, argument and style."""
    for index, field in enumerate(body.fields if body.mode in _FORMS else ()):
        # A part that is said to be JSON may be.
        if field.argument is not None and not (field.media_type or "").lower().endswith("json"):
            yield index, field.argument, field.style


def _check_members(body: Body) -> Iterator[Fault]:
    mode = body.mode
    if mode in _WITH_ARGUMENT and not body.argument:
        yield Reason.INVALID_MAPPING, ("argument",), f"mode {mode} requires argument; set it to the argument to send"
    if mode not in _WITH_ARGUMENT and body.argument:
        yield (
            Reason.INVALID_MAPPING,
            ("argument",),
            f"mode {mode} does not support argument; remove it or use mode Argument",
        )
    if mode == "Fields" and not body.fields:
        yield Reason.INVALID_MAPPING, ("fields",), "mode Fields requires fields; add one or use mode Arguments"
    if mode not in _WITH_FIELDS and body.fields:
        yield (
            Reason.INVALID_MAPPING,
            ("fields",),
            f"mode {mode} does not support fields; remove them or use mode Fields",
        )
    if mode != "Raw" and body.encoding:
        yield Reason.INVALID_MAPPING, ("encoding",), f"mode {mode} does not support encoding; remove it or use mode Raw"


def _check_argument(body: Body, inputs: Inputs) -> Iterator[Fault]:
    name = body.argument or ""
    found = inputs.find(name)
    if found is None:
        message = f'"{name}" is not declared in {inputs.where}; {inputs.repair(name)}'
        yield Reason.INVALID_MAPPING, ("argument",), message
    elif body.mode == "Raw" and found.types != frozenset({"string"}):
        message = f'"{name}" must be a string in mode Raw; set its type to string or use mode Argument'
        yield Reason.INVALID_MAPPING, ("argument",), message


def _check_content_type(body: Body) -> Iterator[Fault]:
    given, at = body.content_type, ("contentType",)
    if body.mode == "Raw" and given is None:
        yield Reason.INVALID_MAPPING, at, "mode Raw requires contentType; set it to the media type of the argument"
    if given is None or body.mode == "Raw":
        return
    media = given.partition(";")[0].strip().lower()
    if body.mode not in _JSON_MODES:
        yield Reason.INVALID_MAPPING, at, f"mode {body.mode} does not support contentType; remove it"
    elif media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        message = f'must be application/json or application/*+json, got "{given}"; change it or use mode Raw'
        yield Reason.INVALID_MAPPING, at, message


def _check_field(mode: str, field: BodyField, at: Path, inputs: Inputs) -> Iterator[Fault]:
    if field.argument is not None:
        found = inputs.find(field.argument)
        if found is None:
            message = f'"{field.argument}" is not declared in {inputs.where}; {inputs.repair(field.argument)}'
            yield Reason.INVALID_MAPPING, (*at, "argument"), message
        elif mode in _FORMS and (fault := styles.fault(found, field.argument, field.style, mode)) is not None:
            member, message = fault
            yield Reason.INVALID_MAPPING, (*at, member), message
    if field.style != "Repeat" and mode not in _FORMS:
        yield Reason.INVALID_MAPPING, (*at, "style"), "style requires mode Form or Multipart; remove it"
    elif field.style not in styles.MULTIPART and mode == "Multipart":
        message = f"style {field.style} requires mode Form; use Repeat or Json"
        yield Reason.INVALID_MAPPING, (*at, "style"), message
    if field.encoding is not None and field.style == "Json":
        yield Reason.INVALID_MAPPING, (*at, "encoding"), "encoding has no effect with style Json; remove one of them"
    if mode == "Fields" and field.name.startswith("/") and field.name.count("/") > MAX_STEPS:
        message = f'"{field.name}" must have at most {MAX_STEPS} steps, got {field.name.count("/")}'
        yield Reason.INVALID_MAPPING, (*at, "name"), message
    extras = {"fileName": field.file_name, "mediaType": field.media_type, "encoding": field.encoding}
    for member, value in extras.items():
        if value is not None and mode != "Multipart":
            message = f"{member} requires mode Multipart; remove it or change the mode"
            yield Reason.INVALID_MAPPING, (*at, member), message


def _clashes(fields: tuple[BodyField, ...]) -> Iterator[Fault]:
    """Fields that write to the same place, or into the value of another field."""
    seen: dict[tuple[str, ...], str] = {}
    for index, field in enumerate(fields):
        steps = _split_pointer(field.name)
        other = next((n for s, n in seen.items() if s[: len(steps)] == steps or steps[: len(s)] == s), None)
        if other is not None:
            message = f'"{field.name}" and "{other}" write to the same place in the body; remove or rename one'
            yield Reason.INVALID_MAPPING, ("fields", index, "name"), message
        seen[steps] = field.name


def _split_pointer(name: str) -> tuple[str, ...]:
    if not name.startswith("/"):
        return (name,)
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in name.split("/")[1:])
