"""Seeds in lines of JSON: an object, a text or a number a line.

Lines end at a line feed; a carriage return before it, a byte order mark at the beginning and blank lines are passed
over. Text may hold U+2028 and the like: nothing else ends a line. A last line without its end is a line.

The seed's place and size say where its line is in the file, so that it can be read again without reading what is
before; a compressed file has no such places.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepswarm.core.errors import Problem
from deepswarm.core.jsontext import loads
from deepswarm.core.records import Json, Seed
from deepswarm.sources.reading import MOST_DEPTH, TOO_LONG, fields_of, is_packed, lines_of, opened, problem_in


def read(path: Path) -> Iterator[Seed | Problem]:
    """See `Source.read`."""
    packed = is_packed(path)
    with opened(path) as file:
        for number, place, line in lines_of(file):
            if line is None:
                yield Problem(TOO_LONG, str(path), number, hint="a JSON array belongs into a file that ends in .json")
                continue
            try:
                fields = parse(line)
            except ValueError as error:
                if line and not line.isspace():
                    yield problem_in(path, number, line, error, _hint(line))
            else:
                yield Seed(fields, -1, 0, number) if packed else Seed(fields, place, len(line), number)


def parse(line: bytes) -> dict[str, Json]:
    """The fields of the seed in a line.

    Raises:
        ValueError: If it holds none.
    """
    value = loads(line, MOST_DEPTH)
    return value if type(value) is dict else fields_of(value)


def _hint(line: bytes) -> str:
    start = line.lstrip()
    if start.startswith(b"["):
        return "each line is one seed; a JSON array of seeds belongs into a file that ends in .json"
    if start.startswith(b"{'"):
        return "JSON puts names and texts into double quotes; in Python, json.dumps writes them"
    if b"\r" in line:
        return "lines must end with a line feed; here they seem to end with a carriage return alone"
    if not start.startswith((b"{", b'"')):
        return 'each line is an object such as {"topic": "tides"}; plain lines of text belong into a .txt file'
    return ""
