"""A judge model scores an answer on the task's rubric, from 1 to 5. Below the task's `least` the answer is rejected.

Which answers are judged is drawn from the seed's key, so that it is the same in every session, whatever the order. An
answer whose judgement cannot be read, or that no judge could be asked about, stands: it is counted as not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from deepswarm.core.records import Message
from deepswarm.core.turns import Reject
from deepswarm.orchestrator.advice import Ignored, Judgement, read, schema_of
from deepswarm.orchestrator.changes import refused_text
from deepswarm.orchestrator.quoting import prompt

__all__ = ["Judgement", "chosen", "judged", "question"]

JUDGED: Final = "judged"
"""The class of answers that a judge rejected."""
SHOWN_CHARACTERS: Final = 30_000
_TASK: Final = (
    "You judge one answer of a worker model. The rubric below is the user's; the question and the answer are in the "
    "data. Score how well the answer fits the rubric: 5 wholly, 4 with a flaw that does not matter, 3 acceptable, 2 "
    "with a flaw that matters, 1 not at all. Say in one sentence what is wrong.\n\nRubric:\n"
)


def chosen(key: str, share: float) -> bool:
    """Whether the answer to this seed is judged, with the given share (0 to 1) of all seeds."""
    drawn = int.from_bytes(blake2b(key.encode("utf-8", "replace"), digest_size=8, person=b"judge").digest())
    return drawn < share * (1 << 64)


def question(rubric: str, asked: Sequence[Message], answer: str) -> tuple[Message, ...]:
    """What the judge is asked about an answer; `asked` are the messages that it answers."""
    spoken = "\n\n".join(message.content for message in asked if message.role == "user")
    return prompt(_TASK + rubric, schema_of(Judgement), {"question": spoken, "answer": answer}, SHOWN_CHARACTERS)


def judged(reply: str, least: int) -> Reject | Judgement | Ignored:
    """What a judge's reply comes to: the answer is rejected, or stands with its score; or the reply is ignored."""
    found = read(reply, Judgement)
    if isinstance(found, Ignored) or found.score >= least:
        return found
    reason = found.reason.strip()
    if refused_text(reason) is not None:  # it goes into the prompt of a worker, and is held to what may stand there
        reason = "it does not fit the rubric"
    return Reject(JUDGED, f"a judge gave it {found.score} of 5 and says: {reason}")
