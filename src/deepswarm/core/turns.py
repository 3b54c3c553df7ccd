"""What a task type and a worker tell each other: a conversation that was opened, and what a reply to it amounts to.

    open(fields)                 ─▶ Conversation     or InputProblem, before anything is asked
    step(conversation, reply)    ─▶ Answer           the seed is done
                                 ├▶ Reject           the reply is whole and its answer is no use: asked again, with why
                                 ├▶ Ask              the conversation goes on with these messages
                                 ├▶ Consult          another model is asked on behalf of this seed
                                 ├▶ Run              a Python function is called
                                 └▶ Fail             the conversation ends without an answer

After `Consult` and `Run` the same reply is stepped again, with what was heard, until it is one of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple, TypeAlias

from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.records import NO_PARAMS, Json, Message, Reply

_SHOWN: Final = 20_000
"""Most characters of a rejected answer that are shown to the model again."""


class Heard(NamedTuple):
    """What came of a `Consult` (a text) or of a `Run` (a JSON value as text); `error` says why nothing did."""

    text: str
    error: str = ""


class Conversation(NamedTuple):
    """What was opened for one seed, and what was said since.

    Attributes:
        messages: What is sent next, in order.
        fields: The seed's fields, for what verifies the answer.
        turn: Which turn the next reply is, from 1.
        heard: What functions and other models said about the reply that is stepped, in order.
        tool_errors: Tool calls that went wrong so far.
    """

    messages: tuple[Message, ...]
    fields: Mapping[str, Json]
    turn: int = 1
    heard: tuple[Heard, ...] = ()
    tool_errors: int = 0


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


class Ask(NamedTuple):
    """Go on with the conversation as received, plus these messages.

    Attributes:
        messages: What is said to the model.
        tool_errors: Tool calls of its reply that went wrong.
    """

    messages: tuple[Message, ...]
    tool_errors: int = 0


class Consult(NamedTuple):
    """Ask another model on behalf of this seed.

    Attributes:
        tier: Whose model: 0 is the worker's, 1 the orchestrator's.
        messages: What it is asked.
        purpose: What for, in one word.
    """

    tier: int
    messages: tuple[Message, ...]
    purpose: str


class Run(NamedTuple):
    """Call a Python function of the user's own.

    Attributes:
        function: Where it stands, as file.py:name.
        arguments: JSON values, in order.
        named: JSON values, by the names of its parameters.
    """

    function: str
    arguments: tuple[Json, ...] = ()
    named: Mapping[str, Json] = NO_PARAMS


class Fail(NamedTuple):
    """The conversation has ended without an answer: the seed has failed, for this reason."""

    label: str
    reason: str


Step: TypeAlias = Answer | Reject | Ask | Consult | Run | Fail


class InputTooLong(TemplateProblem):
    """A seed whose prompt does not fit the model's window; nothing was asked."""

    label: ClassVar[str] = "too_long"


def message_of(reply: Reply) -> Message:
    """The model's message of a reply, with all its fields as received."""
    if reply.message or not reply.reasoning:
        return Message("assistant", reply.text, reply.message)
    return Message("assistant", reply.text, {"reasoning_content": reply.reasoning})


def asked_again(conversation: Conversation, said: str, reject: Reject) -> tuple[Message, ...]:
    """The first messages, the rejected answer, and why it was rejected.

    Only the last rejected answer is shown, so that the prompt does not grow with every try.
    """
    why = f"This answer was not accepted: {reject.reason}. Answer the first message again, and put this right."
    return (*conversation.messages, Message("assistant", said[:_SHOWN]), Message("user", why))
