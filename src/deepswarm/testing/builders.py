"""Whole runs in virtual time: the real engine, the simulated provider, a journal in memory. Hours pass in moments."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepswarm.core import jsontext
from deepswarm.core.identity import content_of, given_id
from deepswarm.core.records import Incoming, Json, Record, SeedRow
from deepswarm.core.section import misfits, section_of
from deepswarm.core.spec import AUTO, TaskSpec
from deepswarm.core.turnkeys import functions_in
from deepswarm.dialects import openai_chat
from deepswarm.engine.account import Account
from deepswarm.engine.answers import Answers
from deepswarm.engine.clock import virtual_clock
from deepswarm.engine.code import code_of
from deepswarm.engine.opening import dialect_of
from deepswarm.engine.output import FAILED, RESULTS, ResultFiles
from deepswarm.engine.pipeline import Dispatch, Provider, Surroundings
from deepswarm.journals import Journal
from deepswarm.journals.memory import MemoryJournal
from deepswarm.report.state import State
from deepswarm.report.summary import Summary
from deepswarm.simulator import virtual_time
from deepswarm.simulator.law import Law
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.tasks import made, writes_itself
from deepswarm.transports.simulated import SimulatedTransport

START_UTC = 1_800_000_000.0
"""When virtual runs begin."""


class SeedList:
    """Seeds that are a list, with places that are its indices."""

    def __init__(self, seeds: Sequence[dict[str, Json]]) -> None:
        """Keep them."""
        self._seeds = seeds

    def incoming(self) -> list[Incoming]:
        """As the journal takes them in."""
        return [
            Incoming(given_id(seed), content_of(seed), place, 0, place + 1) for place, seed in enumerate(self._seeds)
        ]

    def read(self, row: SeedRow) -> tuple[bytes, dict[str, Json]]:
        """See `SeedReader.read`."""
        seed = self._seeds[row.place]
        return jsontext.dumps(seed), seed


class SilentScreen:
    """Keeps what it is told; `lines` is what a person would have read."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self.lines: list[str] = []
        self.state: State | None = None

    def say(self, text: str) -> None:
        """See `Screen.say`."""
        self.lines.append(text)

    async def follow(self, state: State, now: Callable[[], float]) -> None:
        """See `Screen.follow`."""
        del now
        self.state = state


@dataclass
class Rehearsal:
    """A run that has ended, and everything that there is to know about it."""

    summary: Summary
    journal: MemoryJournal
    provider: SimulatedProvider
    screen: SilentScreen
    folder: Path
    seconds: float

    @property
    def results(self) -> list[Record]:
        """The lines of results.jsonl."""
        return _lines(self.folder / RESULTS)

    @property
    def failed(self) -> list[Record]:
        """The lines of failed.jsonl."""
        return _lines(self.folder / FAILED)


def rehearse(
    folder: Path,
    seeds: Sequence[dict[str, Json]],
    law: Law,
    *,
    journal: MemoryJournal | None = None,
    provider: SimulatedProvider | None = None,
    chance_seed: int = 1,
    account: Account | None = None,
    calls: int | None = None,
    orchestrator: SimulatedProvider | None = None,
    **keys: Any,
) -> Rehearsal:
    """Run a task over seeds in virtual time.

    Args:
        folder: For results.jsonl and failed.jsonl.
        seeds: Fields of the seeds, in order; `prompt` is what is asked unless `prompt_template` says otherwise.
        law: How the simulated provider behaves.
        journal: To go on with an earlier run.
        provider: To go on with an earlier provider and its ledger; then `law` becomes its law.
        chance_seed: For back-off and jitter.
        account: What is remembered, and shared with other runs.
        calls: At most so many, then the run stops, resumable.
        orchestrator: Answers for that tier; None when the same provider does.
        **keys: Of the task file.
    """
    values = {"prompt_template": "{{prompt}}", "worker_model": "mock", "stagger": 0.0, **keys}
    if wrong := [*misfits(TaskSpec, values)]:
        raise ValueError(wrong)
    spec: TaskSpec = section_of(TaskSpec, values)
    kind = made(spec)
    if kind.schema is not None:
        law = law.with_schema(kind.schema)
    journal = MemoryJournal() if journal is None else journal
    writer = kind.rehearse if writes_itself(spec) else None
    provider = SimulatedProvider(law, writer=writer) if provider is None else provider
    provider.law = law
    dialect = dialect_of(spec) if spec.worker_dialect != AUTO else openai_chat
    above = orchestrator
    screen, seed_list = SilentScreen(), SeedList(seeds)
    enrolment = journal.enrol(seed_list.incoming(), None)
    output = ResultFiles(folder, _as_journal(journal), Answers(dialect, kind), spec.checkpoint_every)
    dispatch = Dispatch(
        spec,
        kind,
        _as_journal(journal),
        seed_list,
        output,
        dialect,
        Provider(
            lambda: SimulatedTransport(provider),
            simulated=True,
            account=account,
            orchestrator=None if above is None else Provider(lambda: SimulatedTransport(above), simulated=True),
        ),
        screen,
        Surroundings(
            lambda: virtual_clock(START_UTC),
            lambda: START_UTC,
            random.Random(chance_seed).random,
            virtual_time.run,
            "run",
        ),
        calls=calls,
        code=code_of(functions_in(keys), Path(), spec.code_timeout),
    )
    summary = virtual_time.run(dispatch.run(enrolment))
    output.close()
    return Rehearsal(summary, journal, provider, screen, folder, summary.seconds)


def _as_journal(journal: Journal) -> Journal:
    """The type checker's proof that the store in memory fits the door."""
    return journal


def _lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
