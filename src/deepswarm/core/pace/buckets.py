"""The rates that an endpoint allows, of calls and of tokens: measured at refusals, or told by headers.

A header is believed until it proves untrue: a rate that refuses although the headers say that there is plenty, or far
below what they say, makes them liars for the rest of the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from deepswarm.core.pace import Cost, Limited, Quota
from deepswarm.core.pace.constants import Constants
from deepswarm.core.pace.rates import Meter, Pacer

LONGEST_S: Final = 600.0
"""The longest period of a quota that says anything of the next minute; a quota of a day does not."""
_BOUND_S: Final = 2.0


class Buckets:
    """Both rates.

    Attributes:
        known: The rates that are kept to.
        kind: Which of them it is where nobody says.
    """

    def __init__(self, constants: Constants) -> None:
        self._constants = constants
        self._requests, self._tokens = Meter(), Meter()
        self._meters = (self._requests, self._tokens)
        self._liars: set[Limited] = set()
        self.known: dict[Limited, Pacer] = {}
        self.kind = Limited.REQUESTS

    # --- calls -------------------------------------------------------------------------------------------------------

    def wait(self, now: float, cost: Cost, share: float) -> float:
        """Seconds until a call of this cost may leave; `share` is how much of the rates is ours."""
        longest = 0.0
        for kind, pacer in self.known.items():
            longest = max(longest, pacer.wait(now, 1.0 if kind is Limited.REQUESTS else tokens_of(cost), share))
        return longest

    def sent(self, tokens: float) -> None:
        """A call of so many tokens leaves."""
        self._requests.admitted += 1.0
        self._tokens.admitted += tokens
        if not self.known:
            return
        for kind, pacer in self.known.items():
            pacer.sent(1.0 if kind is Limited.REQUESTS else tokens)

    def gave_back(self, tokens: float) -> None:
        """A call of so many tokens was not taken on."""
        self._requests.admitted -= 1.0
        self._tokens.admitted -= tokens

    def corrected(self, less: float) -> None:
        """A call took so much less tokens than was expected of it."""
        self._tokens.admitted -= less
        if self.known and Limited.TOKENS in self.known:
            self.known[Limited.TOKENS].corrected(less)

    # --- time --------------------------------------------------------------------------------------------------------

    def bind(self, now: float, within_s: float = _BOUND_S) -> bool:
        """Whether a call had to wait for one of them lately."""
        return any(now - pacer.binding < within_s for pacer in self.known.values())

    def binding(self, now: float) -> Iterator[tuple[Limited, Pacer]]:
        """Those for which a call had to wait lately."""
        return ((kind, pacer) for kind, pacer in self.known.items() if now - pacer.binding < _BOUND_S)

    def pulse(self, now: float) -> None:
        """Look above them when it is time."""
        for pacer in self.known.values():
            if pacer.pulse(now):
                self.forget()

    def empty(self, now: float, pause_s: float) -> None:
        """They are used up now, and nothing leaves for so many seconds."""
        for meter in self._meters:
            meter.empty(now)
            meter.paused_s += pause_s

    def forget(self) -> None:
        """What was counted until now is of another time."""
        for meter in self._meters:
            meter.forget()

    # --- headers and refusals ----------------------------------------------------------------------------------------

    def read(self, quotas: tuple[Quota, ...], now: float) -> None:
        """What a reply's headers say."""
        for quota in quotas:
            kind, limit = _kind_of(quota), _limit_of(quota)
            if kind is None or limit is None or kind in self._liars:
                continue
            pacer = self.known.get(kind) or self.begin(kind, limit, now)
            pacer.tell(quota, now, most=1.03 if kind is Limited.REQUESTS else math.inf)

    def used_up(self, quotas: tuple[Quota, ...], *, capped: bool) -> Limited | None:
        """The rate that the headers of a refusal show to be used up; None if they do not.

        Args:
            quotas: What they say.
            capped: Whether a cap is known that explains a refusal in spite of plenty.
        """
        known = [
            (quota, kind, quota.remaining)
            for quota in quotas
            if (kind := _kind_of(quota)) is not None and quota.remaining is not None
        ]
        for quota, kind, remaining in known:
            least = 1.0 if kind is Limited.REQUESTS else max(1.0, 0.02 * (quota.limit or 0.0))
            if remaining < least and kind not in self._liars:
                self.kind = kind
                return kind
        if capped and known and all(quota.limit and remaining > 0.1 * quota.limit for quota, _, remaining in known):
            for _, kind, _ in known:
                self._doubt(kind)
        return None

    def refused(self, kind: Limited, now: float, lately: tuple[float, float], *, moving: bool) -> bool | None:
        """A call was refused because of a rate.

        Args:
            kind: Of which.
            now: The time.
            lately: Calls and tokens a second that were sent in the last minute.
            moving: Whether a limit was seen to move lately.

        Returns:
            Whether the rate is now seen to have moved; None when it was not known before.
        """
        calls, tokens = lately
        counts = kind is Limited.REQUESTS
        each = 1.0 if counts or not calls else tokens / calls
        sent = calls if counts else tokens
        meter = self._requests if counts else self._tokens
        measured, unpaused = (rate and min(rate, sent) for rate in meter.rate(now, each))
        pacer = self.known.get(kind)
        if pacer is not None and pacer.told:
            if now - pacer.binding < 5.0:
                pacer.rate *= 0.95
                return False
            self._doubt(kind)  # refused far below what they say: they speak of something else
            pacer = None
        if pacer is not None:
            return pacer.refused(now, measured, unpaused, moving=moving)
        self.begin(kind, measured or sent or 1.0, now)
        return None

    def begin(self, kind: Limited, rate: float, now: float) -> Pacer:
        """Keep to this rate from now on, in units a second."""
        pacer = self.known[kind] = Pacer(rate, now, self._constants, counts_calls=kind is Limited.REQUESTS)
        return pacer

    def drop_measured(self) -> None:
        """It was a cap that refused: forget the rates, unless headers told of them."""
        if not any(pacer.told for pacer in self.known.values()):
            self.known.clear()

    def _doubt(self, kind: Limited) -> None:
        self._liars.add(kind)
        self.known.pop(kind, None)


def tokens_of(cost: Cost) -> float:
    """Tokens that a call is expected to take, in and out."""
    return max(1.0, cost.tokens_in + cost.tokens_out)


def _limit_of(quota: Quota) -> float | None:
    """Units a second; None where it says nothing of the next minute."""
    limit, period_s = quota.limit, quota.period_s
    if limit is None or period_s is None or not 0.0 < limit < math.inf or not 0.0 < period_s <= LONGEST_S:
        return None
    return limit / period_s


def _kind_of(quota: Quota) -> Limited | None:
    if quota.of == "requests":
        return Limited.REQUESTS
    return Limited.TOKENS if "tokens" in quota.of else None
