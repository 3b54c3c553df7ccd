"""The room of sources: each reads one kind of seeds file.

What a seed is, in every kind of file: an object, whose members are the fields that a template can use; or a text or a
number, which becomes the field `seed`. A field `id`, if there is one, must be a text or a whole number that no other
seed has; it need not be there. Text is UTF-8, with or without a byte order mark, and the ending of the name says what
it is:

    .jsonl .ndjson   one JSON value a line; the only kind whose seeds can be found again by their place in the file
    .json            one array of them; the only kind that is read into memory as a whole
    .csv .tsv        a header line, then one seed a line; all values are text
    .parquet         one seed a row
    anything else    one text a line
    a folder         one text a file

Each but the folder may be compressed, with .gz behind its ending. Whatever a source leaves out on purpose its docstring
says; everything else that is no seed is told as a Problem, so that nothing is lost in silence.

To add a source, write one file with the function of `Source`, list it in TABLE and its endings in ENDINGS, and pass the
suite in `testing/suites/source.py`.
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.records import Seed
from deepswarm.doors import find

TABLE: Final = {
    "jsonl": "deepswarm.sources.jsonl",
    "json": "deepswarm.sources.json_file",
    "csv": "deepswarm.sources.csv_file",
    "parquet": "deepswarm.sources.parquet",
    "lines": "deepswarm.sources.lines",
    "folder": "deepswarm.sources.folder",
}

ENDINGS: Final = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
"""What the ending of a name, in any mixture of cases, says of the file; all others are lines."""

_HEAD_BYTES: Final = 4096


class Source(Protocol):
    """A module, or an object, with this function."""

    def read(self, path: Path) -> Iterator[Seed | Problem]:
        """The seeds, in the order of the file; in place of what is no seed, the problem with it.

        Args:
            path: A file, or for some sources a folder, that is there and can be read.

        Raises:
            TaskFileError: If nothing more can be read.
        """


def source_for(path: Path) -> str:
    """The name in TABLE of the source that reads this file or folder."""
    return "folder" if path.is_dir() else _kind_of_file(path)


def read_seeds(path: Path) -> Iterator[Seed | Problem]:
    """The seeds of a file or folder of any kind, in order; in place of what is no seed, the problem with it.

    Memory does not grow with the file, JSON arrays excepted.

    Raises:
        TaskFileError: If the file is not there, cannot be read, is not what its ending says, or holds no seeds.
    """
    _refuse_unfit(path)
    source: Source = find("source", source_for(path), TABLE)
    try:
        seeds = source.read(path)
        first = next(seeds, None)
        if first is None:
            raise _fatal(path, "it holds no seeds", "write one seed a line, or name another file: seeds_file")
        yield first
        yield from seeds
    except (OSError, EOFError, zlib.error) as error:  # the latter two: compressed, and cut off or damaged
        what = "it cannot be read to its end"
        raise _fatal(path, f"{what}: {getattr(error, 'strerror', None) or error}", "get the file anew") from error


def _kind_of_file(path: Path) -> str:
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return ENDINGS.get(name.suffix.lower(), "lines")


def _fatal(path: Path, what: str, hint: str = "") -> TaskFileError:
    return TaskFileError([Problem(what, str(path), hint=hint)])


# --- what can be wrong with any file ---------------------------------------------------------------------------------


def _refuse_unfit(path: Path) -> None:
    """Refuse what needs no source to be seen as wrong.

    Raises:
        TaskFileError: See `read_seeds`.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            if _kind_of_file(path) != "lines":
                raise _fatal(path, f"it is a folder, not a {path.suffix} file", "name one file in it")
            with_entries = next(path.iterdir(), None)
            if with_entries is None:
                raise _fatal(path, "the folder is empty: it holds no seeds", "name another folder or file: seeds_file")
        elif stat.S_ISREG(found.st_mode):  # from a pipe nothing can be read twice
            with path.open("rb") as file:
                _refuse_head(path, file.read(_HEAD_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        raise _fatal(path, "the seeds file is not there", _near(path)) from None
    except PermissionError:
        hint = "give yourself the right to read it (chmod u+r), or name another file: seeds_file"
        raise _fatal(path, "the seeds may not be read", hint) from None
    except OSError as error:
        raise _fatal(path, f"the seeds cannot be read: {error.strerror}", "name another file: seeds_file") from None


def _refuse_head(path: Path, head: bytes) -> None:
    """Refuse a file whose beginning is not what its name says.

    Source of the magic numbers: RFC 1952 2.3.1 (gzip), github.com/apache/parquet-format, "File format" (Parquet).
    """
    if not head:
        raise _fatal(path, "it is empty: it holds no seeds", "write one seed a line, or name another file: seeds_file")
    packed = path.suffix.lower() == ".gz"
    if packed != head.startswith(b"\x1f\x8b"):
        if packed:
            raise _fatal(path, "it is not compressed, though its name says so", "take .gz off its name")
        raise _fatal(path, "it is compressed by gzip", f"add .gz to its name: {path.name}.gz")
    if packed:
        return
    kind = _kind_of_file(path)
    if (kind == "parquet") != head.startswith(b"PAR1"):
        if kind == "parquet":
            raise _fatal(path, "it is not a Parquet file, though its name says so", "give it the ending that fits")
        raise _fatal(path, "it is a Parquet file", "let its name end in .parquet")
    if kind == "parquet":
        return
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _fatal(path, "it is UTF-16, which Windows programs like to write", "save it as UTF-8")
    if b"\0" in head:
        sheet = path.suffix.lower() in {".xlsx", ".xls", ".ods"}
        hint = "save the sheet as CSV" if sheet else "seeds are text: JSONL, JSON, CSV, plain lines; or Parquet"
        raise _fatal(path, "it is not a text file", hint)


def _near(path: Path) -> str:
    """What may have been meant by a name that is not there, and how else there can be seeds."""
    make = "or tell in a seeds: section of the task file how `deepswarm seed` makes it"
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f"there is no folder {path.parent} either; name another file: seeds_file, {make}"
    import difflib

    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.6)
    near = (
        near or [name for name in names if Path(name.removesuffix(".gz")).suffix.lower() in {".jsonl", ".ndjson"}][:3]
    )
    if near:
        return f"did you mean {' or '.join(str(path.with_name(name)) for name in near)}? Name it: seeds_file, {make}"
    return f"name another file: seeds_file, {make}"
