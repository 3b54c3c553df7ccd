"""One law, one pace, one seed: the real engine in virtual time, and what came of it."""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepswarm.core.events import PaceChanged, RunEnded, SeedEnded
from deepswarm.core.records import Outcome, Totals
from deepswarm.core.scheduler import How
from deepswarm.core.spec import TaskSpec
from deepswarm.dialects import openai_chat
from deepswarm.engine.clock import virtual_clock
from deepswarm.engine.opening import call_of
from deepswarm.engine.output import ResultFiles
from deepswarm.engine.pipeline import Dispatch, Provider, Surroundings
from deepswarm.journals.memory import MemoryJournal
from deepswarm.simulator import virtual_time
from deepswarm.simulator.law import Law
from deepswarm.simulator.ledger import Row
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.tasks import made
from deepswarm.testing.builders import START_UTC, SeedList, SilentScreen
from deepswarm.transports.simulated import SimulatedTransport
from pace.load import requests, seeds
from pace.oracle import attainable
from pace.policies import Policy


@dataclass(frozen=True, slots=True)
class Play:
    """What the provider's ledger and the journals say at the end.

    Attributes:
        seconds: How long it lasted, at most the law's horizon.
        rows: Requests that had ended by then, in the order of arrival.
        totals: Of each process's journal, just before the end.
        done: When each process had an answer, in seconds.
        limits: When the limit of the first process was noted, and what it was.
    """

    seconds: float
    rows: list[Row]
    totals: list[Totals]
    done: list[list[float]]
    limits: list[tuple[float, int]]


def spec_of(law: Law, keys: dict[str, Any]) -> TaskSpec:
    """The task that is run."""
    usual = {"prompt_template": "{{prompt}}", "worker_model": "mock", "worker_max_tokens": law.bench.max_tokens}
    return TaskSpec(**{**usual, "stream": True, **keys})


def more_than_enough(law: Law, seed: int) -> int:
    """Seeds that no pace can use up within the law's horizon: half as many again as the oracle has answers to."""
    return int(1.5 * len(oracle(law, seed))) + law.bench.ceiling + 100


_KNOWN: dict[tuple[str, int], list[float]] = {}


def oracle(law: Law, seed: int) -> list[float]:
    """See `attainable`; looked for once for each law's name and seed."""
    known = _KNOWN.get((law.name, seed))
    if known is None:
        spec = spec_of(law, {"stream": False})
        known = _KNOWN[law.name, seed] = attainable(law, seed, requests(law, seed, spec, call_of(spec)))
    return known


def play(
    law: Law, policy: Policy, seed: int, *, count: int | None = None, starts_s: tuple[float, ...] = (0.0,)
) -> Play:
    """Run it until the law's horizon, or until all seeds have an outcome.

    Args:
        law: How the provider behaves, and for how long.
        policy: Whose pace it is.
        seed: Of the provider, the prompts and all jitter.
        count: Seeds of each process; None for more than can be answered.
        starts_s: When each process starts; all use the same account.
    """
    provider = SimulatedProvider(law, seed)
    count = more_than_enough(law, seed) if count is None else count
    journals = [MemoryJournal() for _ in starts_s]
    with tempfile.TemporaryDirectory(prefix="deepswarm-pace-") as folder:
        dispatches = [
            _dispatch(law, policy, seed + 1000 * place, count, journal, provider, Path(folder) / str(place))
            for place, journal in enumerate(journals)
        ]

        async def together() -> tuple[float, list[Totals]]:
            parts = zip(starts_s, dispatches, strict=True)
            tasks = [asyncio.create_task(_later(start_s, dispatch)) for start_s, dispatch in parts]
            await asyncio.wait(tasks, timeout=law.bench.horizon_s)
            at, totals = asyncio.get_running_loop().time(), [journal.totals() for journal in journals]
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, BaseException) and not isinstance(ended, asyncio.CancelledError):
                    raise ended
            return at, totals

        seconds, totals = virtual_time.run(together())
        for dispatch in dispatches:
            dispatch.output.close()
    rows = [row for row in provider.rows() if row.finished is not None and _ended_by(row, seconds)]
    ends = [journal.events[-1] for journal in journals if journal.events]
    if seconds < law.bench.horizon_s and any(isinstance(end, RunEnded) and end.how == How.INTERRUPTED for end in ends):
        raise SystemExit("stopped by a signal: a play that was cut short has no figures")
    done = [
        [event.at for event in journal.events if isinstance(event, SeedEnded) and event.outcome is Outcome.DONE]
        for journal in journals
    ]
    limits = [(event.at, event.limit) for event in journals[0].events if isinstance(event, PaceChanged)]
    return Play(seconds, rows, totals, done, limits)


def _ended_by(row: Row, seconds: float) -> bool:
    """Whether a request had ended before the clients were sent away."""
    return row.finished is not None and (row.finished < seconds or not row.client_gone)


async def _later(seconds: float, dispatch: Dispatch) -> None:
    await asyncio.sleep(seconds)
    await dispatch.run(None)


def _dispatch(
    law: Law, policy: Policy, seed: int, count: int, journal: MemoryJournal, provider: SimulatedProvider, folder: Path
) -> Dispatch:
    folder.mkdir()
    listed = SeedList(seeds(law, seed, count))
    journal.enrol(listed.incoming(), None)
    spec = spec_of(law, policy.keys(law))
    around = Surroundings(
        lambda: virtual_clock(START_UTC), lambda: START_UTC, random.Random(seed).random, virtual_time.run, "run"
    )
    return Dispatch(
        spec,
        made(spec),
        journal,
        listed,
        ResultFiles(folder, journal, openai_chat, spec.checkpoint_every),
        openai_chat,
        Provider(lambda: SimulatedTransport(provider), simulated=True),
        SilentScreen(),
        around,
        choose=policy.choose(law, seed),
    )
