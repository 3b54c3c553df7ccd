"""Seeds on their way into the SQLite journal: the file's seeds beside those that are known, in one transaction.

The file's seeds stand in a temporary table first, so that duplicates, and seeds that are gone or changed, are found by
SQLite and not in memory: a million seeds take some seconds and a constant amount of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from deepswarm.core.identity import content_key
from deepswarm.core.records import STATE_OF, Incoming, Outcome, SeedState
from deepswarm.journals import Enrolment
from deepswarm.journals.sqlite_file import SEEDS_KEY, SEEDS_LEFT, transaction
from deepswarm.journals.sqlite_rows import CHUNK, insert

NAMED: Final = 100
"""Most keys that a report names."""

Changed: TypeAlias = tuple[int, str, int, bytes]
"""An ended seed whose content is another one in the file: number, key, state, new content."""

OUTCOME: Final[dict[int, Outcome]] = {int(state): outcome for outcome, state in STATE_OF.items()}

_WIDTH: Final = 7
_INCOMING: Final = """CREATE TEMP TABLE incoming (
    "order" INTEGER PRIMARY KEY, key TEXT, content BLOB, place INTEGER, size INTEGER, line INTEGER, nameless INTEGER)"""
_ENDED: Final = f"state IN ({','.join(str(state) for state in OUTCOME)})"


def enrol(db: sqlite3.Connection, seeds: Iterable[Incoming], total: int | None) -> tuple[Enrolment, list[Changed]]:
    """Bring the table of seeds up to date with the file; ended seeds keep their content.

    Args:
        db: The journal's file, in no transaction.
        seeds: See `Journal.enrol`; what they raise passes through, and nothing is enrolled.
        total: See `Journal.enrol`.

    Returns:
        What changed, and those of the ended seeds whose content is another one.
    """
    db.execute(_INCOMING)
    try:
        with transaction(db):
            _take_in(db, seeds)
            duplicates = _duplicates(db)
            return (Enrolment(duplicates=duplicates), []) if duplicates else _merge(db, total)
    finally:
        db.execute("DROP TABLE IF EXISTS incoming")


def accept(db: sqlite3.Connection, changed: Iterable[Changed]) -> None:
    """Give seeds their new content."""
    with transaction(db):
        contents = [(content, number) for number, _, _, content in changed]
        db.executemany("UPDATE seeds SET content = ? WHERE number = ?", contents)


def _take_in(db: sqlite3.Connection, seeds: Iterable[Incoming]) -> None:
    """Put the file's seeds into the temporary table; those without an id get their content's first key."""
    values: list[Any] = []
    for order, (key, content, place, size, line) in enumerate(seeds):
        if key is None:
            values += (order, content_key(content, 1), bytearray(content), place, size, line, 1)
        else:
            values += (order, key, bytearray(content), place, size, line, 0)
        if len(values) == _WIDTH * CHUNK:
            insert(db, "incoming", _WIDTH, values)
            values = []
    insert(db, "incoming", _WIDTH, values)


def _duplicates(db: sqlite3.Connection) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Keys that stand more than once, and on which lines. The unique index finds them without holding them all."""
    if _is_unique(db):
        return ()
    _number_the_nameless(db)
    if _is_unique(db):
        return ()
    found = db.execute(
        f"""SELECT key, group_concat(line) FROM (SELECT key, line, "order" FROM incoming ORDER BY "order")
            GROUP BY key HAVING count(*) > 1 ORDER BY min("order") LIMIT {NAMED}"""
    )
    return tuple((key, tuple(int(line) for line in lines.split(","))) for key, lines in found)


def _is_unique(db: sqlite3.Connection) -> bool:
    try:
        db.execute("CREATE UNIQUE INDEX temp.incoming_key ON incoming (key)")
    except sqlite3.IntegrityError:
        return False
    return True


def _number_the_nameless(db: sqlite3.Connection) -> None:
    """Tell seeds without an id and with the same content apart, by their occurrence number in file order."""
    db.execute(
        """UPDATE incoming SET key = content_key(content, n.occurrence) FROM (
               SELECT "order" AS o, row_number() OVER (PARTITION BY content ORDER BY "order") AS occurrence
               FROM incoming WHERE nameless) AS n WHERE incoming."order" = n.o AND n.occurrence > 1"""
    )


def _merge(db: sqlite3.Connection, total: int | None) -> tuple[Enrolment, list[Changed]]:
    changed = db.execute(
        f"""SELECT number, key, state, i.content FROM seeds JOIN incoming AS i USING (key)
            WHERE {_ENDED} AND seeds.content <> i.content ORDER BY number"""
    ).fetchall()
    missing = '"order" IS NOT NULL AND key NOT IN (SELECT key FROM incoming)'
    gone = _some(db, f"SELECT key FROM seeds WHERE {missing} ORDER BY number")
    db.execute(
        f"""UPDATE seeds SET "order" = NULL,
            state = CASE state WHEN {int(SeedState.LEFT)} THEN {int(SeedState.GONE)} ELSE state END
            WHERE {missing}"""
    )
    db.execute(
        f"""UPDATE seeds SET "order" = i."order", place = i.place, size = i.size,
            content = CASE WHEN {_ENDED} THEN seeds.content ELSE i.content END,
            state = CASE state WHEN {int(SeedState.GONE)} THEN {int(SeedState.LEFT)} ELSE state END
            FROM incoming AS i WHERE i.key = seeds.key"""
    )
    added = _add(db, total)
    return Enrolment(added, *gone, tuple(key for _, key, _, _ in changed[:NAMED]), len(changed)), changed


def _add(db: sqlite3.Connection, total: int | None) -> int:
    """Take in the seeds that are new; how many.

    The first time the indices are made afterwards: sorting, instead of a million insertions at random places.
    """
    first = db.execute("SELECT 1 FROM seeds LIMIT 1").fetchone() is None
    if first:
        db.execute("DROP INDEX seeds_key")
        db.execute("DROP INDEX seeds_left")
    within = "" if total is None else f'WHERE "order" < {int(total)}'
    added = db.execute(
        f"""INSERT {"" if first else "OR IGNORE"} INTO seeds (key, content, place, size, "order")
            SELECT key, content, place, size, "order" FROM incoming {within} ORDER BY "order" """
    ).rowcount
    if first:
        db.execute(SEEDS_KEY)
        db.execute(SEEDS_LEFT)
    return added


def _some(db: sqlite3.Connection, query: str) -> tuple[tuple[str, ...], int]:
    """The first keys of a query, and how many there are in all."""
    count = db.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]
    return tuple(key for (key,) in db.execute(f"{query} LIMIT {NAMED}")) if count else (), count
