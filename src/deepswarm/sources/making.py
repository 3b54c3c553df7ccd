"""Seeds files that DeepSwarm makes itself, from the `seeds` section of a task.

The file appears whole or not at all, and one that is there is never lost: it is only replaced when that is asked for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.jsontext import dumps_line
from deepswarm.core.records import Json
from deepswarm.core.spec import SeedsSection


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a seeds file: how many seeds it holds, and whether it held just these already."""

    count: int
    unchanged: bool


def write_seeds(section: SeedsSection, path: Path) -> int:
    """Make a seeds file that is not there yet; how many seeds it holds.

    Raises:
        TaskFileError: As `make_file`.
    """
    return make_file(section, path, replace=False).count


def make_file(section: SeedsSection, path: Path, *, replace: bool) -> Made:
    """Make a seeds file, in JSONL, and the folders that lead to it.

    Args:
        section: Which seeds.
        path: Its name must end in .jsonl or .ndjson, as it will be read by that.
        replace: Whether a file with other seeds may be replaced.

    Raises:
        TaskFileError: If the seeds cannot be made, the file cannot be written, or another one is there.
    """
    return _made(path, lambda file: write_lines(section, file), replace=replace)


def put_file(seeds: Iterable[Mapping[str, Json]], path: Path, *, replace: bool) -> Made:
    """As `make_file`, of seeds that are there already.

    Raises:
        TaskFileError: As `make_file`.
    """
    return _made(path, lambda file: sum(bool(file.write(dumps_line(seed))) for seed in seeds), replace=replace)


def _made(path: Path, write: Callable[[BinaryIO], int], *, replace: bool) -> Made:
    if path.suffix.lower() not in {".jsonl", ".ndjson"}:
        hint = "let its name end in .jsonl: seeds_file, or --output"
        what = "seeds can only be made as JSONL" if path.exists() else "it is not there, and can only be made as JSONL"
        raise TaskFileError([Problem(what, str(path), hint=hint)])
    if path.exists() and not path.is_file():
        raise TaskFileError([Problem("this is not a file, so no seeds can be written", str(path), hint=_OTHER)])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path.resolve()) as new:
            return _put(write, new, path.resolve(), replace=replace)
    except OSError as error:
        what = f"the seeds cannot be written: {error.strerror or error}"
        raise TaskFileError([Problem(what, str(path), hint=_OTHER)]) from error


def write_lines(section: SeedsSection, file: BinaryIO) -> int:
    """Write the seeds as lines of JSON; how many.

    Raises:
        TaskFileError: If they cannot be made: nothing has been written then, unless a template failed on some values.
    """
    from deepswarm.core.combine import problems, seeds_of

    found = problems(section)
    if found:
        raise TaskFileError(found)
    count = 0
    try:
        for fields in seeds_of(section):
            file.write(dumps_line(fields))
            count += 1
    except ValueError as error:  # a template that fails on some values, or a value that is nested too deeply
        raise TaskFileError([Problem(f"seed {count + 1:,} cannot be made: {error}", hint=_CORRECT)]) from None
    return count


_CORRECT = "correct the template or the values of the seeds: section"
_OTHER = "name another file: seeds_file, or --output"


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name in the same folder, for a file that does not outlast the block."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


def _put(write: Callable[[BinaryIO], int], new: Path, path: Path, *, replace: bool) -> Made:
    with new.open("wb") as file:
        count = write(file)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        import filecmp

        if filecmp.cmp(new, path, shallow=False):
            return Made(count, unchanged=True)
        if not replace:
            hint = "keep them, replace them with --force, or write to another file with --output"
            raise TaskFileError([Problem("there are other seeds in this file already", str(path), hint=hint)])
    new.replace(path)
    return Made(count, unchanged=False)
