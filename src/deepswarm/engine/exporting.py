"""Records out of a run into the rows of an export: with their messages, in the wanted form, counted on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from deepswarm.core.conversation import Unfit, messages_of, prompt_hash
from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.jsontext import dumps
from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.records import Json, Message, Record
from deepswarm.core.spec import TaskSpec, check
from deepswarm.engine.filtering import RecordedRun
from deepswarm.formats import TABLE as LOSSLESS
from deepswarm.formats import name_of, reader
from deepswarm.formats.training import Style, rows_of
from deepswarm.report.census import Census, provenance_of
from deepswarm.tasks import TaskType, made
from deepswarm.version import VERSION

MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be exported.

    Attributes:
        form: A lossless format or a training form.
        by_seed: In the order of the seeds, not of the answers.
        style: Where the thinking goes in a training form.
        source: A file of records to take instead of all answers of the run, as a filter wrote it.
        provenance: Whether rows of a training form say where they came from.
    """

    form: str
    by_seed: bool = False
    style: Style = Style.FIELD
    source: Path | None = None
    provenance: bool = True

    @property
    def is_lossless(self) -> bool:
        """Whether the rows are the records themselves."""
        return self.form in LOSSLESS


class Prompts:
    """What seeds were asked: rendered again, each with the task under whose fingerprint it was asked."""

    def __init__(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        """Take the tasks by fingerprint, as the journal keeps them."""
        self._tasks = tasks
        self._types: dict[str, TaskType] = {}

    def of(self, record: Record) -> tuple[Message, ...]:
        """The messages that were sent for a record.

        Raises:
            Unfit: If the record does not tell its seed, or the run does not know its task.
        """
        fingerprint, seed = str(record.get("fingerprint")), record.get("seed")
        if fingerprint not in self._tasks:
            raise Unfit("it was asked under a task that this run does not know")
        if not isinstance(seed, dict):
            raise Unfit("it holds no seed")
        try:
            return self._type(fingerprint).open(seed).messages
        except TemplateProblem as problem:
            raise Unfit(f"its prompt cannot be rendered again: {problem}") from None

    def _type(self, fingerprint: str) -> TaskType:
        known = self._types.get(fingerprint)
        if known is None:
            spec = check(self._tasks[fingerprint])
            if not isinstance(spec, TaskSpec):
                raise Unfit("its task can be read by another version only")
            known = self._types[fingerprint] = made(spec)
        return known


def exported(run: RecordedRun, wish: Wish, census: Census) -> Iterator[tuple[str, dict[str, Json]]]:
    """The rows of an export with the keys of their seeds; the census counts what passes.

    Raises:
        TaskFileError: If the source is no file of records.
    """
    found = source_of(run, wish)
    prompts = Prompts(run.journal.tasks())
    if wish.is_lossless:
        for record in found:
            census.add(record)
            census.rows += 1
            yield str(record.get("id")), {**record, "prompt_hash": _hash_of(record, prompts)}
        return
    rows = rows_of(wish.form)
    for key, group in groupby(found, key=lambda record: str(record.get("id"))):
        samples = list(_with_messages(group, prompts, census))
        for some in [samples] if wish.form == "preference" else [[record] for record in samples]:
            try:
                made = rows(some, wish.style)
            except Unfit as unfit:
                census.refuse(some[0], str(unfit))
                continue
            for row in made:
                census.rows += 1
                yield key, _told(row, some, wish)


def _hash_of(record: Record, prompts: Prompts) -> str | None:
    try:
        return prompt_hash(prompts.of(record))
    except Unfit:
        return None


def source_of(run: RecordedRun, wish: Wish) -> Iterable[Record]:
    """The records to export."""
    if wish.source is not None:
        return _sound(wish.source)
    return run.records_by_seed() if wish.by_seed or wish.form == "preference" else run.records()


def _sound(path: Path) -> Iterator[Record]:
    """The records of a file, all of which must be some."""
    kind = name_of(path)
    if kind is None:
        raise TaskFileError(
            [Problem("its ending names no format", str(path), hint="there are: .jsonl, .json, .parquet")]
        )
    try:
        for row in reader(kind)(path):
            if isinstance(row, Problem):
                raise TaskFileError([row])
            yield row
    except OSError as error:
        raise TaskFileError([Problem(f"cannot be read: {error.strerror or error}", str(path))]) from error


def _with_messages(records: Iterable[Record], prompts: Prompts, census: Census) -> Iterator[Record]:
    for record in records:
        census.add(record)
        try:
            prompt = prompts.of(record)
        except Unfit as unfit:
            census.refuse(record, str(unfit))
            continue
        yield {**record, "messages": messages_of(prompt, record), "prompt_hash": prompt_hash(prompt)}


def _told(row: dict[str, Json], samples: Iterable[Record], wish: Wish) -> dict[str, Json]:
    """A row with its id and, as JSON text that every reader takes in one column, where it came from."""
    if not wish.provenance:
        return row
    told: list[Json] = [provenance_of(record, str(record["prompt_hash"])) for record in samples]
    ids = next(iter(samples)).get("id")
    return {"id": ids, **row, "provenance": dumps(told[0] if len(told) == 1 else told).decode()}


def manifest(run: RecordedRun, wish: Wish, census: Census, files: Iterable[Mapping[str, Json]]) -> dict[str, Json]:
    """What the files of an export are, and what they were made of."""
    totals = run.totals
    return {
        "deepswarm": VERSION,
        "format": wish.form,
        "reasoning": None if wish.is_lossless else wish.style.value,
        "order": "seeds" if wish.by_seed else "completion",
        "source": wish.source.name if wish.source else "journal",
        "seeds": {
            "done": totals.done,
            "failed": totals.failed,
            "rejected": totals.rejected,
            "left": totals.left,
        },
        **census.facts(),
        "tasks": dict(run.journal.tasks()),
        "files": [dict(file) for file in files],
    }


def file_facts(path: Path, name: str, rows: int) -> dict[str, Json]:
    """Name, rows, size and hash of a written file."""
    with path.open("rb") as file:
        return {
            "name": name,
            "rows": rows,
            "bytes": path.stat().st_size,
            "sha256": file_digest(file, "sha256").hexdigest(),
        }
