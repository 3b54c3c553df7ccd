"""The store of accounts: one small SQLite file in the user's state folder, for all runs of this user on this machine.

A transaction takes well under a millisecond; one that finds the file locked for longer than PATIENCE_S is left out.
Nothing in the file is worth waiting for the disk: it is written without fsync.
"""

from __future__ import annotations

import hmac
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deepswarm.accounts import Remembered, Scope
from deepswarm.core.pace import Memory
from deepswarm.core.pace.sharing import Member

FORMAT: Final = 1
"""Format of the file; a higher number is of a later version, and left alone."""
PATIENCE_S: Final = 0.05
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS salt (one INTEGER PRIMARY KEY CHECK (one = 1), salt BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS memories (base TEXT, account TEXT, model TEXT, utc REAL, memory TEXT,
    PRIMARY KEY (base, account, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (base TEXT, account TEXT, model TEXT, name TEXT, until REAL, member TEXT,
    PRIMARY KEY (base, account, model, name)) WITHOUT ROWID;
"""
_WHERE: Final = "base = ? AND account = ? AND model = ?"


class SqliteStore:
    """See `Store`.

    Args:
        path: The file; it and its folder are made when they are missing, for this user alone.
        say: Is told once when the file cannot be used.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path, self._say = path, say
        self._file: sqlite3.Connection | None = None
        self._salt = os.urandom(32)
        with self._tried():
            self._file = self._opened()

    def __repr__(self) -> str:
        return f"SqliteStore({str(self._path)!r}, usable={self._file is not None})"

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def account(self, base: str, secret: str | None) -> str:
        """See `Store.account`."""
        return hmac.digest(self._salt, f"{base}\n{secret or ''}".encode(), "sha256").hex()[:32]

    def recall(self, scope: Scope) -> Remembered | None:
        """See `Store.recall`."""
        with self._tried() as file:
            row = file and file.execute(f"SELECT memory, utc FROM memories WHERE {_WHERE}", scope).fetchone()
            return Remembered(Memory(*json.loads(row[0])), float(row[1])) if row else None
        return None

    def keep(self, scope: Scope, memory: Memory, utc: float) -> None:
        """See `Store.keep`."""
        with self._tried() as file:
            if file is not None:
                row = (*scope, utc, json.dumps(memory))
                file.execute("INSERT OR REPLACE INTO memories VALUES (?, ?, ?, ?, ?)", row)

    def meet(self, scope: Scope, me: Member, utc: float, lease_s: float) -> tuple[Member, ...]:
        """See `Store.meet`."""
        with self._tried() as file:
            if file is None:
                return ()
            file.execute("BEGIN IMMEDIATE")
            try:
                # A lease that ends later than any lease can is of a clock that was put back.
                gone = (*scope, utc, utc + 10.0 * lease_s)
                file.execute(f"DELETE FROM members WHERE {_WHERE} AND (until < ? OR until > ?)", gone)
                row = (*scope, me.name, utc + lease_s, json.dumps(me))
                file.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?)", row)
                rows = file.execute(f"SELECT member FROM members WHERE {_WHERE}", scope).fetchall()
            finally:
                file.execute("COMMIT")
            members = (Member(*json.loads(text)) for (text,) in rows)
            return tuple(sorted((member for member in members if member.name != me.name), key=Member.age))
        return ()

    def leave(self, scope: Scope, name: str) -> None:
        """See `Store.leave`."""
        with self._tried() as file:
            if file is not None:
                file.execute(f"DELETE FROM members WHERE {_WHERE} AND name = ?", (*scope, name))

    def _opened(self) -> sqlite3.Connection | None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        file = sqlite3.connect(self._path, timeout=PATIENCE_S, isolation_level=None)
        try:
            (version,) = file.execute("PRAGMA user_version").fetchone()
            if version > FORMAT:
                self._say(f"{self._path} is of a later version; this run remembers nothing and shares no limits")
                file.close()
                return None
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA synchronous = OFF")
            file.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {FORMAT};COMMIT;")
            file.execute("INSERT OR IGNORE INTO salt VALUES (1, ?)", (self._salt,))
            (self._salt,) = file.execute("SELECT salt FROM salt").fetchone()
        except BaseException:
            file.close()
            raise
        return file

    @contextmanager
    def _tried(self) -> Iterator[sqlite3.Connection | None]:
        """The file, None when it is not usable. What goes wrong is said once and ends its use, but for a short lock."""
        try:
            yield self._file
        except sqlite3.OperationalError as error:
            if self._file is None or error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                self._give_up(error)
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.close()
        self._say(
            f"{self._path} cannot be used ({error}); this run remembers no limits that it finds, and shares "
            "none with other runs. Delete the file if it stays so; --no-memory leaves it alone"
        )
