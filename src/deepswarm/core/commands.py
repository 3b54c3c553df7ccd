"""What other processes may want of a run, as words in its inbox and as values. Pure.

pause | resume | stop [now] | set KEY=VALUE … | cancel ID | retry [CLASS …]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

KEYS: Final = ("workers",)
"""What may be set while a run is at work."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Start nothing new; what is in flight ends by itself."""


@dataclass(frozen=True, slots=True)
class Resume:
    """End a pause: the user's at once, any other one with a probe that goes now."""


@dataclass(frozen=True, slots=True)
class Halt:
    """End the run, resumable, when what is in flight has ended; or `now`, which leaves calls that may be billed."""

    now: bool = False


@dataclass(frozen=True, slots=True)
class Set:
    """Other values for keys of the task file, until this process ends; in the words of the task file."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Do not ask about this seed (any more); it has failed as cancelled."""

    key: str


@dataclass(frozen=True, slots=True)
class Again:
    """Ask about seeds that failed or were rejected again: of these classes, or of all where none is named."""

    labels: frozenset[str]


Wanted: TypeAlias = Pause | Resume | Halt | Set | Cancel | Again


def words_of(wanted: Wanted) -> str:
    """The command as one line for the inbox."""
    match wanted:
        case Pause():
            return "pause"
        case Resume():
            return "resume"
        case Halt(now):
            return "stop now" if now else "stop"
        case Set(values):
            return " ".join(["set", *(f"{key}={value}" for key, value in values.items())])
        case Cancel(key):
            return f"cancel {key}"
        case Again(labels):
            return " ".join(["retry", *sorted(labels)])


def wanted_of(words: str) -> Wanted:
    """The command that these words mean.

    Raises:
        ValueError: If they mean none; says what is wrong and what there is.
    """
    name, _, rest = words.partition(" ")
    if name == "cancel" and rest:
        return Cancel(rest)
    if name == "set" and rest:
        return Set(_values(rest.split()))
    if name == "retry":
        return Again(frozenset(rest.split()))
    known: Mapping[str, Wanted] = {"pause": Pause(), "resume": Resume(), "stop": Halt(), "stop now": Halt(now=True)}
    if words in known:
        return known[words]
    message = f"'{words}' is no command; there are: pause, resume, stop, set KEY=VALUE, cancel ID, retry"
    raise ValueError(message)


def _values(pairs: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if key not in KEYS or not equals or not value:
            message = f"'{pair}' cannot be set while a run is at work; there are: {', '.join(f'{k}=…' for k in KEYS)}"
            raise ValueError(message)
        values[key] = value
    return values


def workers_of(value: str) -> int | None:
    """The workers that a value means; None for auto.

    Raises:
        ValueError: If it is neither a whole number above 0 nor auto.
    """
    if value == "auto":
        return None
    if not value.isascii() or not value.isdigit() or not int(value):
        message = f"workers={value}: it must be a whole number above 0, or auto"
        raise ValueError(message)
    return int(value)
