"""Seeds on their way in: from the seeds file into the journal, and from a place in the file into a prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from deepswarm.core.errors import DeepSwarmError, Problem, TaskFileError
from deepswarm.core.identity import content_of, given_id
from deepswarm.core.jsontext import dumps
from deepswarm.core.records import Incoming, Json, Seed, SeedRow
from deepswarm.journals import Enrolment, Journal
from deepswarm.sources import jsonl, read_seeds

SHOWN = 20
"""Most problems that are listed one by one; the others are counted."""
_STAMP = "seeds"


class SeedsMoved(DeepSwarmError):
    """The seeds file was changed while the run read it."""

    exit_code = 2


class SeedFile:
    """Seeds by their place in a file of lines: the user's own, or the journal's spool."""

    def __init__(self, path: Path) -> None:
        """Open it."""
        self._path = path
        self._file = path.open("rb", buffering=1 << 18)
        self._at = 0

    def read(self, row: SeedRow) -> tuple[bytes, dict[str, Json]]:
        """The seed's payload as JSON text, and its fields.

        Raises:
            SeedsMoved: If another seed stands there now.
        """
        if row.place != self._at:
            self._file.seek(row.place)
        payload = self._file.read(row.size + 1)[: row.size]
        self._at = row.place + row.size + 1
        try:
            fields = jsonl.parse(payload)
        except ValueError:
            raise self._moved(row) from None
        # An id tells the seed at a fraction of its hash's cost; what changed under it is found by the next start.
        given = fields.get("id")
        if given != row.key and str(given) != row.key and content_of(fields) != row.content:
            raise self._moved(row)
        return (payload if payload[:1] == b"{" else dumps(fields)), fields

    def _moved(self, row: SeedRow) -> SeedsMoved:
        message = (
            f"{self._path}: seed {row.key} is no longer where it was: the file was changed during the run. "
            "Nothing is lost; start the same command again to read the file anew"
        )
        return SeedsMoved(message)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def enrol(
    journal: Journal,
    path: Path,
    spool: Path,
    names: frozenset[str],
    total: int | None,
    accepted: tuple[float, float] | None,
) -> Enrolment | None:
    """Bring the journal's seeds up to date with the seeds file.

    Args:
        journal: Where they are kept.
        path: The seeds file.
        spool: Where seeds of files without lines are kept as lines.
        names: Fields that every seed must have.
        total: How many of the first seeds belong to the run; None for all.
        accepted: See `Journal.enrol`.

    Returns:
        What changed; None when the file is the same as last time and need not be read.

    Raises:
        TaskFileError: With every problem of the seeds, before anything is enrolled.
    """
    stamp = {"path": str(path.resolve()), "stat": _stat(path), "names": sorted(names)}
    known = json.loads(journal.noted(_STAMP) or "{}")
    read, ended = known.pop("read", 0), known.pop("ended", False)
    same = known == stamp
    journal.select(total)
    if same and (ended or (total is not None and read >= total)):
        return None
    reading = _Reading(path, spool, names, total if same or not known else None)
    try:
        enrolment = journal.enrol(reading.incoming(), total, accepted)
        if enrolment.duplicates:
            raise TaskFileError([_duplicate(path, key, lines) for key, lines in enrolment.duplicates[:SHOWN]])
        reading.keep_spool()
    finally:
        reading.close()
    journal.note(_STAMP, json.dumps({**stamp, "read": reading.count, "ended": reading.ended}))
    return enrolment


def lines_of(path: Path, spool: Path) -> Path:
    """The file that the journal's places point into."""
    return path if _has_places(path) else spool


def _has_places(path: Path) -> bool:
    return path.suffix in {".jsonl", ".ndjson"} and path.is_file()


def _stat(path: Path) -> list[int]:
    """Size and time of change, of a folder those of all its files: enough to see that nothing changed."""
    try:
        if not path.is_dir():
            stat = path.stat()
            return [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        stats = [file.stat() for file in path.rglob("*") if file.is_file()]
        return [sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0), len(stats)]
    except OSError:
        return []  # the reader says what is wrong with it


class _Reading:
    """One pass over the seeds file: problems collected, missing fields counted, lines spooled where needed."""

    def __init__(self, path: Path, spool: Path, names: frozenset[str], most: int | None) -> None:
        self._path, self._names, self._most = path, names, most
        self._problems: list[Problem] = []
        self._more = 0
        self._missing: dict[str, tuple[int, int]] = {}
        self._fields: set[str] = set()
        self.count = 0
        self.ended = False
        self._spooled = 0
        self._spool_path, self._new = spool, spool.with_suffix(".new")
        self._spool = None if _has_places(path) else self._new.open("wb")

    def incoming(self) -> Iterator[Incoming]:
        """The seeds, as the journal takes them in.

        Raises:
            TaskFileError: At the end, with all problems: what was taken in so far must not stay.
        """
        self.ended = True
        most = self._most
        count = 0
        for seed in read_seeds(self._path):
            if isinstance(seed, Problem):
                self._note(seed)
                continue
            if count == most:
                self.ended = False
                break
            count += 1
            row = self._row(seed)
            if row is not None:
                yield row
        self.count = count
        if problems := self.summed_up():
            raise TaskFileError(problems)

    def _row(self, seed: Seed) -> Incoming | None:
        fields, place, size, line = seed
        if not self._names.issubset(fields):
            self._miss(seed)
            return None
        try:
            key, content = given_id(fields), content_of(fields)
        except ValueError as error:
            self._note(Problem(str(error), str(self._path), line))
            return None
        if self._spool is not None:
            place, size = self._write(fields, self._spool)
        return Incoming(key, content, place, size, line)

    def _write(self, fields: dict[str, Json], spool: BinaryIO) -> tuple[int, int]:
        line = dumps(fields)
        place = self._spooled
        spool.write(line + b"\n")
        self._spooled += len(line) + 1
        return place, len(line)

    def _note(self, problem: Problem) -> None:
        if len(self._problems) < SHOWN:
            self._problems.append(problem)
        else:
            self._more += 1

    def _miss(self, seed: Seed) -> None:
        self._fields.update(list(seed.fields)[:50])
        for name in self._names - seed.fields.keys():
            times, first = self._missing.get(name, (0, seed.line))
            self._missing[name] = (times + 1, first)

    def keep_spool(self) -> None:
        """Put the new spool in the old one's place, as its seeds are enrolled; after a crash the file is read again."""
        if self._spool is not None:
            self._spool.close()
            self._new.replace(self._spool_path)

    def close(self) -> None:
        """Let go of the spool; one that was not kept vanishes."""
        if self._spool is not None:
            self._spool.close()
            self._new.unlink(missing_ok=True)

    def summed_up(self) -> list[Problem]:
        """All problems, the missing fields by name and count."""
        problems = list(self._problems)
        if self._more:
            problems.append(Problem(f"and {self._more:,} more such problems", str(self._path)))
        for name, (times, first) in sorted(self._missing.items()):
            what = f"the template needs '{name}', which {times:,} of {self.count:,} seeds lack"
            hint = f"their fields are: {', '.join(sorted(self._fields))}"
            problems.append(Problem(what, str(self._path), first, hint=hint))
        return problems


def _duplicate(path: Path, key: str, lines: tuple[int, ...]) -> Problem:
    where = ", ".join(str(line) for line in lines[:10]) + (", …" if len(lines) > 10 else "")
    hint = "ids must be unique; without ids, equal seeds are told apart by their number"
    return Problem(f"the id '{key}' stands on {len(lines)} lines: {where}", str(path), lines[1], hint=hint)
