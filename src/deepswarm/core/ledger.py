"""What the journal's events add up to, and what one line of the output says.

`Ledger` is the definition of the state: a store may keep the same state in tables of its own, in the transaction that
holds the events, so that nothing has to be folded at a start; the conformance suite holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from deepswarm.core.events import (
    CallEnded,
    CallStarted,
    Event,
    RunEnded,
    RunStarted,
    SeedEnded,
    SeedReopened,
    TurnNoted,
)
from deepswarm.core.jsontext import loads
from deepswarm.core.records import NO_USAGE, STATE_OF, Json, Outcome, Record, Reply, SeedState, Totals, Usage
from deepswarm.core.transcript import Transcript, fields_of, transcript_of

_DONE, _REJECTED, _FAILED = Outcome.DONE, Outcome.REJECTED, Outcome.FAILED


@dataclass(slots=True)
class Ledger:
    """The state that events add up to. Folding a part and then the rest gives the same as folding all at once.

    Attributes:
        states: Of every seed that an event has spoken of, by number; all others are LEFT.
        open_calls: Calls whose intent is written and whose end is not: what a crash may have been billed for.
        sessions: How many times a process took the run up.
        ended: How the last session ended; None while it runs, or when it died.
    """

    states: dict[int, SeedState] = field(default_factory=dict)
    open_calls: dict[int, CallStarted] = field(default_factory=dict)
    sessions: int = 0
    ended: str | None = None
    totals: Totals = field(default_factory=Totals)

    def apply(self, event: Event) -> None:
        """Add one event."""
        if isinstance(event, CallStarted):
            self.open_calls[event.call] = event
        elif isinstance(event, CallEnded):
            self.open_calls.pop(event.call, None)
        elif isinstance(event, SeedEnded):
            self.states[event.seed] = STATE_OF[event.outcome]
        elif isinstance(event, SeedReopened):
            self.states[event.seed] = SeedState.LEFT
        elif isinstance(event, RunStarted):
            self.sessions, self.ended = event.session, None
        elif isinstance(event, RunEnded):
            self.ended = event.how
        self.totals = counted(self.totals, [event])


def fold(events: Iterable[Event], ledger: Ledger | None = None) -> Ledger:
    """The ledger of all events, or of a ledger and what came after it."""
    ledger = Ledger() if ledger is None else ledger
    for event in events:
        ledger.apply(event)
    return ledger


def counted(totals: Totals, events: Iterable[Event]) -> Totals:
    """The totals after these events. A seed ends once between two reopenings; which state it leaves is its own."""
    done, rejected, failed = totals.done, totals.rejected, totals.failed
    calls, maybe, tokens_in, tokens_out, last = (
        totals.calls,
        totals.maybe_billed,
        totals.tokens_in,
        totals.tokens_out,
        totals.last_event,
    )
    for event in events:
        last += 1
        if isinstance(event, CallStarted):
            calls += 1
        elif isinstance(event, CallEnded):
            maybe += event.maybe_billed
            came_in, went_out, _, _ = event.usage
            tokens_in += came_in or 0
            tokens_out += went_out or 0
        elif isinstance(event, SeedEnded):
            outcome = event.outcome
            done += outcome is _DONE
            rejected += outcome is _REJECTED
            failed += outcome is _FAILED
        elif isinstance(event, SeedReopened):
            done -= event.was is _DONE
            rejected -= event.was is _REJECTED
            failed -= event.was is _FAILED
    return replace(
        totals,
        left=totals.seeds - done - rejected - failed,
        done=done,
        rejected=rejected,
        failed=failed,
        calls=calls,
        maybe_billed=maybe,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        last_event=last,
    )


class Story(NamedTuple):
    """All that the journal holds on one ended seed.

    Attributes:
        key: The seed key.
        ended: Its last end.
        call: The call that ended it; None when none was made.
        started_utc: When that call left.
        model_asked: The model that was asked for.
        fingerprint: Of the task under which it was asked.
        simulated: The reply came from the simulated provider.
        notes: Of its conversation, when it had one; see `core/transcript.py`.
    """

    key: str
    ended: SeedEnded
    call: CallEnded | None
    started_utc: float
    model_asked: str
    fingerprint: str
    simulated: bool
    notes: tuple[TurnNoted, ...] = ()


def record_of(story: Story, reply: Reply | None, seed: Json) -> Record:
    """One line of the output.

    Args:
        story: What the journal holds.
        reply: The decoded reply; None when there is none that can be read.
        seed: The seed's fields.

    Returns:
        For done seeds: id, answer and all that says where it came from, `asked_otherwise` only where a seed was asked
        with other values than its task's (more room, no thinking, ...). For others: id, class, reason and the last raw
        reply. Every record says whether its text was simulated.
    """
    key, ended, call, started_utc, model_asked, fingerprint, simulated, notes = story
    record: Record = {"id": key, "outcome": str(ended.outcome)}
    if ended.outcome is _DONE:
        record["answer"] = reply.text if reply else ""
        if reply and reply.reasoning:
            record["reasoning"] = reply.reasoning
        if ended.reason:
            record["asked_otherwise"] = loads(ended.reason)
    else:
        record["class"], record["reason"] = ended.label, ended.reason
        record["last_reply"] = call.body.decode("utf-8", "replace") if call and call.body else None
        record["status"] = call.status if call else None
    if notes:
        record.update(_conversation(transcript_of(notes)))
    record["seed"] = seed
    record["model_asked"] = model_asked
    record["model_answered"] = call.model if call else ""
    record["finish_reason"] = call.finish_reason if call else ""
    record["usage"] = usage_fields(call.usage if call else NO_USAGE)
    record["attempts"] = ended.attempts
    record["tier"] = "worker"
    record["timings"] = {
        "started_utc": round(started_utc, 3),
        "ended_utc": round(ended.utc, 3),
        "call_s": round(ended.at - ended.started, 3),
    }
    record["request_id"] = call.request_id if call else ""
    record["fingerprint"] = fingerprint
    record["simulated"] = simulated
    return record


def _conversation(told: Transcript) -> dict[str, Json]:
    """What a record shows of a conversation: all messages as received, and what they cost together."""
    spent = told.spent
    facts: dict[str, Json] = {
        "tokens_in": spent.tokens_in,
        "tokens_out": spent.tokens_out,
        "seconds": round(spent.seconds, 3),
        "tool_errors": spent.tool_errors,
    }
    if spent.cost is not None:
        facts["cost"] = spent.cost
    messages: list[Json] = [fields_of(message) for message in told.messages]
    return {"messages": messages, "turns": told.turns, "conversation": facts}


def usage_fields(usage: Usage) -> dict[str, Json]:
    """Tokens as a record shows them; what is unknown is null, not 0."""
    tokens_in, tokens_out, cached, reasoning = usage
    return {"tokens_in": tokens_in, "tokens_out": tokens_out, "cached": cached, "reasoning": reasoning}
