"""Filters against json.loads + json.dumps over the same file; near duplicates among planted ones.

filters.py make FILE COUNT       records of 2 kB whose answers are JSON, one in ten of them broken
filters.py floor FILE            json.dumps(json.loads(line)) for every line
filters.py judge FILE            repair, structure, length
filters.py near COUNT            near duplicates among COUNT texts of 300 words, one in ten planted
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WORDS = [
    f"{one}{two}{three}" for one in "bdfgklmnprst" for two in "aeiou" for three in ("n", "r", "st", "l", "me", "ck")
]
SCHEMA = {
    "type": "object",
    "required": ["question", "answer", "tags", "score"],
    "properties": {
        "question": {"type": "string"},
        "answer": {"type": "string", "minLength": 10},
        "tags": {"type": "array", "items": {"type": "string"}},
        "score": {"type": "number"},
    },
}
FILTERS = ["json_repair", {"structure": {"schema": SCHEMA}}, {"length": {"min_chars": 10, "max_chars": 20_000}}]


def records(count: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(1)
    for number in range(count):
        value = {
            "question": " ".join(chance.choices(WORDS, k=30)),
            "answer": " ".join(chance.choices(WORDS, k=330)),
            "tags": chance.choices(WORDS, k=5),
            "score": chance.random(),
        }
        text = json.dumps(value)
        broken = {0: f"```json\n{text}\n```", 1: text[:-1] + ",}", 2: text[:-20]}
        yield {
            "id": str(number),
            "outcome": "done",
            "answer": broken.get(number % 30, text),
            "seed": {"n": number},
            "model_asked": "m",
            "finish_reason": "stop",
            "usage": {"tokens_in": 20, "tokens_out": 500, "cached": 0, "reasoning": None},
            "simulated": True,
        }


def make(file: str, count: str) -> None:
    with Path(file).open("w", encoding="utf-8") as target:
        target.writelines(json.dumps(record) + "\n" for record in records(int(count)))


def floor(file: str) -> dict[str, float]:
    begun = time.process_time()
    with Path(file).open(encoding="utf-8") as source:
        for line in source:
            json.dumps(json.loads(line))
    return {"cpu_s": time.process_time() - begun}


def judge(file: str) -> dict[str, float]:
    from deepswarm.cli.collector import spare_the_collector
    from deepswarm.engine.filtering import apply
    from deepswarm.formats import reader

    spare_the_collector()  # as the command does
    begun = time.process_time()
    folder = Path(file).parent
    report = apply(reader("jsonl")(Path(file)), FILTERS, folder / "clean.jsonl", folder / "errors.jsonl")
    spent = time.process_time() - begun
    assert report.tally.read == report.tally.kept + report.tally.dropped
    return {"cpu_s": spent, "read": report.tally.read, "kept": report.tally.kept}


def near(count: str) -> dict[str, float]:
    """Every tenth text is an earlier one in which 3 of 300 words are others: 97 % of their runs are shared or more."""
    from deepswarm.core.records import Drop
    from deepswarm.filters.near_duplicate import NearDuplicate

    chance = random.Random(1)
    vocabulary = [f"{one}{two}" for one in WORDS for two in WORDS[:60]]
    recent: list[list[str]] = []

    def texts() -> Iterator[dict[str, Any]]:
        for number in range(int(count)):
            if number % 10 == 9:
                words = list(recent[chance.randrange(len(recent))])
                for place in chance.sample(range(300), 3):
                    words[place] = "other"
            else:
                words = chance.choices(vocabulary, k=300)
                recent.append(words)
                del recent[:-50]
            yield {"id": str(number), "answer": " ".join(words)}

    for _ in texts():  # what making them costs is not the filter's
        pass
    begun, cpu = time.perf_counter(), time.process_time()
    sum(1 for _ in texts())
    making, making_cpu = time.perf_counter() - begun, time.process_time() - cpu
    begun, cpu = time.perf_counter(), time.process_time()
    dropped = {n for n, verdict in enumerate(NearDuplicate().judge_all(texts())) if isinstance(verdict, Drop)}
    wall, spent = time.perf_counter() - begun - making, time.process_time() - cpu - making_cpu
    planted = set(range(9, int(count), 10))
    return {
        "wall_s": wall,
        "cpu_s": spent,
        "precision": len(dropped & planted) / len(dropped),
        "recall": len(dropped & planted) / len(planted),
    }


if __name__ == "__main__":
    said = {"make": make, "floor": floor, "judge": judge, "near": near}[sys.argv[1]](*sys.argv[2:]) or {}
    print(json.dumps(said | {"rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
