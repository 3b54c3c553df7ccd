"""Seeds in a table: a header with the names of the fields, then one seed a row.

Values are separated by commas, in .tsv files by tabs; nothing is guessed. A value that holds a separator, a quote or a
line end stands in double quotes, and a quote in it is doubled (RFC 4180). Values are text as they stand, names without
the spaces around them; blank lines are passed over. A seed's line number is that of its first line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from deepswarm.core.errors import Problem
from deepswarm.core.records import Seed
from deepswarm.sources.reading import MOST_BYTES, SAVE_AS_UTF8, opened

_QUOTES: Final = 'a value with a quote or a line end in it stands in "…", with each quote in it doubled'


def read(path: Path) -> Iterator[Seed | Problem]:
    """See `Source.read`."""
    csv.field_size_limit(MOST_BYTES)
    tabs = ".tsv" in (suffix.lower() for suffix in path.suffixes[-2:])
    with opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
        rows = _rows(path, csv.reader(text, delimiter="\t" if tabs else ",", strict=True))
        header = next(rows, None)
        if header is None:
            return
        if isinstance(header, Problem):
            yield header
            return
        names = [name.strip() for name in header[1]]
        problems = list(_header_problems(path, header[0], names, tabs=tabs))
        yield from problems
        if problems:
            return
        for row in rows:
            yield row if isinstance(row, Problem) else _seed(path, names, *row)


class _Reader(Protocol):
    line_num: int

    def __next__(self) -> list[str]: ...


def _rows(path: Path, reader: _Reader) -> Iterator[tuple[int, list[str]] | Problem]:
    """Rows that are not blank, each with the number of its first line."""
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(f"the row cannot be read: {error}", str(path), number, hint=_QUOTES)
            continue
        if row:
            yield _undecodable(path, number, row) or (number, row)


def _undecodable(path: Path, number: int, row: list[str]) -> Problem | None:
    try:
        "".join(row).encode()
    except UnicodeEncodeError as error:  # the mark of a byte that could not be decoded, and nothing else is
        what = f"it is not UTF-8: there is a byte 0x{ord(error.object[error.start]) - 0xDC00:02x}"
        return Problem(what, str(path), number, hint=SAVE_AS_UTF8)
    return None


def _header_problems(path: Path, number: int, names: list[str], *, tabs: bool) -> Iterator[Problem]:
    file = str(path)
    for place, name in enumerate(names, start=1):
        if not name:
            yield Problem(f"column {place} has no name", file, number, hint="name it in the header, or take it out")
        elif name in names[: place - 1]:
            yield Problem(f"two columns are named '{name}'", file, number, hint="give one of them another name")
    if len(names) == 1 and any(mark in names[0] for mark in (",;\t|" if not tabs else ",;|")):
        form = "tabs, as the ending .tsv asks" if tabs else "commas; tabs are for files that end in .tsv"
        yield Problem("the header seems to hold several names", file, number, hint=f"separate them by {form}")


def _seed(path: Path, names: list[str], number: int, row: list[str]) -> Seed | Problem:
    if len(row) != len(names):
        what = f"the row has {len(row)} values, the header {len(names)} names"
        hint = "a value that holds a separator must stand in double quotes"
        return Problem(what, str(path), number, hint=hint)
    return Seed(dict(zip(names, row, strict=True)), line=number)
