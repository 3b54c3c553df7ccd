"""What a play amounts to, in figures. Pure."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pace.plays import Play

RAMP = 0.25
"""The first quarter of a play counts as its ramp."""
MINUTE_S = 60.0
STEP_S = 10.0
REACHED = 0.9


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one play.

    Attributes:
        share: Completions, by those of the oracle in the same time.
        refused: Refusals for each 100 completions, in all,
        refused_later: and after the ramp.
        refused_hour: Refusals an hour after the ramp.
        refused_minute: Most refusals in any 60 s.
        lost: Seeds that ended without an answer.
        wasted: Share of the billed tokens that belonged to no completion.
        reached_s: Seconds until the completions of a minute first were nine tenths of the oracle's; infinite if never.
        served: Completions.
    """

    share: float
    refused: float
    refused_later: float
    refused_hour: float
    refused_minute: int
    lost: int
    wasted: float
    reached_s: float
    served: int


def figures(play: Play, attainable: Sequence[float]) -> Figures:
    """The figures of a play beside the times at which the oracle's completions were made."""
    done = sorted(row.finished for row in play.rows if row.served and row.finished is not None)
    refusals = [row.finished for row in play.rows if row.refused and row.finished is not None]
    refusals.sort()
    ramp_s = RAMP * play.seconds
    later = len(refusals) - bisect_right(refusals, ramp_s)
    served_later = len(done) - bisect_right(done, ramp_s)
    billed = sum(row.tokens_in + row.tokens_out for row in play.rows)
    wasted = sum(row.tokens_in + row.tokens_out for row in play.rows if not row.served)
    return Figures(
        len(done) / max(1, bisect_right(attainable, play.seconds)),
        100.0 * len(refusals) / max(1, len(done)),
        100.0 * later / max(1, served_later),
        later / (play.seconds - ramp_s) * 3600.0,
        most_within(refusals, MINUTE_S),
        sum(totals.failed + totals.rejected for totals in play.totals),
        wasted / max(1, billed),
        reached_s(done, attainable, play.seconds),
        len(done),
    )


def most_within(times: Sequence[float], seconds: float) -> int:
    """Most of these moments, which are in order, that lie within so many seconds."""
    return max((at - bisect_right(times, time - seconds) + 1 for at, time in enumerate(times)), default=0)


def reached_s(done: Sequence[float], attainable: Sequence[float], until_s: float) -> float:
    """When the completions of the last minute first were nine tenths of the oracle's in the same minute."""
    at = MINUTE_S
    while at <= until_s:
        theirs = bisect_right(attainable, at) - bisect_right(attainable, at - MINUTE_S)
        ours = bisect_right(done, at) - bisect_right(done, at - MINUTE_S)
        if theirs and ours >= REACHED * theirs:
            return at
        at += STEP_S
    return math.inf


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 for equal shares, 1 / n when one has all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def geometric_mean(values: Sequence[float]) -> float:
    """Of values that may be 0, which count as a thousandth."""
    return math.exp(sum(math.log(max(1e-3, value)) for value in values) / len(values))
