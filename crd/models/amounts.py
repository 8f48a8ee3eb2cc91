"""PURE. Values that are written as a number or as text: ports, sizes, quantities, shares."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field

__all__ = ["Port", "Quantity", "Share", "Size", "octets"]

# RFC 6335, section 5.1, asks for the letter: without it, "80" would be a name beside the number 80.
_PORT_NAME = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SIZE = "([1-9]|1[0-6])Mi|[1-9][0-9]{0,3}Ki"
_MAX_SIZE = 16 * 1024 * 1024
_QUANTITY = r"[0-9]+([.][0-9]+)?([KMGTPE]i|[numkMGTPE])?"
_SHARE = "[0-9]{1,2}%|100%"


def _either(cel: str, message: str, check: Callable[[int | str], int | str]) -> Any:
    """A whole number or text, held by a CEL rule and by its twin in Python."""
    validation = {"rule": cel, "message": message}
    extra: dict[str, Any] = {
        "x-kubernetes-int-or-string": True,
        "maxLength": 63,
        "x-kubernetes-validations": [validation],
    }
    return Annotated[int | str, AfterValidator(check), Field(json_schema_extra=extra)]


def _port(value: int | str) -> int | str:
    if isinstance(value, int):
        if not 1 <= value <= 65535:
            raise ValueError(f"port {value} does not exist; use a number from 1 to 65535")
    elif re.fullmatch("[0-9]+", value):
        raise ValueError(f'"{value}" is text, and a port name holds a letter; write {value} without quotes')
    elif not (re.fullmatch(_PORT_NAME, value) and re.search("[a-z]", value)):
        raise ValueError(
            f'"{value[:63]}" is no port name; use lower-case letters, digits and "-", a letter among them, 63 at most'
        )
    return value


def _size(value: int | str) -> int | str:
    if isinstance(value, int):
        if not 1 <= value <= _MAX_SIZE:
            raise ValueError(f"{value} bytes are not allowed; use 1 to {_MAX_SIZE} (16Mi)")
    elif not re.fullmatch(_SIZE, value):
        raise ValueError(f'"{value[:63]}" is no size; write bytes as a number, or up to 9999Ki or 16Mi')
    return value


def _quantity(value: int | str) -> int | str:
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"{value} is below nothing; use 0 or more")
    elif not re.fullmatch(_QUANTITY, value) or len(value) > 63:
        raise ValueError(f'"{value[:63]}" is no quantity; write a number with a unit, such as 250m, 1.5 or 256Mi')
    return value


def _share(value: int | str) -> int | str:
    if isinstance(value, int):
        if not 0 <= value <= 100:
            raise ValueError(f"{value} pods are not allowed; use 0 to 100, or a share such as 50%")
    elif not re.fullmatch(_SHARE, value):
        raise ValueError(f'"{value[:63]}" is no share; write a number of pods, or a share such as 50%')
    return value


Port = _either(
    f"type(self) == int ? self >= 1 && self <= 65535 : self.matches('^{_PORT_NAME}$') && self.matches('[a-z]')",
    "a port is a number from 1 to 65535 or a port name, which holds a letter",
    _port,
)
Size = _either(
    f"type(self) == int ? self >= 1 && self <= {_MAX_SIZE} : self.matches('^({_SIZE})$')",
    "a size is a number of bytes, or up to 9999Ki or 16Mi",
    _size,
)
Quantity = _either(
    f"type(self) == int ? self >= 0 : self.matches('^{_QUANTITY}$')",
    "a quantity is a number with a unit, such as 250m, 1.5 or 256Mi",
    _quantity,
)
Share = _either(
    f"type(self) == int ? self >= 0 && self <= 100 : self.matches('^({_SHARE})$')",
    "a number of pods from 0 to 100, or a share such as 50%",
    _share,
)

_UNITS = {"Ki": 1024, "Mi": 1024 * 1024}


def octets(size: int | str) -> int:
    """A size in bytes."""
    if isinstance(size, int):
        return size
    return int(size[:-2]) * _UNITS[size[-2:]]
