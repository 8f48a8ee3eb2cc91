"""PURE. What every model shares: how it reads manifests, and the vocabulary of bounded strings.

Attributes are snake_case, the manifest is camelCase. Decoding ignores members it does not know; `crd.fields` finds
them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from crd.finding import Reason
from crd.models import patterns

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
    "ServedBy",
    "ServedName",
    "Status",
    "Title",
    "distinct",
    "list_map",
    "seconds",
]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule about several fields of one object, stated twice: as CEL for the API server, as Python for everybody else.

    ``holds`` takes the model; the two say the same, and a test sends the same objects through both. Without it the
    Python side is a rule of `crd.rules`, which can say more than yes or no. ``at`` is the field to name, below the
    model.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None
    reason: Reason = Reason.INVALID_FIELD
    at: tuple[str, ...] = ()

    @property
    def validation(self) -> dict[str, str]:
        """As it stands under ``x-kubernetes-validations``."""
        path = {"fieldPath": "".join(f".{step}" for step in self.at)} if self.at else {}
        # The API server has no place for reasons of ours, so they go where people read.
        reason = "" if self.reason is Reason.INVALID_FIELD else f"{self.reason}: "
        return {"rule": self.cel, "message": f"{reason}{self.message}", **path}


class Model(BaseModel):
    """A frozen piece of a manifest."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore", strict=True)

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        broken = [rule for rule in self.rules if rule.holds is not None and not rule.holds(self)]
        if broken:
            raise PydanticCustomError("rules", "broken rules", {"rules": broken})
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        if cls.rules:
            schema["x-kubernetes-validations"] = [rule.validation for rule in cls.rules]
        return schema


# Lists whose order means something, and lists that have none.
ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}


def list_map(*keys: str) -> dict[str, Any]:
    """Schema members of a list whose entries are told apart by these keys."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def distinct(*keys: str) -> AfterValidator:
    """Refuses a list in which two entries have the same value of all these attributes, as `list_map` does.

    Without attributes, one in which two entries are the same, as `SET` does. The API server refuses such a list too;
    here the later entry is blamed.
    """

    def checked(entries: tuple[Any, ...]) -> tuple[Any, ...]:
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

    return AfterValidator(checked)


ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=patterns.OBJECT_NAME)]
LabelName = Annotated[str, Field(min_length=1, max_length=63, pattern=patterns.LABEL_NAME)]
ServedName = Annotated[str, Field(min_length=1, max_length=128, pattern=patterns.SERVED_NAME)]
Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=patterns.IDENTIFIER)]
Description = Annotated[str, Field(max_length=2048)]
Title = Annotated[str, Field(max_length=256)]
# 13 characters: the longest one in milliseconds still fits 64 bits, in which Redis counts.
Duration = Annotated[str, Field(min_length=2, max_length=13, pattern=patterns.DURATION)]
IngressPath = Annotated[str, Field(min_length=1, max_length=256, pattern=patterns.INGRESS_PATH)]
PortNumber = Annotated[int, Field(ge=1, le=65535)]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(duration: str) -> float:
    """The length of a duration that matches the schema's pattern, in seconds: ``1m30s`` is 90.0."""
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
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition holds.")
    observed_generation: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The metadata.generation that the condition was made from."
    )
    last_transition_time: str = Field(
        description="When the status of the condition last changed.", json_schema_extra={"format": "date-time"}
    )
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="Why the condition has this status, in one CamelCase word."
    )
    message: Annotated[str, Field(max_length=32768)] = Field(description="The same in words, for people.")


class Status(Model):
    """What every status has."""

    observed_generation: int | None = Field(
        None,
        description="The metadata.generation that this status was made from.",
        json_schema_extra={"format": "int64"},
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        (), description="The state of the object as conditions.", json_schema_extra=list_map("type")
    )


class ServedBy(Model):
    """One server that selects the object."""

    name: ObjectName = Field(description="Name of the MCPServer, in the same namespace.")
    served_name: Annotated[str, Field(max_length=2048)] = Field(
        "", description="The name or URI that it is served under there."
    )
    accepted: bool = Field(description="Whether that server serves it; false when another object holds the name.")
