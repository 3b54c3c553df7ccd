"""Generation: the prompt asks, the reply is the answer; also any other task whose prompt says what to do."""

from __future__ import annotations

from collections.abc import Mapping

from deepswarm.core.prompt import compile_template
from deepswarm.core.records import Json, Message, Reply


class Generation:
    """One user message from the template, after a system message if the task has one."""

    def __init__(self, prompt_template: str, system_prompt: str | None = None) -> None:
        """Read the templates.

        Raises:
            TemplateProblem: If one cannot be read.
        """
        self._prompt = compile_template(prompt_template)
        self._system = None if system_prompt is None else compile_template(system_prompt)
        self.names = self._prompt.names | (self._system.names if self._system else frozenset())

    def open(self, fields: Mapping[str, Json]) -> tuple[Message, ...]:
        """See `TaskType.open`."""
        user = Message("user", self._prompt.render(fields))
        if self._system is None:
            return (user,)
        return (Message("system", self._system.render(fields)), user)

    def step(self, reply: Reply) -> str:
        """See `TaskType.step`."""
        return reply.text
