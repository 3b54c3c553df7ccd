"""The suite of the formats' door: what must hold for every kind of file that records are written to.

Each check takes a writer (and its reader) and an empty folder.
"""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from deepswarm.core.errors import Problem
from deepswarm.core.records import Record
from deepswarm.formats import Reader, Writer
from deepswarm.testing.suites.filter import any_json, any_text, same

PLAIN: Final[Record] = {
    "id": "tide-1",
    "outcome": "done",
    "answer": "The tide\nturns.",
    "seed": {"text": "tides", "n": 3},
    "model_asked": "deepseek-v4-flash",
    "model_answered": "deepseek-v4-flash-0731",
    "finish_reason": "stop",
    "usage": {"tokens_in": 12, "tokens_out": 5, "cached": 0, "reasoning": None},
    "attempts": 1,
    "tier": "worker",
    "timings": {"started_utc": 1800000000.125, "ended_utc": 1800000031.5, "call_s": 31.375},
    "request_id": "req-1",
    "fingerprint": "fc1f3a8eb6e76480",
    "simulated": False,
}
"""A record as a run writes it."""

ODD: Final[Sequence[Record]] = (
    {},
    {"seed": {"a": 1}, "answer_json": [1]},
    {"seed": "another shape", "answer_json": {"a": None}},
    {"seed": None, "answer_json": None, "answer": None, "reasoning": None},
    {"answer": "null \0, separators \u2028\u2029\x85, half a pair \ud800, a whale \U0001f40b, \r\n"},
    {"attempts": "three", "usage": {"tokens_in": -0.5}, "timings": {"call_s": 1}, "simulated": 1, "more": {"more": 1}},
    {"usage": {"tokens_in": 1 << 62, "tokens_out": None, "cached": True, "reasoning": 0}, "attempts": 1.0},
    {"\ud800": {"": {"\0": [[], {}]}}, "class": "throttled", "status": None},
    {"deep": [[[[[[[[[[[[[[[[[[[[{"deep": True}]]]]]]]]]]]]]]]]]]]]},
)
"""Records that are hard on some format."""

HUGE: Final[Record] = {"id": 1 << 64, "seed": {"n": [-(10**40), 2**64 + 1]}, "attempts": 1 << 63}
"""Integers beyond 64 bits."""


def any_record_lists() -> SearchStrategy[list[Record]]:
    """Several records; fields that a format may know hold what they should, or anything."""
    others = ("answer_json", "reasoning", "amended", "asked_otherwise", "prompt_hash", "more")
    names = st.sampled_from([*PLAIN, *others]) | any_text()
    free = st.dictionaries(names, any_json(), max_size=6)
    return st.lists(st.one_of(free, free.map(lambda record: {**PLAIN, **record})), max_size=5)


def check_round_trip(write: Writer, read: Reader, records: Sequence[Record], path: Path) -> None:
    """What is read is what was written, in that order, also from a stream; the count is right."""
    assert write(iter(records), path) == len(records)
    found = list(read(path))
    assert len(found) == len(records)
    for one, other in zip(found, records, strict=True):
        assert same(one, other), f"{other!r} came back as {one!r}"


def check_same_bytes(write: Writer, records: Sequence[Record], folder: Path) -> None:
    """The same records give the same bytes."""
    write(records, folder / "one")
    write(records, folder / "two")
    assert (folder / "one").read_bytes() == (folder / "two").read_bytes()


def check_whole_or_not_at_all(write: Writer, folder: Path) -> None:
    """When the records break off, what was there stays and nothing else is left lying about."""
    path = folder / "there"
    write([PLAIN], path)
    before = path.read_bytes()
    for target in (path, folder / "new"):
        with pytest.raises(ZeroDivisionError):
            write(_broken_off(), target)
    assert path.read_bytes() == before
    assert [entry.name for entry in folder.iterdir()] == ["there"]


def check_replaces_and_follows(write: Writer, read: Reader, folder: Path) -> None:
    """A file that is there is replaced, with its permissions; a link is followed; a missing folder is made."""
    target, link = folder / "new" / "folder" / "target", folder / "link"
    write([PLAIN, PLAIN], target)
    target.chmod(0o640)
    link.symlink_to(target)
    write([PLAIN], link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert len(list(read(target))) == 1


def check_torn_files(write: Writer, read: Reader, path: Path) -> None:
    """A file that was cut anywhere gives records that were written and problems, and never an error."""
    records = [{**PLAIN, "id": f"{number}"} for number in range(5)]
    write(records, path)
    whole = path.read_bytes()
    for size in {*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 1}:
        path.write_bytes(whole[:size])
        found = list(read(path))
        sound = [row for row in found if not isinstance(row, Problem)]
        assert same(sound, records[: len(sound)])
        assert all(row.what and row.file == str(path) for row in found if isinstance(row, Problem))


def check_foreign_bytes(read: Reader, path: Path, content: bytes) -> None:
    """Any bytes at all are read as records and problems, and never raise."""
    path.write_bytes(content)
    assert all(isinstance(row, (dict, Problem)) for row in read(path))


def _broken_off() -> Iterator[Record]:
    for number in range(20_000):
        yield {**PLAIN, "id": str(number)}
    raise ZeroDivisionError
