"""The page's table of five rows, with what it promises and what simulated providers measure.

Each row's calls are as long as the row says, and the provider takes 100 at once, so that no row of the table meets a
limit.

Source of the promises: the DeepSwarm page, "Auto-Optimization".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepswarm.simulator.law import Law, read_law
from pace.figures import figures
from pace.plays import oracle, play
from pace.policies import POLICIES
from pace.tables import mean, show

CALLS_S: Final = (("< 10 s", 6.0), ("10-30 s", 20.0), ("30-60 s", 45.0), ("60-90 s", 75.0), ("> 90 s", 120.0))
HORIZON_S: Final = 900.0


def measure(seeds: Sequence[int]) -> None:
    """Print the table."""
    rows = []
    for name, call_s in CALLS_S:
        law = law_of(call_s)
        cells = []
        for policy in ("page-table", "adaptive"):
            played = [figures(play(law, POLICIES[policy], seed), oracle(law, seed)) for seed in seeds]
            hourly = mean(played, "served") / HORIZON_S * 3600.0
            cells += [f"{100.0 / (1.0 + mean(played, 'refused') / 100.0):.2f}", f"{hourly:,.0f}"]
        rows.append([name, f"{call_s:g} s", *cells])
    show(["call duration", "measured with", "page-table: calls admitted, %", "answers an hour",
          "adaptive: calls admitted, %", "answers an hour"], rows)  # fmt: skip


def law_of(call_s: float) -> Law:
    """A provider with 100 places whose calls take about so long."""
    text = f"""
concurrency = 100
[refusal]
after_s = 0.25
retry_after = "none"
[latency]
first_token_s = 1.0
first_token_sigma = 0.25
tokens_per_s = {700.0 / (call_s - 1.0):.4g}
tokens_per_s_sigma = 0.1
[tokens]
median = 700
sigma = 0.1
[stream]
chunk_tokens = 200
[bench]
horizon_s = {HORIZON_S}
"""
    return read_law(text, f"{call_s:g} s")
