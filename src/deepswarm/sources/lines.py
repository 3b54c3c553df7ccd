"""Seeds in plain lines of text: each line is the field `seed`, as it stands.

Lines end at a line feed, or at a carriage return and a line feed. Lines without anything but white space are passed
over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepswarm.core.errors import Problem
from deepswarm.core.records import Seed
from deepswarm.sources.reading import TOO_LONG, lines_of, opened, problem_in


def read(path: Path) -> Iterator[Seed | Problem]:
    """See `Source.read`."""
    with opened(path) as file:
        for number, _, line in lines_of(file):
            if line is None:
                yield Problem(TOO_LONG, str(path), number, hint="put each seed on a line of its own")
            else:
                yield from _seeds(path, number, line)


def _seeds(path: Path, number: int, line: bytes) -> Iterator[Seed | Problem]:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        yield problem_in(path, number, line, error)
    else:
        if text and not text.isspace():
            yield Seed({"seed": text}, line=number)
