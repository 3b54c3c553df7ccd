"""Both stores hold the notes of conversations, and know when one begins anew."""

from __future__ import annotations

import asyncio
import json

import pytest

from deepswarm.core import transcript
from deepswarm.core.events import CallEnded, CallStarted, RunStarted, SeedEnded, TurnNoted
from deepswarm.core.records import Incoming, Message, Outcome
from deepswarm.core.transcript import Spent
from deepswarm.journals.memory import MemoryJournal
from deepswarm.journals.sqlite import SqliteJournal

ASKED = transcript.added([Message("user", "a")])
SAID = transcript.said(Message("assistant", "b"), "stop", Spent())


def events(outcome):
    task = json.dumps({"worker_model": "m"})
    return [
        RunStarted(1.0, 1.0, 1, "print", task, "1", simulated=False),
        CallStarted(2.0, 2.0, 1, 1, 1),
        CallEnded(3.0, 3.0, 1, 1, "ok", body=b"{}"),
        TurnNoted(3.0, 3.0, 1, 1, 1, transcript.OPENED, ASKED),
        TurnNoted(3.0, 3.0, 1, 1, 1, transcript.SAID, SAID),
        SeedEnded(4.0, 4.0, 1, 1, outcome, "x", "", 1, 2.0, b"{}"),
    ]


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize(("outcome", "kept"), [(Outcome.FAILED, 2), (Outcome.REJECTED, 0)])
def test_a_failed_conversation_that_is_retried_goes_on_and_a_rejected_one_begins_anew(tmp_path, store, outcome, kept):
    journal = MemoryJournal() if store == "memory" else SqliteJournal(tmp_path)
    journal.enrol([Incoming("s", b"0" * 16, 0, 2, 1)], None)
    written = events(outcome)

    async def write():
        keeper = asyncio.create_task(journal.keep())
        await journal.append(written)
        keeper.cancel()

    asyncio.run(write())
    assert list(journal.replay()) == written
    [(_, story)] = journal.stories(frozenset({outcome}))
    assert list(story.notes) == written[3:5]
    assert journal.turns(1) == (tuple(written[3:5]), written[2])
    journal.reopen(frozenset({outcome}), None, (5.0, 5.0))
    assert len(journal.turns(1)[0]) == kept
    journal.close()
