"""From the bytes of a reply in the journal to the answer that its record shows, at any time after the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from deepswarm.core.errors import CallError
from deepswarm.core.records import HttpReply, Json, Reply
from deepswarm.core.spec import TaskSpec, check
from deepswarm.core.tierkeys import orchestrator_of
from deepswarm.engine.opening import dialect_name_of, dialect_of
from deepswarm.tasks import TaskType, made


class Decoder(Protocol):
    """What makes a reply of bytes: a dialect, or `Answers`."""

    def decode(self, reply: HttpReply) -> Reply:
        """The reply in these bytes.

        Raises:
            CallError: If they are none.
        """


@dataclass(frozen=True, slots=True)
class Answers:
    """What decodes a reply, and what its task's type takes out of it.

    `other` is the orchestrator's dialect where it is not the workers': no bytes are a reply in both.
    """

    dialect: Decoder
    kind: TaskType
    other: Decoder | None = None

    def decode(self, reply: HttpReply) -> Reply:
        """The reply, with the answer as its text.

        Raises:
            CallError: If the bytes are no reply.
        """
        try:
            decoded = self.dialect.decode(reply)
        except CallError:
            if self.other is None:
                raise
            decoded = self.other.decode(reply)
        text = self.kind.extract(decoded.text)
        return decoded if text is decoded.text else decoded._replace(text=text)


def answers_of(task: Mapping[str, Json], dialect: Decoder) -> Decoder:
    """What decodes the replies of a run, from the task that its journal holds.

    A task that only another version can read is decoded without its type: the answer is then the reply's whole text.
    """
    spec = check(task)
    return Answers(dialect, made(spec), other_dialect(spec)) if isinstance(spec, TaskSpec) else dialect


def other_dialect(spec: TaskSpec) -> Decoder | None:
    """The orchestrator's dialect where it is not the workers'; None otherwise."""
    beside = orchestrator_of(spec)
    if beside is None or dialect_name_of(beside) == dialect_name_of(spec):
        return None
    return dialect_of(beside)
