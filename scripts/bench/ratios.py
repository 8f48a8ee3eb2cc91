"""The median of ratios, and how far the true one may be from it."""

from __future__ import annotations

import math
import statistics

__all__ = ["show"]


def show(ratios: list[float]) -> str:
    """The median, and the interval in which the median of many rounds lies with at least 95 % probability.

    The interval is that of two of the ratios, whatever their distribution; with fewer than six it is that of all.
    """
    ratios, number = sorted(ratios), len(ratios)
    cut = 0
    while 2 * sum(math.comb(number, below) for below in range(cut + 2)) <= 0.05 * 2**number:
        cut += 1
    return f"{statistics.median(ratios):.2f} ({ratios[cut]:.2f} to {ratios[-1 - cut]:.2f})"
