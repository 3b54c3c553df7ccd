"""TOML text -> frozen dataclasses, with every problem at once.

A class declares the keys of its table as fields made by `number`, `whole`, `rate`, `flag`, `choice`, `text`, `names`,
`wholes`, `table` and `tables`; a field made otherwise is no key. Cross-checks stand in a method `check()` that yields
(key, what).
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeAlias

from deepswarm.core.errors import Problem, TaskFileError

Path: TypeAlias = tuple[str | int, ...]
"""Where a key stands: names of tables, places in lists (from 0), and the key."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]")
_ASSIGNMENT = re.compile(r"\s*([\w-]+)\s*=")
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)$")


# --- kinds of keys ---------------------------------------------------------------------------------------------------


def number(default: float | None, *, low: float = 0.0, high: float = math.inf) -> Any:
    """A key that holds a finite number, low <= number <= high."""
    return _key(default, lambda value: _number(value, low, high))


def rate(default: float) -> Any:
    """A key that holds a share, 0 to 1."""
    return number(default, high=1.0)


def whole(default: int | None, *, low: int = 0, high: int = 1 << 40) -> Any:
    """A key that holds a whole number, low <= number <= high."""
    return _key(default, lambda value: _whole(value, low, high))


def flag(*, default: bool) -> Any:
    """A key that holds true or false."""
    return _key(default, _flag)


def text(default: str) -> Any:
    """A key that holds text."""
    return _key(default, _text)


def choice(kinds: type[StrEnum], default: StrEnum | None = None) -> Any:
    """A key that holds one of a few words; without a default it must be given."""

    def read(value: Any) -> StrEnum:
        if value in list(kinds):
            return kinds(value)
        raise _Wrong(f"must be one of {', '.join(kinds)}, not {value!r}", _did_you_mean(value, kinds))

    return _key(default, read) if default is not None else field(metadata={"read": read})


def names() -> Any:
    """A key that holds a list of names; whole numbers count as names."""
    return _key(frozenset(), lambda value: frozenset(str(_name(each)) for each in _list(value)))


def wholes() -> Any:
    """A key that holds a list of whole numbers from 1."""
    return _key(frozenset(), lambda value: frozenset(_whole(each, 1, 1 << 40) for each in _list(value)))


def table(kind: type[Any]) -> Any:
    """A table within the table: an object of `kind`, which has a default for each of its keys."""
    return field(default_factory=kind, metadata={"table": kind})


def tables(kind: type[Any]) -> Any:
    """A list of tables: a tuple of objects of `kind`."""
    return field(default=(), metadata={"tables": kind})


def _key(default: Any, read: Callable[[Any], Any]) -> Any:
    return field(default=default, metadata={"read": read})


class _Wrong(ValueError):
    """A value that its key does not take."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def _number(value: Any, low: float, high: float) -> float:
    if type(value) not in {int, float} or not low <= value <= high or math.isinf(value):
        upper = "" if math.isinf(high) else f" to {high:g}"
        raise _Wrong(f"must be a number from {low:g}{upper or ' up'}, not {value!r}")
    return float(value)


def _whole(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise _Wrong(f"must be a whole number from {low} up, not {value!r}")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"must be true or false, not {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"must be text, not {value!r}")
    return value


def _name(value: Any) -> str | int:
    if not isinstance(value, str) and type(value) is not int:
        raise _Wrong(f"must hold names or whole numbers, not {value!r}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _Wrong(f"must be a list, not {value!r}")
    return value


# --- reading ---------------------------------------------------------------------------------------------------------


def read_toml(kind: type[Any], source: str, file: str) -> Any:
    """The object of `kind` that a TOML text describes.

    Args:
        kind: A dataclass whose keys were declared with this module.
        source: The file's text.
        file: Its name, for messages.

    Raises:
        TaskFileError: If it is not TOML, has a key that is not known, or a value that a key does not take.
    """
    try:
        value = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise TaskFileError([_not_toml(str(error), source, file)]) from error
    notes = _Notes(file, source, [])
    made = _read_table(kind, value, (), notes)
    if notes.problems:
        raise TaskFileError(sorted(notes.problems, key=lambda problem: problem.line))
    return made


@dataclass(frozen=True, slots=True)
class _Notes:
    """What was wrong so far with one file."""

    file: str
    source: str
    problems: list[Problem]

    def add(self, path: Path, what: str, hint: str = "") -> None:
        line = _line_of(self.source, path)
        shown = self.source.splitlines()[line - 1] if line else ""
        self.problems.append(Problem(f"{_dotted(path)}: {what}", self.file, line, 0, shown, hint))


def _read_table(kind: type[Any], value: Any, path: Path, notes: _Notes) -> Any:
    if not isinstance(value, dict):
        notes.add(path, f"must be a table, not {value!r}")
        return None
    keys = {each.name: each for each in fields(kind) if each.metadata}
    for name in value.keys() - keys.keys():
        notes.add((*path, name), "there is no such key", _did_you_mean(name, keys))
    found = len(notes.problems)
    given = {name: _read(keys[name], value[name], (*path, name), notes) for name in value if name in keys}
    for name in keys.keys() - value.keys():
        if not _has_default(keys[name]):
            notes.add(path, f"the key '{name}' is missing")
    if len(notes.problems) > found:
        return None
    made = kind(**given)
    for name, what in made.check() if hasattr(made, "check") else ():
        notes.add((*path, name) if name else path, what)
    return made


def _read(key: Field[Any], value: Any, path: Path, notes: _Notes) -> Any:
    rules: Mapping[str, Any] = key.metadata
    if "table" in rules:
        return _read_table(rules["table"], value, path, notes)
    if "tables" in rules:
        if not isinstance(value, list):
            notes.add(path, f"must be a list of tables, each under [[{path[-1]}]]")
            return None
        return tuple(_read_table(rules["tables"], each, (*path, place), notes) for place, each in enumerate(value))
    try:
        return rules["read"](value)
    except _Wrong as error:
        notes.add(path, str(error), error.hint)
        return None


def _has_default(key: Field[Any]) -> bool:
    return key.default is not MISSING or key.default_factory is not MISSING


def _did_you_mean(name: Any, known: Any) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def _dotted(path: Path) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).lstrip(".") or "the file"


def _not_toml(said: str, source: str, file: str) -> Problem:
    """A syntax error as a problem; the parser tells its place only in its message."""
    place = _PLACE.search(said)
    if place is None:
        return Problem(f"not TOML: {said}", file)
    line, column = int(place[1]), int(place[2])
    shown = source.splitlines()[line - 1] if line <= len(source.splitlines()) else ""
    return Problem(f"not TOML: {said[: place.start()]}", file, line, column, shown)


def _line_of(source: str, path: Path) -> int:
    """The line, from 1, where a key or table stands; 0 when it is not written on a line of its own."""
    at: Path = ()
    seen: dict[str, int] = {}
    for line, content in enumerate(source.splitlines(), start=1):
        if header := _HEADER.match(content):
            name = header[2]
            at = tuple(name.split("."))
            if header[1] == "[[":
                seen[name] = seen.get(name, -1) + 1
                at = (*at, seen[name])
            if at == path:
                return line
        elif (assigned := _ASSIGNMENT.match(content)) and (*at, assigned[1]) == path:
            return line
    return 0
