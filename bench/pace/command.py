"""`./swarm bench pace`: which way to choose a pace gets how much of what a provider gives."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from deepswarm.simulator.law import LAWS, Law, load_law
from pace import cpu, page, sensitivity, shared, timeline
from pace.figures import Figures, figures, geometric_mean
from pace.plays import oracle, play
from pace.policies import POLICIES
from pace.tables import mean, row, show

Played = dict[tuple[str, str], list[Figures]]
"""The figures of each seed, by law and policy."""


def main(arguments: Sequence[str]) -> None:
    asked = _parser().parse_args(arguments)
    laws = [load_law(path) for path in sorted(asked.laws.glob("*.toml"))]
    if asked.only:
        laws = [law for law in laws if Path(law.name).stem in asked.only.split(",")]
    if not laws:
        raise SystemExit(f"{asked.laws}: no law files here (*.toml); give --laws FOLDER")
    if asked.cpu:
        cpu.measure()
    elif asked.shared:
        shared.measure(asked.seeds, asked.policies)
    elif asked.timeline:
        timeline.draw(asked.timeline)
    elif asked.page:
        page.measure(asked.seeds)
    elif asked.sensitivity:
        sensitivity.measure(laws, asked.seeds, asked.jobs)
    else:
        played = measured(laws, asked.policies, asked.seeds, asked.jobs)
        print(json.dumps(as_json(played), indent=1)) if asked.json else report(played, asked.policies)


def measured(laws: Sequence[Law], policies: Sequence[str], seeds: Sequence[int], jobs: int) -> Played:
    """All policies under all laws. A law and seed is one piece of work, so that its oracle is looked for once."""
    pieces = [(law, seed) for law in laws for seed in seeds]
    played: Played = {}
    for (law, _), found in zip(pieces, _in_parallel(pieces, policies, jobs), strict=True):
        for policy, each in zip(policies, found, strict=True):
            played.setdefault((Path(law.name).stem, policy), []).append(each)
    return played


def _in_parallel(pieces: Sequence[tuple[Law, int]], policies: Sequence[str], jobs: int) -> Iterator[list[Figures]]:
    one = partial(_piece, policies=policies)
    if jobs == 1:
        yield from map(one, pieces)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(one, pieces)


def _piece(piece: tuple[Law, int], policies: Sequence[str]) -> list[Figures]:
    law, seed = piece
    best = oracle(law, seed)
    return [figures(play(law, POLICIES[policy], seed), best) for policy in policies]


def as_json(played: Played) -> list[dict[str, object]]:
    """A row for each play. What was never reached is null."""
    return [
        {"law": law, "policy": policy, **{key: _finite(value) for key, value in asdict(each).items()}}
        for (law, policy), all_ in played.items()
        for each in all_
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def report(played: Played, policies: Sequence[str]) -> None:
    """One table for each policy, and one of all shares."""
    laws = list(dict.fromkeys(law for law, _ in played))
    for policy in policies:
        print(f"## {policy}\n")
        show(
            ["law", "share of the oracle, %", "lowest", "refusals per 100", "after the ramp", "an hour", "in any 60 s",
             "lost", "wasted, %", "to 90 %, s"],
            [row(law, played[law, policy]) for law in laws],
        )  # fmt: skip
        shares = [mean(played[law, policy], "share") for law in laws]
        print(f"geometric mean of the shares: {100.0 * geometric_mean(shares):.1f} %\n", flush=True)
    if len(policies) > 1:
        print("## share of the oracle, %\n")
        shares_of = {law: [100.0 * mean(played[law, policy], "share") for policy in policies] for law in laws}
        rows = [[law, *(f"{share:.3g}" for share in shares)] for law, shares in shares_of.items()]
        means = [geometric_mean([shares_of[law][at] / 100.0 for law in laws]) for at in range(len(policies))]
        show(["law", *policies], [*rows, ["geometric mean", *(f"{100.0 * each:.3g}" for each in means)]])


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def _policies(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in POLICIES]:
        raise argparse.ArgumentTypeError(f"no policy {unknown[0]}; known: {', '.join(POLICIES)}")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./swarm bench pace", description="See bench/README.md.")
    parser.add_argument(
        "--laws", type=Path, default=LAWS / "pace", help="a folder of law files; default: those shipped"
    )
    parser.add_argument("--only", help="names of laws of that folder, with commas")
    parser.add_argument("--seeds", type=_seeds, default=[1], help="1-4, or one; default 1")
    parser.add_argument("--policies", type=_policies, default=list(POLICIES), help=f"of {','.join(POLICIES)}")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side; default 1")
    parser.add_argument("--json", action="store_true", help="a row for each play instead of tables")
    parser.add_argument("--cpu", action="store_true", help="time of the controller for each call at 2,500 in flight")
    parser.add_argument("--shared", action="store_true", help="two processes on one account")
    parser.add_argument("--page", action="store_true", help="the page's five-row table, measured")
    parser.add_argument("--sensitivity", action="store_true", help="each constant of the adaptive pace x 0.5 and x 2")
    parser.add_argument("--timeline", type=Path, metavar="SVG", help="the run of 19,331 seeds, with its picture")
    return parser
