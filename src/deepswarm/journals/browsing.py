"""Looking at seeds of a SQLite journal without an index for it: by chance, by class, page by page, by what they say.

A run's tables have no more indexes than the run needs, since each would cost every call something. So nothing here
asks for more than a bounded stretch of a table at a time, or passes over it once.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

from deepswarm.core.ledger import Story
from deepswarm.core.records import Outcome, SeedState
from deepswarm.journals.sqlite_file import connect_reader, explained
from deepswarm.journals.sqlite_rows import stories

STRETCH: Final = 2_000
"""Ended seeds that one query looks at."""
_ALL: Final = frozenset(Outcome)
_NEWEST: Final = (1 << 63) - 1
_COLUMNS: Final = ("s.key", "CAST(e.payload AS TEXT)", "e.reason", "CAST(c.body AS TEXT)")
_NUMBERS: Final = "SELECT number FROM seeds WHERE state = ?"
_STILL: Final = "NOT EXISTS (SELECT 1 FROM seeds_reopened AS r WHERE r.seed = e.seed AND r.event > e.event)"


class Page(NamedTuple):
    """A page of ended seeds.

    Attributes:
        events: Of their ends, the newest first.
        before: Where the next page begins; None when this was the last one.
        looked: Seeds that were looked at.
    """

    events: list[int]
    before: int | None
    looked: int


class Browser:
    """A reader of its own on a journal's file; for one thread."""

    def __init__(self, path: Path) -> None:
        """Open it; the file must be there."""
        self.path = path
        self._db = connect_reader(path)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def sampled(self, most: int, chance: Callable[[], float]) -> list[int]:
        """The ends of at most so many done seeds, each with the same chance, as event numbers in their order."""
        with explained(self.path):
            done = array("q", (row[0] for row in self._db.execute(_NUMBERS, (int(SeedState.DONE),))))
            chosen: set[int] = set()
            while len(chosen) < min(most, len(done)):
                chosen.add(done[int(chance() * len(done))])
            marks = ",".join("?" * len(chosen))
            query = f"SELECT max(event) FROM seeds_ended WHERE seed IN ({marks}) GROUP BY seed"
            return sorted(row[0] for row in self._db.execute(query, list(chosen)))

    def failures(self, most: int) -> list[int]:
        """The ends of at most so many seeds that are failed or rejected, as event numbers; every class has its part."""
        query = f"""SELECT e.label, e.event FROM seeds_ended AS e JOIN seeds AS s ON s.number = e.seed
            WHERE e.outcome != ? AND s.state IN (?, ?) AND {_STILL} ORDER BY e.event"""
        values = (str(Outcome.DONE), int(SeedState.FAILED), int(SeedState.REJECTED))
        classes: dict[str, list[int]] = {}
        with explained(self.path):
            for label, event in self._db.execute(query, values):
                some = classes.setdefault(label, [])
                if len(some) < most:
                    some.append(event)
        in_turn = (event for events in zip_longest(*classes.values()) for event in events if event is not None)
        return sorted(event for event, _ in zip(in_turn, range(most), strict=False))

    def stories(self, events: Iterable[int]) -> Iterator[Story]:
        """The stories of seeds that ended with these events and were not asked again since."""
        with explained(self.path):
            for event in events:
                number, story = next(stories(self._db, _ALL, event - 1), (0, None))
                if story is not None and number == event:
                    yield story

    def keys(self, numbers: Iterable[int]) -> dict[int, str]:
        """The keys of seeds, by their numbers; unknown ones are left out."""
        query = "SELECT key FROM seeds WHERE number = ?"
        with explained(self.path):
            found = ((number, self._db.execute(query, (number,)).fetchone()) for number in numbers)
            return {number: row[0] for number, row in found if row is not None}

    def page(self, outcomes: frozenset[Outcome], before: int | None, find: str, most: int) -> Page:
        """Ended seeds, the newest first, from one stretch of the journal.

        Args:
            outcomes: Of the seeds that are wanted.
            before: Only ends before this event; None begins with the newest.
            find: What id, seed, reason or reply must hold, whatever the case of its ASCII letters; empty wants all.
            most: At most so many are given.
        """
        before = _NEWEST if before is None else before
        stretch = "SELECT * FROM seeds_ended WHERE event < ? ORDER BY event DESC LIMIT ?"
        wanted = ",".join(f"'{outcome}'" for outcome in sorted(outcomes))
        said, patterns = _says(find)
        query = f"""SELECT e.event FROM ({stretch}) AS e JOIN seeds AS s ON s.number = e.seed
            LEFT JOIN calls_ended AS c ON c.call = e.call AND e.call > 0
            WHERE e.outcome IN ({wanted}) AND {_STILL} {said} ORDER BY e.event DESC LIMIT ?"""
        with explained(self.path):
            looked, oldest = self._db.execute(
                f"SELECT count(*), min(event) FROM ({stretch})", (before, STRETCH)
            ).fetchone()
            rows = self._db.execute(query, (before, STRETCH, *patterns, most)).fetchall()
        events = [row[0] for row in rows]
        if len(events) == most:
            return Page(events, events[-1], looked)
        return Page(events, oldest if looked == STRETCH else None, looked)


def _says(find: str) -> tuple[str, list[str]]:
    """The condition that one of a row's texts holds this one, and its values; texts within JSON may be escaped."""
    if not find:
        return "", []
    patterns = [f"%{_literal(each)}%" for each in spellings(find)]
    tests = [f"{column} LIKE ? ESCAPE '\\'" for column in _COLUMNS for _ in patterns]
    return f"AND ({' OR '.join(tests)})", patterns * len(_COLUMNS)


def spellings(find: str) -> list[str]:
    """A text as it stands in JSON: as it is, with escaped quotation marks and the like, and in ASCII alone."""
    return list(dict.fromkeys((find, json.dumps(find, ensure_ascii=False)[1:-1], json.dumps(find)[1:-1])))


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
