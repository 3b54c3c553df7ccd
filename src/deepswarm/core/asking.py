"""Asking the same thing otherwise, after a reply that was no use. Pure: a call in, a call out."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from deepswarm.core.records import Call, Json


class Change(Enum):
    """What is different about the next call; `NONE` asks the same again."""

    NONE = "asked again"
    MORE_ROOM = "with twice the room for tokens"
    NO_THINKING = "without thinking"
    NO_JSON_MODE = "without JSON mode"
    OTHER_SAMPLING = "at another temperature"


def changed(call: Call, change: Change) -> Call:
    """The call with this change."""
    return _HOW[change](call)


def difference(common: Call, call: Call) -> dict[str, Json]:
    """How a call was asked otherwise than all others of its task: its own values by name; empty when it was not.

    Args:
        common: What all calls of the task have in common.
        call: The call that was sent.

    Returns:
        `max_tokens`, `thinking`, and parameters of the body; null for one that was left out.
    """
    found: dict[str, Json] = {}
    if call.max_tokens != common.max_tokens:
        found["max_tokens"] = call.max_tokens
    if call.thinking != common.thinking:
        found["thinking"] = call.thinking
    if call.params is common.params:
        return found
    for name in sorted({*common.params, *call.params}):
        if common.params.get(name) != call.params.get(name):
            found[name] = call.params.get(name)
    return found


def possible(call: Call) -> frozenset[Change]:
    """The changes that make a difference to this call, and do not go against what its task says explicitly."""
    return frozenset(change for change in Change if change is Change.NONE or changed(call, change) != call)


def _more_room(call: Call) -> Call:
    return call if call.max_tokens is None else call._replace(max_tokens=call.max_tokens * 2)


def _no_thinking(call: Call) -> Call:
    return call._replace(thinking="off") if call.thinking == "default" else call


def _no_json_mode(call: Call) -> Call:
    return call._replace(params={key: value for key, value in call.params.items() if key != "response_format"})


def _other_sampling(call: Call) -> Call:
    """Loops come at low temperatures: a little warmer, at most 1.5."""
    given = call.params.get("temperature")
    if given is not None and not isinstance(given, int | float):
        return call
    temperature = 1.0 if given is None else float(given)
    return call._replace(params={**call.params, "temperature": round(min(1.5, temperature + 0.3), 3)})


_HOW: Final[dict[Change, Callable[[Call], Call]]] = {
    Change.NONE: lambda call: call,
    Change.MORE_ROOM: _more_room,
    Change.NO_THINKING: _no_thinking,
    Change.NO_JSON_MODE: _no_json_mode,
    Change.OTHER_SAMPLING: _other_sampling,
}
