"""The file of the SQLite journal: its tables, how it is opened, and what its errors mean.

One table per frequent kind of event, each row under the event's number, so that all tables together are one ordered
list; rare events share a table and are JSON. `seeds` holds the folded state.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final
from urllib.parse import quote

from deepswarm.core.errors import DiskFull, JournalDamaged, JournalError
from deepswarm.core.events import FORMAT
from deepswarm.core.identity import content_key
from deepswarm.core.records import SeedState, Totals

LOG_BYTES: Final = 16 * 1024 * 1024
"""Size of the log at which it is moved into the file."""
STATEMENTS: Final = 320
"""Statements that are kept prepared: those of the tables of events, with every number of rows."""
BALLAST_BYTES: Final = 16 * 1024 * 1024

SEEDS_KEY: Final = "CREATE UNIQUE INDEX seeds_key ON seeds (key, sample)"
SEEDS_LEFT: Final = f'CREATE INDEX seeds_left ON seeds ("order") WHERE state = {int(SeedState.LEFT)}'
_SCHEMA: Final = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- One row per seed and sample; "order" is its place in the file, NULL when it is no longer there.
CREATE TABLE seeds (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, sample INTEGER NOT NULL DEFAULT 0, content BLOB NOT NULL,
    place INTEGER NOT NULL, size INTEGER NOT NULL, "order" INTEGER, state INTEGER NOT NULL DEFAULT 0);
{SEEDS_KEY};
{SEEDS_LEFT};
CREATE TABLE calls_started (
    event INTEGER PRIMARY KEY, utc REAL, at REAL, call INTEGER, seed INTEGER, attempt INTEGER, turn INTEGER,
    tier INTEGER, endpoint INTEGER);
CREATE TABLE calls_ended (
    event INTEGER PRIMARY KEY, utc REAL, at REAL, call INTEGER, seed INTEGER, label TEXT, detail TEXT, status INTEGER,
    finish_reason TEXT, model TEXT, tokens_in INTEGER, tokens_out INTEGER, cached INTEGER, reasoning INTEGER,
    maybe_billed INTEGER, request_id TEXT, body BLOB);
CREATE INDEX calls_ended_call ON calls_ended (call);
-- `session` is that of the process that wrote it.
CREATE TABLE seeds_ended (
    event INTEGER PRIMARY KEY, utc REAL, at REAL, seed INTEGER, call INTEGER, outcome TEXT, label TEXT, reason TEXT,
    attempts INTEGER, started REAL, payload BLOB, session INTEGER);
CREATE TABLE events (event INTEGER PRIMARY KEY, kind TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE seeds_reopened (event INTEGER PRIMARY KEY, seed INTEGER);
CREATE INDEX seeds_reopened_seed ON seeds_reopened (seed);
CREATE TABLE sessions (session INTEGER PRIMARY KEY, fingerprint TEXT, task TEXT, model TEXT, simulated INTEGER,
    utc REAL, at REAL);
CREATE TABLE totals (one INTEGER PRIMARY KEY CHECK (one = 1), data TEXT NOT NULL, oldest_open INTEGER NOT NULL);
-- Room for what steers and bounds a run: commands of other processes, money set aside, the task's endpoints.
CREATE TABLE inbox (id INTEGER PRIMARY KEY, utc REAL, by TEXT, command TEXT, taken INTEGER);
CREATE TABLE reservations (call INTEGER PRIMARY KEY, account TEXT, tokens INTEGER, cost TEXT, until REAL);
CREATE TABLE endpoints (endpoint INTEGER PRIMARY KEY, base TEXT, model TEXT, account TEXT, tier INTEGER);
"""
_TURNS: Final = """
CREATE TABLE IF NOT EXISTS turns_noted (
    event INTEGER PRIMARY KEY, utc REAL, at REAL, call INTEGER, seed INTEGER, turn INTEGER, kind TEXT, data BLOB);
CREATE INDEX IF NOT EXISTS turns_noted_seed ON turns_noted (seed, event);
"""
"""What journals before format 4 do not have; added when one of them is taken up."""
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "wal_autocheckpoint = 0",
    f"journal_size_limit = {LOG_BYTES // 4}",
    "cache_size = -1000",
    "temp_store = FILE",
    "temp.cache_size = -500",
)


def connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    """Open the file; make it, with its tables, unless it is only to be read.

    Raises:
        JournalError: If it is to be read and is not there, or nothing was written into it.
        JournalDamaged: If it is another program's file.
    """
    if readonly and not path.exists():
        raise JournalError(f"{path}: there is no journal; nothing was run with this output folder")
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10, cached_statements=STATEMENTS)
    if readonly:
        db.execute("PRAGMA query_only = 1")
    else:
        _prepare(db)
    tables = _tables(db)
    if not tables:
        raise JournalError(f"{path}: the journal is empty; nothing was run with this output folder")
    if "meta" not in tables:
        raise JournalDamaged(f"{path}: this is no journal but another program's file; move it away")
    return db


def connect_reader(path: Path) -> sqlite3.Connection:
    """A second way into the file, that only reads."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)


def _prepare(db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA schema_version").fetchone()[0] == 0:
        db.execute("PRAGMA page_size = 8192")
    for pragma in _PRAGMAS:
        db.execute(f"PRAGMA {pragma}")
    db.create_function("content_key", 2, content_key, deterministic=True)
    if not _tables(db):
        totals = json.dumps(asdict(Totals()))
        rows = f"INSERT INTO meta VALUES ('format', '{FORMAT}'); INSERT INTO totals VALUES (1, '{totals}', 1);"
        db.executescript(f"BEGIN; {_SCHEMA} {_TURNS} {rows} COMMIT;")
    elif "meta" in _tables(db) and not has_turns(db):
        raised = f"UPDATE meta SET value = '{FORMAT}' WHERE name = 'format' AND value + 0 < {FORMAT};"
        db.executescript(f"BEGIN; {_TURNS} {raised} COMMIT;")


def has_turns(db: sqlite3.Connection) -> bool:
    """Whether the journal can hold conversations: one that is only read may be older than that."""
    return "turns_noted" in _tables(db)


def _tables(db: sqlite3.Connection) -> set[str]:
    return {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All that is written in the block, or nothing of it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def checkpoint(db: sqlite3.Connection) -> None:
    """Move the log into the file; the next commit then starts it anew. A reader, here or elsewhere, delays that."""
    try:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise


def inflate(ballast: Path) -> None:
    """Set disk space aside; on a disk that is nearly full already, a tenth of what is free."""
    free = os.statvfs(ballast.parent)
    size = min(BALLAST_BYTES, free.f_bavail * free.f_frsize // 10)
    with suppress(OSError), ballast.open("wb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


_FULL: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_DAMAGED: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours; its error codes are read, never its texts.

    Raises:
        DiskFull: If the file cannot be written.
        JournalDamaged: If it is not sound.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FULL:
            message = f"{path}: the disk is full or cannot be written ({error}); free some space"
            raise DiskFull(message) from error
        if code in _DAMAGED:
            message = f"{path}: the journal is damaged ({error}); what results.jsonl holds is not touched by this"
            raise JournalDamaged(message) from error
        raise
