"""What happened when, in at most so many bins however long it took: when they are full, each two become one. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from deepswarm.core.records import Json
from deepswarm.report.histogram import rounded

MOST: Final = 600
"""Bins that there are at most; a picture has hardly more columns."""


@dataclass(slots=True)
class Bin:
    """One stretch of time: what was counted in it, and how things stood at its end (None: nothing was said)."""

    done: int = 0
    rejected: int = 0
    failed: int = 0
    answered: int = 0
    refused: int = 0
    unusable: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seeds: int = 0
    seed_s: float = 0.0
    flying: int = 0
    limit: int | None = None
    what: str | None = None
    spent: Decimal | None = None

    def take(self, later: Bin) -> None:
        """Add the bin that follows."""
        self.done += later.done
        self.rejected += later.rejected
        self.failed += later.failed
        self.answered += later.answered
        self.refused += later.refused
        self.unusable += later.unusable
        self.tokens_in += later.tokens_in
        self.tokens_out += later.tokens_out
        self.seeds += later.seeds
        self.seed_s += later.seed_s
        self.flying = max(self.flying, later.flying)
        self.limit = self.limit if later.limit is None else later.limit
        self.what = self.what if later.what is None else later.what
        self.spent = self.spent if later.spent is None else later.spent


@dataclass(slots=True)
class Series:
    """Bins of equal width, from second 0 on; `width` is in seconds and doubles when there would be too many."""

    width: float = 1.0
    bins: list[Bin] = field(default_factory=list)

    def at(self, second: float) -> Bin:
        """The bin of that second, made if it is not there."""
        index = int(second / self.width)
        while index >= MOST:
            self._halve()
            index = int(second / self.width)
        while len(self.bins) <= index:
            self.bins.append(Bin())
        return self.bins[index]

    def _halve(self) -> None:
        for first, second in zip(self.bins[::2], self.bins[1::2], strict=False):
            first.take(second)
        self.bins = self.bins[::2]
        self.width *= 2.0

    def facts(self) -> dict[str, Json]:
        """The columns, one value for each bin; what holds until it changes is carried on, None before it was known."""
        bins = self.bins
        return {
            "bin_s": self.width,
            "done": [each.done for each in bins],
            "rejected": [each.rejected for each in bins],
            "failed": [each.failed for each in bins],
            "answered": [each.answered for each in bins],
            "refused": [each.refused for each in bins],
            "unusable": [each.unusable for each in bins],
            "tokens_in": [each.tokens_in for each in bins],
            "tokens_out": [each.tokens_out for each in bins],
            "mean_s": [rounded(each.seed_s / each.seeds) if each.seeds else None for each in bins],
            "flying": [each.flying for each in bins],
            "limit": _carried([each.limit for each in bins]),
            "binds": _carried([each.what for each in bins]),
            "spent_usd": _carried([None if each.spent is None else float(each.spent) for each in bins]),
        }


def _carried(values: list[int | None] | list[str | None] | list[float | None]) -> list[Json]:
    known: Json = None
    carried: list[Json] = []
    for value in values:
        known = known if value is None else value
        carried.append(known)
    return carried
