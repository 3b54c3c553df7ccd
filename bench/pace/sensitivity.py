"""What becomes of the adaptive pace when one of its constants is half or twice what it is."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Final

from deepswarm.core.pace.constants import Constants
from deepswarm.simulator.law import Law
from pace.figures import figures, geometric_mean
from pace.plays import oracle, play
from pace.policies import adaptive_with
from pace.tables import show

SUBSET: Final = ("a1", "a2", "b1", "c3", "d1", "e2", "f1", "g1", "i1")
"""Small laws of each kind: half an hour of each takes seconds."""
SHARES_OF_ONE: Final = frozenset({"full", "give_way", "rate_share", "queue_share"})
"""Constants that are shares near 1, whose double means nothing: what they leave out is halved and doubled instead."""


def measure(laws: Sequence[Law], seeds: Sequence[int], jobs: int) -> None:
    """Print a table: the geometric mean of the shares, and the worst law with its share, for each constant."""
    subset = [law for law in laws if Path(law.name).stem in SUBSET] or list(laws)
    cases = [("as it is", 1.0), *((each.name, by) for each in fields(Constants) for by in (0.5, 2.0))]
    one = partial(_case, laws=subset, seeds=seeds)
    if jobs == 1:
        rows = list(map(one, cases))
    else:
        with ProcessPoolExecutor(jobs) as pool:
            rows = list(pool.map(one, cases))
    show(["constant", "times", "geometric mean, %", "worst law", "its share, %", "refusals per 100, worst law"], rows)


def changed(name: str, by: float) -> Constants:
    """The constants with one of them changed."""
    usual = Constants()
    if by == 1.0:
        return usual
    value = getattr(usual, name)
    return replace(usual, **{name: 1.0 - by * (1.0 - value) if name in SHARES_OF_ONE else by * value})


def _case(case: tuple[str, float], laws: Sequence[Law], seeds: Sequence[int]) -> list[str]:
    name, by = case
    policy = adaptive_with(changed(name, by))
    shares, refused = {}, {}
    for law in laws:
        played = [figures(play(law, policy, seed), oracle(law, seed)) for seed in seeds]
        stem = Path(law.name).stem
        shares[stem] = sum(each.share for each in played) / len(played)
        refused[stem] = sum(each.refused for each in played) / len(played)
    worst, most = min(shares, key=lambda law: shares[law]), max(refused, key=lambda law: refused[law])
    return [
        name,
        f"{by:g}",
        f"{100.0 * geometric_mean(list(shares.values())):.1f}",
        worst,
        f"{100.0 * shares[worst]:.1f}",
        f"{refused[most]:.2f} ({most})",
    ]
