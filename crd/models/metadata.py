"""PURE. The base class of all models, the types of bounded strings, and the parts that several specs share.

Attributes are snake_case, members of the manifest camelCase. Decoding ignores unknown members; `crd.fields` finds them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from crd.finding import Reason
from crd.models import cel, patterns

__all__ = [
    "ATOMIC",
    "SET",
    "Condition",
    "Description",
    "Duration",
    "Identifier",
    "IngressPath",
    "LabelName",
    "Model",
    "ObjectName",
    "PortNumber",
    "Rule",
    "ServedName",
    "Status",
    "Title",
    "UnsoundError",
    "distinct",
    "list_map",
    "seconds",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule about several fields of one object, stated as CEL for the API server and as a Python predicate.

    ``holds`` takes the model and gives the same result as ``cel``; a test sends the same objects through both. Without
    ``holds``, the Python side is a rule in `crd.rules`, whose message can quote the value. ``at`` is the path of the
    field to report, below the model. ``quoting`` is a CEL expression of the message with the value.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None
    reason: Reason = Reason.INVALID_FIELD
    at: tuple[str, ...] = ()
    quoting: str = ""

    @property
    def validation(self) -> dict[str, str]:
        """The entry under ``x-kubernetes-validations``."""
        path = {"fieldPath": "".join(f".{step}" for step in self.at)} if self.at else {}
        # The API server accepts only its own reasons, so the message begins with ours.
        reason = "" if self.reason is Reason.INVALID_FIELD else f"{self.reason}: "
        quoting = {"messageExpression": f"{cel.string(reason)} + {self.quoting}"} if self.quoting else {}
        # With the default, FieldValueInvalid, the message would stand where the value is expected: the value of an
        # object is not printed.
        return {
            "rule": self.cel,
            "message": f"{reason}{self.message}",
            **quoting,
            "reason": "FieldValueForbidden",
            **path,
        }


class UnsoundError(Exception):
    """A field was read that is not structurally sound; see `crd.models.soundness`."""


class Model(BaseModel):
    """A part of a manifest; frozen."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore", strict=True)

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        if not self.rules:
            return self
        broken = [rule for rule in self.rules if rule.holds is not None and not rule.holds(self)]
        if broken:
            raise PydanticCustomError("rules", "broken rules", {"rules": broken})
        return self

    if not TYPE_CHECKING:  # a type checker would take every attribute for a known one

        def __getattr__(self, name: str) -> Any:
            """Called for a missing attribute only."""
            if name in type(self).model_fields:
                raise UnsoundError(name)
            return super().__getattr__(name)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        if cls.rules:
            schema["x-kubernetes-validations"] = [rule.validation for rule in cls.rules]
        return schema


# List types of structural schemas: ordered and replaced as a whole, or a set of distinct values.
ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}


def list_map(*keys: str) -> dict[str, Any]:
    """Schema members of a list whose entries are identified by these keys."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def distinct(*keys: str) -> AfterValidator:
    """A validator that rejects a list in which two entries agree in all these attributes, as `list_map` does.

    Without attributes it rejects two equal entries, as `SET` does. The API server rejects such a list as well; this
    validator reports the later entry.
    """

    def require_distinct(entries: tuple[Any, ...]) -> tuple[Any, ...]:
        seen: set[tuple[Any, ...]] = set()
        for index, entry in enumerate(entries):
            values = tuple(getattr(entry, key) for key in keys) or (entry,)
            if values in seen:
                named = (f'{key.rstrip("_")} "{value}"' for key, value in zip(keys, values, strict=False))
                stated = f"has {' and '.join(named)}" if keys else f'is "{entry}"'
                message = "an earlier entry also {stated}; remove or change one of the two"
                raise PydanticCustomError("duplicate_entry", message, {"stated": stated, "index": index})
            seen.add(values)
        return entries

    return AfterValidator(require_distinct)


ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=patterns.OBJECT_NAME)]
LabelName = Annotated[str, Field(min_length=1, max_length=63, pattern=patterns.LABEL_NAME)]
ServedName = Annotated[str, Field(min_length=1, max_length=128, pattern=patterns.SERVED_NAME)]
Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=patterns.IDENTIFIER)]
Description = Annotated[str, Field(max_length=2048)]
Title = Annotated[str, Field(max_length=256)]
# At most 13 characters, so that every duration in milliseconds fits the 64-bit integers of Redis.
Duration = Annotated[str, Field(min_length=2, max_length=13, pattern=patterns.DURATION)]
IngressPath = Annotated[str, Field(min_length=1, max_length=256, pattern=patterns.INGRESS_PATH)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """A duration that matches the schema's pattern, in seconds: ``1m30s`` is 90.0."""
    total, number, unit = 0.0, "", ""
    for character in f"{duration}0":
        if character.isdigit():
            if unit:
                total += int(number) * _UNITS[unit]
                number, unit = "", ""
            number += character
        else:
            unit += character
    return total


class Condition(Model):
    """One condition, in the shape of metav1.Condition."""

    type: Annotated[str, Field(max_length=316)] = Field(description="Type of the condition, in CamelCase.")
    status: Literal["True", "False", "Unknown"] = Field(description="Status of the condition: True, False or Unknown.")
    observed_generation: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The metadata.generation that the condition is based on."
    )
    last_transition_time: str = Field(
        description="Time of the last change of status.", json_schema_extra={"format": "date-time"}
    )
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="Reason for the status, one CamelCase word."
    )
    message: Annotated[str, Field(max_length=32768)] = Field(description="Human-readable explanation of the status.")


class Status(Model):
    """The fields of every status."""

    observed_generation: int | None = Field(
        None,
        description="The metadata.generation that the status is based on.",
        json_schema_extra={"format": "int64"},
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        (), description="Conditions of the object.", json_schema_extra=list_map("type")
    )
