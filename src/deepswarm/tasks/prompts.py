"""The messages of a seed: a system message that says what to do, and the task's own template as the user's.

The system message is the task's `system_prompt`, or the type's own sentence when it has none, and then the rules that
the type's verifier holds answers to: who replaces the sentence does not lose the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepswarm.core.prompt import TemplateProblem, compile_template
from deepswarm.core.records import Json, Message
from deepswarm.core.spec import TaskSpec
from deepswarm.core.turns import Conversation


class Prompts:
    """What every seed of a task is asked.

    Args:
        spec: The task.
        role: The type's own first sentence; empty when it has none.
        rules: What answers must be; empty when nothing is said about that.
    """

    def __init__(self, spec: TaskSpec, role: str = "", rules: str = "") -> None:
        """Read the templates.

        Raises:
            TemplateProblem: If one cannot be read.
        """
        self._prompt = compile_template(spec.prompt_template)
        self._system = None if spec.system_prompt is None else compile_template(spec.system_prompt)
        self._role, self._rules = role, rules
        self.fields = self._prompt.names
        self.names = self._prompt.names | (self._system.names if self._system else frozenset())

    def messages(self, fields: Mapping[str, Json], context: str = "") -> tuple[Message, ...]:
        """The messages for a seed; `context` stands between the rules and the user's message.

        Raises:
            TemplateProblem: If the seed cannot fill the template.
        """
        user = Message("user", self._prompt.render(fields))
        first = self._role if self._system is None else self._system.render(fields)
        system = "\n\n".join(part for part in (first, self._rules, context) if part)
        return (Message("system", system), user) if system else (user,)

    def open(self, fields: Mapping[str, Json]) -> Conversation:
        """See `TaskType.open`."""
        return Conversation(self.messages(fields), fields)


def source_name(names: frozenset[str], given: str | None) -> str | None:
    """The seed's field that holds the source: the given one, or the template's only one; None when it has several."""
    if given is not None:
        return given
    return next(iter(names)) if len(names) == 1 else None


def source_text(conversation: Conversation, name: str | None) -> str:
    """The source of a seed; the whole user message when no one field holds it."""
    if name is None:
        return conversation.messages[-1].content
    return text_field(conversation.fields, name)


def asked_in(messages: Sequence[Message]) -> str:
    """The first user message of a conversation: that of the seed, also when it is asked again."""
    return next((message.content for message in messages if message.role == "user"), "")


def text_field(fields: Mapping[str, Json], name: str) -> str:
    """A field as text.

    Raises:
        TemplateProblem: If the seed does not have it.
    """
    if name not in fields:
        raise TemplateProblem(f"the seed has no field '{name}'")
    value = fields[name]
    return value if isinstance(value, str) else str(value)
