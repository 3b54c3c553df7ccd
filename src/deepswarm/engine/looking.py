"""Single records of a run: one by its id, or some by chance. Nothing here changes the run; it may be going on."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Final

from deepswarm.core.conversation import Unfit, messages_of
from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.events import SeedEnded
from deepswarm.core.jsontext import loads
from deepswarm.core.records import Json, Outcome, Record, SeedState
from deepswarm.engine.exporting import Prompts
from deepswarm.engine.filtering import RecordedRun
from deepswarm.engine.output import record_from, records
from deepswarm.formats import name_of, reader
from deepswarm.report.showing import attempts_of

_FAILED: Final = frozenset({Outcome.FAILED, Outcome.REJECTED})
_LOOKED_AT: Final = 200_000
"""Most ids that are compared with one that is unknown."""


def look_at(run: RecordedRun, key: str) -> list[tuple[Record, list[dict[str, Json]]]]:
    """The records of a seed, one for each sample, with their messages and all that happened to them.

    Raises:
        TaskFileError: If the run knows no seed of that id; suggests the nearest ones.
    """
    named = run.journal.seeds_named(key)
    if not named:
        raise TaskFileError([_unknown(run, key)])
    prompts = Prompts(run.journal.tasks())
    return [_look(run, key, number, state, prompts) for number, state in named]


def _look(
    run: RecordedRun, key: str, number: int, state: SeedState, prompts: Prompts
) -> tuple[Record, list[dict[str, Json]]]:
    events = run.journal.history(number)
    attempts = attempts_of(events)
    record: Record = {"id": key, "outcome": state.name.lower()}
    if any(isinstance(event, SeedEnded) for event in events) and state in {
        SeedState.DONE,
        SeedState.FAILED,
        SeedState.REJECTED,
    }:
        record = _ended(run, number)
    return with_messages(record, prompts), attempts


def _ended(run: RecordedRun, number: int) -> Record:
    """The record of a seed's last end."""
    story = run.journal.story_of(number)
    record, payload = record_from(story, run.dialect)
    record["seed"] = loads(payload)
    return record


def with_messages(record: Record, prompts: Prompts) -> Record:
    """The record with its conversation; without an answer it ends with what was asked."""
    try:
        messages = messages_of(prompts.of(record), record)
    except Unfit:
        return record
    return {**record, "messages": messages if "answer" in record else messages[:-1]}


def _unknown(run: RecordedRun, key: str) -> Problem:
    near = difflib.get_close_matches(key, islice(run.journal.keys(), _LOOKED_AT), n=3)
    some = near or list(islice(run.journal.keys(), 3))
    hint = f"did you mean {', '.join(near)}?" if near else f"ids look like {', '.join(some)}" if some else ""
    return Problem(f"the run knows no seed '{key}'", str(run.folder), hint=hint)


def some_of(found: Iterable[Record], most: int, chance: Callable[[], float]) -> list[Record]:
    """At most `most` of the records, each with the same chance, in their order; memory follows `most`."""
    order = count()
    drawn = heapq.nsmallest(most, ((chance(), next(order), record) for record in found), key=lambda each: each[0])
    return [record for _, _, record in sorted(drawn, key=lambda each: each[1])]


def failed_records(run: RecordedRun) -> Iterator[Record]:
    """The records of all seeds that failed or were rejected."""
    return records(run.journal, run.dialect, _FAILED)


def filtered_records(run: RecordedRun, name: str) -> Iterator[Record]:
    """The records that the filters kept (`clean.jsonl`) or dropped (`errors.jsonl`), these with filter and reason.

    Raises:
        TaskFileError: If there is no such file, or a line of it is no record.
    """
    path: Path = run.folder / name
    if not path.is_file():
        hint = "`deepswarm filter` makes it, without a call; or look at all answers: leave out --kept and --dropped"
        raise TaskFileError([Problem("there is no such file", str(path), hint=hint)])
    for row in reader(name_of(path) or "")(path):
        if isinstance(row, Problem):
            raise TaskFileError([replace(row, hint="`deepswarm filter` makes the file anew, without a call")])
        inner = row.get("record")
        yield {**inner, "filter": row["filter"], "reason": row["reason"]} if isinstance(inner, dict) else row
