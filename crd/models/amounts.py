"""PURE. Values that are an integer or a string: ports, sizes, quantities, and numbers or percentages of pods."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field

__all__ = ["Port", "Quantity", "Share", "Size", "to_bytes"]

# RFC 6335, section 5.1, requires a letter; without it, the name "80" could be confused with the number 80.
_PORT_NAME = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SIZE = "([1-9]|1[0-6])Mi|[1-9][0-9]{0,3}Ki"
_MAX_SIZE = 16 * 1024 * 1024
_QUANTITY = r"[0-9]+([.][0-9]+)?([KMGTPE]i|[numkMGTPE])?"
_SHARE = "[0-9]{1,2}%|100%"


def _int_or_string(cel: str, message: str, check: Callable[[int | str], int | str], quoting: str) -> Any:
    """An integer or a string, checked by a CEL rule and by the same rule in Python.

    ``quoting`` is a CEL expression of the message of the latter.
    """
    validation = {"rule": cel, "message": message, "messageExpression": quoting}
    extra: dict[str, Any] = {
        "x-kubernetes-int-or-string": True,
        "maxLength": 63,
        "x-kubernetes-validations": [validation],
    }
    return Annotated[int | str, AfterValidator(check), Field(json_schema_extra=extra)]


def _port(value: int | str) -> int | str:
    if isinstance(value, int):
        if not 1 <= value <= 65535:
            raise ValueError(f"must be a port number from 1 to 65535, got {value}")
    elif re.fullmatch("[0-9]+", value):
        raise ValueError(f'must be a number or a port name with a letter, got "{value}"; remove the quotes')
    elif not (re.fullmatch(_PORT_NAME, value) and re.search("[a-z]", value)):
        raise ValueError(
            'must be a port name of lower-case letters, digits and "-", with at least one letter and at most 63 '
            f'characters, got "{value[:63]}"'
        )
    return value


def _size(value: int | str) -> int | str:
    if isinstance(value, int):
        if not 1 <= value <= _MAX_SIZE:
            raise ValueError(f"must be from 1 to {_MAX_SIZE} bytes (16Mi), got {value}")
    elif not re.fullmatch(_SIZE, value):
        raise ValueError(f'must be a number of bytes or a size up to 9999Ki or 16Mi, got "{value[:63]}"')
    return value


def _quantity(value: int | str) -> int | str:
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"must be ≥ 0, got {value}")
    elif not re.fullmatch(_QUANTITY, value) or len(value) > 63:
        raise ValueError(f'must be a quantity such as 250m, 1.5 or 256Mi, got "{value[:63]}"')
    return value


def _share(value: int | str) -> int | str:
    if isinstance(value, int):
        if not 0 <= value <= 100:
            raise ValueError(f"must be a number of pods from 0 to 100 or a percentage such as 50%, got {value}")
    elif not re.fullmatch(_SHARE, value):
        raise ValueError(f'must be a number of pods from 0 to 100 or a percentage such as 50%, got "{value[:63]}"')
    return value


def _quoting(words_of_numbers: str, words_of_texts: str) -> str:
    """The CEL expression of a message that quotes the number or the text."""
    return f"""type(self) == int ? '{words_of_numbers}, got ' + string(self) : '{words_of_texts}, got "' + self + '"'"""


Port = _int_or_string(
    f"type(self) == int ? self >= 1 && self <= 65535 : self.matches('^{_PORT_NAME}$') && self.matches('[a-z]')",
    "must be a port number from 1 to 65535 or a port name with a letter",
    _port,
    "type(self) == int ? 'must be a port number from 1 to 65535, got ' + string(self) : self.matches('^[0-9]+$') ? "
    "'must be a number or a port name with a letter, got \"' + self + '\"; remove the quotes' : "
    '\'must be a port name of lower-case letters, digits and "-", with at least one letter and at most 63 characters, '
    "got \"' + self + '\"'",
)
Size = _int_or_string(
    f"type(self) == int ? self >= 1 && self <= {_MAX_SIZE} : self.matches('^({_SIZE})$')",
    "must be a number of bytes or a size up to 9999Ki or 16Mi",
    _size,
    _quoting(
        f"must be from 1 to {_MAX_SIZE} bytes (16Mi)",
        "must be a number of bytes or a size up to 9999Ki or 16Mi",
    ),
)
Quantity = _int_or_string(
    f"type(self) == int ? self >= 0 : self.matches('^{_QUANTITY}$')",
    "must be a quantity such as 250m, 1.5 or 256Mi",
    _quantity,
    _quoting("must be ≥ 0", "must be a quantity such as 250m, 1.5 or 256Mi"),
)
Share = _int_or_string(
    f"type(self) == int ? self >= 0 && self <= 100 : self.matches('^({_SHARE})$')",
    "must be a number of pods from 0 to 100 or a percentage such as 50%",
    _share,
    _quoting(*("must be a number of pods from 0 to 100 or a percentage such as 50%",) * 2),
)

_UNITS = {"Ki": 1024, "Mi": 1024 * 1024}


def to_bytes(size: int | str) -> int:
    """A size in bytes."""
    if isinstance(size, int):
        return size
    return int(size[:-2]) * _UNITS[size[-2:]]
