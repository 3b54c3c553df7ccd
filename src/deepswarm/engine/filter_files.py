"""Files that filters compare with: their names become paths at the edge, and then their texts take the names' place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.records import Json
from deepswarm.filters import FILE_OPTIONS, Setting
from deepswarm.filters.texts import leaves, text_of
from deepswarm.formats import ENDINGS, name_of, reader


def resolved(setting: Setting, path_of: Callable[[str], Path]) -> Setting:
    """A setting whose names of files are paths.

    Args:
        setting: As a task file writes it.
        path_of: The path that a name means.
    """
    return _with_files(setting, lambda _, names: [str(path_of(name)) for name in names])


def with_texts(settings: Sequence[Setting]) -> list[Setting]:
    """The settings, with the texts of files in place of their names.

    Of a benchmark every text counts, of other files the field that the filter compares. A .txt file holds one text in
    each line.

    Raises:
        TaskFileError: If a file cannot be read; names it.
    """
    return [_with_files(setting, _texts) for setting in settings]


def _with_files(setting: Setting, change: Callable[[Mapping[str, Json], list[str]], list[str]]) -> Setting:
    if not isinstance(setting, Mapping) or len(setting) != 1:
        return setting
    name, options = next(iter(setting.items()))
    option = FILE_OPTIONS.get(name)
    if option is None or not isinstance(options, Mapping) or option not in options:
        return setting
    given = options[option]
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        return setting  # whoever builds the filter says what is wrong with it
    changed: list[Json] = list(change(options, [str(each) for each in names]))
    return {name: {**options, option: changed}}


def _texts(options: Mapping[str, Json], names: list[str]) -> list[str]:
    field = None if "benchmark" in options else str(options.get("of", "answer"))
    return [text for name in names for text in _texts_of(Path(name), field)]


def _texts_of(path: Path, field: str | None) -> Iterator[str]:
    try:
        if path.suffix.lower() == ".txt":
            yield from filter(None, path.read_text(encoding="utf-8").splitlines())
            return
        kind = name_of(path)
        if kind is None:
            hint = f"there are: .txt, {', '.join(ENDINGS)}"
            raise TaskFileError([Problem("its ending names no format that a filter can read", str(path), hint=hint)])
        for record in reader(kind)(path):
            if isinstance(record, Problem):
                raise TaskFileError([record])
            text = None if field is None else text_of(record, field)
            yield from leaves(record) if field is None else filter(None, [text])
    except (OSError, UnicodeDecodeError) as error:
        what = f"a file that a filter needs cannot be read: {getattr(error, 'strerror', None) or error}"
        raise TaskFileError([Problem(what, str(path), hint="name a file of records, or of texts")]) from error
