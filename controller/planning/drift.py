"""PURE. Whether an object is as desired, whatever the API server has added to it or written in another form."""

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


def covers(stored: Any, desired: Any) -> bool:
    """Whether all of ``desired`` is in ``stored``, which may hold more members (the API server's defaults)."""
    if isinstance(desired, dict):
        return isinstance(stored, dict) and all(
            key in stored and (_same_amounts if key in _AMOUNTS else covers)(stored[key], value)
            for key, value in desired.items()
        )
    if isinstance(desired, list):
        return (
            isinstance(stored, list)
            and len(stored) == len(desired)
            and all(covers(old, new) for old, new in zip(stored, desired, strict=True))
        )
    return bool(stored == desired)


def _same_amounts(stored: Any, desired: Any) -> bool:
    return (
        isinstance(stored, dict)
        and stored.keys() == desired.keys()
        and all(_amount(stored[name]) == _amount(amount) for name, amount in desired.items())
    )


def _amount(quantity: int | str) -> Decimal | str:
    """A quantity as a number; the text itself if its unit is unknown."""
    found = _QUANTITY.fullmatch(str(quantity))
    return Decimal(found[1]) * _UNITS[found[2] or ""] if found else str(quantity)
