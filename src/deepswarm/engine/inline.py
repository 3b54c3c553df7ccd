"""Filters that judge while a run goes on, so that an answer that fails can still be asked again.

They only ask again. An answer that fails to the last ends its seed all the same, and the filters judge it once more
with all others when the run is at its end: what was paid for is in the results, what was dropped is in the errors file,
and a changed threshold judges again without a call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from deepswarm.core.ledger import usage_fields
from deepswarm.core.records import Amend, Drop, Json, Record, Reply
from deepswarm.core.turns import Answer, Reject, Step

if TYPE_CHECKING:
    from deepswarm.filters import Named, Setting

LABEL: Final = "filtered"
"""The class of an answer that an inline filter refused."""


class Asked(NamedTuple):
    """What is known of a seed when its answer comes."""

    key: str
    fields: Mapping[str, Json]
    model: str
    attempt: int
    simulated: bool


class Inline:
    """The inline filters of a task."""

    def __init__(self, filters: Sequence[Named]) -> None:
        """Take them in their order; none of them may need to see all records."""
        self._filters = filters

    def judge(self, asked: Asked, reply: Reply, answer: Answer) -> Step:
        """The answer, or why it is to be asked again; the answer goes with that, for when nothing is asked any more."""
        from deepswarm.filters.judging import verdict_of

        record = _record(asked, reply, answer)
        for name, judge in self._filters:
            verdict = verdict_of(judge, record)
            if isinstance(verdict, Drop):
                return Reject(LABEL, f"{name}: {verdict.reason}", answer.text)
            if isinstance(verdict, Amend):
                record = verdict.record
        return answer


def inline_of(settings: Sequence[Setting]) -> Inline | None:
    """The inline filters among a task's; None when there are none.

    Raises:
        TaskFileError: If one cannot be made.
    """
    if not any(isinstance(setting, Mapping) for setting in settings):
        return None
    from deepswarm.engine.filter_files import with_texts
    from deepswarm.engine.filtering import with_shared_schema
    from deepswarm.filters import build, is_inline

    # The schema of a `structure` that judges later still chooses between several values.
    chosen = [setting for setting in with_shared_schema(settings) if is_inline(setting)]
    return Inline(build(with_texts(chosen))) if chosen else None


def _record(asked: Asked, reply: Reply, answer: Answer) -> Record:
    """The record as far as it is known before its seed has ended."""
    record: Record = {"id": asked.key, "outcome": "done", "answer": answer.text}
    if reply.reasoning:
        record["reasoning"] = reply.reasoning
    return record | {
        "seed": dict(asked.fields),
        "model_asked": asked.model,
        "model_answered": reply.model,
        "finish_reason": reply.finish_reason,
        "usage": usage_fields(reply.usage),
        "attempts": asked.attempt,
        "request_id": reply.request_id,
        "simulated": asked.simulated,
    }
