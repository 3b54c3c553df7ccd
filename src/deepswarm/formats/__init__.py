"""The room of output formats: one file per kind of data set, each with a writer and mostly a reader.

A writer streams records of any number into a file that is there whole or not at all; its reader streams them back,
equal to what was written: integers beyond 64 bits, lone surrogates, null characters and values whose shape differs from
record to record included. Memory follows the largest record, not their number.

To add a format, write one file with a function `write`, list it in TABLE and its endings in ENDINGS, and pass the suite
in `testing/suites/format.py`. With a function `read`, listed in READERS, `deepswarm filter` can also start from such
files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from deepswarm.core.errors import Problem
from deepswarm.core.records import Record
from deepswarm.doors import find

TABLE: Final = {
    "jsonl": "deepswarm.formats.jsonl:write",
    "json": "deepswarm.formats.json_file:write",
    "parquet": "deepswarm.formats.parquet:write",
}
READERS: Final = {
    "jsonl": "deepswarm.formats.jsonl:read",
    "json": "deepswarm.formats.json_file:read",
    "parquet": "deepswarm.formats.parquet:read",
}
ENDINGS: Final[Mapping[str, str]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
}

MOST_DEPTH: Final = 400
"""Lists and objects within one another that a record may hold to be read; more could not be written again."""


class Writer(Protocol):
    """How a kind of file is written."""

    def __call__(self, records: Iterable[Record], path: Path) -> int:
        """Write all records; how many they were.

        The file appears under its name when all of it is on the disk, and replaces what was there; when anything goes
        wrong, also in the middle of the records, what was there stays. The same records give the same bytes.

        Raises:
            OSError: If it cannot be written.
        """


class Reader(Protocol):
    """How a kind of file is read."""

    def __call__(self, path: Path) -> Iterator[Record | Problem]:
        """The records of a file, in its order, and a Problem in place of whatever is no record.

        Raises:
            OSError: If it cannot be read at all.
        """


if TYPE_CHECKING:  # the type checker proves that who is listed fits the door
    from deepswarm.formats import json_file, jsonl, parquet

    RESIDENTS: tuple[Writer, ...] = (jsonl.write, json_file.write, parquet.write)
    RESIDENT_READERS: tuple[Reader, ...] = (jsonl.read, json_file.read, parquet.read)


def writer(name: str) -> Writer:
    """The writer of a format.

    Raises:
        DoorError: If there is no format of that name.
    """
    found: Writer = find("format", name, TABLE)
    return found


def reader(name: str) -> Reader:
    """The reader of a format.

    Raises:
        DoorError: If there is none for that name.
    """
    found: Reader = find("format reader", name, READERS)
    return found


def name_of(path: Path) -> str | None:
    """The name of the format that a file's ending stands for; None when it stands for none."""
    return ENDINGS.get(path.suffix.lower())
