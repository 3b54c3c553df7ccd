"""How values are spread, in little memory however many there are: counts in buckets that grow by a constant factor.

A bucket is 4.4 % wide (2 ** (1/16)), so that a percentile is at most 2.2 % off. Smallest, largest, sum and count are
exact. Pure.

Source of the idea: DDSketch, arxiv.org/abs/1908.10693 (2019): logarithmic buckets bound the relative error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from deepswarm.core.records import Json

FINENESS: Final = 16
"""Buckets of one doubling."""
DRAWN: Final = 4
"""Buckets that are drawn as one bar."""
PERCENTILES: Final = (50, 90, 95, 99)


@dataclass(slots=True)
class Histogram:
    """Counts of values from 0 on; what is 0 or less has a bucket of its own."""

    count: int = 0
    sum: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    zeros: int = 0
    _buckets: Counter[int] = field(default_factory=Counter)

    def extend(self, values: Sequence[float]) -> None:
        """Count values; many at once take a fraction of the time."""
        if not values:
            return
        self.count += len(values)
        self.sum += sum(values)
        self.least, self.most = min(self.least, *values), max(self.most, *values)
        for value, count in Counter(values).items():
            if value <= 0.0:
                self.zeros += count
            else:
                self._buckets[math.floor(math.log2(value) * FINENESS)] += count

    def percentile(self, share: float) -> float | None:
        """The value that so many per cent of all are not above; None without values.

        Args:
            share: Per cent, 0 to 100.
        """
        if not self.count:
            return None
        rank = math.ceil(self.count * share / 100.0)
        if rank >= self.count:
            return self.most
        passed = self.zeros
        if rank <= passed:
            return max(0.0, self.least)
        for bucket, count in sorted(self._buckets.items()):
            passed += count
            if rank <= passed:
                return min(self.most, max(self.least, math.exp2((bucket + 0.5) / FINENESS)))
        return self.most

    def facts(self) -> dict[str, Json]:
        """Count, mean, percentiles and the bars: `edges` has one value more than `counts`; zeros are a count apart."""
        empty = not self.count
        named: dict[str, Json] = {f"p{share}": rounded(self.percentile(share)) for share in PERCENTILES}
        edges, counts = self._bars()
        return {
            "count": self.count,
            "mean": None if empty else rounded(self.sum / self.count),
            "min": None if empty else rounded(self.least),
            **named,
            "max": None if empty else rounded(self.most),
            "zeros": self.zeros,
            "edges": [rounded(edge) for edge in edges],
            "counts": list(counts),
        }

    def _bars(self) -> tuple[list[float], list[int]]:
        bars: Counter[int] = Counter()
        for bucket, count in self._buckets.items():
            bars[bucket // DRAWN] += count
        if not bars:
            return [], []
        first, last = min(bars), max(bars)
        width = DRAWN / FINENESS
        return [math.exp2(bar * width) for bar in range(first, last + 2)], [bars[bar] for bar in range(first, last + 1)]


def rounded(value: float | None) -> float | None:
    """Four digits that count: more would be noise."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
