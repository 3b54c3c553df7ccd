"""How long a report takes and how large it is: a journal of so many made-up seeds, and `deepswarm report`.

python bench/report.py make RUN --seeds 1000000     writes the journal; nothing is asked
python bench/report.py report RUN                   seconds, peak of memory, sizes of the three files
python bench/report.py view RUN                     seconds of the live page's answers while it reads, and after
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from deepswarm.core.events import CallEnded, CallStarted, Event, PaceChanged, RunEnded, RunStarted, SeedEnded
from deepswarm.core.identity import content_of
from deepswarm.core.records import Incoming, Outcome, Usage
from deepswarm.engine.folder import RunFolder
from deepswarm.journals.sqlite import SqliteJournal

BATCH = 20_000
TASK = {
    "prompt_template": "Write three sentences on {{topic}}.",
    "worker_model": "deepseek-flash",
    "worker_api_base": "https://api.deepseek.com/v1",
}
STORY = "The tide came in before anybody had asked for it, and left with what it liked. " * 8


def make(folder: Path, seeds: int) -> None:
    """Write the journal of a run of so many seeds, a few hundred calls at once, 1 % refusals and 1 % failures."""
    RunFolder(folder).make()
    journal = SqliteJournal(RunFolder(folder).journal)
    fields = ({"id": f"tide-{number}", "topic": f"tide {number}"} for number in range(seeds))
    journal.enrol((Incoming(each["id"], content_of(each), -1, 0, 1) for each in fields), None)
    asyncio.run(written(journal, history(seeds)))
    calls = journal.totals().calls
    journal.close()
    print(f"{seeds:,} seeds, {calls:,} calls: {journal.path} ({journal.path.stat().st_size / 1e6:,.0f} MB)")


async def written(journal: SqliteJournal, events: Iterator[Event]) -> None:
    keeper = asyncio.create_task(journal.keep())
    while batch := list(islice(events, BATCH)):
        await journal.append(batch)
    keeper.cancel()


def history(seeds: int) -> Iterator[Event]:
    chance = random.Random(1)
    utc, at, call = 1_800_000_000.0, 0.0, 0
    yield RunStarted(utc, at, 1, "f", json.dumps(TASK), "bench", simulated=False)
    for seed in range(1, seeds + 1):
        at += 0.08
        took = chance.lognormvariate(3.5, 0.3)
        if seed % 100 == 0:
            call += 1
            yield CallStarted(utc + at, at, call, seed, 1)
            yield refused(utc, at + 0.3, call, seed)
            limit = 450 + seed // 100 % 50
            yield PaceChanged(utc + at, at, limit, 440, "concurrency", "429s held it", 100, 1, call_s=30.0)
        call += 1
        yield CallStarted(utc + at, at, call, seed, 1)
        yield from ended(utc, at, call, seed, took, chance, good=seed % 100 != 1)
    yield RunEnded(utc + at, at, 1, "finished", "")


def refused(utc: float, at: float, call: int, seed: int) -> CallEnded:
    return CallEnded(utc + at, at, call, seed, "throttled", "too many at once", 429)


def ended(utc: float, at: float, call: int, seed: int, took: float, chance: random.Random, *, good: bool) -> list:
    """The end of a call, and of its seed."""
    usage = Usage(chance.randrange(80, 200), chance.randrange(100, 1500), 64, 0)
    text = STORY if good else ""
    body = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "model": "m"}).encode()
    label, outcome = ("ok", Outcome.DONE) if good else ("declined", Outcome.FAILED)
    payload = json.dumps({"id": f"tide-{seed - 1}", "topic": f"tide {seed - 1}"}).encode()
    reason = "" if good else "the model declined"
    return [
        CallEnded(utc + at, at, call, seed, label, reason, 200, "stop", "m", usage, False, "", body),
        SeedEnded(utc + at, at, seed, call, outcome, label, reason, 1, at - took, payload),
    ]


def fold(folder: Path) -> None:
    """Seconds of the fold alone."""
    from deepswarm.report.figures import Figures

    journal = SqliteJournal(RunFolder(folder).journal, readonly=True)
    figures = Figures()
    began = time.process_time()
    for _, events in journal.skim():
        figures.watch(events)
    print(f"fold: {time.process_time() - began:.1f} s of CPU for {journal.totals().last_event:,} events")


def report(folder: Path) -> None:
    """Seconds, memory and sizes of `deepswarm report`."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "deepswarm", "report", str(folder)], check=True)
    seconds = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"report: {seconds:.1f} s ({used.ru_utime + used.ru_stime:.1f} s of CPU), peak {used.ru_maxrss / 1e3:.0f} MB")
    for name in ("report.html", "report.md", "summary.json"):
        print(f"{name:<13} {(folder / name).stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "fold", "report"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=1_000_000)
    wish = parser.parse_args()
    if wish.what == "make":
        make(wish.folder, wish.seeds)
    else:
        {"fold": fold, "report": report}[wish.what](wish.folder)


if __name__ == "__main__":
    main()
