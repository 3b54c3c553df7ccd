"""Records through filters: who judged how many, who dropped which, and that none is lost between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, cast

from deepswarm.core.errors import DeepSwarmError, Problem
from deepswarm.core.records import Amend, Drop, Keep, Record, Verdict
from deepswarm.filters import Filter, Named, SetFilter

READING: Final = "reading"
"""Who drops what is no record."""
AMENDED: Final = "amended"


class Dropped(NamedTuple):
    """Which filter dropped a record, and why."""

    filter: str
    reason: str


@dataclass(slots=True)
class Count:
    """What one filter did.

    Attributes:
        name: Of the filter.
        judged: Records that reached it.
        amended: Records that it changed and noted so.
        dropped: Records that it dropped.
        example: Id and reason of the first one it dropped; empty when it dropped none.
    """

    name: str
    judged: int = 0
    amended: int = 0
    dropped: int = 0
    example: str = ""


@dataclass(slots=True)
class Tally:
    """What became of the records so far: read = kept + dropped, at any moment.

    Attributes:
        read: Records, and lines that are none.
        kept: Records that passed all filters.
        simulated: How many of those that were read say that their text is simulated.
        filters: One count for each, in order; before them "reading" when something was no record.
    """

    read: int = 0
    kept: int = 0
    simulated: int = 0
    filters: list[Count] = field(default_factory=list)

    @property
    def dropped(self) -> int:
        """Records that a filter dropped, and lines that are none."""
        return sum(count.dropped for count in self.filters)


class Row(NamedTuple):
    """A record on its way through the filters.

    Attributes:
        read: As it was read.
        now: As the filters so far amended it; the same object when none did.
        dropped: Who dropped it; None as long as nobody has.
    """

    read: Record
    now: Record
    dropped: Dropped | None = None


class Shelf(Protocol):
    """Where rows wait while a filter looks at all of them."""

    def append(self, row: Row, /) -> None:
        """Put one at the end."""

    def __iter__(self) -> Iterator[Row]:
        """All of them, in their order."""


def judge_all(
    records: Iterable[Record | Problem],
    filters: Sequence[Named],
    tally: Tally,
    shelf: Callable[[], Shelf] = list,
) -> Iterator[tuple[Record, Dropped | None]]:
    """Every record, with who dropped it.

    Args:
        records: In any order; a Problem stands for a line that is no record.
        filters: In the order in which they judge.
        tally: An empty one, brought up to date with every record.
        shelf: Makes a place where rows wait for a filter that looks at all of them; a list in memory by default.

    Yields:
        Kept records, amended where a filter said so, with None; dropped ones as they were read, with filter and reason.

    Raises:
        DeepSwarmError: If the counts do not add up at the end: a fault of ours.
    """
    counts = [Count(name) for name, _ in filters]
    tally.filters[:] = counts
    rows = _read(records, tally)
    for at, (named, count) in enumerate(zip(filters, counts, strict=True)):
        if hasattr(named.filter, "judge_all"):
            rows = _judged_together(rows, named, count, shelf)
        elif not at or hasattr(filters[at - 1].filter, "judge_all"):
            end = next((n for n in range(at, len(filters)) if hasattr(filters[n].filter, "judge_all")), len(filters))
            rows = _judged_alone(rows, filters[at:end], counts[at:end])
    for row in rows:
        tally.kept += row.dropped is None
        yield (row.now if row.dropped is None else row.read), row.dropped
    if tally.read != tally.kept + tally.dropped:
        raise DeepSwarmError(f"{tally.read} records were read, {tally.kept} kept and {tally.dropped} dropped")


def _read(records: Iterable[Record | Problem], tally: Tally) -> Iterator[Row]:
    for record in records:
        tally.read += 1
        if isinstance(record, Problem):
            if not (tally.filters and tally.filters[0].name == READING):
                tally.filters.insert(0, Count(READING))
            row, dropped = _unread(record), Dropped(READING, record.what)
            _count(tally.filters[0], dropped, f"line {record.line}" if record.line else record.file)
            yield Row(row, row, dropped)
        else:
            tally.simulated += record.get("simulated") is True
            yield Row(record, record)


def _judged_alone(rows: Iterable[Row], filters: Sequence[Named], counts: Sequence[Count]) -> Iterator[Row]:
    steps = list(zip(filters, counts, strict=True))
    for given in rows:
        row = given
        for named, count in steps:
            if row.dropped is not None:
                break
            row = _applied(row, named.name, verdict_of(named.filter, row.now), count)
        yield row


def _judged_together(rows: Iterable[Row], named: Named, count: Count, shelf: Callable[[], Shelf]) -> Iterator[Row]:
    """Rows through a filter that looks at all of them: they wait on the shelf meanwhile."""
    waiting = shelf()
    looking = iter(rows)

    def looked_at() -> Iterator[Record]:
        for row in looking:
            waiting.append(row)
            if row.dropped is None:
                yield row.now

    given = looked_at()
    try:
        verdicts = list(cast("SetFilter", named.filter).judge_all(given))
        fault = ""
    except DeepSwarmError:
        raise
    except Exception as error:  # noqa: BLE001 - a filter of the user's own may raise anything
        verdicts, fault = [], f"the filter itself failed: {type(error).__name__}: {error}"
    deque(given, maxlen=0)
    judged = iter(verdicts)
    for row in waiting:
        if row.dropped is None:
            verdict = next(judged, Drop(fault or "the filter itself failed: it gave fewer verdicts than records"))
            yield _applied(row, named.name, _sound(verdict), count)
        else:
            yield row


def _applied(row: Row, name: str, verdict: Verdict, count: Count) -> Row:
    count.judged += 1
    if type(verdict) is Keep:
        return row
    if isinstance(verdict, Drop):
        dropped = Dropped(name, verdict.reason)
        _count(count, dropped, str(row.read.get("id", "")))
        return Row(row.read, row.now, dropped)
    if isinstance(verdict, Amend):
        now = verdict.record
        if verdict.notes:
            count.amended += 1
            now = _with_notes(now, name, verdict.notes)
        return Row(row.read, now)
    return row


def verdict_of(judge: Filter, record: Record) -> Verdict:
    """A filter's verdict; a filter that fails drops the record, which is then in the errors file, not lost."""
    try:
        verdict = judge.judge(record)
    except Exception as error:  # noqa: BLE001 - a filter of the user's own may raise anything
        return Drop(f"the filter itself failed: {type(error).__name__}: {error}")
    return _sound(verdict)


def _sound(verdict: object) -> Verdict:
    if not isinstance(verdict, (Keep, Amend, Drop)):
        return Drop(f"the filter itself failed: it gave {type(verdict).__name__}, not Keep, Amend or Drop")
    return verdict


def _count(count: Count, dropped: Dropped, who: str) -> None:
    count.dropped += 1
    if not count.example:
        count.example = f"{who}: {dropped.reason}" if who else dropped.reason


def _with_notes(record: Record, name: str, notes: Sequence[str]) -> Record:
    before = record.get(AMENDED)
    return {**record, AMENDED: {**(before if isinstance(before, dict) else {}), name: list(notes)}}


def _unread(problem: Problem) -> Record:
    return {"file": problem.file, "line": problem.line, "text": problem.source}
