"""What the sources share: bytes, lines, and what makes a value a seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from deepswarm.core.errors import Problem
from deepswarm.core.jsontext import NotJson
from deepswarm.core.records import Json

MOST_BYTES: Final = 32 * 1024 * 1024
"""Longest line, value or text of a folder: more is hardly one seed, and must not fill memory."""

MOST_DEPTH: Final = 200
"""Deepest nesting of a seed: within what can be read again wherever the seed is written."""

TOO_LONG: Final = f"it is longer than {MOST_BYTES >> 20} MiB, so it is hardly one seed"

_BOM: Final = b"\xef\xbb\xbf"
_WIDEST_LINE: Final = 116


def is_packed(path: Path) -> bool:
    """Whether the name says that the file is compressed."""
    return path.suffix.lower() == ".gz"


def opened(path: Path) -> BinaryIO:
    """The file's bytes, uncompressed."""
    if not is_packed(path):
        return path.open("rb", buffering=1 << 18)
    import gzip

    return cast("BinaryIO", gzip.open(path))


def lines_of(file: BinaryIO) -> Iterator[tuple[int, int, bytes | None]]:
    """The lines of a file; they end at a line feed and nowhere else.

    Yields:
        The line's number, from 1; its place in the file, in bytes; the line without its end (a line feed, or a carriage
        return and a line feed) and without the byte order mark of the file, or None if it is longer than MOST_BYTES.
    """
    number = place = 0
    while line := file.readline(MOST_BYTES):
        number += 1
        size = len(line)
        if number == 1 and line.startswith(_BOM):
            yield number, len(_BOM), line[len(_BOM) :].rstrip(b"\r\n")
        elif size == MOST_BYTES and not line.endswith(b"\n"):
            size += _skipped(file)
            yield number, place, None
        else:
            yield number, place, line.rstrip(b"\r\n")
        place += size


def _skipped(file: BinaryIO) -> int:
    """How many bytes the rest of the line has, which is read and forgotten."""
    size = 0
    while part := file.readline(MOST_BYTES):
        size += len(part)
        if part.endswith(b"\n"):
            break
    return size


def without_mark(data: bytes) -> bytes:
    """The bytes of a file without its byte order mark."""
    return data.removeprefix(_BOM)


def fields_of(value: Json) -> dict[str, Json]:
    """The fields of the seed that a JSON value is.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(value, dict):
        return value
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return {"seed": value}
    kind = "a list" if isinstance(value, list) else "null" if value is None else str(value).lower()
    raise ValueError(f"a seed must be an object, a text or a number, not {kind}")


def not_utf8(error: UnicodeDecodeError) -> str:
    """A sentence on text that cannot be decoded; bytes are counted from 1, as columns are."""
    return f"it is not UTF-8: byte {error.start + 1} is 0x{error.object[error.start]:02x}"


SAVE_AS_UTF8: Final = "save it as UTF-8"


def problem_in(path: Path, number: int, line: bytes, error: ValueError, hint: str = "") -> Problem:
    """What is wrong with a line, and the line itself as far as a screen can show it."""
    try:
        text = line.decode()
    except UnicodeDecodeError as undecodable:
        column = len(line[: undecodable.start].decode("utf-8", "replace")) + 1
        return Problem(not_utf8(undecodable), str(path), number, column, hint=SAVE_AS_UTF8)
    what, column = (error.what, error.column) if isinstance(error, NotJson) else (str(error), 0)
    source = "".join(letter if letter.isprintable() else " " for letter in text[:_WIDEST_LINE])
    source = source if len(text) <= _WIDEST_LINE else source[:-1] + "…"
    return Problem(what, str(path), number, column, source if column < _WIDEST_LINE else "", hint)
