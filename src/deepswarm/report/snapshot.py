"""One moment of a run, as every watcher is shown it: a frozen record, and what its numbers mean in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from deepswarm.core.events import PaceChanged
from deepswarm.report.words import duration

LEAVING: Final = "leaving"
"""The call is written down and waits for its turn."""
WAITING: Final = "waiting"
"""It has left; nothing of its reply has come."""
WRITING: Final = "writing"
"""Its reply is being written."""
STALLED_S: Final = 120.0
"""A run that goes on but has heard of no call for so long, and for STALLED_TIMES its mean call, is stalled."""
STALLED_TIMES: Final = 5.0


class OldCall(NamedTuple):
    """A call under way: its number, its seed's, which try, of which tier, what it does, and for how many seconds."""

    call: int
    seed: int
    attempt: int
    tier: int
    phase: str
    age_s: float


class Pause(NamedTuple):
    """A pause: its reason in one word and in many, for how many seconds, and when it ends if that is known."""

    label: str
    why: str
    for_s: float
    wakes_utc: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a run stands. seeds = done + rejected + failed + in_flight + retrying + queued, at every moment.

    Attributes:
        utc: The moment, seconds since 1970.
        phase: new, running, paused, finished, interrupted, refused, or died (its process ended without a word);
            "paused" of a run that has ended says that it can go on later.
        sessions: How many times a process took the run up.
        simulated: No model is asked.
        began_utc: When the newest session began; `session_s` is for how long it has been at work.
        in_flight: Seeds with a call under way.
        retrying: Seeds that were asked in vain and wait to be asked again.
        queued: Seeds that wait for their first call.
        kept: Records that the filters kept; None while they have not run.
        failures: (class, seeds) of rejected and failed seeds, the largest first; their sum is rejected + failed.
        problems: (class, calls) of calls without a usable reply, the largest first.
        calls: Calls that left and have ended, `calls_in_flight` those under way (of other tiers, too).
        maybe_billed: Calls that may have been billed although nothing usable came.
        tokens_in: As the provider counted them; `tokens_out` likewise.
        seeds_per_s: Over the last minute, as are all rates; `tokens_per_s` counts answers.
        call_s: Mean seconds of this session's calls; None before the first one ended.
        eta_s: (shortest, longest) seconds until the end; None while nobody can say.
        pace: What the pace has said last; None while it has not.
        paused: The pause under way, if there is one.
        spent: US dollars of all calls whose price is known, exact; `unpriced` calls come on top.
        oldest: At most five calls, the oldest first.
        quiet_s: Seconds since a call has ended.
        why: Why the run ended, in words; empty while it goes on.
    """

    utc: float
    phase: str
    sessions: int
    simulated: bool
    began_utc: float
    session_s: float
    seeds: int
    done: int
    rejected: int
    failed: int
    in_flight: int
    retrying: int
    queued: int
    kept: int | None
    failures: tuple[tuple[str, int], ...]
    problems: tuple[tuple[str, int], ...]
    calls: int
    calls_in_flight: int
    maybe_billed: int
    tokens_in: int
    tokens_out: int
    seeds_per_s: float
    calls_per_s: float
    tokens_in_per_s: float
    tokens_per_s: float
    call_s: float | None
    eta_s: tuple[float, float] | None
    pace: PaceChanged | None
    paused: Pause | None
    spent: Decimal
    unpriced: int
    oldest: tuple[OldCall, ...]
    quiet_s: float
    why: str

    @property
    def ended(self) -> int:
        """Seeds that have an outcome."""
        return self.done + self.rejected + self.failed

    @property
    def left(self) -> int:
        """Seeds that have none, those under way among them."""
        return self.in_flight + self.retrying + self.queued

    @property
    def limit(self) -> str:
        """What limits the run now, in words: "held at 212: refused at 213", "paused until 14:05 UTC: out_of_funds"."""
        if self.paused is not None:
            return pause_words(self.paused)
        if self.pace is None:
            return ""
        return f"{self.pace.limit:,} at once: {self.pace.why}"

    @property
    def stalled(self) -> bool:
        """Whether calls are under way and none has ended for far too long, and no pause says why."""
        patience = max(STALLED_S, STALLED_TIMES * (self.call_s or 0.0))
        return self.phase == "running" and self.calls_in_flight > 0 and self.quiet_s > patience

    @property
    def forecast(self) -> tuple[Decimal, Decimal] | None:
        """(least, most) US dollars of the whole run, if the seeds left cost as those that ended; None while unknown.

        The mean of the costs is blurred by the count of seeds that it rests on: 1 / sqrt(n), at most a half.
        """
        if not self.left:
            return self.spent, self.spent
        if self.ended < 2 or not self.spent:
            return None
        rest = self.spent / self.ended * self.left
        blur = Decimal(min(0.5, self.ended**-0.5))
        return self.spent + rest * (1 - blur), self.spent + rest * (1 + blur)


def pause_words(pause: Pause) -> str:
    """A pause in words: until when, if that is known, or since when; and why."""
    if pause.wakes_utc is not None:
        until = datetime.fromtimestamp(pause.wakes_utc, UTC)
        return f"paused until {until:%H:%M} UTC: {pause.label}: {pause.why}"
    return f"paused for {duration(pause.for_s)}: {pause.label}: {pause.why}"


def eta(
    left: int, flying: int, ended: int, session_s: float, seeds_per_s: float, called_s: float, longest_s: float
) -> tuple[float, float] | None:
    """Seconds until the end as a range; None while unknown.

    Three paces are known: the last minute's, the whole session's, and what is in flight divided by the mean duration
    of a call (Little's law), which is right from the first calls on. The fastest gives the start of the range, for the
    seeds whose calls have not begun; the slowest gives its end, for all seeds left, and the longest call so far comes
    on top, because the last calls have to end as well. The statistical error of a count, 1 / sqrt(n), widens both.

    Args:
        left: Seeds without an outcome, those in flight among them.
        flying: Seeds in flight.
        ended: Seeds that this session brought to an outcome.
        session_s: Seconds since it began.
        seeds_per_s: Seeds a second of the last minute.
        called_s: Sum of the durations of this session's calls, in seconds.
        longest_s: The longest of them.
    """
    if ended < 2:
        return None
    whole = ended / session_s if session_s > 0 else 0.0
    flowing = flying * ended / called_s if called_s > 0 else 0.0
    paces = [pace for pace in (whole, seeds_per_s, flowing) if pace > 0]
    if not paces:
        return None
    blur = 1.0 / ended**0.5
    shortest, longest = max(0, left - flying) / max(paces), left / min(paces)
    return shortest * (1 - min(blur, 0.5)), longest * (1 + blur) + longest_s
