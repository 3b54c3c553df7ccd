"""The readable output: results.jsonl and failed.jsonl, derived from the journal and never ahead of it.

Both grow by whole lines, one write for all results of a checkpoint. The journal remembers up to which event and which
byte each of them is whole; a resumed run cuts off what lies behind that and goes on from the journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from deepswarm.core import jsontext
from deepswarm.core.errors import CallError
from deepswarm.core.events import TurnNoted
from deepswarm.core.ledger import Story, record_of
from deepswarm.core.records import HttpReply, Outcome, Record, Reply
from deepswarm.core.transcript import transcript_of
from deepswarm.engine.answers import Answers, Decoder
from deepswarm.journals import Journal

RESULTS: Final = "results.jsonl"
FAILED: Final = "failed.jsonl"
_DONE: Final = Outcome.DONE.value
_ENDS: Final = {RESULTS: frozenset({Outcome.DONE}), FAILED: frozenset({Outcome.FAILED, Outcome.REJECTED})}


class _Mark(NamedTuple):
    """Up to where a file is whole: the journal's event, the file's bytes and lines."""

    event: int = 0
    size: int = 0
    lines: int = 0


class _File:
    """One growing file."""

    def __init__(self, folder: Path, name: str, journal: Journal) -> None:
        self.name, self.path, self._journal = name, folder / name, journal
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.mark = _Mark(**json.loads(journal.noted(name) or "{}"))
        if os.fstat(self._fd).st_size < self.mark.size:
            self.mark = _Mark()  # somebody took lines away: all of it is written anew
        os.ftruncate(self._fd, self.mark.size)
        self._lines: list[bytes] = []
        self._last = self.mark.event

    def add(self, line: bytes, event: int) -> int:
        """Keep a line for the next `bring_up_to_date`; how many wait."""
        self._lines.append(line)
        self._last = event
        return len(self._lines)

    def bring_up_to_date(self) -> None:
        """Write what waits, whole or not at all.

        Raises:
            OSError: If it cannot be written; the lines keep waiting.
        """
        if not self._lines:
            return
        text = b"".join(self._lines)
        try:
            written = os.write(self._fd, text)
            if written != len(text):
                message = f"{self.path}: no space left"
                raise OSError(message)
        except OSError:
            os.ftruncate(self._fd, self.mark.size)
            raise
        self.mark = _Mark(self._last, self.mark.size + len(text), self.mark.lines + len(self._lines))
        self._lines = []
        self._journal.note(self.name, json.dumps(self.mark._asdict()))

    def start_anew(self) -> None:
        """Empty the file: all lines come again from the journal."""
        os.ftruncate(self._fd, 0)
        self.mark, self._lines, self._last = _Mark(), [], 0

    def close(self) -> None:
        os.close(self._fd)


class ResultFiles:
    """The two files of a run."""

    def __init__(self, folder: Path, journal: Journal, dialect: Decoder, checkpoint_every: int) -> None:
        """Open both and write what the journal holds and they do not."""
        self._journal, self._dialect, self._every = journal, dialect, checkpoint_every
        self._results = _File(folder, RESULTS, journal)
        self._failed = _File(folder, FAILED, journal)
        self.catch_up()

    def add(self, record: Record, payload: bytes, event: int) -> None:
        """Take one record; every `checkpoint_every` of them are written together."""
        file = self._results if record["outcome"] == _DONE else self._failed
        if file.add(line_of(record, payload), event) >= self._every:
            file.bring_up_to_date()

    def catch_up(self, *, anew: bool = False) -> None:
        """Write what the journal holds and the files do not; `anew` after seeds were reopened."""
        for file in (self._results, self._failed):
            if anew:
                file.start_anew()
            for event, story in self._journal.stories(_ENDS[file.name], file.mark.event):
                if file.add(line_of(*record_from(story, self._dialect)), event) >= 1000:
                    file.bring_up_to_date()
            file.bring_up_to_date()

    def finish(self) -> tuple[int, int]:
        """Write what waits; the lines of results and of failures that now stand there."""
        for file in (self._results, self._failed):
            file.bring_up_to_date()
        return self.lines

    @property
    def lines(self) -> tuple[int, int]:
        """Lines that stand in results.jsonl and in failed.jsonl."""
        return self._results.mark.lines, self._failed.mark.lines

    def close(self) -> None:
        """Let go of both."""
        self._results.close()
        self._failed.close()


def line_of(record: Record, payload: bytes) -> bytes:
    """A record as a line; the seed's own JSON text goes in as it is, without being read and written again."""
    return jsontext.one_line(jsontext.dumps_around(record, "seed", payload))


def record_from(story: Story, dialect: Decoder) -> tuple[Record, bytes]:
    """A record and its seed's payload, from the journal alone."""
    reply = _reply_in(story, dialect) if story.ended.outcome is Outcome.DONE else None
    return record_of(story, reply, None), story.ended.payload


def records(journal: Journal, dialect: Decoder, outcomes: frozenset[Outcome]) -> Iterator[Record]:
    """All records of these outcomes, in the order in which their seeds ended."""
    for _, story in journal.stories(outcomes):
        record, payload = record_from(story, dialect)
        record["seed"] = jsontext.loads(payload)
        yield record


def _reply_in(story: Story, dialect: Decoder) -> Reply | None:
    call: Any = story.call
    try:
        reply = dialect.decode(HttpReply(call.status, {}, call.body))
    except CallError:
        return None
    return reply._replace(text=said_last(story.notes, dialect)) if story.notes else reply


def said_last(notes: Sequence[TurnNoted], dialect: Decoder) -> str:
    """The answer in the last message of a conversation, whose text may have come in several calls."""
    messages = transcript_of(notes).messages
    text = next((message.content for message in reversed(messages) if message.role == "assistant"), "")
    return dialect.kind.extract(text) if isinstance(dialect, Answers) else text
