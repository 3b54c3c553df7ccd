"""Extraction: the answer is JSON that fits the task's schema; nothing in it is changed, only what stands around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.records import Json, Message, Reply
from deepswarm.core.spec import TaskSpec
from deepswarm.core.turns import Answer, Conversation, Reject, Step
from deepswarm.tasks.prompts import Prompts, asked_in
from deepswarm.tasks.reading import Shape, compact, json_in
from deepswarm.tasks.refusals import refusal

_ROLE: Final = "You extract data from texts. Take only what the text says; what it does not say is null or left out."


class Extraction:
    """See the module."""

    def __init__(self, spec: TaskSpec) -> None:
        """Read the templates and the schema.

        Raises:
            TemplateProblem: If a template cannot be read.
            ValueError: If the task has no schema, or it is none.
        """
        if spec.extraction is None:
            raise ValueError("task_type: extraction needs the key 'extraction.json_schema'")
        schema: Mapping[str, Any] = spec.extraction.json_schema
        self.schema: Mapping[str, Json] | None = schema
        self._shape = Shape(schema)
        shown = jsontext.dumps(dict(schema)).decode()
        self._prompts = Prompts(
            spec, _ROLE, f"Answer with one JSON value of this JSON Schema and nothing else:\n{shown}"
        )
        self.names = self._prompts.names
        self._drawn = schema

    def open(self, fields: Mapping[str, Json]) -> Conversation:
        """See `TaskType.open`."""
        return self._prompts.open(fields)

    def step(self, conversation: Conversation, reply: Reply) -> Step:  # noqa: ARG002 - the door's shape
        """See `TaskType.step`."""
        value = json_in(reply.text)
        if isinstance(value, Reject):
            return refusal(reply.text) or value
        return self._shape.wrong(value) or Answer(compact(reply.text))

    def extract(self, text: str) -> str:
        """See `TaskType.extract`."""
        return compact(text)

    def rehearse(self, messages: Sequence[Message], mark: str) -> str:
        """See `TaskType.rehearse`: a value that fits the schema, as far as `json_reply` follows it."""
        from deepswarm.simulator.draws import Draws
        from deepswarm.simulator.law import ReplyLaw
        from deepswarm.simulator.replies import json_reply

        return json_reply(self._drawn, ReplyLaw(), mark, Draws(1, asked_in(messages).encode("utf-8", "replace"), 1))
