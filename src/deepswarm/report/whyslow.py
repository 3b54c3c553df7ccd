"""Why a run is not faster: what binds, with its evidence, and what relaxing it would give. Pure.

By Little's law calls at once = calls a second * seconds of a call, however the seconds are made up: so the rate is told
from the limit and the call, and what a wider limit would give follows from the same law.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from deepswarm.core.events import PaceChanged

DISK: Final = 0.25
"""From this share of a call's time on it is the disk that binds."""


def binding(pace: PaceChanged) -> str:
    """What binds, in one sentence with its evidence, and what relaxing it would give."""
    call_s, disk_s = pace.call_s, pace.disk_s
    if call_s > 0.0 and disk_s > DISK * call_s:
        return (
            f"the disk binds: results wait {disk_s:.3g} s for it, calls take {call_s:.3g} s; "
            "a faster disk for output_dir would give up to "
            f"{(call_s + disk_s) / call_s:.2g} times as many"
        )
    relaxed = _RELAXED.get(pace.what)
    parts = [pace.why]
    if call_s > 0.0:
        parts.append(_call(pace))
        if relaxed is not None:
            parts.append(relaxed(pace))
    return "; ".join(part for part in parts if part)


def _call(pace: PaceChanged) -> str:
    """What a call's time is made of."""
    if pace.first_s is None:
        return f"a call takes {pace.call_s:.3g} s"
    writing_s = max(0.0, pace.call_s - pace.first_s)
    return f"a call takes {pace.call_s:.3g} s: {pace.first_s:.3g} to its first token, {writing_s:.3g} writing"


def _wider(pace: PaceChanged) -> str:
    rate = pace.limit / pace.call_s
    return f"{pace.limit:,} / {pace.call_s:.3g} s = {rate:.3g} calls/s; twice the limit would give {2 * rate:.3g}"


def _written(pace: PaceChanged) -> str:
    return f"{_wider(pace)}, if the provider allows it: raise workers, or leave the pace to us (workers: auto)"


def _rate(pace: PaceChanged) -> str:
    if pace.waited_s < 0.1:
        return ""
    return f"calls wait {pace.waited_s:.3g} s for their turn; only a higher limit at the provider gives more"


def _queue(pace: PaceChanged) -> str:
    del pace
    return "more calls at once would only wait longer there"


def _cooling(pace: PaceChanged) -> str:
    del pace
    return "it goes on by itself"


def _machine(pace: PaceChanged) -> str:
    return f"{_wider(pace)}: raise ulimit -n, or run on several machines"


_RELAXED: Final[Mapping[str, Callable[[PaceChanged], str]]] = {
    "concurrency": _wider,
    "requests": _rate,
    "tokens": _rate,
    "queue": _queue,
    "plateau": _queue,
    "cool-down": _cooling,
    "user": _written,
    "machine": _machine,
}
"""What relaxing it would give, by the word of the pace's reason; a search relaxes it by itself."""
