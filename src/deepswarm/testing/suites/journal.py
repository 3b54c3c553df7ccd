"""The conformance suite for stores: what every journal does, whatever it is made of.

A test module subclasses `JournalSuite` and gives it a pytest fixture `store`:

    class TestMyJournal(JournalSuite):
        @pytest.fixture
        def store(self): return Store(MyJournal)

A store whose class takes a folder keeps its journal there, and is closed and opened again in the middle of tests; one
that takes nothing is gone when it is closed.
"""
# ruff: noqa: S101, D102 - a suite asserts, and a test's name is its sentence

from __future__ import annotations

import asyncio
import inspect
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from deepswarm.core.events import (
    Advised,
    CallEnded,
    CallStarted,
    CommandTaken,
    Event,
    PaceChosen,
    RunEnded,
    RunStarted,
    SeedEnded,
    SeedReopened,
    SeedsChanged,
)
from deepswarm.core.identity import content_key, content_of
from deepswarm.core.ledger import Story, fold
from deepswarm.core.records import Incoming, Outcome, SeedRow, SeedState, Totals, Usage
from deepswarm.journals import Enrolment, Journal
from deepswarm.testing.histories import History, Step, steps

DEADLINE_S: Final = 20.0
"""Most seconds of one append; a store that takes longer hangs."""
ALL: Final = frozenset(Outcome)
MANY: Final = 1 << 40
NOW: Final = (1_800_000_123.5, 17.25)
"""(utc, at) of commands that reopen seeds."""

thoroughly = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.differing_executors],
)


# --- opening journals ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Store:
    """One kind of store: `make` is its class."""

    make: Callable[..., Journal]

    @property
    def persistent(self) -> bool:
        """Whether what it holds outlives it."""
        return bool(inspect.signature(self.make).parameters)

    def open(self, folder: Path) -> Journal:
        """A journal in this folder: the one that is there, or a new one."""
        return self.make(folder) if self.persistent else self.make()


class Opened:
    """A journal with a loop of its own, in which it is kept whenever something is appended."""

    def __init__(self, store: Store, folder: Path) -> None:
        """Open the journal."""
        self._store, self._folder = store, folder
        self._open()

    def _open(self) -> None:
        self.journal = self._store.open(self._folder)
        self._runner = asyncio.Runner()
        self._closed = False

    def append(self, *batches: Sequence[Event]) -> list[int]:
        """Append all batches at the same time, like so many workers; the number of each.

        Raises:
            JournalError: If one of them could not be made durable.
        """
        return self._runner.run(_appended(self.journal, batches))

    def again(self) -> None:
        """Close and open, as a run that resumes does; a store that forgets stays open."""
        if self._store.persistent:
            self.close()
            self._open()

    def close(self) -> None:
        """Close the journal and its loop, once."""
        if not self._closed:
            self._closed = True
            self._runner.close()
            self.journal.close()


async def _appended(journal: Journal, batches: Sequence[Sequence[Event]]) -> list[int]:
    journal.writers = len(batches)
    keeper: asyncio.Future[Any] = asyncio.create_task(journal.keep())
    together: asyncio.Future[list[int]] = asyncio.gather(*(journal.append(batch) for batch in batches))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.wait([keeper, together], return_when=asyncio.FIRST_COMPLETED)
        if not together.done():
            keeper.result()  # raises what ended it
        return together.result()
    finally:
        keeper.cancel()
        together.cancel()
        await asyncio.gather(keeper, together, return_exceptions=True)


@contextmanager
def opened(store: Store, folder: Path) -> Iterator[Opened]:
    """A journal in a new folder below this one, for as long as the block takes."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        one = Opened(store, Path(own))
        try:
            yield one
        finally:
            one.close()


# --- seeds -----------------------------------------------------------------------------------------------------------


def a_file(*seeds: str) -> list[Incoming]:
    """A seeds file: "a" is a seed with that id, "a=text" one with that content, "=text" one without an id."""
    return [_incoming(place, *seed.partition("=")[::2]) for place, seed in enumerate(seeds)]


def _incoming(place: int, key: str, text: str) -> Incoming:
    return Incoming(key or None, content(text or key), 1000 * place, 10 + place, place + 1)


def content(text: str) -> bytes:
    """The content hash of a seed with this text."""
    return content_of({"text": text})


def keys(rows: Iterable[SeedRow]) -> list[str]:
    """The keys of seeds, in their order."""
    return [row.key for row in rows]


# --- events ----------------------------------------------------------------------------------------------------------


TOKENS: Final = Usage(3, 4)


def session(number: int = 1, model: str = "m", *, simulated: bool = False) -> RunStarted:
    """A process takes the run up."""
    task = json.dumps({"worker_model": model})
    return RunStarted(1000.0 * number, 10.0, number, f"print-{number}", task, "1.2", simulated)


def call_start(call: int, seed: int, at: float = 20.0) -> CallStarted:
    """A call leaves."""
    return CallStarted(1000.0 + at, at, call, seed, 1)


def call_end(call: int, seed: int, label: str = "ok", at: float = 30.0, usage: Usage = TOKENS) -> CallEnded:
    """A call comes back."""
    return CallEnded(1000.0 + at, at, call, seed, label, usage=usage, status=200, body=b"body of %d" % call)


def seed_end(
    seed: int, outcome: Outcome = Outcome.DONE, call: int = 0, label: str = "ok", at: float = 30.0
) -> SeedEnded:
    """A seed ends."""
    return SeedEnded(1000.0 + at, at, seed, call, outcome, label, "", 1, at - 5.0, b"{}")


def whole_call(call: int, seed: int, outcome: Outcome = Outcome.DONE, label: str = "ok") -> list[Event]:
    """A call that brings a seed to its end."""
    at = 10.0 * call
    return [
        call_start(call, seed, at),
        call_end(call, seed, label, at + 5),
        seed_end(seed, outcome, call, label, at + 5),
    ]


# --- what can be seen of a journal -----------------------------------------------------------------------------------

NOTES: Final = ("watermark", "stamp")


class Seen(NamedTuple):
    """Everything that a journal says; two journals that say the same are the same."""

    totals: Totals
    sessions: int
    open_calls: list[CallStarted]
    left: list[SeedRow]
    events: list[tuple[str, Event]]
    stories: dict[Outcome, list[tuple[int, Story]]]
    notes: list[str | None]


def seen(journal: Journal) -> Seen:
    """All that there is to see. Kinds are named, because named tuples of different kinds can be equal."""
    return Seen(
        journal.totals(),
        journal.sessions(),
        journal.open_calls(),
        journal.left(-1, MANY),
        typed(journal.replay()),
        {outcome: list(journal.stories(frozenset({outcome}))) for outcome in Outcome},
        [journal.noted(name) for name in NOTES],
    )


def typed(events: Iterable[Event]) -> list[tuple[str, Event]]:
    """Events with the names of their kinds."""
    return [(type(event).__name__, event) for event in events]


# --- whatever a run may do with a journal ----------------------------------------------------------------------------


class File(NamedTuple):
    """The seeds file is read, with these seeds (see `a_file`)."""

    seeds: list[str]
    total: int | None
    accept: bool


class Select(NamedTuple):
    """Only the first `total` seeds count from now on."""

    total: int | None


class Reopen(NamedTuple):
    """Ended seeds are to be asked again."""

    outcomes: frozenset[Outcome]
    labels: frozenset[str] | None


class Note(NamedTuple):
    """A text is to be remembered."""

    name: str
    value: str


class Again(NamedTuple):
    """The process ends and another one resumes."""


class Append(NamedTuple):
    """Workers bring events at the same time, one list of steps each."""

    workers: list[list[Step]]


Command: TypeAlias = File | Select | Reopen | Note | Again | Append


def commands() -> SearchStrategy[Command]:
    """Anything that a run may do with its journal."""
    seed = st.sampled_from(["a", "b", "c", "d", "a=other", "b=other", "=x", "=y"])
    totals = st.none() | st.integers(0, 6)
    happenings = st.lists(st.lists(steps(("start", "end", "finish", "session", "other")), max_size=4), max_size=4)
    return st.one_of(
        happenings.map(Append),
        happenings.map(Append),
        st.builds(File, st.lists(seed, max_size=8), totals, st.booleans()),
        st.builds(Select, totals),
        st.builds(Reopen, st.frozensets(st.sampled_from(Outcome)), st.none() | st.frozensets(st.just("ok"))),
        st.builds(Note, st.sampled_from(NOTES), st.text(max_size=5)),
        st.builds(Again),
    )


class Player:
    """Carries commands out on a journal, as a run would.

    Attributes:
        events: What was appended, and what reopening must have written.
    """

    def __init__(self, opened_journal: Opened) -> None:
        """Begin with an empty journal."""
        self.opened = opened_journal
        self._history = History([])
        self._selected: int | None = None

    def play(self, command: Command) -> object:
        """Carry one command out; what the journal answered."""
        journal = self.opened.journal
        if isinstance(command, File):
            return journal.enrol(a_file(*command.seeds), command.total, NOW if command.accept else None)
        if isinstance(command, Select):
            self._selected = command.total
            journal.select(command.total)
        elif isinstance(command, Reopen):
            return journal.reopen(command.outcomes, command.labels, NOW)
        elif isinstance(command, Note):
            journal.note(command.name, command.value)
        elif isinstance(command, Again):
            journal.flush()
            self.opened.again()
            self.opened.journal.select(self._selected)
        else:
            return self._append(command.workers)
        return None

    def _append(self, workers: Sequence[Sequence[Step]]) -> list[int]:
        self._history.left = [row.number for row in self.opened.journal.left(-1, MANY)]
        batches = [[event for step in steps_ for event in self._history.happen(step)] for steps_ in workers]
        return self.opened.append(*batches) if batches else []


# --- the suite -------------------------------------------------------------------------------------------------------


class JournalSuite:
    """Subclass it and give it a fixture `store`; `tmp_path` is pytest's."""

    # enrolling

    def test_new_seeds_are_enrolled_in_the_order_of_the_file(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            enrolment = one.journal.enrol(a_file("b", "a=text", "=x"), None)
            assert enrolment == Enrolment(added=3)
            assert one.journal.left(-1, MANY) == [
                SeedRow(1, "b", content("b"), 0, 10, 0),
                SeedRow(2, "a", content("text"), 1000, 11, 1),
                SeedRow(3, content_key(content("x"), 1), content("x"), 2000, 12, 2),
            ]
            assert one.journal.totals() == Totals(seeds=3, left=3)

    def test_an_empty_file_is_a_file(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            assert one.journal.enrol([], None) == Enrolment()
            assert one.journal.left(-1, MANY) == []
            assert one.journal.totals() == Totals()

    def test_the_same_file_again_changes_nothing(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "=x", "=x"), None)
            before = seen(one.journal)
            assert one.journal.enrol(a_file("a", "b", "=x", "=x"), None) == Enrolment()
            assert seen(one.journal) == before

    def test_seeds_added_at_the_end_come_last(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b"), None)
            assert one.journal.enrol(a_file("a", "b", "c"), None) == Enrolment(added=1)
            assert [(row.number, row.key) for row in one.journal.left(-1, MANY)] == [(1, "a"), (2, "b"), (3, "c")]

    def test_seeds_inserted_at_the_top_come_first_and_the_others_stay_who_they_are(
        self, store: Store, tmp_path: Path
    ) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "=x"), None)
            one.append([session(), *whole_call(1, 1), *whole_call(2, 3)])
            enrolment = one.journal.enrol(a_file("new", "newer", "=z", "a", "b", "=x"), None)
            assert enrolment == Enrolment(added=3)
            left = one.journal.left(-1, MANY)
            assert [(row.number, row.key) for row in left if row.number < 4] == [(2, "b")]
            assert keys(left)[:2] == ["new", "newer"]
            assert keys(left)[-1] == "b"
            assert [row.order for row in left] == [0, 1, 2, 4]
            assert left[-1].place == 4000

    def test_seeds_that_are_gone_are_told_and_no_longer_asked(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c", "d"), None)
            one.append([session(), *whole_call(1, 2)])
            enrolment = one.journal.enrol(a_file("c"), None)
            assert enrolment == Enrolment(gone=("a", "b", "d"), gone_count=3)
            assert keys(one.journal.left(-1, MANY)) == ["c"]
            totals = one.journal.totals()
            assert (totals.seeds, totals.left, totals.done, totals.gone) == (2, 1, 1, 2)
            assert one.journal.enrol(a_file("c"), None) == Enrolment()

    def test_a_seed_that_returns_is_the_one_that_it_was(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c"), None)
            one.append([session(), *whole_call(1, 2)])
            one.journal.enrol(a_file("c"), None)
            assert one.journal.enrol(a_file("c", "b", "a=else"), None) == Enrolment()
            assert [(row.number, row.key, row.content) for row in one.journal.left(-1, MANY)] == [
                (3, "c", content("c")),
                (1, "a", content("else")),
            ]
            totals = one.journal.totals()
            assert (totals.seeds, totals.left, totals.done, totals.gone) == (3, 2, 1, 0)

    def test_another_content_of_a_seed_that_is_left_is_simply_taken(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b"), None)
            assert one.journal.enrol(a_file("a=other", "b"), None) == Enrolment()
            assert one.journal.left(-1, 1)[0].content == content("other")

    def test_another_content_of_an_ended_seed_is_told_and_leaves_it_ended(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c"), None)
            one.append([session(), *whole_call(1, 1), *whole_call(2, 3, Outcome.FAILED, "garbled")])
            told = Enrolment(changed=("a", "c"), changed_count=2)
            assert one.journal.enrol(a_file("c=other", "b", "a=other"), None) == told
            assert keys(one.journal.left(-1, MANY)) == ["b"]
            assert one.journal.enrol(a_file("c=other", "b", "a=other"), None) == told
            assert one.journal.enrol(a_file("c", "b", "a"), None) == Enrolment()

    def test_another_content_that_is_accepted_makes_ended_seeds_left(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c"), None)
            one.append([session(), *whole_call(1, 1), *whole_call(2, 3, Outcome.REJECTED, "answer")])
            told = Enrolment(changed=("a", "c"), changed_count=2)
            assert one.journal.enrol(a_file("c=other", "b", "a=other"), None, NOW) == told
            assert [(row.number, row.content) for row in one.journal.left(-1, MANY)] == [
                (3, content("other")),
                (2, content("b")),
                (1, content("other")),
            ]
            assert list(one.journal.replay(7)) == [
                SeedReopened(*NOW, 1, Outcome.DONE, "changed"),
                SeedReopened(*NOW, 3, Outcome.REJECTED, "changed", "answer"),
            ]
            totals = one.journal.totals()
            assert (totals.seeds, totals.left, totals.done, totals.rejected) == (3, 3, 0, 0)
            assert totals.last_event == 9
            assert one.append([session(2)]) == [10]
            assert one.journal.enrol(a_file("c=other", "b", "a=other"), None, NOW) == Enrolment()

    def test_duplicates_are_told_with_their_lines_and_nothing_is_enrolled(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b"), None)
            before = seen(one.journal)
            enrolment = one.journal.enrol(a_file("x", "b", "x", "new", "b=other", "x"), None, NOW)
            assert enrolment == Enrolment(duplicates=(("x", (1, 3, 6)), ("b", (2, 5))))
            assert seen(one.journal) == before

    def test_a_hundred_equal_seeds_without_an_id_are_a_hundred_seeds(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            assert one.journal.enrol(a_file(*["=same"] * 100), None) == Enrolment(added=100)
            left = one.journal.left(-1, MANY)
            assert keys(left) == [content_key(content("same"), number) for number in range(1, 101)]
            one.append([session(), *(event for row in left[:40] for event in whole_call(row.number, row.number))])
            assert one.journal.enrol(a_file(*["=same"] * 100), None) == Enrolment()
            assert len(one.journal.left(-1, MANY)) == 60
            fewer = one.journal.enrol(a_file(*["=same"] * 90), None)
            assert (fewer.added, fewer.gone_count) == (0, 10)
            assert one.journal.enrol(a_file(*["=same"] * 101), None) == Enrolment(added=1)
            assert one.journal.totals().seeds == 101

    def test_a_hundred_are_named_and_all_are_counted(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            names = [f"s{number:03}" for number in range(150)]
            one.journal.enrol(a_file(*names), None)
            gone = one.journal.enrol([], None)
            assert gone == Enrolment(gone=tuple(names[:100]), gone_count=150)
            duplicates = one.journal.enrol(a_file(*names, *names), None).duplicates
            assert [key for key, _ in duplicates] == names[:100]
            assert duplicates[7][1] == (8, 158)

    def test_a_reader_that_fails_in_the_middle_leaves_everything_as_it_was(self, store: Store, tmp_path: Path) -> None:
        def failing() -> Iterator[Incoming]:
            yield from a_file("a=other", "new")
            raise LookupError("line 3 is not JSON")

        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b"), None)
            before = seen(one.journal)
            raised = False
            try:
                one.journal.enrol(failing(), None)
            except LookupError:
                raised = True
            assert raised
            assert seen(one.journal) == before
            assert one.journal.enrol(a_file("a", "b", "c"), None) == Enrolment(added=1)

    def test_only_the_first_seeds_are_enrolled_when_a_total_is_given(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            assert one.journal.enrol(a_file("a", "b", "c", "d"), 2) == Enrolment(added=2)
            assert keys(one.journal.left(-1, MANY)) == ["a", "b"]
            assert one.journal.enrol(a_file("a", "b", "c", "d"), 3) == Enrolment(added=1)
            assert one.journal.enrol(a_file("a", "b", "c", "d"), 1) == Enrolment()
            assert keys(one.journal.left(-1, MANY)) == ["a", "b", "c"]
            assert one.journal.enrol(a_file("a", "b", "c", "d"), None) == Enrolment(added=1)

    # what is left

    @given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30), seeds=st.integers(0, 40), data=st.data())
    @thoroughly
    def test_whatever_the_chunks_every_seed_left_comes_once_and_in_order(
        self, store: Store, tmp_path: Path, sizes: list[int], seeds: int, data: st.DataObject
    ) -> None:
        names = [f"s{number}" for number in range(seeds)]
        ended = data.draw(st.sets(st.integers(1, seeds))) if seeds else set()
        total = data.draw(st.none() | st.integers(0, 45))
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file(*names), None)
            one.append([session(), *(event for number in sorted(ended) for event in whole_call(number, number))])
            one.journal.select(total)
            got: list[SeedRow] = []
            for size in [*sizes, MANY]:
                rows = one.journal.left(got[-1].order if got else -1, size)
                assert len(rows) <= size
                got += rows
            assert [row.number for row in got] == [
                number for number in range(1, seeds + 1) if number not in ended and (total is None or number <= total)
            ]
            assert one.journal.left(got[-1].order if got else -1, MANY) == []

    def test_a_selection_narrows_what_is_left_and_what_is_counted(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c", "d"), None)
            one.append([session(), *whole_call(1, 1), *whole_call(2, 4, Outcome.FAILED, "garbled")])
            for total, left, counted in (
                (2, ["b"], (2, 1, 1, 0)),
                (None, ["b", "c"], (4, 2, 1, 1)),
                (0, [], (0, 0, 0, 0)),
            ):
                one.journal.select(total)
                totals = one.journal.totals()
                assert keys(one.journal.left(-1, MANY)) == left
                assert (totals.seeds, totals.left, totals.done, totals.failed) == counted
                assert totals.calls == 2

    def test_totals_add_up_while_seeds_end_in_a_selection(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c", "d"), None)
            one.journal.select(2)
            one.append([session(), *whole_call(1, 1)], whole_call(2, 2, Outcome.REJECTED, "answer"))
            totals = one.journal.totals()
            assert (totals.seeds, totals.left, totals.done, totals.rejected) == (2, 0, 1, 1)

    # appending

    def test_events_are_numbered_in_the_order_of_their_append(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c"), None)
            assert one.append([session()]) == [1]
            assert one.append(whole_call(1, 1), whole_call(2, 2)[:2], whole_call(3, 3)) == [4, 6, 9]
            assert one.append([seed_end(2, call=2)]) == [10]
            assert one.journal.totals().last_event == 10
            assert typed(one.journal.replay()) == typed(
                [session(), *whole_call(1, 1), *whole_call(2, 2)[:2], *whole_call(3, 3), seed_end(2, call=2)]
            )

    def test_whoever_waits_is_woken_in_the_order_of_the_numbers(self, store: Store, tmp_path: Path) -> None:
        woken: list[int] = []

        async def append(journal: Journal, call: int) -> None:
            woken.append(await journal.append([call_start(call, 1)]))

        async def all_together(journal: Journal) -> None:
            journal.writers = 50
            async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
                keeper = group.create_task(journal.keep())
                await asyncio.gather(*(append(journal, call) for call in range(1, 51)))
                keeper.cancel()

        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a"), None)
            asyncio.run(all_together(one.journal))
            assert woken == list(range(1, 51))

    def test_what_was_appended_is_there_after_a_crash(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c"), None)
            one.append([session()], whole_call(1, 1), [call_start(2, 2)])
            if not store.persistent:
                return
            (folder,) = tmp_path.iterdir()
            after = store.open(folder)  # nothing was closed
            after.select(None)
            try:
                assert typed(after.replay()) == typed([session(), *whole_call(1, 1), call_start(2, 2)])
                assert after.open_calls() == [call_start(2, 2)]
                assert keys(after.left(-1, MANY)) == ["b", "c"]
            finally:
                after.close()

    def test_a_worker_that_is_cancelled_while_it_waits_takes_nobody_with_it(self, store: Store, tmp_path: Path) -> None:
        async def cancelled_in_company(journal: Journal) -> int:
            journal.writers = 3
            keeper = asyncio.create_task(journal.keep())
            calls = [asyncio.create_task(journal.append([call_start(call, 1)])) for call in (1, 2)]
            await asyncio.sleep(0)
            calls[0].cancel()
            try:
                async with asyncio.timeout(DEADLINE_S):
                    return await calls[1]
            finally:
                keeper.cancel()
                await asyncio.gather(keeper, *calls, return_exceptions=True)

        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a"), None)
            assert asyncio.run(cancelled_in_company(one.journal)) == 2
            assert len(list(one.journal.replay())) == 2

    def test_flush_makes_durable_what_still_waits(self, store: Store, tmp_path: Path) -> None:
        async def left_in_a_hurry(journal: Journal) -> int:
            append = asyncio.create_task(journal.append([session(), call_start(1, 1)]))
            await asyncio.sleep(0)
            journal.flush()  # nobody keeps the journal any more
            async with asyncio.timeout(DEADLINE_S):
                return await append

        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a"), None)
            assert asyncio.run(left_in_a_hurry(one.journal)) == 2
            one.again()
            assert typed(one.journal.replay()) == typed([session(), call_start(1, 1)])

    def test_every_kind_of_event_comes_back_as_it_was(self, store: Store, tmp_path: Path) -> None:
        unknown = CallEnded(2.5, 3.5, 2, 1, "disconnected", "cut", maybe_billed=True)
        known = CallEnded(
            2.25, 3.25, 1, 1, "ok", "", 200, "stop", "m-2", Usage(1, 2, 0, None), False, "req", bytes(range(256))
        )
        events: list[Event] = [
            session(1, simulated=True),
            PaceChosen(1.0, 2.0, 8, 0.125, 1, "why"),
            SeedsChanged(1.0, 2.0, 5, 6, 7),
            CallStarted(1.5, 2.5, 1, 1, 3, 4, 1, 2),
            known,
            CallStarted(1.5, 2.5, 2, 1, 3),
            unknown,
            SeedEnded(3.0, 4.0, 1, 1, Outcome.REJECTED, "answer", "too short", 3, 2.5, b'{"a": "\\u00e9"}'),
            SeedReopened(4.0, 5.0, 1, Outcome.REJECTED, "retry"),
            SeedReopened(4.0, 5.0, 1, Outcome.REJECTED, "adopted", "not_json"),
            Advised(4.0, 5.0, "monitor", "adopted", "instruction", "it helps", '{"a": "\\u00e9"}'),
            CommandTaken(5.0, 6.0, "pause", "me"),
            RunEnded(6.0, 7.0, 1, "paused", "no money"),
        ]
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a"), None)
            one.append(events)
            one.again()
            assert typed(one.journal.replay()) == typed(events)

    def test_texts_and_bodies_of_any_kind_are_taken_and_given_back(self, store: Store, tmp_path: Path) -> None:
        texts = ["", "\0", "a\0b", "\x85\u2028\u2029", "😀", "'; DROP TABLE seeds; --", "x" * 100_000]
        ends = [
            CallEnded(1.0, 1.0, call, 1, "garbled", text, 500, text, text, request_id=text, body=text.encode() * 20)
            for call, text in enumerate(texts, 1)
        ]
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a"), None)
            one.append([session()], *(_both(call_start(end.call, 1), end) for end in ends))
            one.again()
            assert [event for event in one.journal.replay() if type(event) is CallEnded] == ends

    def test_lone_surrogates_in_what_a_provider_said_do_no_harm(self, store: Store, tmp_path: Path) -> None:
        end = CallEnded(
            1.0, 1.0, 1, 1, "garbled", "odd \ud800", 500, "\udfff", "m\ud800", request_id="\ud83d", body=b"\xff"
        )
        ended = SeedEnded(1.0, 1.0, 1, 1, Outcome.FAILED, "garbled", "because \ud800", 1, 0.5, b'"\\ud800"')
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a"), None)
            one.append([session(), call_start(1, 1), end, ended])
            got = list(one.journal.replay())
            assert [type(event) for event in got] == [RunStarted, CallStarted, CallEnded, SeedEnded]
            assert got[2][:5] == end[:5]  # type: ignore[index]
            assert "odd " in got[2].detail  # type: ignore[union-attr]

    def test_of_several_words_on_a_seed_in_one_append_the_last_one_counts(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b"), None)
            one.append([session(), seed_end(2, Outcome.FAILED)])
            reopened = [
                SeedReopened(*NOW, seed, outcome, "retry") for seed, outcome in ((2, Outcome.FAILED), (1, Outcome.DONE))
            ]
            one.append([reopened[0], seed_end(1), reopened[1], seed_end(2)])
            one.again()
            one.journal.select(None)
            assert keys(one.journal.left(-1, MANY)) == ["a"]
            assert one.journal.totals().done == 1

    def test_a_journal_without_trouble_says_so(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.append([session()])
            assert one.journal.trouble is None

    # state

    def test_calls_without_an_end_are_open_in_the_order_of_their_start(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c"), None)
            one.append([session(), call_start(1, 1), call_start(2, 2), call_start(3, 3), call_end(1, 1)])
            assert one.journal.open_calls() == [call_start(2, 2), call_start(3, 3)]
            one.append([call_end(3, 3)])
            one.again()
            assert one.journal.open_calls() == [call_start(2, 2)]
            one.append([call_start(4, 1), call_end(2, 2)])
            assert one.journal.open_calls() == [call_start(4, 1)]

    def test_the_newest_session_is_known(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            assert one.journal.sessions() == 0
            one.append([session(1)])
            assert one.journal.sessions() == 1
            one.again()
            one.append([session(2)])
            assert one.journal.sessions() == 2

    @given(drawn=st.lists(st.lists(steps(), max_size=6), max_size=6), after=st.integers(0, 40))
    @thoroughly
    def test_the_stored_state_is_what_the_events_add_up_to(
        self, store: Store, tmp_path: Path, drawn: list[list[Step]], after: int
    ) -> None:
        names = ["a", "b", "c", "d", "e"]
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file(*names), None)
            history = History(range(1, 6))
            batches = [[event for step in steps_ for event in history.happen(step)] for steps_ in drawn]
            half = len(batches) // 2
            for some in (batches[:half], batches[half:]):
                if some:
                    one.append(*some)
                one.again()
                one.journal.select(None)
            journal = one.journal
            ledger = fold(journal.replay())
            states = [ledger.states.get(number, SeedState.LEFT) for number in range(1, 6)]
            assert typed(journal.replay()) == typed(history.events)
            assert typed(journal.replay(after)) == typed(history.events[after:])
            assert [row.number for row in journal.left(-1, MANY)] == [
                number for number, state in enumerate(states, 1) if state is SeedState.LEFT
            ]
            assert journal.totals() == replace(
                ledger.totals, seeds=5, left=5 - ledger.totals.done - ledger.totals.rejected - ledger.totals.failed
            )
            assert journal.open_calls() == list(ledger.open_calls.values())
            assert journal.sessions() == ledger.sessions
            assert list(journal.stories(ALL)) == _told(history.events, names)

    @given(played=st.lists(commands(), max_size=12))
    @thoroughly
    def test_after_whatever_happened_a_resumed_run_sees_what_the_last_one_saw(
        self, store: Store, tmp_path: Path, played: list[Command]
    ) -> None:
        with opened(store, tmp_path) as one:
            player = Player(one)
            for command in played:
                player.play(command)
            before = seen(one.journal)
            player.play(Again())
            assert seen(one.journal) == before
            totals = before.totals
            assert totals.done + totals.rejected + totals.failed + totals.left == totals.seeds
            assert totals.left == len(before.left)
            assert totals.last_event == len(before.events)

    # reopening

    def test_ended_seeds_are_reopened_by_outcome_and_class(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c", "d", "e"), None)
            one.append(
                [session(), *whole_call(1, 1)],
                whole_call(2, 3, Outcome.FAILED, "garbled"),
                whole_call(3, 2, Outcome.FAILED, "timed_out"),
                whole_call(4, 4, Outcome.REJECTED, "answer"),
            )
            failed = frozenset({Outcome.FAILED})
            assert one.journal.reopen(failed, frozenset({"throttled"}), NOW) == 0
            assert one.journal.reopen(failed, frozenset({"timed_out", "lost"}), NOW) == 1
            assert keys(one.journal.left(-1, MANY)) == ["b", "e"]
            assert one.journal.reopen(failed | {Outcome.REJECTED}, None, NOW) == 2
            assert keys(one.journal.left(-1, MANY)) == ["b", "c", "d", "e"]
            assert one.journal.reopen(failed | {Outcome.REJECTED}, None, NOW) == 0
            assert one.journal.reopen(frozenset(), None, NOW) == 0
            assert list(one.journal.replay(13)) == [
                SeedReopened(*NOW, 2, Outcome.FAILED, "retry", "timed_out"),
                SeedReopened(*NOW, 3, Outcome.FAILED, "retry", "garbled"),
                SeedReopened(*NOW, 4, Outcome.REJECTED, "retry", "answer"),
            ]
            totals = one.journal.totals()
            assert (totals.left, totals.done, totals.rejected, totals.failed) == (4, 1, 0, 0)
            assert one.append([session(2)]) == [17]

    def test_failed_seeds_are_counted_by_the_class_of_their_last_end(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c", "d"), None)
            one.append(
                [session(), *whole_call(1, 1)],
                whole_call(2, 3, Outcome.FAILED, "garbled"),
                whole_call(3, 2, Outcome.FAILED, "timed_out"),
                whole_call(4, 4, Outcome.REJECTED, "answer"),
            )
            assert one.journal.failed_by_class() == {"garbled": 1, "timed_out": 1, "answer": 1}
            found = one.journal.in_vain(frozenset())
            assert [(row.key, outcome, label) for row, outcome, label in found] == [
                ("b", Outcome.FAILED, "timed_out"),
                ("c", Outcome.FAILED, "garbled"),
                ("d", Outcome.REJECTED, "answer"),
            ]
            assert [row.key for row, _, _ in one.journal.in_vain(frozenset({"garbled", "lost"}))] == ["c"]
            assert [(row.number, state) for row, state in one.journal.rows_named("c")] == [(3, SeedState.FAILED)]
            assert one.journal.rows_named("z") == []
            one.journal.reopen(frozenset({Outcome.FAILED}), None, NOW)
            one.append(whole_call(5, 2, Outcome.FAILED, "garbled"))
            assert one.journal.failed_by_class() == {"garbled": 1, "answer": 1}
            one.journal.select(2)
            assert one.journal.failed_by_class() == {"garbled": 1}

    def test_a_seed_that_ended_again_is_reopened_for_what_it_is_now(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a"), None)
            one.append([session(), *whole_call(1, 1, Outcome.FAILED, "garbled")])
            assert one.journal.reopen(ALL, None, NOW) == 1
            one.append(whole_call(2, 1, Outcome.FAILED, "timed_out"))
            assert one.journal.reopen(ALL, frozenset({"garbled"}), NOW) == 0
            assert one.journal.reopen(ALL, frozenset({"timed_out"}), NOW) == 1

    def test_seeds_that_are_gone_are_not_reopened(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b"), None)
            one.append([session(), *whole_call(1, 1, Outcome.FAILED), *whole_call(2, 2, Outcome.FAILED)])
            one.journal.enrol(a_file("b"), None)
            assert one.journal.reopen(ALL, None, NOW) == 1
            assert keys(one.journal.left(-1, MANY)) == ["b"]

    def test_reopening_counts_rightly_in_a_selection(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c"), None)
            failures = (whole_call(number, number, Outcome.FAILED) for number in (1, 2, 3))
            one.append([session()], *failures)
            one.journal.select(1)
            one.journal.reopen(ALL, None, NOW)
            totals = one.journal.totals()
            assert (totals.seeds, totals.left, totals.failed) == (1, 1, 0)

    # telling

    def test_a_story_holds_all_that_is_known_of_an_ended_seed(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "=x"), None)
            one.append([session(1, "old"), call_start(1, 2, 15.0), call_end(1, 2, "throttled", 16.0)])
            one.append([session(2, "new", simulated=True), *whole_call(2, 2)])
            ended, call = seed_end(2, Outcome.DONE, 2, "ok", 25.0), call_end(2, 2, "ok", 25.0)
            key = content_key(content("x"), 1)
            assert list(one.journal.stories(ALL)) == [
                (7, Story(key, ended, call, 1020.0, "new", "print-2", simulated=True))
            ]

    def test_stories_come_in_the_order_of_their_ends_and_by_outcome(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b", "c", "d"), None)
            one.append(
                [session(), *whole_call(1, 3)],
                whole_call(2, 1, Outcome.FAILED, "garbled"),
                [seed_end(4, Outcome.FAILED, 0, "template")],
                whole_call(3, 2, Outcome.REJECTED, "answer"),
            )

            def told(outcomes: Iterable[Outcome], after: int = 0) -> list[tuple[int, str]]:
                return [(event, story.key) for event, story in one.journal.stories(frozenset(outcomes), after)]

            assert told(ALL) == [(4, "c"), (7, "a"), (8, "d"), (11, "b")]
            assert told(ALL, after=7) == [(8, "d"), (11, "b")]
            assert told(ALL, after=11) == told([]) == []
            assert told([Outcome.DONE]) == [(4, "c")]
            assert told([Outcome.FAILED]) == [(7, "a"), (8, "d")]
            assert told([Outcome.FAILED, Outcome.REJECTED], after=4) == [(7, "a"), (8, "d"), (11, "b")]

    def test_a_seed_that_ended_without_a_call_has_a_story_without_one(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a"), None)
            one.append([session(), seed_end(1, Outcome.FAILED, 0, "template")])
            assert [story.call for _, story in one.journal.stories(ALL)] == [None]

    def test_a_reopened_seed_has_no_story_until_it_ends_again(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b"), None)
            one.append([session(), *whole_call(1, 1, Outcome.FAILED, "garbled"), *whole_call(2, 2)])
            one.journal.reopen(frozenset({Outcome.FAILED}), None, NOW)
            assert [story.key for _, story in one.journal.stories(ALL)] == ["b"]
            one.append([session(2), *whole_call(3, 1)])
            assert [(event, story.key) for event, story in one.journal.stories(ALL)] == [(7, "b"), (12, "a")]

    def test_a_seed_that_is_gone_keeps_its_story(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b"), None)
            one.append([session(), *whole_call(1, 1)])
            one.journal.enrol(a_file("b"), None)
            assert [story.key for _, story in one.journal.stories(ALL)] == ["a"]

    def test_a_journal_can_be_closed_while_somebody_still_reads(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b"), None)
            one.append([session(), *whole_call(1, 1), *whole_call(2, 2)])
            readers: list[Iterator[Any]] = [one.journal.replay(), one.journal.stories(ALL)]
            for reader in readers:
                next(reader)
            one.again()
            assert len(list(one.journal.replay())) == 7

    # notes

    def test_a_note_is_known_at_once_and_the_newest_counts(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            assert one.journal.noted("watermark") is None
            one.journal.note("watermark", "1")
            one.journal.note("watermark", "2")
            one.journal.note("stamp", "")
            assert [one.journal.noted(name) for name in NOTES] == ["2", ""]

    def test_a_note_is_durable_with_the_next_append(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.note("watermark", "é😀\n")
            one.append([session()])
            one.again()
            assert one.journal.noted("watermark") == "é😀\n"

    def test_a_note_is_durable_after_a_flush(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.note("watermark", "1")
            one.journal.flush()
            one.journal.note("watermark", "2")
            one.journal.flush()
            one.again()
            assert one.journal.noted("watermark") == "2"

    def test_its_repr_is_one_line_and_tells_the_counts(self, store: Store, tmp_path: Path) -> None:
        with opened(store, tmp_path) as one:
            one.journal.enrol(a_file("a", "b"), None)
            assert "seeds=2" in repr(one.journal)
            assert "\n" not in repr(one.journal)


def _both(*events: Event) -> list[Event]:
    return list(events)


def _told(events: Sequence[Event], names: Sequence[str]) -> list[tuple[int, Story]]:
    """The stories of a history, found by looking at every event."""
    stories: dict[int, tuple[int, Story]] = {}
    calls: dict[int, CallEnded] = {}
    begun: RunStarted | None = None
    for number, event in enumerate(events, 1):
        if isinstance(event, RunStarted):
            begun = event
        elif isinstance(event, CallEnded):
            calls[event.call] = event
        elif isinstance(event, SeedReopened):
            stories.pop(event.seed, None)
        elif isinstance(event, SeedEnded) and begun is not None:
            started_utc = event.utc - (event.at - event.started)
            model = json.loads(begun.task)["worker_model"]
            call = calls.get(event.call)
            story = Story(names[event.seed - 1], event, call, started_utc, model, begun.fingerprint, begun.simulated)
            stories[event.seed] = (number, story)
    return sorted(stories.values(), key=lambda one: one[0])
