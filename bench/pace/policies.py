"""The ways to choose a pace that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from deepswarm.core.calibrate import Chosen, chosen
from deepswarm.core.pace import Pace
from deepswarm.core.pace.adaptive import Adaptive
from deepswarm.core.pace.choice import Choice
from deepswarm.core.pace.constants import Constants
from deepswarm.simulator.law import Law
from deepswarm.simulator.limitlaw import Counted
from pace.baselines import CALLERS, Aimd, Gradient2, Slots, Vegas


@dataclass(frozen=True, slots=True)
class Policy:
    """Keys of the task file, or a pace of one's own: `make(ceiling, seed)`."""

    keys: Callable[[Law], dict[str, Any]] = lambda _: {}
    make: Callable[[int, int], Pace] | None = None

    def choose(self, law: Law, seed: int) -> Callable[..., Chosen]:
        """What stands for `calibrate.chosen`."""
        if self.make is None:
            return chosen
        pace = self.make(law.bench.ceiling, seed)
        choice = Choice(pace.limit, 0.0, 1, "benchmark")
        return lambda *_, **__: Chosen(pace, lambda: choice)


def adaptive_with(constants: Constants) -> Policy:
    """The adaptive pace on other numbers."""
    return Policy(make=lambda most, seed: Adaptive(most, None, seed, constants, streamed=True))


def _formula(law: Law) -> dict[str, Any]:
    """The page's formula with the true limit, where the law has one on calls."""
    per_minute = [rate.amount * 60.0 / rate.per_s for rate in law.rates if rate.counts is Counted.REQUESTS]
    return {"pace": "page-formula", **({"rate_limit": min(per_minute)} if per_minute else {})}


def _fixed(workers: int) -> Policy:
    return Policy(lambda law: {"pace": "fixed", "workers": min(workers, law.bench.ceiling)})


POLICIES: Final[dict[str, Policy]] = {
    "adaptive": Policy(lambda law: {"pace": "adaptive", "workers": law.bench.ceiling}),
    "page-formula": Policy(_formula),
    "page-table": Policy(lambda _: {"pace": "page-table"}),
    "fixed-8": _fixed(8),
    "fixed-64": _fixed(64),
    "unlimited": Policy(make=lambda most, seed: Slots(CALLERS, most, seed)),
    "aimd": Policy(make=Aimd),
    "gradient2": Policy(make=Gradient2),
    "vegas": Policy(make=Vegas),
}
