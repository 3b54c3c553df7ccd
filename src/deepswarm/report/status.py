"""What `deepswarm status` says: a few lines for people, or one JSON object of at most a kilobyte for agents. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deepswarm.report.progress import spending
from deepswarm.report.snapshot import Snapshot
from deepswarm.report.words import duration, plain

MOST_BYTES: Final = 1024
"""Of the JSON object; what has no room is left out or cut, the counters never."""
WORDS: Final = 160
"""Most characters of a text in it, at first."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a run stands, and who is at work on it.

    Attributes:
        folder: Its output folder.
        seen: How it stands.
        pid: The process at work on it; None when there is none.
        waiting: Commands in its inbox that nobody has taken.
        keys: Of the seeds of its oldest calls, by their numbers.
    """

    folder: str
    seen: Snapshot
    pid: int | None
    waiting: int
    keys: Mapping[int, str]

    @property
    def next(self) -> str:
        """The next sensible command; empty when nothing is left to do."""
        seen = self.seen
        if self.pid is not None:
            if seen.paused is not None and seen.paused.label == "user":
                return f"deepswarm resume {self.folder}"
            return f"deepswarm wait {self.folder} --until done --timeout 600"
        if seen.left:
            return "deepswarm run"
        if seen.failed + seen.rejected:
            return "deepswarm run --retry-failed"
        return ""

    def text(self) -> str:
        """For people."""
        seen = self.seen
        who = f"process {self.pid}" if self.pid is not None else "no process is at work"
        rows = [
            f"{_phase(seen)}{' (SIMULATED)' if seen.simulated else ''}: {self.folder}, session {seen.sessions}, {who}",
            f"  seeds     {seen.seeds:,} = {seen.done:,} done + {seen.rejected:,} rejected + {seen.failed:,} failed "
            f"+ {seen.in_flight:,} in flight + {seen.retrying:,} retrying + {seen.queued:,} queued",
        ]
        if seen.kept is not None:
            rows.append(f"  kept      {seen.kept:,} by the filters")
        if self.pid is not None:
            rows.append(
                f"  rates     {seen.calls_per_s:.3g} calls/s, {seen.tokens_per_s:,.0f} tokens/s out, "
                f"{seen.tokens_in_per_s:,.0f} in"
            )
        rows += self._limits()
        if seen.failures:
            rows.append(f"  failed    {_listed(seen.failures)}")
        if seen.problems:
            rows.append(f"  in vain   {_listed(seen.problems)}")
        if seen.spent or seen.unpriced:
            rows.append(f"  money     {spending(seen)}{_unpriced(seen)}")
        if seen.eta_s is not None and seen.left and self.pid is not None:
            rows.append(f"  left      {duration(seen.eta_s[0])} to {duration(seen.eta_s[1])}")
        for call in seen.oldest:
            key = self.keys.get(call.seed, str(call.seed))
            rows.append(f"  oldest    {call.phase} for {duration(call.age_s)}: seed {key}, try {call.attempt}")
        if self.waiting:
            rows.append(f"  inbox     {self.waiting} commands wait{'' if self.pid else ' for the next start'}")
        if self.next:
            rows.append(f"  next      {self.next}")
        return "\n".join(plain(row) for row in rows)

    def _limits(self) -> list[str]:
        seen = self.seen
        if self.pid is None:
            return [f"  ended     {seen.why}"] if seen.why else []
        rows = [f"  limit     {seen.limit}"] if seen.limit else []
        if seen.stalled:
            rows.append(f"  stalled   no call has ended for {duration(seen.quiet_s)}")
        return rows

    def compact(self) -> bytes:
        """For agents: one JSON object, at most MOST_BYTES long, that ends with a line end."""
        for words, classes, calls in ((WORDS, 6, 5), (WORDS, 4, 3), (80, 4, 1), (40, 3, 0), (16, 1, 0), (0, 0, 0)):
            text = json.dumps(self._fields(words, classes, calls), separators=(",", ":")).encode() + b"\n"
            if len(text) <= MOST_BYTES:
                return text
        return json.dumps(self._counters(), separators=(",", ":")).encode() + b"\n"

    def _counters(self) -> dict[str, Any]:
        seen = self.seen
        names = ("seeds", "done", "rejected", "failed", "in_flight", "retrying", "queued", "calls")
        return {"phase": seen.phase, "pid": self.pid, **{name: getattr(seen, name) for name in names}}

    def _fields(self, words: int, classes: int, calls: int) -> dict[str, Any]:
        """The object, with texts of at most so many characters, so many classes of failures, and so many calls."""
        seen = self.seen
        found: dict[str, Any] = {
            "run": _cut(self.folder, words),
            **self._counters(),
            "simulated": seen.simulated,
            "kept": seen.kept,
            "failures": {_cut(name, 24): count for name, count in seen.failures[:classes]},
            "problems": {_cut(name, 24): count for name, count in seen.problems[:classes]},
            "calls_per_s": _short(seen.calls_per_s),
            "tokens_per_s": _short(seen.tokens_per_s),
            "tokens": [seen.tokens_in, seen.tokens_out],
            "limit": None if seen.pace is None else seen.pace.limit,
            "why": _cut(seen.why or seen.limit, words),
            "stalled": seen.stalled,
            "spent_usd": format(round(seen.spent, 9).normalize(), "f"),
            "unpriced": seen.unpriced,
            "forecast_usd": None if seen.forecast is None else [_short(float(amount)) for amount in seen.forecast],
            "eta_s": None if seen.eta_s is None else [_short(seconds) for seconds in seen.eta_s],
            "oldest": [
                {"id": _cut(self.keys.get(call.seed, str(call.seed)), 24), "does": call.phase, "s": _short(call.age_s)}
                for call in seen.oldest[:calls]
            ],
            "inbox": self.waiting,
            "next": _cut(self.next, max(words, 40)),
        }
        return {name: value for name, value in found.items() if value not in (None, "", [], {})}


def _phase(seen: Snapshot) -> str:
    return "stalled" if seen.stalled else seen.phase


def _listed(counts: tuple[tuple[str, int], ...]) -> str:
    more = f", and {len(counts) - 6} more classes" if len(counts) > 6 else ""
    return ", ".join(f"{count:,} {name}" for name, count in counts[:6]) + more


def _unpriced(seen: Snapshot) -> str:
    return f", and {seen.unpriced:,} calls whose price or size nobody knows" if seen.unpriced else ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"


def _short(number: float) -> float:
    return float(f"{number:.3g}")
