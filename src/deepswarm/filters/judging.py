"""Records through filters: who judged how many, who dropped which, and that none is lost between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from deepswarm.core.errors import DeepSwarmError, Problem
from deepswarm.core.records import Amend, Drop, Keep, Record, Verdict
from deepswarm.filters import Filter, Named

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


def judge_all(
    records: Iterable[Record | Problem], filters: Sequence[Named], tally: Tally
) -> Iterator[tuple[Record, Dropped | None]]:
    """Every record, with who dropped it.

    Args:
        records: In any order; a Problem stands for a line that is no record.
        filters: In the order in which they judge.
        tally: An empty one, brought up to date with every record.

    Yields:
        Kept records, amended where a filter said so, with None; dropped ones as they were read, with filter and reason.

    Raises:
        DeepSwarmError: If the counts do not add up at the end: a fault of ours.
    """
    counts = [Count(name) for name, _ in filters]
    tally.filters[:] = counts
    for record in records:
        tally.read += 1
        if isinstance(record, Problem):
            if not (tally.filters and tally.filters[0].name == READING):
                tally.filters.insert(0, Count(READING))
            row, dropped = _unread(record), Dropped(READING, record.what)
            _count(tally.filters[0], dropped, f"line {record.line}" if record.line else record.file)
            yield row, dropped
            continue
        tally.simulated += record.get("simulated") is True
        row, by = _judged(record, filters, counts)
        tally.kept += by is None
        yield row, by
    if tally.read != tally.kept + tally.dropped:
        raise DeepSwarmError(f"{tally.read} records were read, {tally.kept} kept and {tally.dropped} dropped")


def _judged(record: Record, filters: Sequence[Named], counts: Sequence[Count]) -> tuple[Record, Dropped | None]:
    current = record
    for (name, judge), count in zip(filters, counts, strict=True):
        count.judged += 1
        verdict = _verdict(judge, current)
        if isinstance(verdict, Drop):
            dropped = Dropped(name, verdict.reason)
            _count(count, dropped, str(record.get("id", "")))
            return record, dropped
        if isinstance(verdict, Amend):
            current = verdict.record
            if verdict.notes:
                count.amended += 1
                current = _with_notes(current, name, verdict.notes)
    return current, None


def _verdict(judge: Filter, record: Record) -> Verdict:
    """A filter's verdict; a filter that fails drops the record, which is then in the errors file, not lost."""
    try:
        verdict = judge.judge(record)
    except Exception as error:  # noqa: BLE001 - a filter of the user's own may raise anything
        return Drop(f"the filter itself failed: {type(error).__name__}: {error}")
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
