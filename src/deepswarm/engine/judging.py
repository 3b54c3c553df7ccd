"""A judge model beside the verifiers: the orchestrator's model scores answers on the task's rubric.

The end of the answer's call is durable before the judge is asked, so that a crash meanwhile loses nothing that was paid
for. Whoever cannot be asked, or does not answer in the schema, leaves the answer standing: it is counted as not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from deepswarm.core.advicekeys import JudgeSection
from deepswarm.core.events import CallEnded
from deepswarm.core.records import Message, Reply
from deepswarm.core.tiers import ORCHESTRATOR
from deepswarm.core.turns import Reject
from deepswarm.engine.counsel import Counsel
from deepswarm.engine.dispatcher import Lease
from deepswarm.orchestrator import judging
from deepswarm.orchestrator.advice import Ignored


@dataclass(slots=True)
class Judge:
    """Judges answers by a rubric.

    Attributes:
        section: What the task says of it.
        counsel: Of the session.
        counts: Answers that it accepted and rejected; and judgements that were ignored, by class.
    """

    section: JudgeSection
    counsel: Counsel
    counts: Counter[str] = field(default_factory=Counter)

    async def rejects(self, lease: Lease, ended: CallEnded, asked: Sequence[Message], answer: str) -> Reject | None:
        """Why an answer is not accepted; None when it is, or is not one of those that are judged.

        Args:
            lease: Of its seed.
            ended: The end of the call that brought it; written here before the judge is asked.
            asked: The messages that it answers.
            answer: Its text.
        """
        if not judging.chosen(lease.row.key, self.section.share):
            return None
        await self.counsel.dispatcher.write_early(ended)
        call = self.counsel.advice_call(judging.question(self.section.rubric, asked, answer))
        called = await self.counsel.dispatcher.consult(lease, call, ORCHESTRATOR, "judge")
        found = (
            judging.judged(called.result.text, self.section.least)
            if isinstance(called.result, Reply)
            else Ignored("no_reply", f"{called.result.label}: {called.result}")
        )
        return self._counted(found)

    async def accepts(self, asked: Sequence[Message], answer: str) -> bool:
        """Whether an answer of a trial is accepted, within the caps of advice; one that is not judged is."""
        reply = await self.counsel.ask(judging.question(self.section.rubric, asked, answer), "trial")
        return isinstance(reply, Ignored) or not isinstance(judging.judged(reply, self.section.least), Reject)

    def _counted(self, found: Reject | judging.Judgement | Ignored) -> Reject | None:
        if isinstance(found, Ignored):
            self.counts[f"not judged ({found.label})"] += 1
            self.counsel.ignored("judge", found)
            return None
        rejected = isinstance(found, Reject)
        self.counts["rejected" if rejected else "accepted"] += 1
        return found if isinstance(found, Reject) else None

    def line(self) -> str:
        """What the judge did in this session, for people; empty when it did nothing."""
        told = ", ".join(f"{count:,} {what}" for what, count in sorted(self.counts.items()))
        return f"judge: {told}" if told else ""
