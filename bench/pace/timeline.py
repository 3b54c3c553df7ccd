"""The page's run of 19,331 seeds on a provider like DeepSeek, and its picture: limit, calls under way, refusals."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Final

from deepswarm.simulator.law import load_law
from pace.plays import Play, oracle, play
from pace.policies import POLICIES
from pace.tables import show

SEEDS: Final = 19_331
LAW: Final = "pace/deepseek"


def draw(picture: Path, seed: int = 1) -> None:
    """Run it, print its figures, and write the picture; that needs matplotlib, which is no dependency."""
    law = load_law(LAW)
    played = play(law, POLICIES["adaptive"], seed, count=SEEDS)
    refused = sum(bool(row.refused) for row in played.rows)
    best_s = oracle(law, seed)[SEEDS - 1]
    all_but_tail = sorted(played.done[0])[int(0.95 * SEEDS)]
    best_but_tail = oracle(law, seed)[int(0.95 * SEEDS)]
    rows = [
        ["seeds with an answer", f"{played.totals[0].done:,}"],
        ["calls refused", f"{refused}"],
        ["calls that were admitted", f"{100.0 * (1.0 - refused / len(played.rows)):.3f} %"],
        ["seconds, and the oracle's", f"{played.seconds:.0f}, {best_s:.0f}"],
        ["share of the oracle, whole run with its tail", f"{100.0 * best_s / played.seconds:.1f} %"],
        ["share of the oracle until 95 % were done", f"{100.0 * best_but_tail / all_but_tail:.1f} %"],
        ["most at once", f"{max(in_flight(played)[1])}"],
    ]
    show(["of the run of 19,331 seeds", ""], rows)
    _write(picture, played)


def in_flight(played: Play) -> tuple[list[float], list[int]]:
    """Calls that the provider has under way, each second."""
    admitted = [row for row in played.rows if row.admitted]
    began = sorted(row.received for row in admitted)
    ended = sorted(row.finished for row in admitted if row.finished is not None)
    times = [float(second) for second in range(int(played.seconds) + 1)]
    return times, [bisect_right(began, at) - bisect_right(ended, at) for at in times]


def _write(picture: Path, played: Play) -> None:
    try:
        import matplotlib as mpl
    except ImportError:
        raise SystemExit("the picture needs matplotlib: pip install matplotlib") from None
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "deepswarm"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 3.2))
    times, flying = in_flight(played)
    axes.step(times[::5], flying[::5], label="calls under way")
    axes.step([at for at, _ in played.limits], [limit for _, limit in played.limits], where="post", label="limit")
    refused = [row.received for row in played.rows if row.refused]
    axes.plot(refused, [0] * len(refused), "rx", label=f"refusals ({len(refused)})", clip_on=False)
    axes.set(xlabel="seconds", ylabel="calls", title="19,331 seeds, calls of 30 to 60 s, a hidden cap of 500")
    axes.legend(loc="lower center")
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None})
