"""Hard budgets: the worst case of a call is reserved before it leaves, and what it really cost is settled afterwards.

    room for it?  ── reserve(call, worst) ──▶ None: it may leave
                                          └─▶ Full: wait for calls in flight, or pause the run

The rules:
    - spent + reserved never exceeds a cap, because a call whose worst case does not fit is not made;
    - a call of which nobody knows what it cost is settled at its worst case: it may have been billed;
    - a call that never left gives everything back;
    - should a provider bill more than the worst case, that is booked as it is, and nothing further is admitted;
    - a cap on money admits no call whose price, or whose longest answer, is not known.

Time is an argument. One `Budget` is kept for the run and one for each tier that has caps; `reserve` asks all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from deepswarm.core.flaws import Flaw
from deepswarm.core.money import NOTHING, Price, dollars, total, worst
from deepswarm.core.records import Message

MESSAGE_TOKENS: Final = 16
"""Most tokens that a chat template adds to a message: role and separators take four to seven in the known ones."""


class Caps(NamedTuple):
    """What a run, or a tier, may use up at most; None is no cap.

    Attributes:
        max_cost: US dollars.
        max_tokens_total: Tokens of prompts and answers together.
        max_calls: Calls.
        max_time_s: Seconds of the run, all sessions together.
    """

    max_cost: Decimal | None = None
    max_tokens_total: int | None = None
    max_calls: int | None = None
    max_time_s: float | None = None


class Amount(NamedTuple):
    """What calls use up: US dollars (None: nobody knows), tokens (None: no bound), calls."""

    cost: Decimal | None = NOTHING
    tokens: int | None = 0
    calls: int = 0


class Full(NamedTuple):
    """There is no room for a call.

    Attributes:
        cap: The key of the cap: max_cost, max_tokens_total, max_calls or max_time.
        waits: Whether calls in flight may leave room when they end; otherwise the run pauses.
        why: One sentence with the numbers, and what to do.
    """

    cap: str
    waits: bool
    why: str


def most_tokens(messages: Sequence[Message]) -> int:
    """Tokens that a prompt has at most.

    A byte-level tokenizer never makes more tokens than there are bytes in UTF-8; the chat template comes on top.
    """
    return sum(len(message.content.encode("utf-8", "replace")) + MESSAGE_TOKENS for message in messages)


def worst_case(messages: Sequence[Message], max_tokens: int | None, price: Price | None) -> Amount:
    """What a call can use up at most.

    Args:
        messages: What is asked.
        max_tokens: Most tokens of the answer, as sent; None leaves it to the provider.
        price: Of the model; None when it is not known.

    Returns:
        An Amount of one call; no bound on tokens without `max_tokens`, and then, or without a price, none on money.
    """
    if max_tokens is None:
        return Amount(None, None, 1)
    tokens_in = most_tokens(messages)
    return Amount(None if price is None else worst(tokens_in, max_tokens, price), tokens_in + max_tokens, 1)


@dataclass(slots=True)
class Budget:
    """The state of one budget; the dispatcher alone owns it.

    Attributes:
        caps: What it holds to. A raised cap is a new value here; what was spent stays.
        name: Whose it is, for messages: "the run", or a tier's name.
        cost: US dollars spent, those included that calls may have cost of which nobody knows.
        tokens: Tokens spent, likewise.
        calls: Calls that left and have ended.
    """

    caps: Caps
    name: str = "the run"
    cost: Decimal = NOTHING
    tokens: int = 0
    calls: int = 0
    _open: dict[int, Amount] = field(default_factory=dict)
    _reserved_cost: Decimal = NOTHING
    _reserved_tokens: int = 0

    def __repr__(self) -> str:
        return (
            f"Budget({self.name}: {self.cost} + {self._reserved_cost} of {self.caps.max_cost} USD, "
            f"{self.tokens} + {self._reserved_tokens} of {self.caps.max_tokens_total} tokens, "
            f"{self.calls} + {len(self._open)} of {self.caps.max_calls} calls)"
        )

    @property
    def reserved(self) -> Amount:
        """What is held back for calls in flight."""
        return Amount(self._reserved_cost, self._reserved_tokens, len(self._open))

    def room(self, amount: Amount, elapsed_s: float) -> Full | None:
        """Why a call does not fit; None when it does.

        Args:
            amount: Its worst case.
            elapsed_s: Seconds that the run has taken, all sessions together.
        """
        caps = self.caps
        if caps.max_time_s is not None and elapsed_s >= caps.max_time_s:
            return self._full("max_time", f"{caps.max_time_s:,.0f} s are used up", waits=False)
        if caps.max_calls is not None and self.calls + len(self._open) + amount.calls > caps.max_calls:
            waits = self.calls + amount.calls <= caps.max_calls
            return self._full("max_calls", f"{self.calls:,} of {caps.max_calls:,} calls are made", waits=waits)
        return self._no_room_for_tokens(amount) or self._no_room_for_money(amount)

    def _no_room_for_tokens(self, amount: Amount) -> Full | None:
        cap = self.caps.max_tokens_total
        if cap is None:
            return None
        if amount.tokens is None:
            return Full("max_tokens_total", False, f"{_UNBOUNDED} (max_tokens_total)")
        if self.tokens + self._reserved_tokens + amount.tokens <= cap:
            return None
        what = f"{self.tokens:,} of {cap:,} tokens are spent and the next call may take {amount.tokens:,}"
        return self._full("max_tokens_total", what, waits=self.tokens + amount.tokens <= cap and bool(self._open))

    def _no_room_for_money(self, amount: Amount) -> Full | None:
        cap = self.caps.max_cost
        if cap is None:
            return None
        if amount.tokens is None:
            return Full("max_cost", False, f"{_UNBOUNDED} (max_cost)")
        if amount.cost is None:
            why = f"max_cost cannot be held to for {self.name}: the model's price is not known; write it under prices"
            return Full("max_cost", False, why)
        if total((self.cost, self._reserved_cost, amount.cost)) <= cap:
            return None
        what = f"{dollars(self.cost)} of {dollars(cap)} are spent and the next call may cost {dollars(amount.cost)}"
        waits = bool(self._open) and total((self.cost, amount.cost)) <= cap
        return self._full("max_cost", what, waits=waits)

    def _full(self, cap: str, what: str, *, waits: bool) -> Full:
        why = f"the budget of {self.name} is used up: {what}; raise {cap} and give the same command again"
        return Full(cap, waits, why)

    def hold(self, call: int, amount: Amount) -> None:
        """Hold an amount back for a call that `room` was asked about.

        Raises:
            ValueError: If something is held back for it already.
        """
        if call in self._open:
            raise ValueError(f"call {call} is reserved already")
        self._open[call] = amount
        self._reserved_cost = total((self._reserved_cost, amount.cost or NOTHING))
        self._reserved_tokens += amount.tokens or 0

    def settle(self, call: int, cost: Decimal | None, tokens: int | None) -> None:
        """Book what a call used up; what is not known is booked at its worst case.

        Args:
            call: Its number.
            cost: US dollars.
            tokens: Of prompt and answer together.

        Raises:
            KeyError: If nothing was held back for it.
        """
        held = self._give_back(call)
        self.calls += 1
        self.cost = total((self.cost, (held.cost or NOTHING) if cost is None else cost))
        self.tokens += (held.tokens or 0) if tokens is None else tokens

    def release(self, call: int) -> None:
        """Give everything back: the call never left.

        Raises:
            KeyError: If nothing was held back for it.
        """
        self._give_back(call)

    def _give_back(self, call: int) -> Amount:
        held = self._open.pop(call)
        self._reserved_cost = total((self._reserved_cost, -(held.cost or NOTHING)))
        self._reserved_tokens -= held.tokens or 0
        return held


_UNBOUNDED: Final = "a budget cannot be held to without worker_max_tokens: nobody knows how long an answer may become"


def reserve(budgets: Sequence[Budget], call: int, amount: Amount, elapsed_s: float) -> Full | None:
    """Hold the worst case of a call back in all of its budgets, or in none.

    Args:
        budgets: Of the run and of the call's tier.
        call: Its number.
        amount: Its worst case.
        elapsed_s: Seconds that the run has taken, all sessions together.

    Returns:
        None when the call may leave. Otherwise why not: a pause goes before a wait.
    """
    refusals = [full for budget in budgets if (full := budget.room(amount, elapsed_s)) is not None]
    if refusals:
        return min(refusals, key=lambda full: full.waits)
    for budget in budgets:
        budget.hold(call, amount)
    return None


def too_small(caps: Caps, call: Amount) -> Iterator[Flaw]:
    """Caps in which not even one call has room: flaws of the task file's keys.

    Args:
        caps: What the task names.
        call: The worst case of its first call.
    """
    if caps.max_cost is not None and call.cost is not None and call.cost > caps.max_cost:
        may = f"{dollars(caps.max_cost)}, and a call may cost {dollars(call.cost)}"
        yield Flaw(("max_cost",), f"'max_cost' is smaller than one call: {may}", _RAISE.format("max_cost"))
    if caps.max_tokens_total is not None and call.tokens is not None and call.tokens > caps.max_tokens_total:
        may = f"{caps.max_tokens_total:,}, and a call may take {call.tokens:,}"
        what = f"'max_tokens_total' is smaller than one call: {may}"
        yield Flaw(("max_tokens_total",), what, _RAISE.format("max_tokens_total"))
    if caps.max_calls is not None and caps.max_calls < 1:
        yield Flaw(("max_calls",), "'max_calls' is smaller than one call", "raise max_calls, or leave it out")


_RAISE: Final = "raise {}, or lower worker_max_tokens"
