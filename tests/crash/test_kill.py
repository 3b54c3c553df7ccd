"""kill -9 of a real process with a real journal, against a provider that counts on the other side of real sockets.

After every kill the journal is read as the crash left it. At the end: exactly one result a seed, each the answer to its
own seed; nothing that was durable was asked again; and no more was paid twice than was in flight at the kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepswarm.core.records import Outcome
from deepswarm.journals.sqlite import SqliteJournal

WORKERS = 32
SEEDS = 1_200
LAW = """\
[latency]
median_s = 0.02
sigma = 0.7
[tokens]
median = 40
"""


@contextmanager
def provider(folder: Path):
    """The simulated provider as a server; yields its address."""
    law = folder / "law.toml"
    law.write_text(LAW)
    command = [sys.executable, "-m", "deepswarm", "simulate", "--law", str(law), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process.stdout.readline().strip().removesuffix("/v1")
        finally:
            process.terminate()


def counts(address: str) -> dict[str, int]:
    with urllib.request.urlopen(f"{address}/_counts", timeout=10) as reply:  # noqa: S310 - loopback
        return json.load(reply)


def served(address: str) -> Counter[str]:
    with urllib.request.urlopen(f"{address}/_ledger", timeout=30) as reply:  # noqa: S310 - loopback
        rows = [json.loads(line) for line in reply.read().splitlines()]
    return Counter(row["name"] for row in rows if row["served"])


def start(task: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "deepswarm", "run", str(task), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def look(folder: Path) -> tuple[set[str], int]:
    """What the journal holds after a kill: keys of finished seeds, and calls that were in flight."""
    journal = SqliteJournal(folder, readonly=True)
    try:
        done = {story.key for _, story in journal.stories(frozenset({Outcome.DONE}))}
        return done, len(journal.open_calls())
    finally:
        journal.close()


@pytest.mark.slow
@pytest.mark.parametrize("series", range(5))
def test_twenty_kills_at_random_moments_lose_nothing_and_pay_only_for_what_was_in_flight(tmp_path, series):
    chance = random.Random(series)
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps({"id": f"s{n}", "prompt": f"[[id:{n}]] go"}) + "\n" for n in range(SEEDS)))
    with provider(tmp_path) as address:
        task = tmp_path / "task.yaml"
        task.write_text(
            f'prompt_template: "{{{{prompt}}}}"\nworker_model: mock\nworker_api_base: {address}/v1\n'
            f"api_key_env: none\nworkers: {WORKERS}\nstagger: 0\n"
        )
        known, in_flight = set(), 0
        for _ in range(20):
            process = start(task)
            kill_when_served(process, address, chance)
            journal = tmp_path / "output" / "journal"
            if not (journal / "journal.sqlite").exists():
                continue
            done, flying = look(journal)
            assert known <= done, "a finished result was lost"
            flying = min(flying, WORKERS)  # intents are written shortly before; no more calls than workers have left
            paid = served(address)
            assert all(paid[key[1:]] == 1 or key in twice(paid) for key in done)
            known, in_flight = done, in_flight + flying
        process = start(task)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
        paid = served(address)
    rows = [json.loads(line) for line in (tmp_path / "output" / "results.jsonl").read_bytes().split(b"\n") if line]
    assert Counter(row["id"] for row in rows) == Counter(f"s{n}" for n in range(SEEDS))
    assert all(f"[[id:{row['id'][1:]}]]" in row["answer"] for row in rows)
    paid_twice = sum(paid.values()) - SEEDS
    assert paid_twice <= in_flight
    said = f"series {series}: 20 kills, {in_flight} calls in flight at them, {paid_twice} paid twice, 0 lost"
    print(said)  # noqa: T201 - the figures, with pytest -s


def twice(paid: Counter[str]) -> set[str]:
    return {f"s{name}" for name, count in paid.items() if count > 1}


def kill_when_served(process: subprocess.Popen[bytes], address: str, chance: random.Random) -> None:
    """Kill after a random number of further answers, or right after the start; waits for facts, not for time."""
    if chance.random() < 0.1:
        os.kill(process.pid, signal.SIGKILL)
    else:
        target = counts(address)["served"] + chance.randrange(1, SEEDS // 12)
        while process.poll() is None and counts(address)["served"] < target:
            pass
        process.kill()
    _, errors = process.communicate()
    assert process.returncode in {-signal.SIGKILL, 0}, errors.decode()
