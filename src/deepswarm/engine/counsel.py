"""Asking the orchestrator on behalf of a run, within what the task allows for advice, and what lies over the calls.

Only performs: what is asked, read, bounded and judged is decided in `deepswarm.orchestrator`. Whatever goes wrong (a
tier that is down or out of money, an answer that is none) is counted, and said once; the run goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deepswarm.core.budget import Budget, Caps, worst_case
from deepswarm.core.errors import CallError, NotAsked
from deepswarm.core.events import Advised
from deepswarm.core.lessons import Lessons
from deepswarm.core.money import decimal_of
from deepswarm.core.records import Call, Json, Message, Reply
from deepswarm.core.spec import TaskSpec
from deepswarm.core.tiers import ORCHESTRATOR
from deepswarm.core.turns import Reject
from deepswarm.engine.caller import Called
from deepswarm.engine.dispatcher import Dispatcher
from deepswarm.engine.purse import spent_by
from deepswarm.journals import Journal
from deepswarm.orchestrator.advice import Ignored
from deepswarm.orchestrator.changes import NO_CHANGES, Changes, ClusterKey, changes_of
from deepswarm.orchestrator.clusters import shape_of
from deepswarm.orchestrator.judging import JUDGED
from deepswarm.prices import PriceBook
from deepswarm.tasks import TaskType

ADVICE_TOKENS: Final = 8192
"""Room for an answer, its thinking included: a budget can only be held to where there is a limit."""
DEFAULT_CALLS: Final = 200
"""Calls of advice where the task names no cap."""
NOTE: Final = "advice"
"""The name under which the journal remembers what lies over the task's calls."""


@dataclass(slots=True)
class Counsel:
    """What a session knows of its orchestrator.

    Attributes:
        call: What all calls of the worker tier have in common, without any change.
        kind: The task's type; another one once a plan with other thresholds is applied.
        books: Prices, of each tier.
        fingerprint: Of the task: what was adopted holds for the same question only.
        changes: What lies over the calls now.
        planned: The orchestrator was asked for a plan, in this session or an earlier one.
        probed: Both tiers understand how the task speaks, likewise.
        counts: Answers of the orchestrator by what became of them.
    """

    spec: TaskSpec
    kind: TaskType
    call: Call
    lessons: Lessons
    dispatcher: Dispatcher
    journal: Journal
    books: Sequence[PriceBook]
    fingerprint: str
    say: Callable[[str], None]
    changes: Changes = NO_CHANGES
    thresholds: Mapping[str, float] = field(default_factory=dict)
    planned: bool = False
    probed: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    _budget: Budget = field(init=False)
    _asked: int = 0
    _silent: bool = False

    def __post_init__(self) -> None:
        """Open the budget of advice; take up what an earlier session has adopted."""
        advice = self.spec.advice
        money = None if advice is None or advice.max_cost is None else decimal_of(advice.max_cost)
        most = DEFAULT_CALLS if advice is None else advice.max_calls
        self._budget = Budget(Caps(max_cost=money, max_calls=most), "advice")
        self._take_up()

    def _take_up(self) -> None:
        value = json.loads(self.journal.noted(NOTE) or "{}")
        if value.get("fingerprint") != self.fingerprint:
            return
        self.planned, self.probed = bool(value.get("planned")), bool(value.get("probed"))
        if "apply" not in {self.spec.plan, self.spec.monitor}:
            return
        self.thresholds = value.get("thresholds") or {}
        self.changes = changes_of(value.get("changes") or {})

    # --- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, messages: Sequence[Message], purpose: str) -> str | Ignored:
        """The orchestrator's reply, or why there is none; never raises but for a full disk."""
        called = await self.send(self.advice_call(messages), ORCHESTRATOR, purpose)
        if isinstance(called, Ignored):
            return called
        if isinstance(called.result, Reply):
            return called.result.text
        return self._unanswered(called.result)

    def advice_call(self, messages: Sequence[Message]) -> Call:
        """A call that asks for advice: the task's own shape of answers does not hold for it."""
        call = self.dispatcher.tier_call(ORCHESTRATOR)
        params = {name: value for name, value in call.params.items() if name != "response_format"}
        most = max(ADVICE_TOKENS, call.max_tokens or 0)
        return call._replace(messages=tuple(messages), params=params, max_tokens=most)

    async def send(self, call: Call, tier: int, purpose: str) -> Called | Ignored:
        """One call within the caps of advice."""
        self._asked += 1
        number = self._asked
        price = self.books[tier].of(call.model, self.dispatcher.clock.utc())
        worst = worst_case(call.messages, call.max_tokens, price)
        if (full := self._budget.room(worst, 0.0)) is not None:
            self._tell_once(f"no more advice is asked for: {full.why}")
            return Ignored("no_budget", full.why)
        self._budget.hold(number, worst)
        called = await self.dispatcher.consult(None, call, tier, purpose)
        if isinstance(called.result, NotAsked):
            self._budget.release(number)
        else:
            self._budget.settle(number, *spent_by(called.ended, call.model, self.books[tier]))
        return called

    @property
    def left(self) -> float:
        """Calls that advice may still make."""
        most = self._budget.caps.max_calls
        return float("inf") if most is None else most - self._budget.calls - self._budget.reserved.calls

    def _unanswered(self, error: CallError) -> Ignored:
        self._tell_once(f"the orchestrator does not answer ({error.label}): {error}; the run goes on without it")
        return Ignored("no_reply", f"{error.label}: {error}")

    def _tell_once(self, text: str) -> None:
        if not self._silent:
            self._silent = True
            self.say(text)

    # --- what follows ------------------------------------------------------------------------------------------------

    def over(self, call: Call) -> Call:
        """A seed's first call with what was adopted."""
        return self.changes.over(call) if self.changes else call

    def key_of(self, label: str, reason: str) -> ClusterKey:
        """The cluster that a rejected answer belongs to."""
        return label, "judge" if label == JUDGED else self.spec.task_type, shape_of(reason)

    def hinted(self, reject: Reject) -> Reject:
        """Why an answer was rejected, with the hint for failures like it."""
        hint = self.changes.hint(self.key_of(reject.label, reject.reason)) if self.changes.hints else ""
        return Reject(reject.label, f"{reject.reason}. {hint}") if hint else reject

    def added(self, call: Call) -> dict[str, Json]:
        """The instructions that a call was sent with, for its record; empty without any."""
        first = call.messages[0].content if call.messages else ""
        found: list[Json] = [text for text in self.changes.instructions if text in first]
        return {"instructions": found} if found else {}

    def write(self, subject: str, verdict: str, label: str, why: str, data: Mapping[str, Any] | None = None) -> None:
        """Put into the journal what became of an answer, and what lies over the calls from now on."""
        utc, at = self.dispatcher.clock.now()
        self.counts[f"{subject} {verdict}"] += 1
        told: dict[str, Json] = {**(data or {}), "changes_now": self.changes.as_json()}
        self.dispatcher.note(Advised(utc, at, subject, verdict, label, why, json.dumps(told)))
        self.remember()

    def remember(self) -> None:
        """Let the journal know, with what is written next, what the next session takes up."""
        known = {
            "fingerprint": self.fingerprint,
            "planned": self.planned,
            "probed": self.probed,
            "thresholds": dict(self.thresholds),
            "changes": self.changes.as_json(),
        }
        self.journal.note(NOTE, json.dumps(known))

    def line(self) -> str:
        """What became of the orchestrator's answers in this session, for people; empty when there were none."""
        told = ", ".join(f"{count:,} {what}" for what, count in sorted(self.counts.items()) if "judge" not in what)
        return f"orchestrator: {told}" if told else ""

    def ignored(self, subject: str, ignored: Ignored) -> None:
        """Count an answer that changes nothing."""
        self.write(subject, "ignored", ignored.label, ignored.reason)
