"""Seeds made by a model from a description: two runs of the tool itself, whose answers become a seeds file.

    seeds.wanted ─▶ a run of one seed: the topics
                      └▶ a run of asks, spread over the topics ─▶ near-duplicates out ─▶ enough? ─▶ the seeds file
                            ▲                                                            │ no
                            └────────────── more asks, for what is missing ◀─────────────┘

Being runs, they have everything that runs have: a journal, so that nothing is paid for twice and a stopped one goes on;
workers, pace, retries, pauses and a bill. What to ask next is told from their answers alone (`orchestrator/taxonomy`).
They lie beside the seeds file, in a folder named after what is wanted: another description begins anew, and deletes
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.identity import fingerprint
from deepswarm.core.money import total
from deepswarm.core.records import Json
from deepswarm.core.scheduler import How
from deepswarm.core.section import chosen, section_of
from deepswarm.core.spec import SeedsSection, TaskSpec
from deepswarm.core.tierkeys import orchestrator_of
from deepswarm.engine.billing import bill_of_folder
from deepswarm.engine.filtering import has_run
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.output import RESULTS
from deepswarm.engine.pipeline import Provider, Screen, Surroundings, Wishes, run
from deepswarm.orchestrator import taxonomy
from deepswarm.orchestrator.advice import Topic
from deepswarm.orchestrator.taxonomy import Ask, Made
from deepswarm.report.summary import Summary
from deepswarm.sources.making import put_file
from deepswarm.taskfile import TaskFile

MAKING: Final = ".making"
_ROLE: Final = "You write the inputs of a batch job, called seeds, exactly as they are described."
ROOM: Final = 16_384
"""Most tokens of one reply, where a budget needs a limit and the task names none."""
_TEMPERATURE: Final = 1.0
"""Varied seeds are wanted; 1 is what every provider takes and most have as their own default."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of it.

    Attributes:
        count: Seeds that were made, at most as many as wanted.
        wanted: How many that is.
        near: Seeds that were left out because they are near to another.
        topics: How many topics there are.
        model: Who made them.
        calls: Charged calls, all sessions together.
        spent: What they cost in US dollars; None when some price is unknown.
        stopped: How a run below ended, when it did not finish.
        unchanged: The file held just these already.
    """

    count: int
    wanted: int
    near: int
    topics: int
    model: str
    calls: int
    spent: Decimal | None
    stopped: Summary | None = None
    unchanged: bool = False

    @property
    def exit_code(self) -> int:
        """0 the file is written; 1 there are not enough different seeds; else as the run below ended."""
        if self.stopped is not None:
            return self.stopped.exit_code
        return 0 if self.count == self.wanted else 1


@dataclass(frozen=True, slots=True)
class Making:
    """What a description is made into seeds with.

    Attributes:
        task: The user's.
        names: Fields that its prompt needs.
        path: The seeds file.
        provider: Makes the provider that answers a task.
        around: Time, chance and loop.
    """

    task: TaskFile
    names: frozenset[str]
    path: Path
    provider: Callable[[TaskFile], Provider]
    screen: Screen
    around: Surroundings

    @property
    def section(self) -> SeedsSection:
        """What is wanted."""
        section = self.task.spec.seeds
        if section is None or section.wanted is None:
            raise ValueError("the task does not describe its seeds")
        return section

    @property
    def folder(self) -> Path:
        """Where the runs below lie; it follows what is asked, not how many."""
        asked: dict[str, Json] = {
            "wanted": self.section.wanted,
            "names": list[Json](sorted(self.names)),
            "model": maker_of(self.task.spec)["worker_model"],
        }
        return self.path.with_name(self.path.name + MAKING) / fingerprint(asked)

    def write(self, *, replace: bool) -> Written:
        """Make the seeds, or go on with making them, and write the file once there are enough.

        Raises:
            TaskFileError: If the file cannot be written, or others are there and `replace` is false.
            JournalError: If another process makes them.
        """
        topics, stopped = self._topics()
        if not topics:
            return self._written(0, Made((), 0), stopped)
        asks, exhausted = list[Ask](), frozenset[int]()
        rounds = _asks_in(self.folder / "asks.jsonl")
        before, made = None, Made(((),) * len(topics), 0)
        for number in range(taxonomy.MOST_ROUNDS):
            if number == len(rounds):
                gaps = taxonomy.missing(made, self._count, exhausted)
                rounds.append(taxonomy.asks_of(self._wanted, topics, made, gaps, len(asks)))
            if not rounds[number]:
                break
            asks += rounds[number]
            if number == len(rounds) - 1:
                stopped = self._ask("asks", rounds, taxonomy.seeds_schema(self.names))
                if stopped.how is not How.FINISHED:
                    return self._written(len(topics), made, stopped)
            before, made = made, self._made(asks, len(topics))
            exhausted |= taxonomy.exhausted_by(made, before, frozenset(ask.topic for ask in rounds[number]))
            if number == len(rounds) - 1:
                self.screen.say(f"seeds: {min(made.seeds, self._count):,} of {self._count:,}")
        if made.seeds < self._count:
            return self._written(len(topics), made, None)
        seeds = taxonomy.chosen(made, self._count)
        put = put_file(seeds, self.path, replace=replace)
        return self._written(len(topics), made, None, unchanged=put.unchanged)

    @property
    def _wanted(self) -> str:
        return self.section.wanted or ""

    @property
    def _count(self) -> int:
        return self.section.count or 0

    def _topics(self) -> tuple[list[Topic], Summary | None]:
        """The topics; none, and how the run ended, when it brought none."""
        found = _answers(self.folder / "topics" / RESULTS)
        if not found:
            ask = Ask("topics", 0, 0, taxonomy.topics_ask(self._wanted, self.names))
            summary = self._ask("topics", [[ask]], taxonomy.topics_schema())
            found = _answers(self.folder / "topics" / RESULTS)
            if not found:
                return [], summary
        return taxonomy.topics_in(found["topics"]), None

    def _ask(self, name: str, rounds: Sequence[Sequence[Ask]], schema: Mapping[str, Json]) -> Summary:
        """A run of all asks; those that were answered before are not asked again."""
        path = self.folder / f"{name}.jsonl"
        rows = [{**ask._asdict(), "round": number} for number, part in enumerate(rounds) for ask in part]
        put_file(rows, path, replace=True)
        spec = section_of(
            TaskSpec,
            {
                **maker_of(self.task.spec),
                "task_type": "extraction",
                "extraction": {"json_schema": dict(schema)},
                "system_prompt": _ROLE,
                "prompt_template": "{{ask}}",
                "seeds_file": str(path.resolve()),
                "output_dir": str((self.folder / name).resolve()),
            },
        )
        task = TaskFile(self.task.path, self.task.text, spec)
        folder = RunFolder(self.folder / name)
        wishes = Wishes(retry_failed=name == "topics" and has_run(folder.path))  # nothing goes on without topics
        return run(task, folder, wishes, self.provider(task), self.screen, self.around)

    def _made(self, asks: Sequence[Ask], topics: int) -> Made:
        answers = _answers(self.folder / "asks" / RESULTS)
        replies = [(ask.topic, taxonomy.seeds_in(answers[ask.id])) for ask in asks if ask.id in answers]
        return taxonomy.made_of(replies, topics, self.section.distinct)

    def _written(self, topics: int, made: Made, stopped: Summary | None, *, unchanged: bool = False) -> Written:
        bills = [bill_of_folder(self.folder / name) for name in ("topics", "asks") if (self.folder / name).is_dir()]
        known = not any(bill.unpriced for bill in bills)
        return Written(
            min(made.seeds, self._count),
            self._count,
            made.near,
            topics,
            maker_of(self.task.spec)["worker_model"],
            sum(bill.calls for bill in bills),
            total(bill.spent for bill in bills) if known else None,
            stopped,
            unchanged,
        )


def maker_of(spec: TaskSpec) -> dict[str, Any]:
    """The keys of a task that asks the model which makes seeds: the orchestrator's, or the only one that there is.

    The budget of the orchestrator's tier bounds each of the runs below.
    """
    maker = orchestrator_of(spec) or spec
    values = chosen(maker)
    kept = ("api_key_env", "worker_api_base", "worker_dialect", "worker_model", "prices", "rpm", "tpm", "courtesy")
    caps = {} if spec.orchestrator_budget is None else chosen(spec.orchestrator_budget)
    found = {key: values[key] for key in kept if key in values} | caps
    if caps and values.get("worker_max_tokens") is None:
        found["worker_max_tokens"] = ROOM  # a budget can only be held to where there is a limit
    if (maker.workers, maker.pace) != ("auto", "auto"):
        found |= {"workers": maker.workers, "pace": maker.pace}
    return {**found, "worker_params": {"temperature": _TEMPERATURE}}


def _answers(path: Path) -> dict[str, str]:
    """The answers of a run by the ids of its seeds."""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        records = [jsontext.loads(line) for line in file]
    return {str(record["id"]): str(record["answer"]) for record in records if isinstance(record, dict)}


def _asks_in(path: Path) -> list[list[Ask]]:
    """The rounds of asks that an earlier session has written."""
    rounds: list[list[Ask]] = []
    if not path.exists():
        return rounds
    try:
        with path.open("rb") as file:
            for row in map(json.loads, file):
                while len(rounds) <= row["round"]:
                    rounds.append([])
                rounds[row["round"]].append(Ask(row["id"], row["topic"], row["size"], row["ask"]))
    except (ValueError, KeyError, TypeError) as error:
        what = f"the asks of an earlier session cannot be read: {type(error).__name__}: {error}"
        raise TaskFileError([Problem(what, str(path), hint="move its folder away to begin anew")]) from error
    return rounds
