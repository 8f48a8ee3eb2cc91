"""PURE. Styles of lists and objects: which values have a notation in a query, a header or a form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crd.finding import shorten
from crd.schema import positions

if TYPE_CHECKING:
    from crd.rules.inputs import Inputs
    from crd.schema.arguments import Argument

__all__ = ["MULTIPART", "fault", "nested_items"]

_OF_ARRAYS = ("Repeat", "Comma", "Space", "Pipe", "Json")
_OF_OBJECTS = ("DeepObject", "Json")
MULTIPART = ("Repeat", "Json")
"""The styles of parts, which have no delimiters and no names with brackets."""
_PLACES = {"query": "a query", "headers": "a header", "Form": "a form", "Multipart": "a part"}


def fault(found: Argument, name: str, style: str, place: str) -> tuple[str, str] | None:
    """The member of an entry that is at fault, and a message; None if each value of the argument can be sent.

    ``place`` is ``query``, ``headers``, or the mode of a form. ``found`` is what the schema says of the argument.
    """
    arrays, objects = _supported(place)
    if "object" in found.types and style not in objects:
        return "style", f'"{name}" can be an object, which style {style} does not support; use {_either(objects)}'
    if "array" in found.types and style not in arrays:
        return "style", f'"{name}" can be an array, which style {style} does not support; use {_either(arrays)}'
    unsendable = _unsendable(found, style, place)
    if unsendable is not None:
        return "argument", (
            f'"{name}" can be {shorten(unsendable)}, which style {style} cannot send in {_PLACES[place]}; correct its '
            "default or enum, or use style Json"
        )
    if place == "headers" and (style == "DeepObject" or (style == "Repeat" and "array" in found.types)):
        return "style", f'style {style} sends "{name}" as several headers with the same name; use Comma or Json'
    return None


def nested_items(argument: str, style: str, known: Inputs) -> tuple[str, str] | None:
    """An argument whose items a style writes as JSON, because it has no notation for them, and a message."""
    nested = known.find_nested(argument, deep=style == "DeepObject") if style != "Json" else None
    if nested is None:
        return None
    name = ".".join((argument.removeprefix("/"), *nested.members))
    what = " or ".join(f"{each}s" for each in sorted(nested.types))
    return name, (
        f'items of "{name}" can be {what}, which style {style} sends as JSON text; use style Json for the whole '
        "argument, or give the items a scalar type"
    )


def _supported(place: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if place == "Multipart":
        return MULTIPART, ("Json",)
    return _OF_ARRAYS, _OF_OBJECTS


def _either(styles: tuple[str, ...]) -> str:
    *others, last = styles
    return f"{', '.join(others)} or {last}" if others else last


def _unsendable(found: Argument, style: str, place: str) -> str | None:
    """A string that the schema names and that cannot be sent, or that arrives as several items."""
    if style == "Json":
        return None
    delimiter = {"Space": " ", "Pipe": "|"}.get(style, ",")
    wrong: list[str] = []
    if place == "headers":
        item = positions.header_item(delimiter)
        wrong += (text for text in found.texts if positions.rejects(positions.HEADER, text))
        wrong += (text for text in found.item_texts if positions.rejects(item, text))
    elif delimiter != ",":
        item = positions.query_item(delimiter)
        wrong += (text for text in found.item_texts if positions.rejects(item, text))
    return wrong[0] if wrong else None
