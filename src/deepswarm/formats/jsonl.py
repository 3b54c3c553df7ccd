"""JSONL: one record a line, as compact JSON in UTF-8.

Characters at which some readers break lines (U+2028, U+2029, U+0085) are escaped, so a line is a line for everyone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from deepswarm.core.errors import Problem
from deepswarm.core.jsontext import dumps, loads, one_line
from deepswarm.core.records import Record
from deepswarm.formats import MOST_DEPTH
from deepswarm.formats.whole_file import whole_file

LONGEST_LINE: Final = 1 << 28
"""Bytes of a line that is still read as a record."""
SHOWN: Final = 500
"""Most characters of an unreadable line that its problem repeats."""


def write(records: Iterable[Record], path: Path) -> int:
    """See `Writer`."""
    count = 0
    with whole_file(path) as file:
        for record in records:
            file.write(one_line(dumps(record)))
            count += 1
    return count


def read(path: Path) -> Iterator[Record | Problem]:
    """See `Reader`. Blank lines are passed over."""
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), 1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                yield _record(text, number, path)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines with their ends; of one that is too long only its beginning."""
    while line := file.readline(LONGEST_LINE):
        yield line
        while len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)


def _record(line: bytes, number: int, path: Path) -> Record | Problem:
    try:
        value = loads(line, MOST_DEPTH)
    except ValueError as error:
        what = f"not JSON: {error}" if line.endswith(b"\n") else f"the last line breaks off: {error}"
    else:
        if isinstance(value, dict):
            return value
        what = "not a record: a JSON object is needed"
    source = line[: 4 * SHOWN].decode("utf-8", "replace").rstrip("\r\n")[:SHOWN]
    return Problem(what, str(path), number, source=source)
