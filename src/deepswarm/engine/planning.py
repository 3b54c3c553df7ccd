"""What a run would do, found out without a call: every seed is read and its prompt rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from deepswarm.core.combine import problems, seeds_of
from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.estimate import Estimate, Memory, Sizes, estimate
from deepswarm.core.events import CallEnded, Event, RunStarted, SeedEnded
from deepswarm.core.money import Price
from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.records import Message, Seed
from deepswarm.engine.filtering import has_run
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.opening import as_dict, fingerprint_of, task_type_of
from deepswarm.journals.sqlite import SqliteJournal
from deepswarm.prices import book_of
from deepswarm.sources import read_seeds
from deepswarm.taskfile import TaskFile, resolve
from deepswarm.tasks import TaskType

SHOWN: Final = 20
"""Most problems of seeds that are listed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        seeds: In the file, or as many of them as were asked for.
        ended: Those of them that have an outcome already, as the run's journal says.
        first: The messages of the first seed.
        price: Of the model; None when nobody knows it.
        estimate: Of what is left.
    """

    seeds: int
    ended: int
    first: tuple[Message, ...]
    price: Price | None
    estimate: Estimate


def plan_of(task: TaskFile, total: int | None, utc: float) -> Plan:
    """What a run would do now.

    Args:
        task: The task.
        total: Only the first so many seeds; None for all.
        utc: Now, seconds since 1970: which prices are in force.

    Raises:
        TaskFileError: For what is wrong with task or seeds.
        JournalError: If an earlier run's journal cannot be read.
    """
    spec = task.spec
    first, sizes = _measured(task_type_of(task), islice(_seeds(task), total), str(resolve(task, spec.seeds_file)))
    ended, memory = _earlier(resolve(task, spec.output_dir), fingerprint_of(spec))
    ended = min(ended, sizes.seeds)
    price = book_of(as_dict(spec), spec.worker_api_base).of(spec.worker_model, utc)
    left = _scaled(sizes, sizes.seeds - ended)
    return Plan(sizes.seeds, ended, first, price, estimate(left, spec.worker_max_tokens, price, memory))


def _seeds(task: TaskFile) -> Iterator[Seed | Problem]:
    """Those of the seeds file, or those that a run would make."""
    path, section = resolve(task, task.spec.seeds_file), task.spec.seeds
    if section is None or section.wanted is not None or path.exists():
        return read_seeds(path)
    if found := problems(section):
        raise TaskFileError(found)
    return (Seed(fields, line=number) for number, fields in enumerate(seeds_of(section), 1))


def _measured(kind: TaskType, seeds: Iterable[Seed | Problem], file: str) -> tuple[tuple[Message, ...], Sizes]:
    """The first prompt, and how large all of them are."""
    first: tuple[Message, ...] = ()
    found: list[Problem] = []
    count = size = messages = 0
    shared: str | None = None
    for seed in seeds:
        prompt = seed if isinstance(seed, Problem) else _rendered(kind, seed, file)
        if isinstance(prompt, Problem):
            found.append(prompt)
            if len(found) == SHOWN:
                break
            continue
        text = "".join(message.content for message in prompt)
        first = first or prompt
        shared = text if shared is None else _beginning(shared, text)
        count, size, messages = count + 1, size + len(text.encode("utf-8", "replace")), messages + len(prompt)
    if found:
        raise TaskFileError(found)
    return first, Sizes(count, size, len((shared or "").encode("utf-8", "replace")), messages)


def _rendered(kind: TaskType, seed: Seed, file: str) -> tuple[Message, ...] | Problem:
    try:
        return kind.open(seed.fields).messages
    except TemplateProblem as error:
        return Problem(f"the prompt cannot be made: {error}", file, seed.line)


def _beginning(one: str, other: str) -> str:
    """What both texts begin with."""
    if other.startswith(one):
        return one
    return one[: next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(other))]


def _scaled(sizes: Sizes, left: int) -> Sizes:
    """Sizes of so many of the prompts, at their mean."""
    seeds = max(sizes.seeds, 1)
    return Sizes(left, sizes.size_bytes * left // seeds, sizes.shared_bytes, sizes.messages * left // seeds)


def _earlier(folder: Path, fingerprint: str) -> tuple[int, Memory | None]:
    """How many seeds have an outcome in this folder's run, and what its calls for the same question have shown."""
    if not has_run(folder):
        return 0, None
    journal = SqliteJournal(RunFolder(folder).journal, readonly=True)
    try:
        totals = journal.totals()
        return totals.done + totals.rejected + totals.failed, memory_of(journal.replay(), fingerprint)
    finally:
        journal.close()


def memory_of(events: Iterable[Event], fingerprint: str) -> Memory | None:
    """What the calls of a journal have shown; None when nothing was answered under this fingerprint.

    The pace counts the time of sessions in which seeds ended, pauses included.
    """
    answers = tokens_in = tokens_out = seeds = 0
    seconds = began = latest = 0.0
    same = False
    for event in events:
        if isinstance(event, RunStarted):
            seconds, began, latest = seconds + latest - began, event.at, event.at
            same = event.fingerprint == fingerprint
        elif same and isinstance(event, SeedEnded):
            seeds, latest = seeds + 1, event.at
        elif same and isinstance(event, CallEnded) and event.label == "ok":
            came_in, went_out = event.usage.tokens_in, event.usage.tokens_out
            if came_in is not None and went_out is not None:
                answers, tokens_in, tokens_out = answers + 1, tokens_in + came_in, tokens_out + went_out
    if not answers or not seeds:
        return None
    return Memory(answers, tokens_in / answers, tokens_out / answers, (seconds + latest - began) / seeds)
