"""Looking at seeds of a SQLite journal without an index for it: by chance, by class, page by page, by what they say.

A run's tables have no more indexes than the run needs, since each would cost every call something. So nothing here
asks for more than a bounded stretch of a table at a time, or passes over it once.
"""

from __future__ import annotations

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
_NUMBERS: Final = "SELECT number FROM seeds WHERE state = ?"
_STILL: Final = "NOT EXISTS (SELECT 1 FROM seeds_reopened AS r WHERE r.seed = e.seed AND r.event > e.event)"


class Ended(NamedTuple):
    """A seed that ended, in one line.

    Attributes:
        event: Number of the event of its end.
        key: The seed key.
        outcome: done, rejected or failed.
        label: "ok", or the class of what went wrong.
        reason: For people; empty when it is done.
        utc: When, seconds since 1970.
        payload: The seed's own line as JSON text.
    """

    event: int
    key: str
    outcome: str
    label: str
    reason: str
    utc: float
    payload: bytes


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
