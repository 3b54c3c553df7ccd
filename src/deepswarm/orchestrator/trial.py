"""Whether a change measurably helps, told from a trial before it is adopted.

    failed examples ─┬─ asked as before ────▶ (accepted?) ┐
                     └─ asked with the change ▶ (accepted?) ┴─ pairs ──▶ exact sign test: p <= 0.05
    seeds that had an answer ─ asked with the change ▶ (accepted?) ────▶ not broken more often than failures come anyway

Both arms are asked in the same moment, so that what would have come right at a second try counts for neither. The rule:
    1. of the examples on which the arms differ, so many are won that a fair coin gives as many or more with a chance of
       at most LEVEL (the exact one-sided sign test: McNemar's test for pairs, with its exact distribution);
    2. of the control seeds not so many are broken that single asks, which fail in `expected` of the cases anyway, break
       as many or more with a chance of at most LEVEL (an exact binomial test);
    3. over all seeds the change saves more than it breaks.

Source: McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12, 1947;
the binomial tail is exact, summed with the standard library's `math.comb`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb
from typing import Final, NamedTuple

LEVEL: Final = 0.05
LEAST_EXPECTED: Final = 0.05
"""Share of single asks that is allowed to fail whatever the run has shown: one in twenty."""


class Verdict(NamedTuple):
    """What a trial has shown.

    Attributes:
        adopt: Whether the change helps.
        won: Examples that only the change brought right,
        lost: and those that only asking as before did.
        broken: Control seeds that the change broke, of so many `controls`.
        chance: Of so many wins or more by luck alone.
        why: One sentence.
    """

    adopt: bool
    won: int
    lost: int
    broken: int
    controls: int
    chance: float
    why: str


def verdict(pairs: Sequence[tuple[bool, bool]], controls: Sequence[bool], expected: float, share: float) -> Verdict:
    """Whether a change is adopted.

    Args:
        pairs: Of each failed example: accepted when asked as before, accepted when asked with the change.
        controls: Of each control seed: accepted when asked with the change; empty when it does not touch them.
        expected: Share of single asks that fail in this run, 0 to 1.
        share: Share of the seeds that are in the cluster, 0 to 1.
    """
    won = sum(changed and not before for before, changed in pairs)
    lost = sum(before and not changed for before, changed in pairs)
    broken = sum(not fine for fine in controls)
    chance = at_least(won, won + lost, 0.5)
    spoilt = at_least(broken, len(controls), max(expected, LEAST_EXPECTED))
    shown = f"{won} of {len(pairs)} failed examples come right only with it, {lost} only without it"
    shown += f"; {broken} of {len(controls)} control seeds break" if controls else ""
    if chance > LEVEL:
        why = f"not shown to help: {shown} (p = {chance:.3f})"
    elif controls and broken and spoilt <= LEVEL:
        why = f"it breaks what was right: {shown} (p = {spoilt:.3f})"
    elif not _worth_it(won - lost, len(pairs), broken, len(controls), expected, share):
        why = f"over all seeds it breaks more than it saves: {shown}"
    else:
        return Verdict(True, won, lost, broken, len(controls), chance, f"it helps: {shown} (p = {chance:.3f})")
    return Verdict(False, won, lost, broken, len(controls), chance, why)


def _worth_it(gained: int, pairs: int, broken: int, controls: int, expected: float, share: float) -> bool:
    saved = share * gained / pairs if pairs else 0.0
    spoilt = max(0.0, broken / controls - expected) * (1.0 - share) if controls else 0.0
    return saved > spoilt


def at_least(hits: int, tries: int, rate: float) -> float:
    """The chance of so many hits or more in so many tries, each hitting with this rate; exact. 1 for no tries."""
    hit = Fraction(rate)
    if hits <= 0:
        return 1.0
    return float(sum(comb(tries, n) * hit**n * (1 - hit) ** (tries - n) for n in range(hits, tries + 1)))


def worse(failed: int, ended: int, before: float) -> bool:
    """Whether failures come so much more often than before a change that it is taken back.

    Args:
        failed: Failures on content since then,
        ended: of so many seeds.
        before: Their share before it, 0 to 1.
    """
    return at_least(failed, ended, max(before, LEAST_EXPECTED)) <= LEVEL
