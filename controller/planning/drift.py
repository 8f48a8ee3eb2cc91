"""PURE. Whether what stands is what is wished, whatever the API server has added to it or written in other words."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

__all__ = ["covers"]

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGTPE]i|[numkMGTPE])?")
_UNITS = {
    "": Decimal(1),
    **{unit: Decimal(1000) ** power for unit, power in zip("numkMGTPE", (-3, -2, -1, 1, 2, 3, 4, 5, 6), strict=True)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}
# Members of a container's resources: the API server rewrites 1000m as 1.
_AMOUNTS = ("requests", "limits")


def covers(stored: Any, wanted: Any) -> bool:
    """Whether all of ``wanted`` stands in ``stored``, which may hold more members (the API server's defaults)."""
    if isinstance(wanted, dict):
        return isinstance(stored, dict) and all(
            key in stored and (_same_amounts if key in _AMOUNTS else covers)(stored[key], value)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(stored, list)
            and len(stored) == len(wanted)
            and all(covers(old, new) for old, new in zip(stored, wanted, strict=True))
        )
    return bool(stored == wanted)


def _same_amounts(stored: Any, wanted: Any) -> bool:
    return (
        isinstance(stored, dict)
        and stored.keys() == wanted.keys()
        and all(_amount(stored[name]) == _amount(amount) for name, amount in wanted.items())
    )


def _amount(quantity: int | str) -> Decimal | str:
    """A quantity as a number; one that we do not know how to read stays as it is written."""
    found = _QUANTITY.fullmatch(str(quantity))
    return Decimal(found[1]) * _UNITS[found[2] or ""] if found else str(quantity)
