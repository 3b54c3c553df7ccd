"""What differs between two tasks, and whether it changes what is asked.

Every key has a part (ASK, PACE, OUTPUT, SEEDS or JUDGE). The rules:
    - only ASK keys are in the fingerprint: how fast, how much and where to may change between the runs of a journal;
    - a key at its default is the same as a key that is left out, so that a later version's new keys change nothing;
    - tasks of other versions can be compared too: a key that is not known here counts as ASK, to be safe;
    - values are compared as JSON text, addresses by where calls really go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from deepswarm.core.address import chat_address, spelled
from deepswarm.core.records import Json
from deepswarm.core.section import REQUIRED, keys_of, plain
from deepswarm.core.spec import ASK, AUTO, TaskSpec
from deepswarm.core.turnkeys import TURN_KEYS


class Difference(NamedTuple):
    """A key (dotted within a section), its values before and after, and its part: ASK, PACE, OUTPUT, SEEDS or JUDGE."""

    key: str
    old: Json
    new: Json
    part: str


def part_of(key: str) -> str:
    """What a key changes. A key that this version does not know counts as ASK, to be safe."""
    known = keys_of(TaskSpec).get(key)
    return ASK if known is None else known.part


def fingerprinted(spec: TaskSpec) -> dict[str, Json]:
    """Everything that changes what is asked, as JSON values.

    A key that is at its default is left out: when a later version brings a new key with a default, old fingerprints
    stay as they are. (So the default of an ASK key, once published, must never change.) The address is the one that
    calls really go to.
    """
    values = plain(spec)
    return {
        key: _normal(key, values)
        for key in values
        if part_of(key) == ASK and not _same(_normal(key, values), _normal(key, {}))
    }


def differences(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[Difference]:
    """What changed from one task to another.

    Args:
        old: A task as `section.plain` or `fingerprinted` gave it, also by another version.
        new: The other one, made in the same way.

    Returns:
        In the order of the task file's keys, unknown keys last. A key that is not there counts as its default.
        Sections are compared name by name, so that a change of one parameter is shown as just that.
    """
    keys = [*keys_of(TaskSpec), *sorted({*old, *new} - set(keys_of(TaskSpec)))]
    found: list[Difference] = []
    for key in keys:
        if not _same(_normal(key, old), _normal(key, new)):
            known = _normal if key in TURN_KEYS else _plain
            before, after = (_written(key, known(key, task)) for task in (old, new))
            found += [Difference(name, *pair, part_of(key)) for name, pair in _compared(key, before, after)]
    return found


def _compared(name: str, old: Json, new: Json) -> Iterator[tuple[str, tuple[Json, Json]]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if (key in old) != (key in new) or not _same(old.get(key), new.get(key)):
                yield from _compared(f"{name}.{key}", old.get(key), new.get(key))
    else:
        yield name, (old, new)


def _same(old: Json, new: Json) -> bool:
    """Equal as JSON text: unlike for Python, true is not 1 and 1 is not 1.0."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_same, old, new))
    return type(old) is type(new) and old == new


def _plain(key: str, task: Mapping[str, Json]) -> Json:
    return task.get(key, _default(key))


def _written(key: str, value: Json) -> Json:
    """A section without the keys that are at their defaults; any other value as it is."""
    known = keys_of(TaskSpec).get(key)
    section = None if known is None else known.section
    if section is None or not isinstance(value, dict):
        return value
    defaults = {name: part.default for name, part in keys_of(section).items() if part.default is not REQUIRED}
    return {name: part for name, part in value.items() if name not in defaults or not _same(part, defaults[name])}


def _default(key: str) -> Json:
    known = keys_of(TaskSpec).get(key)
    value: Json = None if known is None or known.default is REQUIRED else known.default
    return value


def _without_null(value: Json) -> Json:
    """A section without the names that have no value: they are the same as those that are left out."""
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_null(item) for name, item in value.items() if item is not None}
    return value


def _normal(key: str, task: Mapping[str, Json]) -> Json:
    """A task's value of a key, in its one spelling."""
    value = task.get(key, _default(key))
    if key in TURN_KEYS:
        return _without_null(value)
    if key != "worker_api_base" or not isinstance(value, str):
        return value
    try:
        if task.get("worker_dialect", AUTO) == AUTO:
            return chat_address(value)
        return spelled(value, messages=task["worker_dialect"] == "anthropic")
    except ValueError:  # an address that only another version could read
        return value
