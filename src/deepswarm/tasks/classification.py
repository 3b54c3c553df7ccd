"""Classification: the answer is one label of a closed set, or several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from deepswarm.core import jsontext
from deepswarm.core.records import Json, Message, Reply
from deepswarm.core.spec import TaskSpec
from deepswarm.core.turns import Answer, Conversation, Reject, Step
from deepswarm.tasks.prompts import Prompts, asked_in
from deepswarm.tasks.reading import json_in
from deepswarm.tasks.refusals import refusal

_ROLE: Final = "You classify texts."


class Classification:
    """The answer of a record is the label as the task spells it; of a multi-label task the JSON list of them."""

    def __init__(self, spec: TaskSpec) -> None:
        """Read the templates and the labels.

        Raises:
            TemplateProblem: If a template cannot be read.
            ValueError: If the task has no labels.
        """
        section = spec.classification
        if section is None:
            raise ValueError("task_type: classification needs the key 'classification.labels'")
        self._labels = {_plain(label): label for label in section.labels}
        self._many = section.multi_label
        one: dict[str, Json] = {"enum": list(section.labels)}
        value: dict[str, Json] = {"type": "array", "items": one, "uniqueItems": True} if self._many else one
        self._name = "labels" if self._many else "label"
        self.schema: Mapping[str, Json] | None = {
            "type": "object",
            "properties": {self._name: value},
            "required": [self._name],
            "additionalProperties": False,
        }
        self._prompts = Prompts(spec, _ROLE, self._rules(section.labels))
        self.names = self._prompts.names

    def _rules(self, labels: Sequence[str]) -> str:
        listed = jsontext.dumps(list(labels)).decode()
        shown = jsontext.dumps({self._name: list(labels[:2]) if self._many else labels[0]}).decode()
        which = "All that apply; the list may be empty" if self._many else "Exactly one applies"
        return f"The labels are {listed}. {which}. Answer with one JSON object and nothing else, such as {shown}"

    def open(self, fields: Mapping[str, Json]) -> Conversation:
        """See `TaskType.open`."""
        return self._prompts.open(fields)

    def step(self, conversation: Conversation, reply: Reply) -> Step:  # noqa: ARG002 - the door's shape
        """See `TaskType.step`."""
        labels = self._labels_in(reply.text)
        if isinstance(labels, Reject):
            return refusal(reply.text) or labels
        return Answer(self._written(labels))

    def extract(self, text: str) -> str:
        """See `TaskType.extract`."""
        labels = self._labels_in(text)
        return text if isinstance(labels, Reject) else self._written(labels)

    def rehearse(self, messages: Sequence[Message], mark: str) -> str:  # noqa: ARG002 - a label has no room for it
        """See `TaskType.rehearse`: a label that depends on the message."""
        labels = list(self._labels.values())
        drawn = int.from_bytes(blake2b(asked_in(messages).encode("utf-8", "replace"), digest_size=8).digest())
        label = labels[drawn % len(labels)]
        return jsontext.dumps({self._name: [label] if self._many else label}).decode()

    def _labels_in(self, text: str) -> list[str] | Reject:
        """The labels of a reply, as the task spells them and in its order: as JSON, or a bare label."""
        if not self._many and (bare := self._labels.get(_plain(text))) is not None:
            return [bare]
        value = json_in(text)
        if isinstance(value, Reject):
            return value
        given = value.get(self._name) if isinstance(value, dict) else value
        named = given if isinstance(given, list) and self._many else [given]
        if any(not isinstance(name, str) for name in named):
            return Reject("wrong_shape", f"the JSON must have the form {jsontext.dumps(self.schema).decode()[:1000]}")
        unknown = [str(name) for name in named if _plain(str(name)) not in self._labels]
        if unknown:
            known = ", ".join(self._labels.values())[:1000]
            return Reject("unknown_label", f"'{unknown[0][:80]}' is none of the labels: {known}")
        wanted = {_plain(str(name)) for name in named}
        return [label for plain, label in self._labels.items() if plain in wanted]

    def _written(self, labels: list[str]) -> str:
        return jsontext.dumps(labels).decode() if self._many else labels[0]


def _plain(text: str) -> str:
    return text.strip().strip("\"'`.*").casefold()
