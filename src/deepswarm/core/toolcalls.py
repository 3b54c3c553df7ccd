"""The tool calls in a reply, whichever way the model wrote them. Pure.

    native   message.tool_calls = [{"id", "type", "function": {"name", "arguments": text}}]
    text     <tool_call>{"name": ..., "arguments": {...}}</tool_call> in the content, as Hermes models write it

Repairs change no value: a fence or a closing tag around the JSON is taken off, JSON that was written as a JSON string
is read once more, raw line ends within strings are read as such. Nothing is invented: what is cut off, or is no JSON,
is said to be so, and the model is told.

Source: platform.openai.com/docs/guides/function-calling and NousResearch/Hermes-Function-Calling (November 2026).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from deepswarm.core import jsontext
from deepswarm.core.records import Json, Message

_FENCE: Final = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL | re.IGNORECASE)
_CALL: Final = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)
_THINKING: Final = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_MOST_DEPTH: Final = 100
MOST_CALLS: Final = 64
"""Calls of one reply that are looked at."""


class State(Enum):
    """What became of the arguments of a call."""

    OK = "ok"
    REPAIRED = "repaired"
    TRUNCATED = "truncated"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"


class Arguments(NamedTuple):
    """The arguments of a call: a value when the state is OK or REPAIRED, else why there is none."""

    state: State
    value: Mapping[str, Json] | None = None
    why: str = ""


class Wanted(NamedTuple):
    """A tool call that a model wrote.

    Attributes:
        id: Its id; empty in the text form.
        name: Of the tool; empty when it names none.
        arguments: As far as they can be read.
    """

    id: str
    name: str
    arguments: Arguments


def calls_in(message: Message) -> list[Wanted]:
    """The calls of an assistant's message, in order; those in its native field, or else those in its text."""
    native: Any = message.more.get("tool_calls")
    if isinstance(native, list) and native:
        return [_native(call) for call in native[:MOST_CALLS]]
    if "<tool_call>" not in message.content:
        return []
    return [_written(found[1], found[0]) for found in _CALL.finditer(_THINKING.sub("", message.content))][:MOST_CALLS]


def _native(call: Any) -> Wanted:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return Wanted("", "", Arguments(State.NOT_OBJECT, why="the call names no function"))
    name, given = function.get("name"), function.get("arguments")
    arguments = read_arguments(given) if isinstance(given, str | None) else _of_value(given, State.OK)
    return Wanted(str(call.get("id") or ""), name if isinstance(name, str) else "", arguments)


def _written(inner: str, whole: str) -> Wanted:
    """A call of the text form."""
    if not whole.endswith("</tool_call>"):
        return Wanted("", "", Arguments(State.TRUNCATED, why="the call has no </tool_call>: it was cut off"))
    read = read_arguments(inner)
    if read.value is None:  # its end is there, so it was not cut off: brackets are missing
        return Wanted("", "", read._replace(state=State.NOT_JSON) if read.state is State.TRUNCATED else read)
    name, given = read.value.get("name"), read.value.get("arguments")
    arguments = read_arguments(given) if isinstance(given, str | None) else _of_value(given, read.state)
    return Wanted("", name if isinstance(name, str) else "", arguments)


def read_arguments(text: str | None) -> Arguments:
    """The arguments in a text; an empty text, and null, are no arguments."""
    text = (text or "").strip()
    if not text or text == "null":
        return Arguments(State.REPAIRED, {})
    value, why = _loaded(text)
    if why is None:
        return _of_value(value, State.OK)
    bare = text.removesuffix("</tool_call>").strip()
    fenced = _FENCE.match(bare)
    value, again = _loaded(fenced[1] if fenced else bare)
    if again is None:
        return _of_value(value, State.REPAIRED)
    try:
        value = json.loads(bare, strict=False, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Arguments(State.TRUNCATED if _is_cut(bare) else State.NOT_JSON, why=why)
    return _of_value(value, State.REPAIRED)


def _of_value(value: Any, state: State) -> Arguments:
    if isinstance(value, Mapping):
        return Arguments(state, value)
    if isinstance(value, str):
        inner, why = _loaded(value)
        if why is None and isinstance(inner, dict):
            return Arguments(State.REPAIRED, inner)
        if value[:1] == "{":
            return Arguments(State.TRUNCATED if _is_cut(value) else State.NOT_JSON, why=why or "")
    return Arguments(State.NOT_OBJECT, why="the arguments are not a JSON object")


def _loaded(text: str) -> tuple[Json, str | None]:
    try:
        return jsontext.loads(text, _MOST_DEPTH), None
    except ValueError as error:
        return None, str(error)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _is_cut(text: str) -> bool:
    """Whether a text that begins as JSON ends before it is whole: brackets or quotes are open at its end."""
    if text[:1] not in {"{", "["}:
        return False
    depth, quoted, escaped = 0, False, False
    for letter in text:
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = letter == "\\", letter != '"'
        elif letter == '"':
            quoted = True
        elif letter in "{[":
            depth += 1
        elif letter in "}]":
            depth -= 1
            if not depth:
                return False
    return True
