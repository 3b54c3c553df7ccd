"""The standard job: what every scenario of the catalogue is run with, and what must hold when it has ended.

It is the job of the failure catalogue, smaller: every seed has an id of its own, a twentieth of the prompts are equal
to others on purpose, and deadlines are a sixtieth of those in earnest. Every prompt holds a marker, [[id:...]], which
the simulated provider repeats in its answer, so that an answer says whose it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from deepswarm.core.events import CallEnded, RunPaused
from deepswarm.core.records import Json, Record
from deepswarm.testing.builders import Rehearsal

SEEDS: Final = 200
KEYS: Final[Mapping[str, Any]] = MappingProxyType(
    {"workers": 64, "call_timeout": 10.0, "first_token_timeout": 10.0, "stall_timeout": 2.0}
)
"""Keys of the job's task file."""
_UNSENT: Final = "unsent"
"""The label of a call whose intent was written and which never left."""
_MARKER: Final = re.compile(r"\[\[id:[^\]]+\]\]")


def job_seeds(count: int = SEEDS) -> list[dict[str, Json]]:
    """The job's seeds: s0, s1, ...; those of the last twentieth ask what others ask, half the file before."""
    twins = count // 20
    return [
        {"id": f"s{n}", "prompt": f"[[id:{n - count // 2 if n >= count - twins else n}]] say something"}
        for n in range(count)
    ]


def broken(run: Rehearsal, count: int = SEEDS) -> list[str]:
    """What must hold at the end of every run and does not, as sentences; nothing when all is well.

    Args:
        run: Of `job_seeds(count)`, with all its sessions.
        count: How many seeds there are.
    """
    return [what for what, holds in _conditions(run, count) if not holds]


def _conditions(run: Rehearsal, count: int) -> list[tuple[str, bool]]:
    totals, account = run.summary.totals, run.provider.counts()
    ids = Counter(record["id"] for record in run.results + run.failed)
    known = {seed["id"] for seed in job_seeds(count)}
    unknown = [event for event in problems(run) if not event.detail.strip()]
    silent = [record for record in run.failed if not record["reason"] or not record["class"]]
    return [
        ("every seed is known", ids.keys() <= known),
        ("no seed has two records", set(ids.values()) <= {1}),
        ("every seed has a record or is left", len(ids) + totals.left == totals.seeds == count),
        ("the totals add up", totals.done + totals.rejected + totals.failed + totals.left == totals.seeds),
        ("calls are the requests that the provider received", len(sent(run)) == account.received),
        ("no call is open", account.in_flight == 0 and not run.journal.open_calls()),
        ("every failed call says why", not unknown),
        ("every failed seed says why", not silent),
    ]


def sent(run: Rehearsal) -> list[CallEnded]:
    """The ends of all calls that left, in order."""
    return [event for event in run.journal.events if isinstance(event, CallEnded) and event.label != _UNSENT]


def problems(run: Rehearsal) -> list[CallEnded]:
    """The ends of all calls that left and gave no usable reply."""
    return [event for event in sent(run) if event.label != "ok"]


def pauses(run: Rehearsal) -> set[str]:
    """Why the run paused: the labels of all pauses."""
    return {event.label for event in run.journal.events if isinstance(event, RunPaused)}


def most_requests(run: Rehearsal) -> int:
    """The most calls that one seed took."""
    return max(Counter(event.seed for event in sent(run)).values(), default=0)


def strangers(run: Rehearsal) -> list[str]:
    """The ids of the answers that are somebody else's, in alphabetical order."""
    return sorted(str(record["id"]) for record in run.results if not _is_own(record))


def reported_tokens(run: Rehearsal) -> tuple[int, int]:
    """Tokens in and out that the client was told of."""
    ends = sent(run)
    return sum(e.usage.tokens_in or 0 for e in ends), sum(e.usage.tokens_out or 0 for e in ends)


def _is_own(record: Record) -> bool:
    """Whether an answer repeats the marker of the prompt that its own seed holds."""
    seed = record["seed"]
    assert isinstance(seed, dict)  # noqa: S101 - a record holds the fields of its seed
    asked, said = _MARKER.search(str(seed["prompt"])), _MARKER.search(str(record["answer"]))
    return asked is not None and said is not None and asked[0] == said[0]
