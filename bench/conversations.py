"""Conversations: what they cost in memory, and what a kill -9 costs them.

conversations.py flight [--seeds 10000] [--turns 20] [--workers 500]   in virtual time, a process of its own
conversations.py kills  [--kills 100] [--seeds 300]                    a real run, killed at random moments
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LAW = "[latency]\nmedian_s = {median}\nsigma = 0.7\n[tokens]\nmedian = 40\n"
TURNS_OF_A_KILLED_RUN = 6


# --- memory ----------------------------------------------------------------------------------------------------------


def flight(seeds: int, turns: int, workers: int) -> None:
    """So many conversations of so many turns in virtual time, with the journal on disk."""
    from deepswarm.core.section import section_of
    from deepswarm.core.spec import TaskSpec
    from deepswarm.dialects import openai_chat
    from deepswarm.engine.answers import Answers
    from deepswarm.engine.clock import virtual_clock
    from deepswarm.engine.output import ResultFiles
    from deepswarm.engine.pipeline import Dispatch, Provider, Surroundings
    from deepswarm.journals.sqlite import SqliteJournal
    from deepswarm.simulator import virtual_time
    from deepswarm.simulator.law import load_law
    from deepswarm.simulator.provider import SimulatedProvider
    from deepswarm.tasks import made
    from deepswarm.testing.builders import START_UTC, SeedList, SilentScreen
    from deepswarm.transports.simulated import SimulatedTransport

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "law.toml").write_text(LAW.format(median=1.0))
        spec = section_of(
            TaskSpec,
            {
                "prompt_template": "{{prompt}}",
                "worker_model": "mock",
                "multi_turn": True,
                "max_turns": turns,
                "follow_up": {"template": "Question {{turn}}?"},
                "workers": workers,
                "stagger": 0.0,
                "stream": False,
            },
        )
        kind = made(spec)
        journal = SqliteJournal(folder)
        seed_list = SeedList([{"id": f"s{n}", "prompt": f"[[id:{n}]] go"} for n in range(seeds)])
        enrolment = journal.enrol(seed_list.incoming(), None)
        provider = SimulatedProvider(load_law(folder / "law.toml"), keep_rows=0)
        output = ResultFiles(folder, journal, Answers(openai_chat, kind), 10)
        dispatch = Dispatch(
            spec,
            kind,
            journal,
            seed_list,
            output,
            openai_chat,
            Provider(lambda: SimulatedTransport(provider), simulated=True),
            SilentScreen(),
            Surroundings(
                lambda: virtual_clock(START_UTC), lambda: START_UTC, random.Random(1).random, virtual_time.run, "run"
            ),
        )
        before = _peak_mib()
        began = time.perf_counter()
        summary = virtual_time.run(dispatch.run(enrolment))
        took = time.perf_counter() - began
        output.close()
        calls = provider.counts().received
        journal.close()
        lines = sum(1 for _ in (folder / "results.jsonl").open("rb"))
        size = (folder / "journal.sqlite").stat().st_size
        print(
            f"{seeds:,} conversations of {turns} turns, {workers} at once: {lines:,} results, {calls:,} calls, "
            f"{summary.seconds / 3600:.1f} h simulated in {took:.0f} s ({took / calls * 1e6:.0f} us a call)"
        )
        print(f"peak memory {before:.0f} MiB before, {_peak_mib():.0f} MiB after; journal {size / 2**20:.0f} MiB")


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- kills -----------------------------------------------------------------------------------------------------------


TASK = """\
prompt_template: "{{{{prompt}}}}"
worker_model: mock
worker_api_base: {address}/v1
api_key_env: none
workers: 24
stagger: 0
pace: fixed
multi_turn: true
max_turns: 20
follow_up:
  texts: ["Why?", "And then?"]
tools:
  - name: weather
    parameters: {{type: object, required: [city], properties: {{city: {{type: string}}}}}}
tool_responses:
  weather: {{function: "tools.py:weather"}}
"""
TOOLS = "def weather(city):\n    return {'sky': 'grey', 'over': city}\n"


def kills(count: int, seeds: int, chance_seed: int) -> dict[str, int]:
    """Kill a multi-turn run with tools so many times; afterwards let it end, and count what was asked twice."""
    chance = random.Random(chance_seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [json.dumps({"id": f"s{n}", "prompt": f"[[id:{n}]] go"}) for n in range(seeds)]
        (folder / "seeds.jsonl").write_text("\n".join(lines) + "\n")
        (folder / "tools.py").write_text(TOOLS)
        with _provider(folder) as address:
            task = folder / "task.yaml"
            task.write_text(TASK.format(address=address))
            told: Counter[tuple[str, int]] = Counter()
            in_flight = 0
            for _ in range(count):
                _kill(task, address, chance, max(2, seeds * TURNS_OF_A_KILLED_RUN // count))
                finished, flying = _look(folder)
                lost = [turn for turn in told if turn not in finished]
                assert not lost, f"finished turns are gone: {lost[:5]}"
                told, in_flight = finished, in_flight + flying
            process = _start(task)
            _, errors = process.communicate(timeout=600)
            assert process.returncode == 0, errors.decode()
            finished, _ = _look(folder)
            served = _json(f"{address}/_counts")["served"]
        twice = sum(times - 1 for times in finished.values())
        rows = [json.loads(line) for line in (folder / "output" / "results.jsonl").read_bytes().splitlines()]
        assert Counter(row["id"] for row in rows) == Counter(f"s{n}" for n in range(seeds))
        assert {row["turns"] for row in rows} == {TURNS_OF_A_KILLED_RUN}
        return {
            "kills": count,
            "turns": sum(finished.values()),
            "finished_turns_asked_again": twice,
            "in_flight_at_kills": in_flight,
            "paid_beyond": served - seeds * TURNS_OF_A_KILLED_RUN,
        }


def _look(folder: Path) -> tuple[Counter[tuple[str, int]], int]:
    """How often each turn was finished, by seed, as the journal tells it; and the calls that were in flight."""
    from deepswarm.core.errors import JournalError
    from deepswarm.core.events import TurnNoted
    from deepswarm.journals.sqlite import SqliteJournal

    finished: Counter[tuple[str, int]] = Counter()
    try:
        journal = SqliteJournal(folder / "output" / "journal", readonly=True)
    except JournalError:
        return finished, 0
    for event in journal.replay():
        if isinstance(event, TurnNoted) and event.kind == "said":
            finished[str(event.seed), event.turn] += 1
    flying = len(journal.open_calls())
    journal.close()
    return finished, min(flying, 24)


def _kill(task: Path, address: str, chance: random.Random, most: int) -> None:
    process = _start(task)
    target = _json(f"{address}/_counts")["served"] + chance.randrange(most)
    while process.poll() is None and _json(f"{address}/_counts")["served"] < target:
        pass
    os.kill(process.pid, signal.SIGKILL) if process.poll() is None else None
    _, errors = process.communicate()
    assert process.returncode in {-signal.SIGKILL, 0}, errors.decode()


def _start(task: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "deepswarm", "run", str(task), "--quiet", "--no-memory"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@contextmanager
def _provider(folder: Path) -> Iterator[str]:
    law = folder / "law.toml"
    law.write_text(LAW.format(median=0.02))
    command = [sys.executable, "-m", "deepswarm", "simulate", "--law", str(law), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().removesuffix("/v1")
        finally:
            process.terminate()


def _json(address: str) -> Any:
    import urllib.request

    with urllib.request.urlopen(address, timeout=10) as reply:
        return json.load(reply)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["flight", "kills"])
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--chance", type=int, default=1)
    given = parser.parse_args()
    if given.what == "flight":
        flight(given.seeds or 10_000, given.turns, given.workers)
    else:
        print(json.dumps(kills(given.kills, given.seeds or 300, given.chance)))


if __name__ == "__main__":
    main()
