"""Generation: the prompt asks, the reply is the answer. Custom: the same, for whatever the prompt says.

With `verify` the answer is compared with a reference answer that the seed carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deepswarm.core.records import Json, Message, Reply
from deepswarm.core.spec import TaskSpec
from deepswarm.core.turns import Answer, Conversation, Step
from deepswarm.tasks.prompts import Prompts, asked_in, text_field
from deepswarm.tasks.reference import Reference
from deepswarm.tasks.refusals import refusal


class Generation:
    """One user message from the template, after a system message if the task has one."""

    schema: Mapping[str, Json] | None = None

    def __init__(self, spec: TaskSpec) -> None:
        """Read the templates.

        Raises:
            TemplateProblem: If one cannot be read.
        """
        self._prompts = Prompts(spec)
        self._verify = None if spec.verify is None else Reference(spec.verify)
        self.names = self._prompts.names | (frozenset() if self._verify is None else {self._verify.field})

    def open(self, fields: Mapping[str, Json]) -> Conversation:
        """See `TaskType.open`."""
        return self._prompts.open(fields)

    def step(self, conversation: Conversation, reply: Reply) -> Step:
        """See `TaskType.step`."""
        if self._verify is None:
            return Answer(reply.text)
        reference = text_field(conversation.fields, self._verify.field)
        return refusal(reply.text) or self._verify.wrong(reply.text, reference) or Answer(reply.text)

    def extract(self, text: str) -> str:
        """See `TaskType.extract`."""
        return text

    def rehearse(self, messages: Sequence[Message], mark: str) -> str:
        """See `TaskType.rehearse`; a simulated model does not know the reference answer."""
        return f"{mark} A made-up answer to {len(asked_in(messages))} characters."
