"""Seeds in one JSON array: objects, texts or numbers.

Only an array, so that there is no guessing which part of a larger document the seeds are. The file is read into memory
as a whole; for large ones JSONL is the better form. A seed's line number is its number in the array, from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.jsontext import NotJson, loads
from deepswarm.core.records import Json, Seed
from deepswarm.sources.reading import MOST_DEPTH, fields_of, opened, problem_in, without_mark

_LINES_HINT = "if each line is one seed, let the name end in .jsonl"


def read(path: Path) -> Iterator[Seed | Problem]:
    """See `Source.read`."""
    for number, item in enumerate(_array(path), start=1):
        try:
            seed: Seed | Problem = Seed(fields_of(item), line=number)
        except ValueError as error:
            seed = Problem(f"item {number:,} of the array: {error}", str(path), hint="take it out, or correct it")
        yield seed


def _array(path: Path) -> list[Json]:
    with opened(path) as file:
        data = without_mark(file.read())
    try:
        value = loads(data, 1 + MOST_DEPTH)
    except NotJson as error:
        line = data.split(b"\n", error.line)[error.line - 1] if error.line else b""
        hint = _LINES_HINT if error.line > 1 and not data.lstrip().startswith(b"[") else ""
        raise TaskFileError([problem_in(path, error.line, line.rstrip(b"\r"), error, hint)]) from None
    if not isinstance(value, list):
        raise TaskFileError([Problem("it is not a JSON array of seeds", str(path), hint=_wrapped(value))])
    return value


def _wrapped(value: Json) -> str:
    """What to do with a document that is not an array, as far as it shows."""
    arrays = [name for name, inner in value.items() if isinstance(inner, list)] if isinstance(value, dict) else []
    if arrays:
        return f"write only what is in '{arrays[0][:40]}', from [ to ]"
    return f"put [ before it and ] behind it; {_LINES_HINT}"
