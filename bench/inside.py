"""A whole run with somebody inside who watches the event loop: its lag, CPU and memory as the run goes on.

    inside.py TASK SECONDS_BETWEEN_LOOKS

Prints one JSON object: `looks` are [calls ended, CPU seconds, resident MB] at each look, `lag_ms` the 50th, 99th and
100th percentile of how late a timer of 10 ms fired.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from deepswarm.cli.provider import connections, real_provider
from deepswarm.engine.clock import running_clock
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.pipeline import Surroundings, Wishes, run
from deepswarm.report.state import State
from deepswarm.taskfile import load, resolve

EVERY_S = 0.01


class Watcher:
    """A screen that shows nothing and looks at the process instead."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.looks: list[tuple[int, float, float]] = []
        self.lags: list[float] = []

    def say(self, text: str) -> None:
        """See `Screen.say`; on standard error, where it is not in the way."""
        print(text, file=sys.stderr)

    async def follow(self, state: State, now: Callable[[], float]) -> None:
        """See `Screen.follow`."""
        looked = now()
        while True:
            begun = now()
            await asyncio.sleep(EVERY_S)
            self.lags.append(now() - begun - EVERY_S)
            if now() - looked >= self.every_s:
                looked = now()
                self.look(state)

    def look(self, state: State) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        resident_mb = pages * resource.getpagesize() / 1024 / 1024
        self.looks.append((state.now.calls, used.ru_utime + used.ru_stime, round(resident_mb, 2)))


def main() -> None:
    task = load(Path(sys.argv[1]), ())
    watcher = Watcher(float(sys.argv[2]))
    around = Surroundings(running_clock, time.time, random.random, uvloop.run, "inside.py", connections())
    folder = RunFolder(resolve(task, task.spec.output_dir))
    summary = run(task, folder, Wishes(), real_provider(task, None, None), watcher, around)
    lags = sorted(watcher.lags)
    share: Any = {f"p{at}": round(lags[min(len(lags) - 1, len(lags) * at // 100)] * 1e3, 2) for at in (50, 99, 100)}
    print(json.dumps({"how": summary.how.value, "done": summary.totals.done, "lag_ms": share, "looks": watcher.looks}))


if __name__ == "__main__":
    main()
