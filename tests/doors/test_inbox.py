"""The inbox: what other processes want of a run, until the run has taken it."""

import asyncio
import contextlib

import pytest

from deepswarm.core.errors import JournalError
from deepswarm.core.events import CommandTaken
from deepswarm.journals import Command
from deepswarm.journals.inbox import answer, post
from deepswarm.journals.memory import MemoryJournal
from deepswarm.journals.sqlite import SqliteJournal

UTC = 1_800_000_000.0


def appended(journal, events):
    async def work():
        keeper = asyncio.create_task(journal.keep())
        try:
            return await journal.append(events)
        finally:
            keeper.cancel()

    return asyncio.run(work())


@pytest.fixture
def journal(tmp_path):
    with contextlib.closing(SqliteJournal(tmp_path)) as journal:
        yield journal


def test_commands_come_in_the_order_in_which_they_were_given(journal):
    assert journal.commands() == []
    assert post(journal.path, UTC, "me", "pause") == 1
    assert post(journal.path, UTC + 1, "you", "set workers=4") == 2
    assert journal.commands() == [Command(1, UTC, "me", "pause"), Command(2, UTC + 1, "you", "set workers=4")]


def test_a_command_is_taken_with_the_event_that_says_so(journal):
    first, second = (post(journal.path, UTC, "me", words) for words in ("pause", "resume"))
    number = appended(journal, [CommandTaken(UTC, 1.0, "pause", "me", first, "paused")])
    assert [command.number for command in journal.commands()] == [second]
    assert answer(journal.path, first) == number
    assert answer(journal.path, second) is None


def test_a_command_that_nobody_took_is_there_at_the_next_start(tmp_path):
    with contextlib.closing(SqliteJournal(tmp_path)) as journal:
        path = journal.path
    post(path, UTC, "me", "set max_cost=5")
    with contextlib.closing(SqliteJournal(tmp_path)) as journal:
        assert [command.words for command in journal.commands()] == ["set max_cost=5"]


def test_what_is_no_journal_takes_no_commands(tmp_path):
    other = tmp_path / "journal.sqlite"
    other.write_text("this is a letter to my aunt, and longer than a header of a hundred bytes " * 3)
    with pytest.raises(JournalError, match="could not be left there"):
        post(other, UTC, "me", "pause")
    with pytest.raises(JournalError):
        post(tmp_path / "nowhere.sqlite", UTC, "me", "pause")


def test_the_journal_in_memory_takes_commands_too():
    journal = MemoryJournal()
    journal.inbox[7] = Command(7, UTC, "me", "pause")
    assert [command.words for command in journal.commands()] == ["pause"]
    appended(journal, [CommandTaken(UTC, 1.0, "pause", "me", 7, "paused")])
    assert journal.commands() == []
