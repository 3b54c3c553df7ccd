"""Looking at a SQLite journal from another process: short reads, that write nothing and hold nothing up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deepswarm.core.events import CommandTaken, Event
from deepswarm.core.records import Outcome, SeedState, Totals
from deepswarm.journals import Command
from deepswarm.journals.inbox import pending
from deepswarm.journals.sqlite_file import connect, explained
from deepswarm.journals.sqlite_rows import replay

_BAD: Final = f"{int(SeedState.REJECTED)}, {int(SeedState.FAILED)}"
_STILL: Final = "NOT EXISTS (SELECT 1 FROM seeds_reopened AS r WHERE r.seed = e.seed AND r.event > e.event)"


class JournalWatch:
    """A reader on a journal's file, for one thread. What is read within `moment` belongs to one commit."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            JournalError: If there is none, or nothing was written into it.
            JournalDamaged: If it is another program's file.
        """
        self.path = path
        with explained(path):
            self._db = connect(path, readonly=True)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """All reads in the block see the same commit."""
        with explained(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    def totals(self) -> Totals:
        """Counts of the selected seeds and of all calls, as the newest commit has them."""
        data = self._db.execute("SELECT data FROM totals").fetchone()[0]
        return Totals(**json.loads(data))

    def noted(self, name: str) -> str | None:
        """See `Journal.noted`."""
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def replay(self, after: int = 0) -> Iterator[Event]:
        """See `Journal.replay`."""
        return replay(self._db, after)

    def failed_by_class(self) -> Counter[str]:
        """See `Journal.failed_by_class`; of all seeds that the file still holds."""
        query = f"""SELECT e.label, count(*) FROM seeds_ended AS e JOIN seeds AS s ON s.number = e.seed
            WHERE e.outcome <> ? AND s.state IN ({_BAD}) AND {_STILL} GROUP BY e.label"""
        return Counter(dict(self._db.execute(query, (str(Outcome.DONE),))))

    def commands(self) -> list[Command]:
        """See `Journal.commands`."""
        return pending(self._db)

    def answers(self, numbers: list[int]) -> dict[int, CommandTaken]:
        """What became of commands that were taken, by their numbers in the inbox."""
        marks = ",".join("?" * len(numbers))
        query = f"SELECT data FROM events WHERE event IN (SELECT taken FROM inbox WHERE id IN ({marks}))"
        taken = [CommandTaken(**json.loads(data)) for (data,) in self._db.execute(query, numbers)]
        return {each.number: each for each in taken}

    def keys(self, numbers: list[int]) -> dict[int, str]:
        """The keys of seeds, by their numbers."""
        marks = ",".join("?" * len(numbers))
        return dict(self._db.execute(f"SELECT number, key FROM seeds WHERE number IN ({marks})", numbers))

    def last_ends(self, most: int) -> int:
        """The number of the event after which the newest `most` seeds ended; 0 when there are no more than that."""
        query = "SELECT event FROM seeds_ended ORDER BY event DESC LIMIT 1 OFFSET ?"
        row = self._db.execute(query, (most,)).fetchone()
        return 0 if row is None else int(row[0])
