"""Counting on the hot path, as cheaply as Python can; what it means and how it is published, `api.figures` says."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

# From what a quiet machine needs to what nobody waits for.
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """How many values fell into each of fixed buckets, and their sum. Not thread-safe.

    `bounds` are the inclusive upper ends of the buckets, ascending; `counts` has one more, for what lies above.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value
