"""The room of stores: where the journal lives.

The journal is the only truth of a run. Export, filter and report read it and can be repeated at any time without a
call. Beside its events a store keeps the folded state of every seed, written in the same transaction, so that resuming
reads what is left and not what is done.

To add a store, write one file with a class of the shape of `Journal`, list it in TABLE, and pass the suite in
`testing/suites/journal.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from deepswarm.core.errors import DiskFull
from deepswarm.core.events import CallEnded, CallStarted, Event, TurnNoted
from deepswarm.core.ledger import Story
from deepswarm.core.records import Incoming, Outcome, SeedRow, SeedState, Totals

TABLE: Final = {
    "sqlite": "deepswarm.journals.sqlite:SqliteJournal",
    "memory": "deepswarm.journals.memory:MemoryJournal",
}


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What reading the seeds file changed.

    Attributes:
        added: New seeds.
        gone: Keys of known seeds that are no longer in the file (at most 100 are named), and how many they are.
        changed: Keys of ended seeds whose content is another one under the same id, likewise.
        duplicates: Keys that stand on several lines, with those lines; when there are any, nothing was enrolled.
    """

    added: int = 0
    gone: tuple[str, ...] = ()
    gone_count: int = 0
    changed: tuple[str, ...] = ()
    changed_count: int = 0
    duplicates: tuple[tuple[str, tuple[int, ...]], ...] = ()


class Command(NamedTuple):
    """What another process wants of a run: its number in the inbox, when it was given, by whom, and its words."""

    number: int
    utc: float
    by: str
    words: str


class Journal(Protocol):
    """A store. One process writes at a time; whoever reads sees whole transactions."""

    trouble: DiskFull | None
    """Set when the disk would take no more than what is already in flight: dispatch must stop."""
    writers: int
    """How many may call `append` at the same time: when all of them wait, a commit waits no longer for company."""

    def enrol(
        self, seeds: Iterable[Incoming], total: int | None, accepted: tuple[float, float] | None = None
    ) -> Enrolment:
        """Bring the seeds up to date with the file.

        Args:
            seeds: All of the file's seeds, or at least its first `total`, in file order.
            total: How many of the file's first seeds belong to the run; None for all.
            accepted: (utc, at) when ended seeds whose content changed shall be asked again; None leaves them ended.
        """

    def select(self, total: int | None) -> None:
        """Count only the file's first `total` seeds from now on; None counts all."""

    def left(self, after: int, most: int) -> list[SeedRow]:
        """The next seeds that are left, in file order, whose `order` is above `after`; at most `most` of them."""

    def totals(self) -> Totals:
        """Counts of the selected seeds and of all calls."""

    def sessions(self) -> int:
        """How many times a process took the run up."""

    def open_calls(self) -> list[CallStarted]:
        """Calls without an end, as a crash leaves them."""

    def reopen(self, outcomes: frozenset[Outcome], labels: frozenset[str] | None, now: tuple[float, float]) -> int:
        """Make ended seeds of these outcomes (and error classes) LEFT again; how many. `now` is (utc, at)."""

    def failed_by_class(self) -> Counter[str]:
        """The selected seeds that are rejected or failed now, by the class of their last end; reads all ends."""

    def rows_named(self, key: str) -> list[tuple[SeedRow, SeedState]]:
        """The seeds with this key that the file holds, one for each sample, with their states; none when unknown."""

    def in_vain(self, labels: frozenset[str]) -> list[tuple[SeedRow, Outcome, str]]:
        """The selected seeds that are rejected or failed now, in file order, each with the class of its last end.

        Args:
            labels: Only these classes; none of them means all.
        """

    def commands(self) -> list[Command]:
        """What other processes want and what was not taken yet, in the order in which they said it.

        A command is taken with the append of a `CommandTaken` of its number.
        """

    async def append(self, events: Sequence[Event]) -> int:
        """Add events; durable on return. Appends of the same moment share one commit.

        Returns:
            The number of the last of them. Whoever waits is woken in the order of the numbers.

        Raises:
            DiskFull: If they could not be made durable.
        """

    def flush(self) -> None:
        """Make durable what is still waiting, at once: for the moment of leaving."""

    async def keep(self) -> None:
        """Serve `append` until cancelled; run it in the task group of the run."""

    def replay(self, after: int = 0) -> Iterator[Event]:
        """All events, in order, after the event of that number."""

    def stories(self, outcomes: frozenset[Outcome], after: int = 0) -> Iterator[tuple[int, Story]]:
        """Ended seeds in the order of their ends, each with its event number."""

    def turns(self, seed: int) -> tuple[tuple[TurnNoted, ...], CallEnded | None]:
        """The notes of the conversation that a seed goes on with, and the call that brought its last reply.

        None when it begins: nothing was noted, or the seed was reopened (other than by a retry of a failed one) since.
        """

    def note(self, name: str, value: str) -> None:
        """Remember a small text under a name (source stamp, watermarks); durable with the next append."""

    def noted(self, name: str) -> str | None:
        """What was remembered under that name."""

    def close(self) -> None:
        """Let go of the file. What was appended is safe."""
