"""A run's folder with a real journal in it, written as a run writes it, without a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepswarm.core import jsontext
from deepswarm.core.events import CallEnded, CallStarted, Event, RunStarted, SeedEnded
from deepswarm.core.identity import content_of, given_id
from deepswarm.core.records import Incoming, Json, Outcome, Usage
from deepswarm.journals.sqlite import SqliteJournal

UTC = 1_800_000_000.0


def reply_body(answer: str, reasoning: str = "") -> bytes:
    """A provider's reply, as the journal keeps it."""
    message = {"content": answer, "reasoning_content": reasoning}
    return jsontext.dumps(
        {
            "id": "c-1",
            "model": "model-1-0731",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5},
        }
    )


def journaled(
    folder: Path,
    seeds: Sequence[dict[str, Json]],
    answers: Mapping[str, bytes],
    *,
    failed: Mapping[str, bytes] | None = None,
    task: Mapping[str, Any] | None = None,
    simulated: bool = False,
) -> Path:
    """Write a run.

    Args:
        folder: The run's output folder.
        seeds: Each with an `id`, in the order of the file.
        answers: Bodies of the replies to done seeds, by id, in the order in which they came.
        failed: Bodies of the last replies to failed seeds, by id; the first call of each was overloaded.
        task: Keys of the task beside `worker_model` and `prompt_template`.
        simulated: Whether the replies were made up.

    Returns:
        The folder. Seeds that are in neither of the two are left.
    """
    (folder / "journal").mkdir(parents=True)
    asyncio.run(_write(folder, seeds, answers, failed or {}, task or {}, simulated=simulated))
    return folder


async def _write(
    folder: Path,
    seeds: Sequence[dict[str, Json]],
    answers: Mapping[str, bytes],
    failed: Mapping[str, bytes],
    task: Mapping[str, Any],
    *,
    simulated: bool,
) -> None:
    journal = SqliteJournal(folder / "journal")
    keys = [given_id(seed) or "" for seed in seeds]
    journal.enrol((Incoming(key, content_of(seed), 0, 0, 1) for key, seed in zip(keys, seeds, strict=True)), None)
    text = jsontext.dumps({"worker_model": "model-1", "prompt_template": "Ask {{q}}", **task}).decode()
    events: list[Event] = [RunStarted(UTC, 0.0, 1, "print-1", text, "0.0", simulated)]
    call = 0
    for key, body in answers.items():
        call += 1
        number = keys.index(key) + 1
        events += [
            CallStarted(UTC, 0.0, call, number, 1),
            _end(call, number, "ok", 200, body),
            _seed_end(call, number, Outcome.DONE, "ok", "", seeds[number - 1], 1),
        ]
    for key, body in failed.items():
        number = keys.index(key) + 1
        events += [
            CallStarted(UTC, 0.0, call + 1, number, 1),
            _end(call + 1, number, "overloaded", 503, b"busy"),
            CallStarted(UTC, 0.0, call + 2, number, 2),
            _end(call + 2, number, "garbled", 200, body),
            _seed_end(call + 2, number, Outcome.FAILED, "garbled", "not JSON", seeds[number - 1], 2),
        ]
        call += 2
    keeper = asyncio.create_task(journal.keep())
    await journal.append(events)
    keeper.cancel()
    journal.close()


def _end(call: int, seed: int, label: str, status: int, body: bytes) -> CallEnded:
    good = label == "ok"
    usage = Usage(3, 5, 0, None) if good else Usage()
    model = "model-1-0731" if good else ""
    return CallEnded(
        UTC + 2, 2.0, call, seed, label, "", status, "stop" if good else "", model, usage, request_id="r", body=body
    )


def _seed_end(
    call: int, seed: int, outcome: Outcome, label: str, reason: str, fields: dict[str, Json], attempts: int
) -> SeedEnded:
    return SeedEnded(UTC + 2, 2.0, seed, call, outcome, label, reason, attempts, 0.0, jsontext.dumps(fields))
