"""Seeds in the texts of a folder and of the folders in it: one a file, in the order of their paths.

The fields: `seed` is the text, without a byte order mark; `path` is the path from the folder, with / between its parts;
`name` is its last part; `id` is the path again. So a folder can be moved, and its seeds stay the same.

Passed over: files and folders whose name begins with a dot, and files that hold nothing but white space. Links to files
are followed, links to folders are not. Every other file must be text in UTF-8: one that is not is a Problem, for nobody
could see that it was left out. A seed's line number is its number in the folder, from 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from deepswarm.core.errors import Problem
from deepswarm.core.records import Seed
from deepswarm.sources.reading import MOST_BYTES, TOO_LONG, not_utf8, without_mark

_HINT = "move it out of the folder, or let its name begin with a dot"


def read(path: Path) -> Iterator[Seed | Problem]:
    """See `Source.read`."""
    number = 0
    for name in _files(path):
        try:
            text = _text(path / name)
        except (OSError, ValueError) as error:
            yield Problem(getattr(error, "strerror", None) or str(error), str(path / name), hint=_HINT)
            continue
        if text and not text.isspace():
            number += 1
            yield Seed({"id": name, "seed": text, "name": name.rpartition("/")[2], "path": name}, line=number)


def _files(folder: Path, before: str = "") -> Iterator[str]:
    """The paths of the files, sorted; only the names of one folder on the way down are held at a time."""
    with os.scandir(folder / before) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in visible if not _is_linked_folder(entry)]
    for name in sorted(f"{name}/" if is_folder else name for name, is_folder in names):
        if name.endswith("/"):
            yield from _files(folder, before + name)
        else:
            yield before + name


def _is_linked_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and entry.is_dir()


def _text(path: Path) -> str:
    """The text of a file.

    Raises:
        ValueError: If it is not one that can be a seed.
        OSError: If it cannot be read.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise ValueError("its name is not UTF-8") from None
    if not path.is_file():  # a pipe, for example, on which reading would wait for ever
        raise ValueError("it is not a file" if path.exists() else "it is a link to what is not there")
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(TOO_LONG)
    try:
        text = without_mark(data).decode()
    except UnicodeDecodeError as error:
        raise ValueError(not_utf8(error)) from None
    if "\0" in text:
        raise ValueError("it is not a text file")
    return text
