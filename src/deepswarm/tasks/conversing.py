"""Conversations of several turns, around any task type: what follows from a reply is decided here, purely.

    reply ─▶ it calls tools           their answers are said to the model
          ─▶ the conversation is      the task type judges the reply as it would judge the only one
             complete
          ─▶ there is more to say     the next user message
          ─▶ nothing more to say      without a rule for completeness the conversation is complete; with one it failed

Whatever needs a function or another model comes back as a step of its own (`Run`, `Consult`), once for each thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deepswarm.core.jsontext import dumps
from deepswarm.core.prompt import TemplateProblem, compile_template
from deepswarm.core.records import Json, Message, Reply
from deepswarm.core.spec import TaskSpec
from deepswarm.core.toolcalls import calls_in
from deepswarm.core.transcript import fields_of
from deepswarm.core.turns import Answer, Ask, Conversation, Fail, Heard, Reject, Step, message_of
from deepswarm.tasks.hearing import Hearing, Needed
from deepswarm.tasks.reading import json_in
from deepswarm.tasks.tools import PLAYED, Tools, json_value

USUAL_TURNS: Final = 20
"""Most turns of a conversation whose task does not say it."""
_REPLY_NAMES: Final = frozenset({"reply", "turn"})
"""What a template of follow-ups may use beside the seed's fields."""
_PATTERN_S: Final = 0.1
_PLAYS_USER: Final = "You play the user"
_REHEARSED: Final = 2
"""Turns of the model after which a rehearsed conversation is complete."""
_GO_ON: Final = "Go on."
"""What is said to a reply that does not complete a conversation when the task has nothing else to say."""


class Unheard(Exception):
    """Something that a step needs went wrong for good; says what."""

    def __init__(self, label: str, reason: str) -> None:
        """Keep both, as a `Fail` wants them."""
        super().__init__(reason)
        self.fail = Fail(label, reason)


class Conversing:
    """A task type whose seeds are conversations. See `TaskType`."""

    def __init__(self, kind: Any, spec: TaskSpec) -> None:
        """Take the type that judges the last reply.

        Raises:
            TemplateProblem: If a template cannot be read.
            ValueError: If a schema is none.
        """
        self._kind = kind
        self.schema: Mapping[str, Json] | None = kind.schema
        self._tools = Tools(spec)
        self._most = spec.max_turns if spec.max_turns > 1 else USUAL_TURNS
        self._most_errors = spec.tool_errors
        self._complete, self._next = spec.complete_when, spec.follow_up
        texts = [] if self._next is None else self._next.texts or []
        self._texts = [compile_template(text) for text in texts]
        template = None if self._next is None else self._next.template
        self._template = None if template is None else compile_template(template)
        names = frozenset[str]().union(*(text.names for text in self._texts))
        self.names: frozenset[str] = kind.names | names
        if self._template is not None:
            self.names |= self._template.names - _REPLY_NAMES

    def open(self, fields: Mapping[str, Json]) -> Conversation:
        """See `TaskType.open`."""
        opened: Conversation = self._kind.open(fields)
        if not self._tools.system:
            return opened
        system = [message for message in opened.messages if message.role == "system"]
        rest = tuple(message for message in opened.messages if message.role != "system")
        told = "\n\n".join([*(message.content for message in system), self._tools.system])
        return opened._replace(messages=(Message("system", told), *rest))

    def step(self, conversation: Conversation, reply: Reply) -> Step:
        """See `TaskType.step`."""
        try:
            return self._step(conversation, reply, Hearing(conversation.heard))
        except Needed as needed:
            return needed.step
        except Unheard as unheard:
            return unheard.fail
        except TemplateProblem as problem:
            return Fail(problem.label, str(problem))

    def extract(self, text: str) -> str:
        """See `TaskType.extract`."""
        extracted: str = self._kind.extract(text)
        return extracted

    def rehearse(self, messages: Sequence[Message], mark: str) -> str:
        """See `TaskType.rehearse`: what completes the conversation stands in every second reply."""
        turns = sum(message.role == "assistant" for message in messages)
        system = messages[0].content if messages[0].role == "system" else ""
        if system.startswith(PLAYED):
            return self._tools.rehearse(system, mark, str(messages[-1].content))
        user = None if self._next is None else self._next.simulated_user
        if user is not None and system.startswith(_PLAYS_USER):
            return user.stop_marker if turns > _REHEARSED else f"{mark} A made-up question."
        said: str = self._kind.rehearse(_opening(messages), mark)
        rules = self._complete
        if rules is None or turns < _REHEARSED:
            return said
        return dumps({rules.json_field: True}).decode() if rules.json_field else f"{said} {rules.marker or ''}".rstrip()

    # --- what follows from a reply -----------------------------------------------------------------------------------

    def _step(self, conversation: Conversation, reply: Reply, hearing: Hearing) -> Step:
        message = message_of(reply)
        calls = calls_in(message) if self._tools or message.more.get("tool_calls") else []
        last = conversation.turn >= self._most
        if calls:
            if last:
                return Fail("max_turns", f"after {conversation.turn} turns the model still calls tools")
            answered = self._tools.answers(calls, conversation.fields, hearing)
            errors = sum(each.failed for each in answered)
            if conversation.tool_errors + errors > self._most_errors:
                why = next(each.message.content for each in reversed(answered) if each.failed)
                return Fail("tool_errors", f"more than {self._most_errors} tool calls went wrong; at last: {why[:500]}")
            return Ask(tuple(each.message for each in answered), errors)
        if self._is_complete(conversation, reply, hearing):
            return self._judged(conversation, reply)
        said = self._follow_up(conversation, reply, hearing)
        if said is None or last:
            if self._complete is None:
                return self._judged(conversation, reply)
            return Fail(
                "max_turns" if last else "incomplete",
                f"after {conversation.turn} turns the conversation is not complete by complete_when",
            )
        return Ask((Message("user", said),))

    def _judged(self, conversation: Conversation, reply: Reply) -> Answer | Reject:
        """What the task type says of the last reply: it sees the seed's own messages, as if there was one turn."""
        first = conversation._replace(messages=_opening(conversation.messages))
        judged: Answer | Reject = self._kind.step(first, reply)
        return judged

    def _is_complete(self, conversation: Conversation, reply: Reply, hearing: Hearing) -> bool:
        rules = self._complete
        if rules is None:
            return False
        if rules.finish_reason is not None and reply.finish_reason == rules.finish_reason:
            return True
        if rules.marker is not None and rules.marker in reply.text:
            return True
        if rules.pattern is not None and _found(rules.pattern, reply.text):
            return True
        if rules.json_field is not None and _field_of(reply.text, rules.json_field):
            return True
        if rules.function is not None and _value_of(hearing.run(rules.function, _told(conversation, reply))):
            return True
        if rules.model_says is None:
            return False
        question = f"{rules.model_says}\nAnswer with one word: yes or no."
        asked = (*conversation.messages, Message("assistant", reply.text), Message("user", question))
        heard = hearing.consult(0, asked, "completion")
        return _text_of(heard).strip().lower().startswith("yes")

    def _follow_up(self, conversation: Conversation, reply: Reply, hearing: Hearing) -> str | None:
        """The next user message; None when there is none."""
        section = self._next
        if section is None:
            return None if self._complete is None else _GO_ON
        if section.texts is not None:
            place = sum(message.role == "user" for message in conversation.messages) - 1
            return self._texts[place].render(conversation.fields) if place < len(self._texts) else None
        if self._template is not None:
            fields = {**conversation.fields, "reply": reply.text, "turn": conversation.turn}
            return self._template.render(fields).strip() or None
        if section.function is not None:
            value = _value_of(hearing.run(section.function, _told(conversation, reply)))
            if value is not None and not isinstance(value, str):
                raise Unheard("code", f"{section.function} gave {type(value).__name__}, not a text or None")
            return value or None
        user = section.simulated_user
        if user is None:
            return None
        system = (
            f"{_PLAYS_USER} in a conversation with an assistant. Who you are: {user.persona}\n"
            f"What you want: {user.goal}\nWrite only your next message. When you have what you want, or it cannot be "
            f"had, write {user.stop_marker} and nothing else."
        )
        heard = hearing.consult(
            int(user.tier == "orchestrator"), _as_user(system, conversation, reply), "simulated_user"
        )
        said = _text_of(heard)
        return None if user.stop_marker in said else said.strip() or None


def _opening(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages before the model's first."""
    first = next((at for at, message in enumerate(messages) if message.role == "assistant"), len(messages))
    return tuple(messages[:first])


def _as_user(system: str, conversation: Conversation, reply: Reply) -> tuple[Message, ...]:
    """The conversation as the one who plays the user sees it: with the roles changed, without tools."""
    turned = {"user": "assistant", "assistant": "user"}
    said = [
        Message(turned[message.role], message.content)
        for message in (*conversation.messages, Message("assistant", reply.text))
        if message.role in turned and message.content
    ]
    return (Message("system", system), Message("user", "The conversation begins."), *said)


def _told(conversation: Conversation, reply: Reply) -> tuple[Json, ...]:
    """What functions are given: the reply's text, and all messages with it."""
    messages: list[Json] = [fields_of(message) for message in (*conversation.messages, message_of(reply))]
    return (reply.text, messages)


def _value_of(heard: Heard) -> Json:
    if heard.error:
        raise Unheard("code", heard.error)
    return json_value(heard.text)


def _text_of(heard: Heard) -> str:
    if heard.error:
        raise Unheard("not_heard", heard.error)
    return heard.text


def _found(pattern: str, text: str) -> bool:
    """Whether a pattern is found; one that takes too long ends the conversation, not the run."""
    import regex

    try:
        return regex.search(pattern, text, timeout=_PATTERN_S) is not None
    except TimeoutError:
        raise Unheard("pattern", f"the pattern {pattern!r} took more than {_PATTERN_S:g} s on this reply") from None


def _field_of(text: str, path: str) -> bool:
    value: Any = json_in(text)
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return bool(value)
