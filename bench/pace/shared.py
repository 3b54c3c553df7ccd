"""Two processes on one account that know nothing of each other; the second starts after five minutes.

Source of the two cases: the study's multi.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepswarm.simulator.law import read_law
from pace.figures import jain
from pace.plays import Play, oracle, play
from pace.policies import POLICIES
from pace.tables import show

LATE_S: Final = 300.0
JUDGED_S: Final = 1200.0
"""From when on their shares are compared."""
_REST: Final = """
[refusal]
after_s = 0.25
retry_after = "none"
[latency]
first_token_s = 1.5
first_token_sigma = 0.25
tokens_per_s = 51.85
tokens_per_s_sigma = 0.25
[tokens]
median = 700
sigma = 0.6
[stream]
chunk_tokens = 100
[bench]
horizon_s = 2400.0
"""
CASES: Final = {
    "cap of 100 calls of 15 s": "concurrency = 100",
    "600 calls a minute of 15 s": '[[rates]]\ncounts = "requests"\namount = 600\nburst_s = 10.0',
}
WHO: Final = ("adaptive", "fixed-64", "aimd")


def measure(seeds: Sequence[int], policies: Sequence[str]) -> None:
    """Print a table: what both get together, and how evenly."""
    rows = []
    for name, text in CASES.items():
        law = read_law(f"{text}\n{_REST}", name)
        for policy in [each for each in policies if each in WHO]:
            shares, fair, late = [], [], []
            for seed in seeds:
                played = play(law, POLICIES[policy], seed, starts_s=(0.0, LATE_S))
                each = later(played)
                shares.append(sum(total.done for total in played.totals) / len(oracle(law, seed)))
                fair.append(jain(each))
                late.append(each[1] / max(1, sum(each)))
            rows.append([name, policy, *(f"{sum(values) / len(seeds):.3f}" for values in (shares, fair, late))])
    show(["law", "policy", "together, of the oracle", "Jain", "share of the later one"], rows)


def later(played: Play) -> list[int]:
    """Answers of each process once both have had time to settle."""
    return [sum(at > JUDGED_S for at in times) for times in played.done]
