"""How a row of the catalogue of provider behaviours is written, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from deepswarm.core.errors import CallError, Disposition
from deepswarm.simulator.law import LAWS

Class: TypeAlias = type[CallError]
STREAMED: Final = "streamed"
WHOLE: Final = "whole"
BOTH: Final = (STREAMED, WHOLE)


class Ends(StrEnum):
    """How the standard job ends: all seeds have an outcome, or it is resumable, or it never began."""

    FINISHED = "finished"
    PAUSED = "paused"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour and what follows from it.

    Attributes:
        id: Name of its scenario.
        what: What the provider does.
        classes: What its calls end in, beside good answers; exactly these. Empty: a reader has to put up with it.
        reactions: What the classes ask for.
        of: The row of the catalogue that it belongs to; empty when that has the same name.
        ends: How the standard job ends.
        fails: Class with which exactly the aimed seeds fail; empty when no seed fails.
        pauses: Why the run pauses; empty when it does not.
        billed: In which modes every call that the fault hits is possibly billed; in the others none is.
        untold: In which modes the tokens of calls that the fault hits are not told.
        modes: How the answers are asked for.
        most_s: The job ends within so many seconds.
        requests: Most requests for one seed.
        floor_s: After a refusal nobody asks for so many seconds; 0 when the provider names no time.
        keys: Of the job's task file, where they differ from the usual ones.
        tests: What else covers it, or all that does.
        scenario: Whether there is a law for it.
    """

    id: str
    what: str
    classes: frozenset[Class] = frozenset()
    reactions: tuple[Disposition, ...] = ()
    of: str = ""
    ends: Ends = Ends.FINISHED
    fails: str = ""
    pauses: str = ""
    billed: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    modes: tuple[str, ...] = BOTH
    most_s: float = 20.0
    requests: int = 7
    floor_s: float = 0.0
    keys: Mapping[str, Any] = field(default_factory=dict)
    tests: tuple[str, ...] = ()
    scenario: bool = True

    @property
    def family(self) -> str:
        """The id of its row in the catalogue."""
        return self.of or self.id

    @property
    def law(self) -> Path:
        """The file of its scenario."""
        return LAWS / "catalogue" / f"{self.id}.toml"

    @property
    def charged(self) -> str:
        """Whether the seed pays for it with one of its tries."""
        return "; ".join(_CHARGED[reaction] for reaction in self.reactions) or "—"


_CHARGED: Final = {
    Disposition.NETWORK: "no: nothing was asked",
    Disposition.CAPACITY: "no",
    Disposition.PAUSE: "no: the seed stays pending",
    Disposition.BACK_OFF: "yes (`call_retries`); not during an outage",
    Disposition.SEMANTIC: "yes (`worker_retries`)",
    Disposition.FAIL_ROW: "it ends the seed",
}


def row(reactions: tuple[Disposition, ...], name: str, what: str, *classes: Class, **more: Any) -> Row:
    """A row, in the order in which it is read: what is asked for, its name, what happens, the classes, the rest."""
    return Row(name, what, frozenset(classes), reactions, **more)


# One for each reaction, and for what often goes with it.
limit = partial(row, (Disposition.CAPACITY,), requests=12)
back_off = partial(row, (Disposition.BACK_OFF,))
sent = partial(back_off, billed=BOTH)
lost = partial(sent, untold=BOTH)
network = partial(row, (Disposition.NETWORK,))
pause = partial(row, (Disposition.PAUSE,), requests=2)
for_good = partial(pause, ends=Ends.PAUSED, most_s=2200.0)
at_once = partial(pause, ends=Ends.REFUSED, most_s=5.0, requests=1, keys={"stagger": "auto"})
fail_row = partial(row, (Disposition.FAIL_ROW,), requests=1)
semantic = partial(row, (Disposition.SEMANTIC,), requests=4)
tolerated = partial(row, (), requests=1)
streamed = partial(tolerated, modes=(STREAMED,))
elsewhere = partial(row, (), scenario=False)
