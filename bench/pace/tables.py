"""Tables as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pace.figures import Figures


def show(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header))
    for each in rows:
        print("| " + " | ".join(each) + " |")
    print(flush=True)


def mean(played: Sequence[Figures], name: str) -> float:
    """Of one figure over the seeds."""
    return statistics.fmean(getattr(each, name) for each in played)


def row(law: str, played: Sequence[Figures]) -> list[str]:
    """A law's row: means over the seeds; the lowest share and the most refusals in 60 s of any; lost ones of all."""
    reached_s = mean(played, "reached_s")
    return [
        law,
        f"{100.0 * mean(played, 'share'):.1f}",
        f"{100.0 * min(each.share for each in played):.1f}",
        f"{mean(played, 'refused'):.3f}",
        f"{mean(played, 'refused_later'):.3f}",
        f"{mean(played, 'refused_hour'):.0f}",
        str(max(each.refused_minute for each in played)),
        str(sum(each.lost for each in played)),
        f"{100.0 * mean(played, 'wasted'):.2f}",
        f"{reached_s:.0f}" if math.isfinite(reached_s) else "never",
    ]
