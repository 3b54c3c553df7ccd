"""Records out of a run, through filters, into files: the one place where journals, filters and formats meet.

Nothing here calls an API or changes the journal; all of it can be repeated at any time, also beside a run.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from deepswarm.core.errors import DeepSwarmError, DiskFull, Problem, TaskFileError
from deepswarm.core.jsontext import dumps, loads
from deepswarm.core.records import Json, Outcome, Record, Totals
from deepswarm.core.spec import AUTO
from deepswarm.dialects import TABLE as DIALECTS
from deepswarm.dialects import dialect_for
from deepswarm.doors import find
from deepswarm.engine.answers import Decoder, answers_of
from deepswarm.engine.filter_files import with_texts
from deepswarm.engine.folder import RunFolder, simulated
from deepswarm.engine.output import FAILED, RESULTS, record_from, records
from deepswarm.engine.shelf import DiskShelf
from deepswarm.filters import Named, Setting, build, runs_code, spelt_out
from deepswarm.filters.function import provenance
from deepswarm.filters.judging import Count, Tally, judge_all
from deepswarm.formats import ENDINGS, Writer, name_of, writer
from deepswarm.journals.sqlite import FILE, SqliteJournal

DONE: Final = frozenset({Outcome.DONE})
WIDEST_EXAMPLE: Final = 90
"""Most characters of a reason in the table; the errors file has it whole."""


# --- reading a run ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run as its journal tells it. Made by `recorded`.

    Attributes:
        folder: The run's output folder.
    """

    folder: Path
    _journal: SqliteJournal = field(repr=False)
    _dialect: Decoder = field(repr=False)

    @property
    def task(self) -> Mapping[str, Any]:
        """The task of its newest session, by the task file's keys; what is at its default may be missing."""
        return self._journal.task()

    @property
    def journal(self) -> SqliteJournal:
        """The journal itself, read only: for whoever looks at single seeds."""
        return self._journal

    @property
    def dialect(self) -> Decoder:
        """How the replies in the journal are read."""
        return self._dialect

    @property
    def totals(self) -> Totals:
        """Counts of seeds and calls."""
        return self._journal.totals()

    @property
    def is_simulated(self) -> bool:
        """Whether no model was asked."""
        return self._journal.simulated

    def records(self) -> Iterator[Record]:
        """The records of all done seeds, in the order in which they were done."""
        return records(self._journal, self._dialect, DONE)

    def records_by_seed(self) -> Iterator[Record]:
        """The same in the order in which the journal came to know the seeds.

        That is the order of the seeds file; seeds that were added to it later come after the others. Takes some fifty
        bytes of memory for each record.
        """
        places = sorted(story.ended.seed << 40 | event for event, story in self._journal.stories(DONE))
        for place in places:
            event = place & ((1 << 40) - 1)
            _, story = next(self._journal.stories(DONE, event - 1))
            record, payload = record_from(story, self._dialect)
            record["seed"] = loads(payload)
            yield record


@contextmanager
def recorded(folder: Path) -> Iterator[RecordedRun]:
    """The run of an output folder, to read from; another process may be writing it meanwhile.

    Raises:
        TaskFileError: If there is none; says where one may be meant.
        JournalError: If the journal cannot be read.
    """
    if not has_run(folder):
        raise TaskFileError([no_run(folder, "there is no run in it")])
    journal = SqliteJournal(RunFolder(folder).journal, readonly=True)
    try:
        dialect: Decoder = find("dialect", _dialect_of(journal.task()), DIALECTS)
        yield RecordedRun(folder, journal, answers_of(journal.task(), dialect))
    finally:
        journal.close()


def _dialect_of(task: Mapping[str, Any]) -> str:
    """The dialect in which a run's replies are kept: as the task says, else by its address."""
    named = str(task.get("worker_dialect", AUTO))
    return dialect_for(str(task.get("worker_api_base", ""))) if named == AUTO else named


def has_run(folder: Path) -> bool:
    """Whether a folder holds a journal."""
    return (RunFolder(folder).journal / FILE).is_file()


def no_run(folder: Path, what: str) -> Problem:
    """The problem of a folder without a run; points to a rehearsal, or to `deepswarm run`."""
    rehearsal = simulated(folder if folder.name else folder.resolve())
    if not folder.exists():
        what = "there is no such folder"
    if has_run(rehearsal):
        hint = f"{rehearsal}/ holds a simulated run; name it if you mean it"
    else:
        hint = "name the output folder of a run; `deepswarm run` makes one"
    return Problem(what, str(folder), hint=hint)


def refuse_to_replace(output: Path, inputs: Iterable[Path], folder: Path) -> None:
    """Make sure that what is written is neither a file that is read nor one that the run keeps itself.

    Raises:
        TaskFileError: If it is.
    """
    kept = {folder / RESULTS, folder / FAILED} if has_run(folder) else set()
    target = output.resolve()
    if target in {path.resolve() for path in (*inputs, *kept)} or target.is_relative_to(
        RunFolder(folder).journal.resolve()
    ):
        what = "this file belongs to the run; it is read, not written"
        raise TaskFileError([Problem(what, str(output), hint="name another file")])


# --- filtering -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FilterReport:
    """What became of a set of records: read = kept + dropped.

    Attributes:
        tally: Counts, also for each filter.
        output: The file of the kept records.
        errors: The file of the dropped records, each with its filter and reason.
        code: What Python of the user's own was run: path and hash of each file.
    """

    tally: Tally
    output: Path
    errors: Path
    code: Sequence[str] = ()

    def lines(self) -> list[str]:
        """The report for people; the first line alone says the most important."""
        tally = self.tally
        rows = [f"{tally.read:,} read = {tally.kept:,} kept + {tally.dropped:,} dropped"]
        if tally.filters:
            wide = max(6, *(len(count.name) for count in tally.filters))
            rows.append(f"{'filter':<{wide}}  {'judged':>9}  {'amended':>9}  {'dropped':>9}  for example")
            rows += [_line(count, wide) for count in tally.filters]
        rows.append(f"kept: {self.output}")
        if tally.dropped:
            rows.append(f"dropped, with filter and reason: {self.errors}")
        rows += [f"run as your own code: {where}" for where in self.code]
        return rows


def _line(count: Count, wide: int) -> str:
    example = "".join(letter if letter.isprintable() else " " for letter in count.example)
    if len(example) > WIDEST_EXAMPLE:
        example = example[: WIDEST_EXAMPLE - 1] + "…"
    row = f"{count.name:<{wide}}  {count.judged:>9,}  {count.amended:>9,}  {count.dropped:>9,}  {example}"
    return row.rstrip()


def apply(
    records: Iterable[Record | Problem],
    settings: Sequence[Setting],
    output: Path,
    errors: Path,
    *,
    code: bool = True,
) -> FilterReport:
    """Judge records and write what was kept and what was dropped.

    Each file is there whole or not at all, in the format that its ending names. The same records and settings give
    the same bytes. Memory does not follow the number of records, but for filters that compare all of them.

    Args:
        records: In the order in which they are to be written; a Problem stands for a line that is no record.
        settings: The filters, in order, as a task file writes them; `json_repair` also gets the schema of `structure`,
            to choose between several values, unless it has its own.
        output: Of the kept records.
        errors: Of the dropped ones: {"id", "filter", "reason", "record"}, the record whole and as it was read.
        code: Whether filters may run Python of the user's own.

    Raises:
        TaskFileError: If a setting is wrong or a file cannot be written; before any record is read.
        DiskFull: If the disk is full.
    """
    filters = build(with_texts(with_shared_schema(settings)), code=code)
    return replace(write_judged(records, filters, output, errors), code=code_in(settings))


def code_in(settings: Sequence[Setting]) -> list[str]:
    """Which files of the user's own the filters run, each with its hash."""
    steps = [spelt_out(setting) for setting in settings]
    addresses = [str(options["function"]) if name == "python" else name for name, options in steps if runs_code(name)]
    return list(dict.fromkeys(provenance(address) for address in addresses))


def write_judged(
    records: Iterable[Record | Problem], filters: Sequence[Named], output: Path, errors: Path
) -> FilterReport:
    """`apply`, with filters that are made already."""
    write_kept, write_dropped = writer_for(output), writer_for(errors)
    tally = Tally()

    def shelf() -> DiskShelf:
        made = DiskShelf(_folder_of(errors))
        open_shelves.callback(made.close)
        return made

    with ExitStack() as open_shelves, explained(output), tempfile.TemporaryFile(dir=_folder_of(errors)) as spool:
        kept = write_kept(_kept(records, filters, tally, spool, shelf), output)
        with explained(errors):
            dropped = write_dropped(_spooled(spool), errors)
    if (kept, dropped) != (tally.kept, tally.dropped):
        raise DeepSwarmError(f"{tally.kept} kept and {tally.dropped} dropped, but {kept} and {dropped} were written")
    return FilterReport(tally, output, errors)


def _kept(
    records: Iterable[Record | Problem],
    filters: Sequence[Named],
    tally: Tally,
    spool: BinaryIO,
    shelf: Callable[[], DiskShelf],
) -> Iterator[Record]:
    """The kept records; the dropped ones go into the spool meanwhile, so that one pass is enough."""
    for record, dropped in judge_all(records, filters, tally, shelf):
        if dropped is None:
            yield record
        else:
            row = {"id": record.get("id"), "filter": dropped.filter, "reason": dropped.reason, "record": record}
            spool.write(dumps(row) + b"\n")


def _spooled(spool: BinaryIO) -> Iterator[Record]:
    spool.seek(0)
    for line in spool:
        row = loads(line)
        if isinstance(row, dict):
            yield row


def with_shared_schema(settings: Sequence[Setting]) -> list[Setting]:
    """The settings, in which `json_repair` knows the schema of `structure` unless it has its own.

    What is not sound stays as it is, for `build` to tell.
    """
    schema = schema_in(settings)
    if schema is None:
        return list(settings)
    shared: list[Setting] = []
    for setting in settings:
        try:
            name, options = spelt_out(setting)
        except ValueError:
            shared.append(setting)
            continue
        repair = name == "json_repair" and "schema" not in options
        shared.append({name: {**options, "schema": dict(schema)}} if repair else setting)
    return shared


def schema_in(settings: Sequence[Setting]) -> Mapping[str, Json] | None:
    """The schema of the first `structure`; None when there is none."""
    for setting in settings:
        options = setting.get("structure") if isinstance(setting, Mapping) else None
        schema = options.get("schema") if isinstance(options, Mapping) else None
        if isinstance(schema, Mapping):
            return schema
    return None


def writer_for(path: Path) -> Writer:
    """The writer of the format that a file's ending names; JSON lines for what is no regular file.

    Raises:
        TaskFileError: If it names none.
    """
    name = "jsonl" if path.is_relative_to("/dev") else name_of(path)
    if name is None:
        what = f"the ending '{path.suffix}' names no format" if path.suffix else "a file name needs an ending"
        raise TaskFileError([Problem(what, str(path), hint=f"there are: {', '.join(ENDINGS)}")])
    return writer(name)


def _folder_of(path: Path) -> Path | None:
    """Where there is room for what is put aside: beside the file itself."""
    if path.is_relative_to("/dev"):
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.parent


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        where = str(error.filename or path)
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"{where}: the disk is full; what was there before is as it was. Free some space") from error
        what = f"cannot be used: {error.strerror or error}"
        raise TaskFileError([Problem(what, where, hint="name another file or folder")]) from error
