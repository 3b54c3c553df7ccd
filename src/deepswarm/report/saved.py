"""The summary's fold as a short text, which the journal keeps: who opens a run of a million seeds reads that. Pure.

It is derived: what cannot be read, or was written by another version, is folded anew from the events.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import asdict, fields
from decimal import Decimal
from typing import Any, Final

from deepswarm.core.events import CallStarted, PaceChanged, RunEnded, RunPaused
from deepswarm.report.state import Counts, Mark, Session, State

NAME: Final = "state"
"""Under which the journal keeps it."""
VERSION: Final = 1


def saved(state: State) -> str:
    """The fold as JSON text: some kilobytes, and 60 bytes for each call under way."""
    spent, unpriced = state.money()
    return json.dumps(
        {
            "version": VERSION,
            "number": state.number,
            "seeds": state.seeds,
            "before": _values(state.before),
            "now": _values(state.now),
            "began": state.began,
            "over": None if state.over is None else asdict(state.over),
            "paused": None if state.paused is None else asdict(state.paused),
            "pace": None if state.pace is None else asdict(state.pace),
            "bound": [[seconds, asdict(pace)] for seconds, pace in state.bound.values()],
            "spent": str(spent),
            "unpriced": unpriced,
            "open": list(state.open.values()),
            "left_at": list(state.left_at.items()),
            "writing": list(state.writing),
            "tried": list(state.tried),
            "asking": list(state.asking.items()),
            "marks": list(state.marks),
            "last": state.last,
            "heard_at": state.heard_at,
        },
        separators=(",", ":"),
    )


def restored(text: str | None) -> State | None:
    """The fold that was saved; None when there is none, or when it cannot be used."""
    if text is None:
        return None
    try:
        values = json.loads(text)
        return _restored(values) if values["version"] == VERSION else None
    except (ValueError, TypeError, KeyError, ArithmeticError):
        return None


def _restored(values: dict[str, Any]) -> State:
    return State(
        seeds=values["seeds"],
        before=_counts(values["before"]),
        now=_counts(values["now"]),
        number=values["number"],
        began=None if values["began"] is None else Session(*values["began"]),
        over=None if values["over"] is None else RunEnded(**values["over"]),
        paused=None if values["paused"] is None else RunPaused(**values["paused"]),
        pace=None if values["pace"] is None else PaceChanged(**values["pace"]),
        bound={pace["what"]: (seconds, PaceChanged(**pace)) for seconds, pace in values["bound"]},
        spent=Decimal(values["spent"]),
        unpriced=values["unpriced"],
        open={row[2]: CallStarted(*row) for row in values["open"]},
        left_at=dict(values["left_at"]),
        writing=set(values["writing"]),
        tried=set(values["tried"]),
        asking=Counter(dict(values["asking"])),
        marks=deque(Mark(*row) for row in values["marks"]),
        last=(values["last"][0], values["last"][1]),
        heard_at=values["heard_at"],
    )


def _values(counts: Counts) -> dict[str, Any]:
    return {field.name: getattr(counts, field.name) for field in fields(counts)}


def _counts(values: dict[str, Any]) -> Counts:
    counts = Counts(**values)
    counts.failures, counts.problems = Counter(counts.failures), Counter(counts.problems)
    return counts
