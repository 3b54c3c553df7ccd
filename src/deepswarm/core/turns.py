"""What a task type and a worker tell each other: a conversation that was opened, and what a reply to it amounts to.

    open(fields)                 ─▶ Conversation     or InputProblem, before anything is asked
    step(conversation, reply)    ─▶ Answer           the seed is done
                                 └▶ Reject           the reply is whole and its answer is no use: asked again, with why

A step that asks on, calls a tool or consults another model is one more class of the union `Step`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple, TypeAlias

from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.records import Json, Message

_SHOWN: Final = 20_000
"""Most characters of a rejected answer that are shown to the model again."""


class Conversation(NamedTuple):
    """What was opened for one seed.

    Attributes:
        messages: What is sent first, in order.
        fields: The seed's fields, for what verifies the answer.
    """

    messages: tuple[Message, ...]
    fields: Mapping[str, Json]


class Answer(NamedTuple):
    """The reply holds the answer; `text` is what the record gets."""

    text: str


class Reject(NamedTuple):
    """The answer is no use.

    Attributes:
        label: The class of what is wrong with it: one word, as in a record's `class`.
        reason: One sentence, for people and for the model, which is asked again with it.
        answer: What the seed ends with when it is asked no more; None when it is then rejected.
    """

    label: str
    reason: str
    answer: str | None = None


Step: TypeAlias = Answer | Reject


class InputTooLong(TemplateProblem):
    """A seed whose prompt does not fit the model's window; nothing was asked."""

    label: ClassVar[str] = "too_long"


def asked_again(conversation: Conversation, said: str, reject: Reject) -> tuple[Message, ...]:
    """The first messages, the rejected answer, and why it was rejected.

    Only the last rejected answer is shown, so that the prompt does not grow with every try.
    """
    why = f"This answer was not accepted: {reject.reason}. Answer the first message again, and put this right."
    return (*conversation.messages, Message("assistant", said[:_SHOWN]), Message("user", why))
