"""JSON: one array that holds all records, each on a line of its own; written and read as a stream."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from deepswarm.core.errors import Problem
from deepswarm.core.jsontext import dumps, loads, one_line
from deepswarm.core.records import Json, Record
from deepswarm.formats import MOST_DEPTH
from deepswarm.formats.whole_file import whole_file

CHUNK: Final = 1 << 20
"""Bytes that are read at once; records that are longer take more."""
LONGEST_RECORD: Final = 1 << 28
"""Characters in which a record must end to be read."""
SHOWN: Final = 500
"""Most characters of something unreadable that its problem repeats."""

_SPACE: Final = " \t\r\n"


def write(records: Iterable[Record], path: Path) -> int:
    """See `Writer`."""
    count = 0
    with whole_file(path) as file:
        file.write(b"[")
        for record in records:
            file.write(b",\n" if count else b"\n")
            file.write(one_line(dumps(record)).removesuffix(b"\n"))
            count += 1
        file.write(b"\n]\n")
    return count


def read(path: Path) -> Iterator[Record | Problem]:
    """See `Reader`. What breaks the array ends the reading: where the next record begins cannot be known."""
    with path.open("rb") as file:
        text = _Text(file)
        try:
            for value, line, source in _items(text):
                if isinstance(value, dict):
                    yield value
                else:
                    what = "not a record: a JSON object is needed"
                    yield Problem(what, str(path), line, source=source[:SHOWN])
        except _Broken as broken:
            yield Problem(str(broken), str(path), text.line, source=text.ahead(SHOWN))


class _Broken(Exception):
    """The array cannot be read on from here."""


class _Text:
    """A window on the file's text that moves forward only."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.window, self.pos, self.line = "", 0, 1
        self.ended = False

    def more(self) -> None:
        """Read on; what lies behind is let go, and the next piece is as long as what lies ahead."""
        self.window, self.pos = self.window[self.pos :], 0
        if len(self.window) > LONGEST_RECORD:
            raise _Broken(f"no record ends within {LONGEST_RECORD:,} characters")
        data = self._file.read(max(CHUNK, len(self.window)))
        try:
            self.window += self._decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            raise _Broken("not UTF-8") from None
        self.ended = not data

    def sign(self) -> str:
        """The next character that is not white space, not yet passed; empty at the end."""
        while True:
            while self.pos < len(self.window) and self.window[self.pos] in _SPACE:
                self.line += self.window[self.pos] == "\n"
                self.pos += 1
            if self.pos < len(self.window):
                return self.window[self.pos]
            if self.ended:
                return ""
            self.more()

    def take(self, end: int) -> str:
        """Pass over the text up to `end`."""
        passed = self.window[self.pos : end]
        self.line += passed.count("\n")
        self.pos = end
        return passed

    def ahead(self, most: int) -> str:
        """What comes next."""
        return self.window[self.pos : self.pos + most]


def _items(text: _Text) -> Iterator[tuple[Json, int, str]]:
    """The members of the array, with the lines on which they begin and their text."""
    if text.sign() != "[":
        raise _Broken("not a JSON array of records")
    text.take(text.pos + 1)
    if text.sign() == "]":
        text.take(text.pos + 1)
    else:
        yield from _members(text)
    if text.sign():
        raise _Broken("something stands behind the end of the array")


def _members(text: _Text) -> Iterator[tuple[Json, int, str]]:
    while True:
        if not text.sign():
            raise _Broken("the array breaks off")
        line = text.line
        source = _member(text)
        try:
            value = loads(source, MOST_DEPTH)
        except ValueError as error:
            raise _Broken(f"not JSON: {error}") from None
        sign = text.sign()
        if sign not in {",", "]"}:
            raise _Broken("the array breaks off" if not sign else "a comma or ] is missing here")
        yield value, line, source
        text.take(text.pos + 1)
        if sign == "]":
            return


_SCANNER: Final[Any] = json.JSONDecoder(strict=False)


def _member(text: _Text) -> str:
    """The text of the value that begins here."""
    while True:
        try:
            _, end = _SCANNER.raw_decode(text.window, text.pos)
        except ValueError as error:
            if text.ended:
                raise _Broken(f"not JSON, or the array breaks off: {error}") from None
        except RecursionError:
            raise _Broken("nested too deeply") from None
        else:
            if end < len(text.window) or text.ended:  # a number may go on in the next piece
                return text.take(end)
        text.more()
