"""A rate that a provider allows, of calls or of tokens: found between two moments when its bucket was empty, and kept.

    refused ─▶ empty ─ what was admitted ─▶ refused again ─▶ admitted / elapsed = the rate, whatever the bucket's depth

Calls are spaced evenly just below it. Now and then a pulse of some faster calls looks whether more is allowed by now; it
ends with a refusal, or with the proof that the bucket would be empty if nothing had changed.
"""

from __future__ import annotations

import math

from deepswarm.core.pace import Quota
from deepswarm.core.pace.constants import Constants

_QUARTER_S = 0.25


class Meter:
    """What was admitted since the bucket was last known to be empty; of one kind of limit.

    Attributes:
        admitted: Units in all.
        paused_s: Seconds of cool-downs in all.
    """

    def __init__(self) -> None:
        self.admitted = self.paused_s = 0.0
        self._empty: tuple[float, float, float] | None = None

    def empty(self, now: float) -> None:
        """The bucket is empty now."""
        if self._empty is None or now - self._empty[0] >= 20.0:
            self._empty = (now, self.admitted, self.paused_s)

    def forget(self) -> None:
        """Nothing is known of the bucket."""
        self._empty = None

    def rate(self, now: float, each: float) -> tuple[float | None, float | None]:
        """The rate that was admitted since then, and in the time without pauses, which is the limit of a bucket so
        small that it overflows in a pause; None as long as too little was. `each` is what one call takes.
        """
        if self._empty is None:
            return None, None
        calls = (self.admitted - self._empty[1]) / max(each, 1e-9)
        elapsed = now - self._empty[0]
        enough = calls >= 5 and (elapsed >= 20.0 or (elapsed >= 6.0 and calls >= 30))
        if not enough:
            return None, None
        admitted, paused = self.admitted - self._empty[1], self.paused_s - self._empty[2]
        return admitted / elapsed, admitted / max(0.5 * elapsed, elapsed - paused)


class Pacer:
    """Spaces calls.

    Attributes:
        rate: In units a second, as calls leave now.
        measured: The limit as it was last measured.
        binding: When a call last had to wait for it.
        told: The limit comes from headers, and is served by what they say remains.
    """

    def __init__(self, measured: float, now: float, constants: Constants) -> None:
        self._constants = constants
        self.measured = measured
        self.rate = 0.98 * measured
        self.binding = -math.inf
        self.told = False
        self._level, self._filled = 0.0, now
        self._every = constants.pulse_first
        self._next_pulse = now + self._every
        self._coarse, self._fine = constants.pulse_height, 1.0 + 0.5 * (constants.pulse_height - 1.0)
        self._is_fine = False
        self._depth = 0.0
        self._pulse_at: float | None = None
        self._excess = self._proof = 0.0
        self._confirmed: float | None = None
        self._proved = 0.0
        self._limit = self._top = 0.0
        self._served = -math.inf

    # --- calls -------------------------------------------------------------------------------------------------------

    def wait(self, now: float, cost: float, share: float) -> float:
        """Seconds until a call of this cost may leave; `share` is how much of the rate is ours."""
        rate = self.rate * share
        depth = max(cost, _QUARTER_S * rate)
        self._level = min(depth, self._level + rate * max(0.0, now - self._filled))
        self._filled = max(now, self._filled)
        if self._level >= cost * (1 - 1e-9):
            return 0.0
        self.binding = now
        return (cost - self._level) / rate

    def sent(self, cost: float) -> None:
        self._level -= cost
        if self._pulse_at is not None:
            self._excess += cost

    def corrected(self, less: float) -> None:
        """A call took so much less than was expected of it."""
        self._level += less

    # --- looking for more --------------------------------------------------------------------------------------------

    @property
    def pulsing(self) -> bool:
        return self._pulse_at is not None

    def pulse(self, now: float) -> bool:
        """Begin, go on with, or end a pulse; True when it has proved that more is allowed."""
        if self.told:
            return False
        if self._pulse_at is None:
            if now >= self._next_pulse and now - self.binding < 2.0:
                self._begin_pulse(now)
            return False
        over = self._excess - self.measured * (now - self._pulse_at)
        if over > self._proof * self.measured:
            self._proved = self.measured
            self.measured *= 1.0 + 0.9 * (self._height - 1.0)
            if self._is_fine:
                self._fine = min(1.35, 1.0 + (self._fine - 1.0) * 1.5)
            else:
                self._coarse = min(1.6, 1.0 + (self._coarse - 1.0) * 1.5)
            self.rate = self._height * self.measured
            self._pulse_at, self._excess = now, 0.0
            return True
        if now - self.binding > 30.0:
            self._pulse_at, self._next_pulse = None, now + self._every
        return False

    @property
    def _height(self) -> float:
        return self._fine if self._is_fine else self._coarse

    def _begin_pulse(self, now: float) -> None:
        """Coarse ones find a limit that has moved, fine ones in between find where exactly it is."""
        self._pulse_at, self._excess = now, 0.0
        self.rate = self._height * self.measured
        least = 1.0 if self._is_fine else self._constants.pulse_proof + 0.03 * self._every
        self._proof = max(least, 1.3 * self._depth)

    def refused(self, now: float, measured: float | None, unpaused: float | None, *, moving: bool) -> bool:
        """A call was refused for this limit.

        Args:
            now: The time.
            measured: What was admitted between two empty moments, in units a second; None when that is not known.
            unpaused: The same for the time without pauses.
            moving: The limit was seen to move lately.

        Returns:
            Whether the limit is now seen to have moved.
        """
        constants, moved = self._constants, False
        found = max(0.85 * self.rate, self._proved) if measured is None else measured
        if self._pulse_at is not None and found < 1.1 * self.measured * self._height:
            moved = self._confirm(now, found, unpaused, moving=moving)
        else:
            found = found if self._pulse_at is not None else min(found, 0.97 * self.rate)
            if found < 0.8 * self.measured:
                self._every, self._coarse, self._is_fine, moved = 30.0, constants.pulse_height, False, True
            self.measured = max(found, 0.4 * self.measured)
        self.rate = constants.rate_share * self.measured
        self._level, self._pulse_at, self._excess = 0.0, None, 0.0
        self._next_pulse = now + self._every
        return moved

    def _confirm(self, now: float, found: float, unpaused: float | None, *, moving: bool) -> bool:
        """A pulse was refused: the limit is where it was, or it has risen since the last time."""
        constants = self._constants
        used = max(0.0, self._excess / self.measured - (now - (self._pulse_at or now)))
        if used < constants.pulse_proof:
            # the bucket held little: what is admitted falls short of the limit where it overflows between pulses
            self.measured = max(self.measured, min(unpaused or found, 1.03 * self.measured))
        else:
            self.measured = found if found > 0.9 * self.measured else 0.9 * self.measured
        self._depth = min(90.0, max(used, 0.5 * self._depth))
        if self._is_fine:
            self._fine = max(1.03, 1.0 + (self._fine - 1.0) / 2.0)
        rose = self._confirmed is not None and self.measured > 1.1 * self._confirmed
        self._confirmed = self.measured
        if rose:  # a limit that rises with what is used of it: keep looking, but not so fast that it resists
            self._every, self._is_fine = 0.5 * constants.pulse_first, False
            self._coarse = max(1.2, 1.0 + 0.8 * (self._coarse - 1.0))
        else:
            most = constants.pulse_moving if moving else constants.pulse_most
            self._every = min(max(self._every, constants.pulse_first) * 1.6, most)
            self._coarse, self._is_fine = constants.pulse_height, not self._is_fine
        return rose

    # --- headers -----------------------------------------------------------------------------------------------------

    def tell(self, quota: Quota, now: float, *, most: float) -> None:
        """What a reply's headers say: believed as a start, then served by what remains.

        This needs no knowledge of how the provider charges: it looks for the rate at which some of it remains, up to
        `most` times the limit.
        """
        limit, period_s = quota.limit or 0.0, quota.period_s or 60.0
        if not self.told or limit != self._limit:
            self.rate = 0.98 * limit / period_s if not self.told else self.rate * limit / self._limit
            self.measured, self._limit, self.told, self._served = limit / period_s, limit, True, now
            self._pulse_at = None
            return
        if quota.remaining is None or now - self._served < 5.0:
            return
        share = quota.remaining / limit
        self._top = max(self._top * 0.999, share)
        left = share / max(self._top, 1e-6)
        if left < 0.10:
            self.rate *= 0.93 if left < 0.04 else 0.975
        elif now - self.binding < 3.0 and left > 0.35:
            self.rate = min(self.rate * (1.12 if left > 0.7 else 1.04), max(self.rate, most * limit / period_s))
        else:
            return
        self._served = now
