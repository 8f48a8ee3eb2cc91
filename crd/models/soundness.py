"""PURE. What of a spec is structurally sound although the whole cannot be decoded.

A rule about one object runs on the sound parts, so that one wrong field does not hide the other faults of an object.
Fields that are not sound are absent from the models: reading one raises `UnsoundError`, and the rule that reads it ends
there. So nothing is found that follows only from another fault. Called by `crd.manifest`.
"""

from __future__ import annotations

import types
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import orjson
from pydantic import TypeAdapter, ValidationError

from crd.models.metadata import Model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from pydantic_core import ErrorDetails

__all__ = ["nothing", "sound_part"]

Path = tuple[str | int, ...]


def sound_part(model: type[Model], raw: Mapping[str, Any], details: list[ErrorDetails]) -> Model:
    """The sound fields of a spec that is not valid; ``details`` are the errors of its validation."""
    places = [detail["loc"] for detail in details]
    for detail in details:
        # Of a part that contradicts itself, and of an entry that repeats another one, no field is taken for sound:
        # what a rule finds there would follow from that fault.
        if detail["type"] == "duplicate_entry":
            places.append((*detail["loc"], detail["ctx"]["index"], _WHOLE))
        elif detail["type"] == "rules" and detail["loc"]:
            places.append((*detail["loc"], _WHOLE))
    touched = {place[:end] for place in places for end in range(len(place) + 1)}
    return _part(model, raw, (), touched)


def nothing(model: type[Model]) -> Model:
    """A model without any field."""
    part = model.model_construct()
    vars(part).clear()
    return part


_WHOLE = "[whole]"


def _part(model: type[Model], raw: Mapping[str, Any], path: Path, touched: AbstractSet[Path]) -> Model:
    sound: dict[str, Any] = {}
    unsound: list[str] = []
    for name, field in model.model_fields.items():
        member = field.alias or name
        here = (*path, member)
        if member not in raw:
            if field.is_required():
                unsound.append(name)
            continue
        try:
            if here in touched:
                sound[name] = _parts_of(field.annotation, raw[member], here, touched)
            else:
                sound[name] = _validate(_adapter(model, name), raw[member])
        except (_BrokenError, ValidationError):
            unsound.append(name)
    part = model.model_construct(**sound)
    for name in unsound:
        vars(part).pop(name, None)  # model_construct sets defaults
    return part


def _parts_of(annotation: Any, value: Any, path: Path, touched: AbstractSet[Path]) -> Any:
    """A model, or a list of models, as far as it is sound. Raises _BrokenError for any other value."""
    kind = _unwrap(annotation)
    if isinstance(kind, type) and issubclass(kind, Model):
        return _entry(kind, value, path, touched)
    entry = _unwrap(get_args(kind)[0]) if get_origin(kind) is tuple else None
    if not isinstance(value, list) or not (isinstance(entry, type) and issubclass(entry, Model)):
        raise _BrokenError
    # An entry that is not an object keeps its place, so that the paths of the others are right.
    return tuple(_entry(entry, each, (*path, index), touched) for index, each in enumerate(value))


def _entry(model: type[Model], value: Any, path: Path, touched: AbstractSet[Path]) -> Model:
    if not isinstance(value, dict) or (*path, _WHOLE) in touched:
        return nothing(model)
    if path in touched:
        return _part(model, value, path, touched)
    entry: Model = _validate(_adapter(model, None), value)
    return entry


def _unwrap(annotation: Any) -> Any:
    """The type without its constraints, and without None."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, types.UnionType):
            rest = [choice for choice in get_args(annotation) if choice is not type(None)]
            if len(rest) != 1:
                return annotation
            annotation = rest[0]
        else:
            return annotation


def _validate(adapter: TypeAdapter[Any], value: Any) -> Any:
    return adapter.validate_json(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))


@cache
def _adapter(model: type[Model], name: str | None) -> TypeAdapter[Any]:
    """The validator of a field of a model; of the model itself without a name."""
    if name is None:
        return TypeAdapter(model)
    field = model.model_fields[name]
    annotation: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return TypeAdapter(annotation)


class _BrokenError(Exception):
    """No part of a value is sound."""
