"""The room of task types: each turns a seed into a conversation and a reply into an answer, or says why it is none.

    prompts.py     the messages of a seed, which all types put together alike
    reading.py     the JSON in a reply, which several types read
    conversing.py  conversations of several turns around any type; with tools.py, and hearing.py for what a step needs
    one file per type

A task type is a pure object; it sees no clock, no network, no file. To add one, write one file, list it in TABLE and
its keys in `core/typekeys.py`, and pass the suite in `testing/suites/task_type.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from deepswarm.core.records import Json, Message, Reply
from deepswarm.core.spec import TaskSpec
from deepswarm.core.turns import Conversation, Step
from deepswarm.core.typekeys import MADE_UP

TABLE: Final = {
    "generation": "deepswarm.tasks.generation:Generation",
    "translation": "deepswarm.tasks.translation:Translation",
    "summarization": "deepswarm.tasks.summarization:Summarization",
    "classification": "deepswarm.tasks.classification:Classification",
    "extraction": "deepswarm.tasks.extraction:Extraction",
    "code_review": "deepswarm.tasks.code_review:CodeReview",
    "custom": "deepswarm.tasks.generation:Generation",
}


class TaskType(Protocol):
    """What a kind of task knows. Made once per run with the task, used for every seed."""

    names: frozenset[str]
    """Fields that every seed must have."""
    schema: Mapping[str, Json] | None
    """What the answers' JSON fits; None when answers are text."""

    def open(self, fields: Mapping[str, Json]) -> Conversation:
        """The conversation for a seed.

        Raises:
            TemplateProblem: If the seed cannot fill the template, or (InputTooLong) does not fit the model's window;
                the seed has failed, nothing was asked.
        """

    def step(self, conversation: Conversation, reply: Reply) -> Step:
        """What a reply amounts to: `Answer`, whose text is `extract(reply.text)`, `Reject`, or what is needed next."""

    def extract(self, text: str) -> str:
        """The answer in the text of a reply that `step` accepted: what the record shows.

        It needs nothing but the text, so that records can be made from the journal again.
        """

    def rehearse(self, messages: Sequence[Message], mark: str) -> str:
        """A made-up answer to these messages that `step` accepts, for rehearsals.

        Where it is free text it starts with `mark`, which says that it is simulated.
        """


def writes_itself(spec: TaskSpec) -> bool:
    """Whether rehearsals take the type's own made-up answers, since the law's would not be accepted or never end."""
    if spec.task_type not in MADE_UP or spec.complete_when is not None:
        return True
    simulated_user = spec.follow_up is not None and spec.follow_up.simulated_user is not None
    return simulated_user or any(response.model is not None for response in spec.tool_responses.values())


def made(spec: TaskSpec) -> TaskType:
    """The task's type, with its templates read.

    Raises:
        TemplateProblem: If a template cannot be read.
        ValueError: If something in the type's section is of no use, such as a schema that is none.
    """
    from deepswarm.doors import find

    kind: TaskType = find("task type", spec.task_type, TABLE)(spec)
    if spec.multi_turn:
        from deepswarm.tasks.conversing import Conversing

        return Conversing(kind, spec)
    return kind
