"""Hard ceilings that the user wrote, over any pace: so many calls and so many tokens a minute, evenly spread."""

from __future__ import annotations

import math
from typing import Final

from deepswarm.core.pace import Cost, Fact, Failed, Go, Memory, Pace, Reason, Refused, Sent, Served, Unsent, WaitUntil

MINUTE_S: Final = 60.0


class Ceilings:
    """`inner`, and never more than `rpm` calls or `tpm` tokens a minute; None is no ceiling.

    Calls are spaced evenly: no minute, wherever it begins, holds more than `rpm` + 1 starts. Tokens are charged when a
    call is sent, by its expected cost, and put right when it is served.
    """

    def __init__(self, inner: Pace, rpm: float | None = None, tpm: float | None = None) -> None:
        self._inner = inner
        self._call_s = 0.0 if rpm is None else MINUTE_S / rpm
        self._token_s = 0.0 if tpm is None else MINUTE_S / tpm
        self._words = " and ".join(
            f"{most:,g} {what} a minute" for most, what in ((rpm, "calls"), (tpm, "tokens")) if most is not None
        )
        self._call_at = self._token_at = -math.inf
        self._charged: dict[int, float] = {}
        self._waited_at = -math.inf

    def __repr__(self) -> str:
        return f"Ceilings({self._words}, {self._inner!r})"

    def observe(self, fact: Fact, now: float) -> None:
        """See `Pace.observe`."""
        self._inner.observe(fact, now)
        if isinstance(fact, Sent):
            tokens = fact.cost.tokens_in + fact.cost.tokens_out
            self._call_at = now + self._call_s
            self._token_at = max(now, self._token_at) + tokens * self._token_s
            self._charged[fact.call] = tokens
        elif isinstance(fact, Served):
            expected = self._charged.pop(fact.call, None)
            if expected is not None and fact.tokens_in is not None and fact.tokens_out is not None:
                self._token_at += (fact.tokens_in + fact.tokens_out - expected) * self._token_s
        elif isinstance(fact, Unsent):
            self._token_at -= self._charged.pop(fact.call, 0.0) * self._token_s
        elif isinstance(fact, Refused | Failed):
            self._charged.pop(fact.call, None)

    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:
        """See `Pace.admit`."""
        answer = self._inner.admit(now, cost)
        due = max(self._call_at, self._token_at)
        if now >= due:
            return answer
        self._waited_at = now
        return WaitUntil(max(due, answer.at)) if isinstance(answer, WaitUntil) else WaitUntil(due)

    @property
    def limit(self) -> int:
        """See `Pace.limit`."""
        return self._inner.limit

    @property
    def reason(self) -> Reason:
        """See `Pace.reason`."""
        inner = self._inner.reason
        if inner.what == "user" and self._waited_at > -math.inf:
            return Reason("user", f"at most {self._words}, as the task says")
        return inner

    def memory(self) -> Memory:
        """See `Pace.memory`."""
        return self._inner.memory()
