"""One conversation under way: its transcript, and what is sent next. What follows from a reply its task type decides.

    reply ─▶ heard ─▶ Going     the next call of the same seed, after its events are durable
                   ├▶ Answer    the seed is done
                   ├▶ Reject    its last reply is no use, and is asked for again
                   └▶ Fail      the conversation ends without an answer

Every note (`core/transcript.py`) is in the journal before the next call leaves: a reply before functions are called for
it, what other models said together with the end of their calls. After a crash `begin` goes on where the notes end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from deepswarm.core import continuing, transcript, window
from deepswarm.core.errors import NotAsked, Truncated
from deepswarm.core.events import CallEnded, Event, TurnNoted
from deepswarm.core.jsontext import loads
from deepswarm.core.reasoning import REASONING
from deepswarm.core.records import NO_USAGE, Call, Message, Reply, Usage
from deepswarm.core.tiers import WORKER
from deepswarm.core.transcript import Spent, Transcript
from deepswarm.core.turnkeys import LimitsSection
from deepswarm.core.turns import (
    Answer,
    Ask,
    Consult,
    Conversation,
    Fail,
    Heard,
    Reject,
    Run,
    asked_again,
    message_of,
)
from deepswarm.engine.code import Code
from deepswarm.engine.contract import Contract
from deepswarm.engine.dispatcher import Dispatcher, Lease
from deepswarm.tasks import TaskType

_ROOM: Final = 1024
"""Tokens that are kept free for a reply whose limit is not known."""

_OF_WORKERS: Final = frozenset({"response_format", "tool_choice", "parallel_tool_calls", "stop"})
"""Parameters of the task's own replies, which another role must not have."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What all conversations of a run have in common.

    Attributes:
        several: Whether conversations have several turns.
        continues: Whether calls go on with their last message (`Dialect.continues`).
        contract: Whether earlier thinking is sent back.
        code: Calls Python functions.
        cost: US dollars of the tokens of a call to a tier now; None when that is not known.
        limits: What one conversation may cost.
        window: Tokens that the model reads at most.
        policy: What becomes of a conversation that outgrows it: fail, drop_oldest or summarise.
    """

    several: bool
    continues: bool
    contract: Contract
    code: Code
    cost: Callable[[Usage, int], float | None]
    limits: LimitsSection | None = None
    window: int | None = None
    policy: str = "fail"


class Going(NamedTuple):
    """The conversation goes on with a call.

    Attributes:
        messages: What is sent.
        plain: Without tools and JSON mode: another role is played.
        tier: Whose model.
        turn: Which turn it belongs to.
    """

    messages: Sequence[Message]
    plain: bool
    tier: int
    turn: int


Verdict: TypeAlias = Going | Answer | Reject | Fail


class Talk:
    """The conversation of one seed. Its worker owns it.

    Attributes:
        notes: All that was noted so far.
        unsaved: Events that the journal does not hold yet; whoever writes them takes them.
        ended: The end of the call that brought the last reply; None before there is one.
    """

    __slots__ = (
        "_asked",
        "_consults",
        "_conversation",
        "_dispatcher",
        "_lease",
        "_policy",
        "_reply",
        "_saved",
        "_seed",
        "_so_far",
        "_summary",
        "_task",
        "_terms",
        "ended",
        "notes",
        "unsaved",
    )

    def __init__(
        self, task: TaskType, terms: Terms, dispatcher: Dispatcher, lease: Lease, conversation: Conversation
    ) -> None:
        """Begin before the first call."""
        self._task, self._terms, self._dispatcher, self._lease = task, terms, dispatcher, lease
        self._seed = lease.row.number
        self._conversation = conversation
        self._so_far = Transcript(conversation.messages)
        self._reply: Reply | None = None
        self._consults: Consult | None = None
        self._asked: tuple[Message, ...] = conversation.messages
        self._summary: tuple[str, int] = ("", 0)
        self._policy = ""
        self._saved = 0
        self.notes: list[TurnNoted] = []
        self.unsaved: list[Event] = []
        self.ended: CallEnded | None = None

    def __repr__(self) -> str:
        return f"Talk(seed {self._seed}, turn {self.turn}, {len(self._so_far.messages)} messages)"

    @property
    def turn(self) -> int:
        """Which turn the next reply is, or the one that is dealt with, from 1."""
        return self._so_far.turns + (not self._so_far.owed)

    @property
    def text(self) -> str:
        """The text of the model's last message."""
        return next((message.content for message in reversed(self._so_far.messages) if message.role == "assistant"), "")

    # --- what happens ------------------------------------------------------------------------------------------------

    async def begin(self, lease: Lease) -> Verdict:
        """What is due first: the first call, or what a crash left to do."""
        notes, self.ended = lease.told
        if not notes:
            return await self._sent(self._so_far.messages)
        self.notes = list(notes)
        self._so_far = so_far = transcript.transcript_of(notes)
        self._conversation = self._conversation._replace(messages=so_far.messages)
        for note in notes:
            if note.kind == transcript.SUMMED:
                value: Any = loads(note.data)
                self._summary = (value["text"], value["upto"])
        if not so_far.owed:
            return await self._on(so_far.messages)
        said = so_far.messages[-1]
        self._conversation = self._conversation._replace(messages=so_far.messages[:-1])
        thought = str(said.more.get("reasoning_content") or said.more.get("reasoning") or "")
        self._reply = Reply(said.content, so_far.finish, "", NO_USAGE, thought, message=said.more)
        return await self._decide()

    async def heard(self, reply: Reply, ended: CallEnded, seconds: float) -> Verdict:
        """What follows from the reply to the call that was under way."""
        self._terms.contract.served(self._seed)
        spent = self._plus(reply.usage, seconds)
        if self._consults is not None:
            purpose, self._consults = self._consults.purpose, None
            self.unsaved.append(ended)
            if purpose == _SUMMARY:
                return await self._summed(reply.text, ended, spent)
            self._note(transcript.HEARD, transcript.heard(reply.text, "", spent), ended)
            return await self._decide()
        whole = self._joined(reply)
        if whole is None:
            self.unsaved += [ended._replace(label="not_joined", detail="it does not go on with what was cut off")]
            self._note(transcript.UNSAID, transcript.unsaid(spent), ended)
            return Reject("truncated", "it was cut off, and did not go on where it stopped; be shorter")
        self._opened(ended)
        self.unsaved.append(ended)
        self.ended, self._reply = ended, whole
        self._note(transcript.SAID, transcript.said(message_of(whole), whole.finish_reason, spent), ended)
        return await self._decide()

    async def cut(self, error: Truncated, ended: CallEnded, seconds: float) -> Going | Fail | None:
        """Go on with a reply that was cut off; None when that is not possible."""
        partial = error.partial
        if partial is None or self._consults is not None or self._so_far.parts >= continuing.MOST_PARTS:
            return None
        known = self._so_far.part
        if known is None:
            part = message_of(partial)
        else:
            text = continuing.joined(known.content, partial.text, by_prefix=self._terms.continues)
            if text is None:
                return None
            part = known._replace(content=text)
        self._opened(ended)
        self.unsaved.append(ended)
        self._note(transcript.PART, transcript.said(part, "length", self._plus(partial.usage, seconds)), ended)
        return await self._on(self._so_far.messages)

    def owed(self, ended: CallEnded) -> Going | None:
        """Send the same again, its thinking the other way round; None when that is no help."""
        if self._consults is not None or not self._terms.contract.refused(self._seed, self._policy):
            return None
        self.unsaved.append(ended)
        return Going(self._sendable(self._asked), plain=False, tier=0, turn=self.turn)

    def again(self, reject: Reject) -> Sequence[Message]:
        """What is sent after a rejected reply: the conversation as it was, the reply and why it was rejected."""
        said = Message("assistant", "") if self._reply is None else message_of(self._reply)
        more = {name: value for name, value in said.more.items() if name in REASONING}
        *first, shown, why = asked_again(self._conversation, said.content, reject)
        self._asked = (*first, shown._replace(more=more), why)
        return self._sendable(self._asked)

    def rejected(self, ended: CallEnded) -> list[Event]:
        """What is written when a reply was rejected with the end of its call: it is no part of the conversation."""
        events: list[Event] = [ended if isinstance(event, CallEnded) else event for event in self.taken()]
        if self._so_far.owed:
            self._note(transcript.UNSAID, transcript.unsaid(self._so_far.spent), ended)
        return [*events, *self.taken()]

    def given_up(self, ended: CallEnded, *, rejected: bool) -> None:
        """The seed ends with this call, which was no use; its end is written with the seed's, if it is not yet."""
        events = self.rejected(ended) if rejected else self.taken()
        self.unsaved = events if ended.call == self._saved else [*events, ended]

    def unsent(self, lease: Lease) -> None:
        """The conversation ends without the call whose intent is written."""
        why = "what had come before an interruption was enough"
        self.unsaved.insert(0, CallEnded(*self._dispatcher.clock.now(), lease.call, self._seed, "unsent", why))

    def answer(self, step: Answer) -> Reply:
        """The reply that a record is made of, with the answer as its text."""
        reply = self._reply
        if reply is None:
            raise AssertionError("an answer comes of a reply")
        return reply._replace(text=step.text)

    def taken(self) -> list[Event]:
        """The events that are not saved yet, for whoever writes them now."""
        events, self.unsaved = self.unsaved, []
        for event in events:
            if isinstance(event, CallEnded):
                self._saved = event.call
        return events

    # --- what follows ------------------------------------------------------------------------------------------------

    async def _decide(self) -> Verdict:
        """Step the last reply, doing what it needs, until it is clear how the conversation goes on."""
        reply = self._reply
        if reply is None:
            raise AssertionError("a conversation without a reply has nothing to decide")
        while True:
            heard = tuple(Heard(*each) for each in self._so_far.heard)
            spent = self._so_far.spent
            conversation = self._conversation._replace(
                turn=self._so_far.turns, heard=heard, tool_errors=spent.tool_errors
            )
            step = self._task.step(conversation, reply)
            if isinstance(step, Run):
                await self._save()
                text, error = await self._terms.code.run(step)
                self._note(transcript.HEARD, transcript.heard(text, error, spent), None)
            elif isinstance(step, Consult):
                if (verdict := await self._consulting(step)) is not None:
                    return verdict
            elif isinstance(step, Ask):
                self._note(transcript.ADDED, transcript.added(step.messages, step.tool_errors), None)
                self._reply = None
                self._conversation = self._conversation._replace(messages=self._so_far.messages)
                return await self._on(self._so_far.messages)
            else:
                return step

    async def _consulting(self, step: Consult) -> Going | Fail | None:
        """Ask what another role says; None when it is heard already. The workers' own model is asked by the worker."""
        if (over := self._over()) is not None:
            return over
        if step.tier == WORKER or not self._dispatcher.has_tier(step.tier):
            return self._played(step)
        await self._save()
        call = plain(self._dispatcher.tier_call(step.tier))._replace(messages=tuple(step.messages))
        called = await self._dispatcher.consult(self._lease, call, step.tier, step.purpose)
        result = called.result
        if isinstance(result, NotAsked):
            return self._played(step)
        text, error = (result.text, "") if isinstance(result, Reply) else ("", f"{result.label}: {result}")
        spent = self._plus(result.usage, called.seconds, step.tier)
        self._note(transcript.HEARD, transcript.heard(text, error, spent), called.ended)
        return None

    def _played(self, step: Consult) -> Going:
        self._consults = step
        return Going(step.messages, plain=True, tier=WORKER, turn=self.turn)

    async def _on(self, messages: tuple[Message, ...]) -> Going | Fail:
        """The next call of the conversation, unless a limit is reached or it does not fit the window."""
        return self._over() or await self._sent(messages)

    async def _sent(self, messages: tuple[Message, ...]) -> Going | Fail:
        if self._so_far.part is not None:
            messages = continuing.going_on(messages, self._so_far.part, by_prefix=self._terms.continues)
        fitted = self._fitted(messages)
        if isinstance(fitted, Going | Fail):
            return fitted
        self._asked = fitted
        await self._terms.contract.may_send(self._seed, fitted)
        return Going(self._sendable(fitted), plain=False, tier=0, turn=self.turn)

    def _fitted(self, messages: tuple[Message, ...]) -> tuple[Message, ...] | Going | Fail:
        """The messages that fit the window; a call that sums up the others, or the end of the conversation."""
        most = self._terms.window
        summary, upto = self._summary
        if most is None or (not upto and window.tokens_of(messages) + _ROOM <= most):
            return messages
        room = min(_ROOM, most // 4)
        if self._terms.policy == "fail":
            size = window.tokens_of(messages)
            if size + room <= most:
                return messages
            return Fail("too_long", f"the conversation has about {size:,} tokens, and context_window is {most:,}")
        extra = len(summary.encode()) // window.BYTES_PER_TOKEN
        found = window.cut(messages, most, room, upto, extra)
        if found is None:
            return Fail("too_long", f"not even the last messages fit the context_window of {most:,} tokens")
        left_out = messages[max(found.first, upto) : found.start]
        if not left_out or self._terms.policy == "drop_oldest":
            return window.shortened(messages, found, summary)
        self._consults = Consult(0, window.to_summarise(left_out, most, summary), _SUMMARY)
        self._summary = (summary, found.start)
        return Going(self._consults.messages, plain=True, tier=0, turn=self.turn)

    async def _summed(self, text: str, ended: CallEnded, spent: Spent) -> Going | Fail:
        self._summary = (text, self._summary[1])
        self._note(transcript.SUMMED, transcript.summed(text, self._summary[1], spent), ended)
        return await self._on(self._so_far.messages)

    def _over(self) -> Fail | None:
        """Which limit of the conversation is reached; None when none is."""
        limits, spent = self._terms.limits, self._so_far.spent
        if limits is None:
            return None
        tokens = spent.tokens_in + spent.tokens_out
        if limits.max_tokens is not None and tokens >= limits.max_tokens:
            return Fail("conversation_limit", f"{tokens:,} tokens are spent, and max_tokens is {limits.max_tokens:,}")
        if limits.max_seconds is not None and spent.seconds >= limits.max_seconds:
            return Fail("conversation_limit", f"its calls took {spent.seconds:.0f} s (max_seconds)")
        if limits.max_cost is not None and (spent.cost is None or spent.cost >= limits.max_cost):
            known = "an unknown amount" if spent.cost is None else f"${spent.cost:.6f}"
            return Fail("conversation_limit", f"{known} is spent, and max_cost is ${limits.max_cost:g}")
        return None

    # --- small things ------------------------------------------------------------------------------------------------

    def _sendable(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages under the policy for thinking, which is remembered: a refusal is about that one."""
        self._policy = self._terms.contract.policy
        return self._terms.contract.sent(messages)

    def _joined(self, reply: Reply) -> Reply | None:
        """The whole reply, of which this one may be only the end; None when the ends do not meet."""
        part = self._so_far.part
        if part is None:
            return reply
        text = continuing.joined(part.content, reply.text, by_prefix=self._terms.continues)
        return None if text is None else reply._replace(text=text, message={**reply.message, **part.more})

    def _plus(self, usage: Usage, seconds: float, tier: int = WORKER) -> Spent:
        """What is spent after a call."""
        before = self._so_far.spent
        more = self._terms.cost(usage, tier)
        return before._replace(
            tokens_in=before.tokens_in + (usage.tokens_in or 0),
            tokens_out=before.tokens_out + (usage.tokens_out or 0),
            cost=None if before.cost is None or more is None else before.cost + more,
            seconds=before.seconds + seconds,
        )

    def _opened(self, ended: CallEnded) -> None:
        """Note the first messages, before anything else."""
        if not self.notes:
            self._note(transcript.OPENED, transcript.added(self._so_far.messages), ended)

    def _note(self, kind: str, data: bytes, ended: CallEnded | None) -> None:
        utc, at = self._dispatcher.clock.now() if ended is None else (ended.utc, ended.at)
        note = TurnNoted(utc, at, 0 if ended is None else ended.call, self._seed, max(1, self.turn), kind, data)
        self.notes.append(note)
        self.unsaved.append(note)
        self._so_far = transcript.plus(self._so_far, note)

    async def _save(self) -> None:
        """Make durable what came in before something is done that takes its time."""
        if self.unsaved:
            await self._dispatcher.keep(self.taken())


_SUMMARY: Final = "summary"


def plain(call: Call) -> Call:
    """The call for another role than the task's own: without tools and JSON mode."""
    params = {name: value for name, value in call.params.items() if name not in _OF_WORKERS}
    return call._replace(tools=(), params=params)
