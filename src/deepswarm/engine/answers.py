"""From the bytes of a reply in the journal to the answer that its record shows, at any time after the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from deepswarm.core.records import HttpReply, Json, Reply
from deepswarm.core.spec import TaskSpec, check
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
    """What decodes a reply, and what its task's type takes out of it."""

    dialect: Decoder
    kind: TaskType

    def decode(self, reply: HttpReply) -> Reply:
        """The reply, with the answer as its text.

        Raises:
            CallError: If the bytes are no reply.
        """
        decoded = self.dialect.decode(reply)
        text = self.kind.extract(decoded.text)
        return decoded if text is decoded.text else decoded._replace(text=text)


def answers_of(task: Mapping[str, Json], dialect: Decoder) -> Decoder:
    """What decodes the replies of a run, from the task that its journal holds.

    A task that only another version can read is decoded without its type: the answer is then the reply's whole text.
    """
    spec = check(task)
    return Answers(dialect, made(spec)) if isinstance(spec, TaskSpec) else dialect
