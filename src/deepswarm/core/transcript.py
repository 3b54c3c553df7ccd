"""A conversation under way, as its notes in the journal add up: what a crash cannot take away. Pure.

    opened   the first messages
    added    what was said to the model after its reply
    part     a piece of a reply that was cut off for length, and is gone on with
    said     a whole reply of the model, as received, with what the conversation has cost so far
    heard    what a function or another model said about that reply
    unsaid   that reply was rejected: it is not part of the conversation
    summed   a summary stands for the messages before a place when the conversation outgrows the model's window

The notes of a seed add up to a `Transcript`; each `opened` begins it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from deepswarm.core.events import TurnNoted
from deepswarm.core.jsontext import dumps, loads
from deepswarm.core.records import NO_PARAMS, Json, Message

OPENED, ADDED, PART, SAID, HEARD, UNSAID, SUMMED = "opened", "added", "part", "said", "heard", "unsaid", "summed"


class Spent(NamedTuple):
    """What a conversation has cost so far.

    Attributes:
        tokens_in: Of all its calls, as far as they are known.
        tokens_out: Likewise.
        cost: US dollars; None when a price is not known.
        seconds: Of its finished calls.
        tool_errors: Tool calls that went wrong.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    tool_errors: int = 0


class Transcript(NamedTuple):
    """How far a conversation has come.

    Attributes:
        messages: All of them, in order; the last is the model's when `owed`.
        turns: Finished replies of the model.
        owed: Whether its last reply waits for what follows from it.
        finish: The finish reason of the last reply.
        call: The call that brought it.
        heard: What was heard about it, each as (text, error).
        part: What there is of a reply that was cut off; its fields beside the text are those of its first piece.
        parts: How many pieces that is.
        spent: What it has cost.
    """

    messages: tuple[Message, ...] = ()
    turns: int = 0
    owed: bool = False
    finish: str = ""
    call: int = 0
    heard: tuple[tuple[str, str], ...] = ()
    part: Message | None = None
    parts: int = 0
    spent: Spent = Spent()


def plus(so_far: Transcript, note: TurnNoted) -> Transcript:
    """The transcript after one more note."""
    value: Any = loads(note.data)
    if note.kind == OPENED:
        return Transcript(tuple(map(message_of, value["messages"])))
    if note.kind == ADDED:
        spent = so_far.spent._replace(tool_errors=so_far.spent.tool_errors + value["tool_errors"])
        messages = (*so_far.messages, *map(message_of, value["messages"]))
        return so_far._replace(messages=messages, owed=False, heard=(), spent=spent)
    if note.kind == HEARD:
        return so_far._replace(heard=(*so_far.heard, (value["text"], value["error"])), spent=Spent(**value["spent"]))
    spent = Spent(**value["spent"])
    if note.kind == SUMMED:
        return so_far._replace(spent=spent)
    if note.kind == PART:
        return so_far._replace(part=message_of(value["message"]), parts=so_far.parts + 1, spent=spent)
    if note.kind == UNSAID:
        left = so_far.messages[:-1] if so_far.owed else so_far.messages
        turns = so_far.turns - so_far.owed
        return so_far._replace(messages=left, turns=turns, owed=False, heard=(), part=None, parts=0, spent=spent)
    return so_far._replace(
        messages=(*so_far.messages, message_of(value["message"])),
        turns=so_far.turns + 1,
        owed=True,
        finish=value["finish"],
        call=note.call,
        heard=(),
        part=None,
        parts=0,
        spent=spent,
    )


def transcript_of(notes: Iterable[TurnNoted]) -> Transcript:
    """What the notes of one seed add up to."""
    so_far = Transcript()
    for note in notes:
        so_far = plus(so_far, note)
    return so_far


def latest(notes: Sequence[TurnNoted]) -> Sequence[TurnNoted]:
    """The notes since the conversation was last begun."""
    starts = [at for at, note in enumerate(notes) if note.kind == OPENED]
    return notes[starts[-1] :] if starts else ()


# --- as JSON ---------------------------------------------------------------------------------------------------------


def added(messages: Iterable[Message], tool_errors: int = 0) -> bytes:
    """The data of a note of the kind `opened` or `added`."""
    return dumps({"messages": [fields_of(message) for message in messages], "tool_errors": tool_errors})


def said(message: Message, finish: str, spent: Spent) -> bytes:
    """The data of a note of the kind `said` or `part`."""
    return dumps({"message": fields_of(message), "finish": finish, "spent": spent._asdict()})


def heard(text: str, error: str, spent: Spent) -> bytes:
    """The data of a note of the kind `heard`."""
    return dumps({"text": text, "error": error, "spent": spent._asdict()})


def unsaid(spent: Spent) -> bytes:
    """The data of a note of the kind `unsaid`."""
    return dumps({"spent": spent._asdict()})


def summed(text: str, upto: int, spent: Spent) -> bytes:
    """The data of a note of the kind `summed`; `upto` is the first message that the summary does not stand for."""
    return dumps({"text": text, "upto": upto, "spent": spent._asdict()})


def fields_of(message: Message) -> dict[str, Json]:
    """A message as a JSON object, with all its fields."""
    return {"role": message.role, "content": message.content, **message.more}


def message_of(fields: Mapping[str, Json]) -> Message:
    """A message from its JSON object."""
    more = {name: value for name, value in fields.items() if name not in {"role", "content"}}
    return Message(str(fields["role"]), str(fields["content"]), more or NO_PARAMS)
