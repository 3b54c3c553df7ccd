"""The inbox of a run: what other processes want of it. They write their words there; the run takes them and says so.

A command that nobody has taken waits for the next start. Whoever writes holds the file for less than a millisecond: a
transaction of one row, that no disk is waited for.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from deepswarm.core.errors import JournalError
from deepswarm.journals import Command

WAIT_S = 5.0
"""Most seconds that a command waits for the run to finish a commit."""


def pending(db: sqlite3.Connection) -> list[Command]:
    """Commands that nobody has taken, in the order in which they were given."""
    return [Command(*row) for row in db.execute("SELECT id, utc, by, command FROM inbox WHERE taken IS NULL")]


def post(journal: Path, utc: float, by: str, words: str) -> int:
    """Put a command into the inbox of a journal's file; its number there.

    Args:
        journal: The file; must be there.
        utc: Now, seconds since 1970.
        by: Who gives it, for the record.
        words: The command.

    Raises:
        JournalError: If the file is no journal, or cannot be written.
    """
    try:
        with closing(_opened(journal)) as db:
            row = db.execute("INSERT INTO inbox VALUES (NULL, ?, ?, ?, NULL)", (utc, by, words))
            return int(row.lastrowid or 0)
    except sqlite3.DatabaseError as error:
        message = f"{journal}: the command could not be left there ({error}); nothing was changed, give it again"
        raise JournalError(message) from error


def answer(journal: Path, number: int) -> int | None:
    """The number of the event that says what became of a command; None while nobody has taken it."""
    with closing(sqlite3.connect(f"file:{quote(str(journal))}?mode=ro", uri=True)) as db:
        row = db.execute("SELECT taken FROM inbox WHERE id = ?", (number,)).fetchone()
    return None if row is None else row[0]


def _opened(journal: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"file:{quote(str(journal))}?mode=rw", uri=True, isolation_level=None, timeout=WAIT_S)
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")  # to move the log is the run's business
    return db
