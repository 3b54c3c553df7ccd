"""The room of task types: each turns a seed into a conversation and a reply into an answer.

A task type is a pure object with two methods; it sees no clock, no network, no file. To add one, write one file, list
it in TABLE, and pass the suite in `testing/suites/task_type.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from deepswarm.core.records import Json, Message, Reply

TABLE: Final = {
    "generation": "deepswarm.tasks.generation:Generation",
}


class TaskType(Protocol):
    """What a kind of task knows. Made once per run with the task, used for every seed."""

    names: frozenset[str]
    """Fields that every seed must have."""

    def open(self, fields: Mapping[str, Json]) -> tuple[Message, ...]:
        """The conversation's first messages.

        Raises:
            TemplateProblem: If the seed cannot fill the template; the seed has failed, nothing was asked.
        """

    def step(self, reply: Reply) -> str:
        """The answer that a reply holds.

        Raises:
            AnswerError: If the reply is fine and its answer is not; says why.
        """
